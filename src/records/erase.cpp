#include "records/erase.hpp"

#include <algorithm>
#include <map>

#include "base/compress.hpp"
#include "records/ledger_import.hpp"
#include "records/rollups_store.hpp"
#include "records/rollups_users.hpp"

namespace ballast::records {

namespace {

using store::Value;

// "budget|value|start": the same window of the pseudonym; empty: its value is another.
std::string renamed(std::string_view window, std::string_view user, std::string_view pseudonym) {
  const auto first = window.find('|'), last = window.rfind('|');
  if (first == std::string_view::npos || last <= first || window.substr(first + 1, last - first - 1) != user) return {};
  return std::string(window.substr(0, first + 1)) + std::string(pseudonym) + std::string(window.substr(last));
}

using Windows = std::map<std::string, std::string>;

void erase_from_call(CallRecord& call, std::string_view user, std::string_view pseudonym, Windows& windows) {
  call.user = pseudonym;
  call.decision = "[]";
  const auto rename = [&](std::string& window) {
    if (std::string other = renamed(window, user, pseudonym); !other.empty()) windows[window] = other, window = std::move(other);
  };
  for (BudgetCharge& charge : call.charges) rename(charge.window);
  for (AttemptRecord& attempt : call.attempts)
    for (std::string& window : attempt.windows) rename(window);
}

Result<void> rename_windows(store::Tx& tx, const Windows& windows) {
  for (const auto& [from, to] : windows) {
    auto moved = tx.run("INSERT INTO budget_spend (window_id, start_s, nano) SELECT $1, start_s, nano FROM budget_spend WHERE window_id = $2 "
                        "ON CONFLICT (window_id) DO UPDATE SET nano = budget_spend.nano + excluded.nano", {to, from});
    if (!moved) return std::unexpected(moved.error());
    if (auto gone = tx.run("DELETE FROM budget_spend WHERE window_id = $1", {from}); !gone) return std::unexpected(gone.error());
  }
  return {};
}

// A shard of the users of a rollup.
struct Shard {
  int level;
  std::int64_t start;
  std::size_t shard, shards;
};

Result<void> save_shard(store::Tx& tx, const Shard& at, const Section& section) {
  const std::string packed = ballast::pack(encode_section(section));
  auto saved = tx.run("INSERT INTO rollup_users (level, start_s, shard, shards, users) VALUES ($1, $2, $3, $4, $5) "
                      "ON CONFLICT (level, start_s, shard) DO UPDATE SET users = excluded.users", {at.level, at.start, at.shard, at.shards, Value::bytes(packed)});
  return saved ? Result<void>{} : std::unexpected(saved.error());
}

Result<void> add_to_shard(store::Tx& tx, const Shard& at, std::string_view user, const Figures& figures) {
  auto rows = tx.run("SELECT users FROM rollup_users WHERE level = $1 AND start_s = $2 AND shard = $3", {at.level, at.start, at.shard});
  if (!rows) return std::unexpected(rows.error());
  Section section;
  if (!rows->empty()) {
    auto plain = unpack_column((*rows)[0].bytes(0));
    if (!plain || !decode_section(*plain, section)) return std::unexpected(damaged_rollup());
  }
  section[std::string(user)] += figures;
  return save_shard(tx, at, section);
}

// Two who erase at once change the same row, one after the other.
Result<void> rename_in_user_calls(store::Tx& tx, Level level, std::int64_t start, std::string_view user, std::string_view pseudonym) {
  auto rows = tx.run(store::Statement("SELECT calls FROM rollup_user_calls WHERE level = $1 AND start_s = $2",
                                      "SELECT calls FROM rollup_user_calls WHERE level = $1 AND start_s = $2 FOR UPDATE"), {static_cast<int>(level), start});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return {};
  auto plain = unpack_column((*rows)[0].bytes(0));
  UserCalls calls;
  if (!plain || !calls.add(*plain)) return std::unexpected(damaged_rollup());
  return calls.rename(user, pseudonym) ? save_user_calls(tx, level, start, pack_user_calls(calls)) : Result<void>{};
}

}  // namespace

Result<void> overwrite_deleted(store::Tx& tx, bool on) {
  if (tx.dialect() != store::Dialect::sqlite) return {};
  auto set = on ? tx.run("PRAGMA secure_delete=ON") : tx.run("PRAGMA secure_delete=OFF");
  return set ? Result<void>{} : std::unexpected(set.error());
}

Result<UserBlocks> blocks_of_user(store::Tx& tx, std::string_view user, const BlockKey& after, std::size_t limit) {
  auto rows = tx.run("SELECT last_id, first_id, summary FROM call_blocks WHERE last_id > $1 OR (last_id = $1 AND first_id > $2) ORDER BY last_id, first_id LIMIT $3",
                     {Value::bytes(after.last), Value::bytes(after.first), limit});
  if (!rows) return std::unexpected(rows.error());
  UserBlocks out;
  for (const store::Row r : *rows) {
    SummaryReader reader(r.bytes(2));
    const auto names = reader.names();
    const BlockKey key{r.string(0), r.string(1)};
    if (rows->size() == limit) out.next = key;
    if (std::ranges::find(names, user) == names.end()) continue;
    std::uint64_t calls = 0;
    for (CallRow call; reader.next(call);) calls += names[call.name(Name::user)] == user;
    if (!reader.good()) return std::unexpected(damaged_block());
    if (calls > 0) out.blocks.push_back(key);
    out.calls += calls;
  }
  return out;
}

Result<ErasedCalls> erase_from_block(store::Tx& tx, const BlockKey& key, std::string_view user, std::string_view pseudonym) {
  auto details = read_details(tx, key);
  if (!details) return std::unexpected(details.error());
  std::string plain;
  auto records = unpack_details(*details, plain);
  if (!records) return std::unexpected(records.error());
  ErasedCalls erased;
  Windows windows;
  std::vector<std::string> encoded(records->size());
  std::vector<EncodedCall> calls;
  store::Batch replies(1);
  std::vector<std::string> ids;
  ids.reserve(records->size());
  for (std::size_t i = 0; i < records->size(); ++i) {
    auto call = decode_call((*records)[i]);
    if (!call) return std::unexpected(call.error());
    calls.push_back({call->id, (*records)[i]});
    if (call->user != user) continue;
    erase_from_call(*call, user, pseudonym, windows);
    encode(encoded[i], *call);
    calls.back().bytes = encoded[i];
    ids.push_back(to_bytes(call->id));
    replies.add({Value::bytes(ids.back())});
    ++erased.calls;
  }
  if (erased.calls == 0) return erased;
  if (auto written = replace_block(tx, key, *details, calls); !written) return std::unexpected(written.error());
  if (auto moved = rename_windows(tx, windows); !moved) return std::unexpected(moved.error());
  auto gone = tx.run_many("DELETE FROM idempotency WHERE call_id = $1 AND state <> 1", replies);
  if (!gone) return std::unexpected(gone.error());
  for (const std::int64_t n : *gone) erased.replies += static_cast<std::uint64_t>(n);
  erased.windows = windows.size();
  return erased;
}

Result<ErasedRollups> erase_from_rollups(store::Tx& tx, std::string_view user, std::string_view pseudonym, std::pair<int, std::int64_t> after, std::size_t limit) {
  auto rows = tx.run("SELECT level, start_s, shard, shards, users FROM rollup_users WHERE (level > $1 OR (level = $1 AND start_s > $2)) AND shard = ($3 & (shards - 1)) "
                     "ORDER BY level, start_s LIMIT $4", {after.first, after.second, stable_hash(user) & (kMostShards - 1), limit});
  if (!rows) return std::unexpected(rows.error());
  ErasedRollups out;
  for (const store::Row r : *rows) {
    const int level = static_cast<int>(r.integer(0));
    const std::int64_t start = r.integer(1);
    if (rows->size() == limit) out.next = {level, start};
    auto plain = unpack_column(r.bytes(4));
    Section section;
    if (!plain || !decode_section(*plain, section)) return std::unexpected(damaged_rollup());
    const auto his = section.find(user);
    if (his == section.end()) continue;
    const Figures figures = std::move(his->second);
    section.erase(his);
    const auto shards = static_cast<std::size_t>(r.integer(3)), there = shard_of(pseudonym, shards);
    if (there == static_cast<std::size_t>(r.integer(2))) section[std::string(pseudonym)] += figures;
    else if (auto moved = add_to_shard(tx, {level, start, there, shards}, pseudonym, figures); !moved) return std::unexpected(moved.error());
    if (auto saved = save_shard(tx, {level, start, static_cast<std::size_t>(r.integer(2)), shards}, section); !saved) return std::unexpected(saved.error());
    if (auto renamed = rename_in_user_calls(tx, static_cast<Level>(level), start, user, pseudonym); !renamed) return std::unexpected(renamed.error());
    // Who is making a row of this one just now has read the name: let him read again.
    if (auto again = tx.run("UPDATE rollup_dirty SET seq = seq + 1 WHERE start_s <= $1 AND start_s > $1 - 86400", {start}); !again)
      return std::unexpected(again.error());
    ++out.rows;
  }
  return out;
}

Result<std::uint64_t> erase_from_keys(store::Tx& tx, std::string_view user, std::string_view pseudonym, std::uint64_t& active) {
  auto left = tx.run("SELECT COUNT(*) FROM api_keys WHERE user_id = $1 AND revoked_us IS NULL", {user});
  if (!left) return std::unexpected(left.error());
  active = static_cast<std::uint64_t>((*left)[0].integer(0));
  auto changed = tx.run("UPDATE api_keys SET user_id = $1 WHERE user_id = $2 AND revoked_us IS NOT NULL", {pseudonym, user});
  if (!changed) return std::unexpected(changed.error());
  return static_cast<std::uint64_t>(changed->affected());
}

}  // namespace ballast::records
