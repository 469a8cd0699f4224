// Recorded messages: what a caller sent and what he was answered, of the calls that a route's `record` chose. Redacted before they come here
// (gateway/recorder), packed here; kept beside the ledger with a retention of their own, found by call and by user.
//
// Not part of the ledger's promise: a crash loses what had not been written, an overload what had no room; both are counted. The text is
// compressed, not encrypted: whoever reads the database's disk reads it.
// Repositories take a Tx and never begin one. Pack before the transaction.
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
#include "store/database.hpp"

namespace ballast::records {

struct RecordedCall {
  Id id;                            // the call's
  std::string user, key_id;
  WallTime at{};                    // its arrival
  bool full = false;                // by a route that records all; else by one that records some
  bool redacted = false;            // something was taken out or replaced by a note
  bool truncated = false;           // something was left out for its size
  bool whole = true;                // the caller was told the end of the answer
  std::string request, reply;       // JSON each
};
inline constexpr std::size_t kMaxRecordedSide = std::size_t{4} << 20;      // of request and of reply, in bytes

struct PackedMessages {
  RecordedCall call;                // without its texts
  std::string packed;
};
// caller_too_large: a side above kMaxRecordedSide.
Result<PackedMessages> pack_messages(RecordedCall call);
// The texts of `packed` into `call`. internal_error: it is damaged, and `call` is as it was.
Result<void> unpack_messages(std::string_view packed, RecordedCall& call);
// A call that is there already stays as it is.
Result<void> put_messages(store::Tx& tx, std::span<const PackedMessages> calls);
// caller_not_found: nothing is kept of this call. internal_error: what is stored is damaged.
Result<RecordedCall> get_messages(store::Tx& tx, Id id);
// Oldest first, after `after`.
Result<std::vector<RecordedCall>> list_messages_of(store::Tx& tx, std::string_view user, std::optional<Id> after, std::size_t limit);
Result<std::uint64_t> count_messages_of(store::Tx& tx, std::string_view user);
// Both return how many went; at most `limit` a time.
Result<std::uint64_t> delete_messages_of(store::Tx& tx, std::string_view user, std::size_t limit);
Result<std::uint64_t> delete_messages_before(store::Tx& tx, WallTime before, std::size_t limit);

}  // namespace ballast::records
