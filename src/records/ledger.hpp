// The ledger: every call, once, with what it cost. Written only by the journal's importer; read by everyone.
//
// Time: a call's time is its id's millisecond, ranges are [from, to). Sums are exact beyond 64 bits.
// Money by provider and model is by attempt: a failed attempt that cost something counts for whom it was sent to.
// Repositories take a Tx and never begin one.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "records/call_record.hpp"
#include "store/database.hpp"

namespace ballast::records {

__extension__ using Int128 = __int128;
std::string to_string(Int128 value);
std::string nano_to_usd(Int128 nano);    // "1234.000000001"

// Which calls. Empty strings match everything.
struct CallFilter {
  WallTime from{};
  WallTime to = WallTime::max();
  std::string key_id, user, feature, team, route, operation, provider, model, error;
  std::optional<CallStatus> status;
  std::optional<CacheState> cache;
  std::optional<std::int64_t> min_cost_nano, max_cost_nano;      // of what the call incurred; inclusive, as are
  std::optional<std::uint64_t> min_latency_us, max_latency_us;   // these
};

enum class GroupBy : std::uint8_t { key, user, feature, team, model, provider, route, operation, hour, day, status };
std::string_view to_string(GroupBy by);
std::optional<GroupBy> group_by_from(std::string_view name);

struct UsageRow {
  std::vector<std::string> group;        // one value per GroupBy, in order; hour and day as RFC 3339 of their start
  std::uint64_t calls = 0;               // grouped by provider or model: attempts
  std::uint64_t failed = 0;              // status failed or unknown
  std::uint64_t cache_hits = 0;
  Int128 input = 0, cached = 0, cache_write = 0, output = 0, reasoning = 0, images = 0;
  Int128 incurred_nano = 0, billed_nano = 0;
  Int128 latency_us = 0;                 // sum; mean = latency_us / calls
};
struct UsageQuery {
  CallFilter filter;
  std::vector<GroupBy> by;               // empty: one row of totals; at most 4, else caller_invalid_request
  std::size_t limit = 1000;              // rows; limit and offset reach 200,000
  std::size_t offset = 0;                // rows are ordered by their group, so pages are stable
};
Result<std::vector<UsageRow>> usage(store::Tx& tx, const UsageQuery& query);

// caller_not_found for an id the ledger does not (yet) hold.
Result<CallRecord> get_call(store::Tx& tx, Id id);
// Newest first; `before` is the cursor: the last id of the page before. At most 1000.
Result<std::vector<CallRecord>> list_calls(store::Tx& tx, const CallFilter& filter, std::size_t limit, std::optional<Id> before = {});

// How much a page of a search may read before it ends with what it has; about a quarter of a second.
struct SearchBound {
  std::size_t blocks = 60'000, bytes = std::size_t{32} << 20;    // looked at by their zones; read, of summaries
};
struct CallPage {
  std::vector<CallRecord> calls;
  std::optional<Id> next;                // the cursor of the page that follows; nothing: that was all
  WallTime searched_to{};                // no match from here on is missing in the pages so far
};
// As `list_calls`, but for filters that few calls match: it ends, maybe without any call, when it has searched enough.
Result<CallPage> search_calls(store::Tx& tx, const CallFilter& filter, std::size_t limit, std::optional<Id> before = {}, SearchBound bound = {});

// Adds calls; one whose id is there already is left alone, unless `record` knows more of it: then the record replaces it and the
// difference is charged. Updates budget_spend in step; `charged` gets what it added. Returns the number added or replaced. Used by the importer.
Result<std::uint64_t> add_calls(store::Tx& tx, std::span<const CallRecord> records, std::vector<BudgetCharge>* charged = nullptr);

// Deletes about `limit` of the oldest calls older than `before`, whole blocks of them (one at least, 1,024 at most): a call may stay a minute
// longer than it must. Returns how many; retention runs it until that is none.
Result<std::uint64_t> delete_calls(store::Tx& tx, WallTime before, std::size_t limit);

}  // namespace ballast::records
