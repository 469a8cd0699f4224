#include "records/ledger.hpp"

#include <algorithm>
#include <map>

#include "records/ledger_scan.hpp"

namespace ballast::records {

namespace {

constexpr std::size_t kMostDeleted = 1'024;   // blocks in one step: a short transaction, also where each holds a single call

// A call that a page may show: where it is.
struct Candidate {
  Id id;
  BlockKey block;
  std::size_t position;
};

// Newest first, at most `limit`.
void keep_newest(std::vector<Candidate>& candidates, std::size_t limit) {
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) { return a.id > b.id; });
  if (candidates.size() > limit) candidates.erase(candidates.begin() + static_cast<std::ptrdiff_t>(limit), candidates.end());
}

// Blocks come by their last call, newest first: when as many calls are found as are wanted, and all of them are newer than the next
// block's last, the rest of the ledger is older.
Result<std::vector<Candidate>> find_newest(store::Tx& tx, const CallFilter& filter, std::size_t limit, std::pair<Id, Id> range) {
  std::vector<Candidate> found;
  CallMatcher matcher(filter);
  BlockScan scan(BlockScan::Order::descending, range.first, range.second);
  for (;;) {
    auto block = scan.next(tx);
    if (!block) return std::unexpected(block.error());
    if (!*block) break;
    if (found.size() >= limit) {
      keep_newest(found, limit);
      if (found.back().id > (*block)->last) break;
    }
    SummaryReader reader((*block)->summary);
    std::size_t position = 0;
    if (matcher.begin(reader.names())) {
      for (CallRow row; reader.next(row); ++position)
        if (row.id >= range.first && row.id <= range.second && matcher.call(row) && matcher.target(row.name(Name::provider), row.name(Name::model)))
          found.push_back({row.id, (*block)->key, position});
    }
    if (!reader.good()) return std::unexpected(damaged_block());
  }
  keep_newest(found, limit);
  return found;
}

Result<CallRecord> record_at(std::span<const std::string_view> records, std::size_t position) {
  if (position >= records.size()) return std::unexpected(damaged_block());
  return decode_call(records[position]);
}

}  // namespace

Result<CallRecord> get_call(store::Tx& tx, Id id) {
  const auto place = find_call(tx, id);
  if (!place) return std::unexpected(place.error());
  if (!*place) return fail(ErrorCode::caller_not_found, "the ledger has no call " + to_string(id, "call"));
  auto details = read_details(tx, (*place)->block);
  if (!details) return std::unexpected(details.error());
  std::string plain;
  auto records = unpack_details(*details, plain);
  if (!records) return std::unexpected(records.error());
  return record_at(*records, (*place)->position);
}

Result<std::vector<CallRecord>> list_calls(store::Tx& tx, const CallFilter& filter, std::size_t limit, std::optional<Id> before) {
  limit = std::min<std::size_t>(limit, 1000);
  const auto range = page_of(filter, before);
  if (!range || limit == 0) return std::vector<CallRecord>{};
  auto found = find_newest(tx, filter, limit, *range);
  if (!found) return std::unexpected(found.error());
  std::vector<CallRecord> out(found->size());
  std::map<BlockKey, std::vector<std::size_t>> by_block;
  for (std::size_t i = 0; i < found->size(); ++i) by_block[(*found)[i].block].push_back(i);
  for (const auto& [block, wanted] : by_block) {
    auto details = read_details(tx, block);
    if (!details) return std::unexpected(details.error());
    std::string plain;
    auto records = unpack_details(*details, plain);
    if (!records) return std::unexpected(records.error());
    for (const std::size_t i : wanted) {
      auto record = record_at(*records, (*found)[i].position);
      if (!record) return std::unexpected(record.error());
      out[i] = std::move(*record);
    }
  }
  return out;
}

Result<std::uint64_t> delete_calls(store::Tx& tx, WallTime before, std::size_t limit) {
  const std::string end = to_bytes(first_id(before));
  auto oldest = tx.run("SELECT last_id, calls FROM call_blocks WHERE last_id < $1 ORDER BY last_id LIMIT $2", {store::Value::bytes(end), kMostDeleted});
  if (!oldest) return std::unexpected(oldest.error());
  std::uint64_t calls = 0;
  std::string last;
  for (store::Row r : *oldest) {
    const auto more = static_cast<std::uint64_t>(r.integer(1));
    if (calls > 0 && calls + more > limit) break;
    calls += more;
    last = r.string(0);
  }
  if (calls == 0) return 0;
  auto gone = tx.run("DELETE FROM call_blocks WHERE last_id <= $1", {store::Value::bytes(last)});
  if (!gone) return std::unexpected(gone.error());
  return calls;
}

}  // namespace ballast::records
