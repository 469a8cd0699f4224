#include "records/ledger.hpp"

#include <algorithm>
#include <map>

#include "records/ledger_scan.hpp"
#include "records/rollups_store.hpp"

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

// A block of before summaries told errors: the records do.
Result<void> keep_error(store::Tx& tx, const BlockKey& key, std::string_view error, std::vector<Candidate>& found, std::size_t from) {
  auto details = read_details(tx, key);
  if (!details) return std::unexpected(details.error());
  std::string plain;
  auto records = unpack_details(*details, plain);
  if (!records) return std::unexpected(records.error());
  std::erase_if(found, [&, i = std::size_t{0}](const Candidate& c) mutable {
    if (i++ < from) return false;
    const auto call = c.position < records->size() ? decode_call((*records)[c.position]) : fail(ErrorCode::internal_error, "no such record");
    return !call || call->error != error;
  });
  return {};
}

// What a search found, newest first; `stopped`: it ended before the block whose last call this is.
struct Found {
  std::vector<Candidate> calls;
  std::optional<Id> stopped;
};

// Blocks come by their last call, newest first: when as many calls are found as are wanted, and all of them are newer than the next
// block's last, the rest of the ledger is older.
Result<Found> find_newest(store::Tx& tx, const CallFilter& filter, std::size_t limit, std::pair<Id, Id> range, const SearchBound& bound) {
  Found out;
  std::vector<Candidate>& found = out.calls;
  CallMatcher matcher(filter);
  ZoneScan scan(filter, range.first, range.second);
  for (std::size_t bytes = 0;;) {
    auto block = scan.next(tx);
    if (!block) return std::unexpected(block.error());
    if (!*block) break;
    if (found.size() >= limit) {
      keep_newest(found, limit);
      if (found.back().id > (*block)->last) break;
    }
    if ((bytes > bound.bytes || scan.blocks() > bound.blocks) && (*block)->last < range.second) {
      std::erase_if(found, [&](const Candidate& c) { return c.id <= (*block)->last; });   // others of that age may be in blocks not read
      out.stopped = (*block)->last;
      break;
    }
    if ((*block)->summary.empty()) continue;
    bytes += (*block)->summary.size();
    SummaryReader reader((*block)->summary);
    std::size_t position = 0;
    const std::size_t before = found.size();
    if (matcher.begin(reader)) {
      for (CallRow row; reader.next(row); ++position)
        if (row.id >= range.first && row.id <= range.second && matcher.call(row) && matcher.target(row.name(Name::provider), row.name(Name::model)))
          found.push_back({row.id, (*block)->key, position});
    }
    if (!reader.good()) return std::unexpected(damaged_block());
    if (!filter.error.empty() && !reader.tells_errors() && found.size() > before)
      if (auto kept = keep_error(tx, (*block)->key, filter.error, found, before); !kept) return std::unexpected(kept.error());
  }
  keep_newest(found, limit);
  return out;
}

Result<CallRecord> record_at(std::span<const std::string_view> records, std::size_t position) {
  if (position >= records.size()) return std::unexpected(damaged_block());
  return decode_call(records[position]);
}

// The rollups outlive the blocks up to `last`: they are made before those go, and from then on only change by differences.
Result<void> keep_rollups(store::Tx& tx, std::string_view last) {
  const auto id = id_from_bytes(last);
  if (!id) return std::unexpected(damaged_block());
  const std::int64_t until = floor_to(id->unix_ms() / 1'000, 60) + 60;
  if (auto made = roll_before(tx, until); !made) return made;
  auto state = rollup_state(tx, Lock::change);
  if (!state || state->calls_from >= until) return state ? Result<void>{} : std::unexpected(state.error());
  state->calls_from = until;
  return set_rollup_state(tx, *state);
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

Result<CallPage> search_calls(store::Tx& tx, const CallFilter& filter, std::size_t limit, std::optional<Id> before, SearchBound bound) {
  limit = std::min<std::size_t>(limit, 1000);
  CallPage page{.searched_to = filter.from};
  const auto range = page_of(filter, before);
  if (!range || limit == 0) return page;
  auto found = find_newest(tx, filter, limit, *range, bound);
  if (!found) return std::unexpected(found.error());
  page.calls.resize(found->calls.size());
  std::map<BlockKey, std::vector<std::size_t>> by_block;
  for (std::size_t i = 0; i < found->calls.size(); ++i) by_block[found->calls[i].block].push_back(i);
  for (const auto& [block, wanted] : by_block) {
    auto details = read_details(tx, block);
    if (!details) return std::unexpected(details.error());
    std::string plain;
    auto records = unpack_details(*details, plain);
    if (!records) return std::unexpected(records.error());
    for (const std::size_t i : wanted) {
      auto record = record_at(*records, found->calls[i].position);
      if (!record) return std::unexpected(record.error());
      page.calls[i] = std::move(*record);
    }
  }
  if (page.calls.size() == limit) page.next = page.calls.back().id;
  else if (found->stopped) page.next = after_id(*found->stopped);
  if (page.next) page.searched_to = WallTime(std::chrono::milliseconds(page.next->unix_ms()));
  return page;
}

Result<std::vector<CallRecord>> list_calls(store::Tx& tx, const CallFilter& filter, std::size_t limit, std::optional<Id> before) {
  auto page = search_calls(tx, filter, limit, before, {.blocks = SIZE_MAX, .bytes = SIZE_MAX});
  if (!page) return std::unexpected(page.error());
  return std::move(page->calls);
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
  if (auto kept = keep_rollups(tx, last); !kept) return std::unexpected(kept.error());
  for (const char* sql : {"DELETE FROM call_blocks WHERE last_id <= $1", "DELETE FROM call_zones WHERE last_id <= $1"})
    if (auto gone = tx.run(sql, {store::Value::bytes(last)}); !gone) return std::unexpected(gone.error());
  return calls;
}

}  // namespace ballast::records
