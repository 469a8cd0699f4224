// CallRecord: everything that stays of one call: who asked, what was decided and why, what it cost. The unit of the journal
// and of the ledger. Values: built by the road while it goes, encoded once.
//
// Codec: a version byte, then fixed little-endian numbers, varints and length-prefixed strings, about 300 ns a record.
// Forward tolerant: a newer writer appends fields to a section whose length is known, an older reader skips them.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

namespace ballast::records {

struct TokenCounts {
  std::uint64_t input = 0;         // not cached, not written to a cache
  std::uint64_t cached = 0;        // read from the provider's cache
  std::uint64_t cache_write = 0;
  std::uint64_t output = 0;        // without reasoning
  std::uint64_t reasoning = 0;
  std::uint64_t images = 0;
  TokenCounts& operator+=(const TokenCounts& o);
  friend bool operator==(const TokenCounts&, const TokenCounts&) = default;
};

// `nano` dollars charged to one budget window ("budget|value|start in unix seconds").
struct BudgetCharge {
  std::string window;
  std::int64_t nano = 0;
  friend bool operator==(const BudgetCharge&, const BudgetCharge&) = default;
};

enum class CallStatus : std::uint8_t {
  ok = 0,
  failed = 1,      // `error` says how; refusals by policy included
  cancelled = 2,   // the caller went away
  unknown = 3,     // the process died between dispatch and outcome: charged at its hold
};
std::string_view to_string(CallStatus status);

enum class CacheState : std::uint8_t { none = 0, miss = 1, hit = 2, semantic_hit = 3, stale = 4, bypass = 5, joined = 6, replay = 7 };
std::string_view to_string(CacheState state);
// Answered without asking a provider.
bool is_hit(CacheState state);

// How it is known what an attempt cost: from its provider; from nobody, so it stays charged at its ceiling; from a person who asked
// the provider.
enum class Cost : std::uint8_t { known = 0, unknown = 1, reconciled = 2 };
std::string_view to_string(Cost cost);

// One request sent to one provider.
struct AttemptRecord {
  Id id;
  std::uint32_t n = 0;                   // from 0
  std::string provider, model;
  std::string credential;                // its label, never its secret
  WallTime started{};
  std::uint64_t latency_us = 0;
  std::uint64_t first_token_us = 0;      // 0: none came
  std::string outcome = "ok";            // "ok" or the name of an ErrorCode
  std::uint16_t http_status = 0;         // 0: no answer
  TokenCounts usage;
  std::int64_t incurred_nano = 0;
  bool hedged = false;                   // started beside another
  bool cut = false;                      // ended mid-stream
  Cost cost = Cost::known;
  // Where the cost is not known from the provider:
  std::vector<std::string> windows;      // that it is charged to
  std::int64_t ceiling_nano = 0;         // reconciled: what it was charged until then,
  WallTime reconciled_at{};              // when
  std::string reconciled_by;             // and by whom
  friend bool operator==(const AttemptRecord&, const AttemptRecord&) = default;
};

struct CallRecord {
  Id id;                                 // its millisecond is the call's time in every query
  std::string key_id, key_name, team, user, feature;
  std::string route;                     // empty when the model was named directly
  std::string requested_model;
  std::string operation;                 // "chat", "embeddings", …
  std::string api;                       // the caller's wire: "openai_chat", …
  WallTime arrived{};
  CallStatus status = CallStatus::ok;
  std::string error;                     // name of the ErrorCode when failed
  std::uint16_t http_status = 200;
  CacheState cache = CacheState::none;
  std::string served_by;                 // "provider/model", "cache", "stale", "template" or empty
  std::string provider, model;           // of the attempt that answered
  TokenCounts usage;                     // what the caller sees
  std::int64_t incurred_nano = 0;        // all attempts: what the providers charge
  std::int64_t billed_nano = 0;          // the answer
  // What was not paid. Of an answer from the cache (is_hit): what it cost when it was made. Of any other: how much dearer its tokens are at the
  // dearest of the targets that it could have gone to.
  std::int64_t saved_nano = 0;
  std::uint64_t latency_us = 0;
  std::uint64_t first_token_us = 0;
  std::vector<AttemptRecord> attempts;
  std::string decision;                  // DecisionLog: compact JSON
  std::string trace_id;                  // 32 hex digits or empty
  std::vector<BudgetCharge> charges;     // final: what each window keeps
  friend bool operator==(const CallRecord&, const CallRecord&) = default;
};

// Written before each attempt's first byte goes to a provider. If no CallRecord follows, the last of them is what the ledger learns.
struct CallIntent {
  Id id;
  std::string key_id, key_name, team, user, feature;
  std::string route, requested_model, operation, api;
  std::string provider, model;           // of the attempt
  WallTime arrived{};
  std::string trace_id;
  std::vector<BudgetCharge> charges;     // the hold so far: the worst case, window by window
  std::int64_t hold_nano = 0;            // the hold itself, also where no budget applies
  friend bool operator==(const CallIntent&, const CallIntent&) = default;
};
// The call as it is charged when its outcome never came: status unknown, incurred = billed = the hold, as one attempt of unknown cost.
CallRecord unknown_outcome(const CallIntent& intent);
// That attempt, where a record of an earlier version has none.
void add_lost_attempt(CallRecord& call);
// Of two records of one call, does `a` know more of it than `b`? An outcome more than none; a cost told by its provider more than one that
// a person gave, and that more than none.
bool knows_more(const CallRecord& a, const CallRecord& b);

// An intent as it is written, from wherever its parts are: a CallIntent, or the record that is growing. Borrows everything.
struct IntentView {
  IntentView(const CallIntent& intent);
  IntentView(const CallRecord& so_far, std::string_view provider, std::string_view model, std::int64_t hold_nano);
  Id id;
  std::array<std::string_view, 12> texts;  // in the order of CallIntent's members
  WallTime arrived;
  std::span<const BudgetCharge> charges;
  std::int64_t hold_nano;
};

// Append to `out`, so that a writer reuses its buffer.
void encode(std::string& out, const CallRecord& record);
void encode(std::string& out, const IntentView& intent);
// Errors: internal_error "truncated", "impossible length", "unknown version". Never reads past `bytes`, whatever they are.
Result<CallRecord> decode_call(std::string_view bytes);
Result<CallIntent> decode_intent(std::string_view bytes);
// What the ledger's columns need of an encoded CallRecord, in place: every text is a view into the bytes read. Reading into the same
// view again reuses its room; the importer makes no copy of a call.
struct AttemptView {
  std::string_view provider, model, outcome;
  std::uint64_t latency_us = 0;
  TokenCounts usage;
  std::int64_t incurred_nano = 0;
  Cost cost = Cost::known;
};
struct ChargeView {
  std::string_view window;
  std::int64_t nano = 0;
};
struct CallView {
  Id id;
  std::string_view key_id, team, user, feature, route, operation, provider, model, error;
  CallStatus status = CallStatus::ok;
  CacheState cache = CacheState::none;
  std::uint16_t http_status = 0;
  TokenCounts usage;
  std::int64_t incurred_nano = 0, billed_nano = 0, saved_nano = 0;
  std::uint64_t latency_us = 0, first_token_us = 0;
  std::vector<AttemptView> attempts;
  std::vector<ChargeView> charges;
};
// Errors as decode_call.
Result<void> read_call(std::string_view bytes, CallView& out);
// Only the id: what the importer needs to pair records.
Result<Id> decode_id(std::string_view bytes);

// The record as JSON, for people and the API; `decision` is embedded as the JSON that it is.
std::string to_json(const CallRecord& record);

}  // namespace ballast::records
