#include "records/ledger_import.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/hash.hpp"
#include "base/money.hpp"
#include "records/budgets.hpp"
#include "records/ledger.hpp"
#include "records/ledger_scan.hpp"
#include "records/rollups_store.hpp"

namespace ballast::records {

namespace {

// Sums by window. The windows are views into the calls' bytes.
class Charges {
 public:
  void add(std::string_view window, std::int64_t nano) {
    if (!last_ || window != last_->first) last_ = &*sums_.try_emplace(window).first;
    last_->second += Money{nano};
  }
  std::vector<BudgetCharge> list() const {
    std::vector<BudgetCharge> out;
    out.reserve(sums_.size());
    for (const auto& [window, sum] : sums_) out.push_back({std::string(window), sum.nano});
    return out;
  }

 private:
  std::unordered_map<std::string_view, Money, StringHash> sums_;
  std::pair<const std::string_view, Money>* last_ = nullptr;  // calls of one key come in rows
};

// Does `a` know more of a call than `b`, which is of the same?
bool replaces(std::string_view a, std::string_view b) {
  const auto one = decode_call(a);
  const auto other = decode_call(b);
  return one && (!other || knows_more(*one, *other));
}

// A call that is in the ledger already.
struct Found {
  const EncodedCall* call;
  bool told;                               // all is known of it
  BlockKey block;
};

// Looks for calls whose times are near each other: in the blocks between the first and the last.
Result<void> find_near(store::Tx& tx, std::span<const EncodedCall> calls, std::vector<Found>& out) {
  BlockScan scan(BlockScan::Order::ascending, calls.front().id, calls.back().id);
  for (;;) {
    auto block = scan.next(tx);
    if (!block) return std::unexpected(block.error());
    if (!*block) return {};
    SummaryReader reader((*block)->summary);
    for (CallRow row; reader.next(row);) {
      const auto at = std::lower_bound(calls.begin(), calls.end(), row.id, [](const EncodedCall& c, Id id) { return c.id < id; });
      if (at != calls.end() && at->id == row.id) out.push_back({&*at, row.told, (*block)->key});
    }
    if (!reader.good()) return std::unexpected(damaged_block());
  }
}

Result<std::vector<Found>> find(store::Tx& tx, std::span<const EncodedCall> calls) {
  std::vector<Found> out;
  while (!calls.empty()) {
    std::size_t n = 1;
    while (n < calls.size() && calls[n].id.unix_ms() - calls[n - 1].id.unix_ms() <= kBlockSpanMs) ++n;
    if (auto found = find_near(tx, calls.first(n), out); !found) return std::unexpected(found.error());
    calls = calls.subspan(n);
  }
  return out;
}

Result<void> insert(store::Tx& tx, std::span<const CallBlock> blocks) {
  std::vector<std::string> ids;
  ids.reserve(2 * blocks.size());
  store::Batch batch(5);
  for (const CallBlock& b : blocks) {
    const std::string& last = ids.emplace_back(to_bytes(b.last));
    const std::string& first = ids.emplace_back(to_bytes(b.first));
    batch.add({store::Value::bytes(last), store::Value::bytes(first), b.calls, store::Value::bytes(b.summary), store::Value::bytes(b.details)});
  }
  if (batch.size() == 0) return {};
  auto done = tx.run_many("INSERT INTO call_blocks (last_id, first_id, calls, summary, details) VALUES ($1, $2, $3, $4, $5)", batch);
  if (!done) return std::unexpected(done.error());
  return {};
}

// With what is derived of them: what the migration to blocks must not do, which comes before those tables. `removed`: the summary of the
// block that they replace.
Result<void> insert_told(store::Tx& tx, std::span<const CallBlock> blocks, std::string_view removed = {}) {
  if (auto done = insert(tx, blocks); !done) return done;
  std::vector<std::string> ids;
  ids.reserve(2 * blocks.size());
  store::Batch zones(3);
  for (const CallBlock& b : blocks) {
    const std::string& last = ids.emplace_back(to_bytes(b.last));
    const std::string& first = ids.emplace_back(to_bytes(b.first));
    zones.add({store::Value::bytes(last), store::Value::bytes(first), store::Value::bytes(b.zone)});
  }
  if (zones.size() > 0)
    if (auto done = tx.run_many("INSERT INTO call_zones (last_id, first_id, zone) VALUES ($1, $2, $3)", zones); !done) return std::unexpected(done.error());
  return note_blocks(tx, blocks, removed);
}

// Rewrites a block without those of its calls of which `calls` know more; what they were charged goes to `refunds`, the ids of the others
// to `stay`.
Result<void> take_out(store::Tx& tx, const BlockKey& key, const std::vector<const EncodedCall*>& calls, std::vector<BudgetCharge>& refunds,
                      std::vector<Id>& stay) {
  auto details = read_details(tx, key);
  if (!details) return std::unexpected(details.error());
  std::string plain;
  auto records = unpack_details(*details, plain);
  if (!records) return std::unexpected(records.error());
  std::vector<EncodedCall> kept;
  for (const std::string_view bytes : *records) {
    CallView view;
    if (auto read = read_call(bytes, view); !read) return read;
    const auto again = std::find_if(calls.begin(), calls.end(), [&](const EncodedCall* c) { return c->id == view.id; });
    if (again != calls.end() && replaces((*again)->bytes, bytes)) {
      for (const ChargeView& c : view.charges) refunds.push_back({std::string(c.window), -c.nano});
      continue;
    }
    if (again != calls.end()) stay.push_back(view.id);
    kept.push_back({view.id, bytes});
  }
  if (kept.size() == records->size()) return {};
  return replace_block(tx, key, *details, kept);
}

}  // namespace

Result<void> replace_block(store::Tx& tx, const BlockKey& key, std::string_view details, std::span<const EncodedCall> calls) {
  auto gone = tx.run("DELETE FROM call_blocks WHERE last_id = $1 AND first_id = $2 AND details = $3 RETURNING summary",
                     {store::Value::bytes(key.last), store::Value::bytes(key.first), store::Value::bytes(details)});
  if (!gone) return std::unexpected(gone.error());
  if (gone->size() != 1) return std::unexpected(store::make_error(store::Fault::unavailable, "another node changed the ledger at the same place"));
  auto zone = tx.run("DELETE FROM call_zones WHERE last_id = $1 AND first_id = $2", {store::Value::bytes(key.last), store::Value::bytes(key.first)});
  if (!zone) return std::unexpected(zone.error());
  return insert_told(tx, pack(calls), (*gone)[0].bytes(0));
}

PreparedCalls prepare_calls(std::vector<EncodedCall> calls) {
  std::sort(calls.begin(), calls.end(), [](const EncodedCall& a, const EncodedCall& b) { return a.id < b.id; });
  PreparedCalls out;
  out.calls.reserve(calls.size());
  for (const EncodedCall& c : calls) {
    if (out.calls.empty() || out.calls.back().id != c.id) out.calls.push_back(c);
    else if (replaces(c.bytes, out.calls.back().bytes)) out.calls.back() = c;
  }
  Charges charges;
  const PackWatch watch{
      .packed = [&](const CallView& c) { for (const ChargeView& charge : c.charges) charges.add(charge.window, charge.nano); },
      .unreadable = [&](const EncodedCall& c, const Error& e) { out.unreadable.emplace_back(c, e); }};
  out.blocks = pack(out.calls, watch);
  for (const auto& [bad, why] : out.unreadable) std::erase_if(out.calls, [&](const EncodedCall& c) { return c.id == bad.id; });
  out.charges = charges.list();
  return out;
}

Result<std::uint64_t> add_prepared(store::Tx& tx, const PreparedCalls& prepared, bool all_new, std::vector<BudgetCharge>* charged) {
  if (!all_new) {
    auto found = find(tx, prepared.calls);
    if (!found) return std::unexpected(found.error());
    if (!found->empty()) {
      std::vector<EncodedCall> rest;
      std::vector<BudgetCharge> refunds;
      std::map<BlockKey, std::vector<const EncodedCall*>> untold;
      std::vector<Id> stay;
      for (const Found& f : *found) {
        if (f.told) stay.push_back(f.call->id);
        else untold[f.block].push_back(f.call);
      }
      for (const auto& [block, calls] : untold)
        if (auto out = take_out(tx, block, calls, refunds, stay); !out) return std::unexpected(out.error());
      std::sort(stay.begin(), stay.end());
      for (const EncodedCall& c : prepared.calls)
        if (!std::binary_search(stay.begin(), stay.end(), c.id)) rest.push_back(c);
      if (auto refunded = add_spend(tx, refunds); !refunded) return std::unexpected(refunded.error());
      if (charged) *charged = std::move(refunds);
      return add_prepared(tx, prepare_calls(std::move(rest)), true, charged);
    }
  }
  if (auto added = insert_told(tx, prepared.blocks); !added) return std::unexpected(added.error());
  if (auto spent = add_spend(tx, prepared.charges); !spent) return std::unexpected(spent.error());
  if (charged) charged->insert(charged->end(), prepared.charges.begin(), prepared.charges.end());
  return prepared.calls.size();
}

Result<std::uint64_t> add_calls(store::Tx& tx, std::span<const CallRecord> records, std::vector<BudgetCharge>* charged) {
  std::vector<std::string> bytes(records.size());
  std::vector<EncodedCall> calls;
  for (std::size_t i = 0; i < records.size(); ++i) {
    encode(bytes[i], records[i]);
    calls.push_back({records[i].id, bytes[i]});
  }
  return add_prepared(tx, prepare_calls(std::move(calls)), false, charged);
}

Result<bool> move_rows_to_blocks(store::Tx& tx) {
  auto rows = tx.run("SELECT id, detail FROM calls ORDER BY id LIMIT 2048");
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return false;
  std::vector<EncodedCall> calls;
  for (store::Row r : *rows) {
    const auto id = id_from_bytes(r.bytes(0));
    if (!id) return fail(ErrorCode::internal_error, "the table calls has a row whose id is not one: delete it, or restore a backup");
    calls.push_back({*id, r.bytes(1)});
  }
  PreparedCalls prepared = prepare_calls(std::move(calls));
  if (!prepared.unreadable.empty())
    return fail(ErrorCode::internal_error, "the table calls has a row that cannot be read, " + to_string(prepared.unreadable.front().first.id, "call") +
                                           ": delete it, or restore a backup");
  if (auto added = insert(tx, prepared.blocks); !added) return std::unexpected(added.error());  // what they charge was counted long ago
  const std::string last = (*rows)[rows->size() - 1].string(0);
  auto gone = tx.run("DELETE FROM calls WHERE id <= $1", {store::Value::bytes(last)});
  if (!gone) return std::unexpected(gone.error());
  return true;
}

}  // namespace ballast::records
