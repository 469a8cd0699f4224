// CallBlock: how the ledger keeps calls. One row of the table `call_blocks` holds up to 256 calls in order of their ids: a summary that
// usage queries and filters read (about 50 bytes a call: numbers as varints, each text once a block) and the records themselves,
// compressed together (about 70 bytes a call). Values; no database here.
//
// Why blocks: a row of its own costs a call some 8 µs and 1 KB in SQLite, its share of a full block 1 µs and 120 bytes; a million calls are
// summed up in 0.13 to 0.2 s of SQLite and 0.3 to 0.5 s of PostgreSQL without an index (docs/benchmarks.md).
//
// Summary: version, the names (count, texts), the calls (count, then each: id as difference and lower half, eight name numbers, flags,
// money, a mask of token kinds with those that are not zero, latency, and its attempts where they differ from the call; then, since
// version 2, more flags with first-token time, error, HTTP status and saved money where there are any).
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "records/call_record.hpp"

namespace ballast::records {

inline constexpr std::size_t kBlockCalls = 256;
inline constexpr std::size_t kBlockBytes = std::size_t{1} << 20;   // of encoded calls; one larger call has a block of its own
inline constexpr std::int64_t kBlockSpanMs = 60'000;   // between a block's first and last call: bounds every search by id

struct CallBlock {
  Id first, last;
  std::uint32_t calls = 0;
  std::string summary, details;
  std::string zone;                        // what a search passes it over by (records/zones)
};

// An encoded CallRecord, borrowed.
struct EncodedCall {
  Id id;
  std::string_view bytes;
};
// What becomes of each call while it is packed: told what was read from it, or why it cannot be read (then it is in no block).
struct PackWatch {
  std::function<void(const CallView&)> packed;
  std::function<void(const EncodedCall&, const Error&)> unreadable;
};
// Packs calls, which are in order of id and each there once, into as few blocks as the limits allow.
std::vector<CallBlock> pack(std::span<const EncodedCall> calls, const PackWatch& watch = {});

// The texts of a call that the summary keeps, as numbers of its block's names.
enum class Name : std::uint8_t { key, team, user, feature, route, operation, provider, model, error };
inline constexpr std::size_t kNames = 9;
inline constexpr std::uint32_t kNoName = UINT32_MAX;   // of an error: there was none, or a block of version 1 does not tell

// One attempt, or the call itself: what a usage query adds up.
struct Amounts {
  std::int64_t incurred_nano = 0, billed_nano = 0;
  std::array<std::uint64_t, 6> tokens{};   // in the order of TokenCounts
  std::uint64_t latency_us = 0;
};
struct AttemptRow {
  std::uint32_t provider = 0, model = 0;   // numbers of names
  bool failed = false;
  Amounts amounts;
};
struct CallRow {
  Id id;
  std::array<std::uint32_t, kNames> names{};
  CallStatus status = CallStatus::ok;
  CacheState cache = CacheState::none;
  bool told = true;                        // what each attempt cost was told by its provider
  Amounts amounts;
  std::uint64_t first_token_us = 0;
  std::int64_t saved_nano = 0;              // as of CallRecord: the cache's or routing's
  std::uint16_t http_status = 200;
  std::uint32_t attempted = 0, attempts_failed = 0;
  std::vector<AttemptRow> attempts;        // empty when the call's only attempt is the call
  std::uint32_t name(Name n) const { return names[static_cast<std::size_t>(n)]; }
};

// Reads a summary. It may be anything: after damage `next` is false and `good` too.
class SummaryReader {
 public:
  explicit SummaryReader(std::string_view summary);
  std::span<const std::string_view> names() const { return names_; }   // views into the summary
  std::size_t calls() const { return calls_; }
  bool tells_errors() const { return version_ > 1; }                   // version 1: error, HTTP status and first-token time are not told
  bool next(CallRow& row);                                             // reuses the row's room
  bool good() const { return good_; }

 private:
  std::uint32_t name_number(class ByteReader& r);
  void read_more(class ByteReader& r, CallRow& row);
  std::string_view rest_;
  std::vector<std::string_view> names_;
  std::size_t calls_ = 0, read_ = 0;
  Id last_;
  std::uint8_t version_ = 0;
  bool good_ = true;
};

// The encoded records of a block, in its order. Views into `plain`, which it fills.
Result<std::vector<std::string_view>> unpack_details(std::string_view details, std::string& plain);
Error damaged_block();

}  // namespace ballast::records
