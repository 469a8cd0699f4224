// Idempotency keys: one durable row per (API key, Idempotency-Key), written before dispatch, so that a repeated request is
// answered from here, also after a crash. Rows expire; `sweep` deletes them.
//
//   begin → fresh             → dispatch → finish (reply stored) | forget (never dispatched)
//         → running, finished, unknown: somebody began before
// A process that died leaves `started` rows of its owner id; the next start, or another node that takes over, turns them into `unknown` with `disown`.
// Repositories take a Tx and never begin one.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::records {

enum class IdempotencyState : std::uint8_t { fresh = 0, started = 1, finished = 2, unknown = 3 };

// A reply as it was given. Compressed at rest with zstd.
struct StoredReply {
  int status = 200;
  std::string headers;                   // as the caller formats them: opaque here
  std::string body;                      // of a stream: its events, in order
  bool stream = false;
  friend bool operator==(const StoredReply&, const StoredReply&) = default;
};
// The stored form; compress on the caller's thread, before the transaction.
std::string pack_reply(const StoredReply& reply);
Result<StoredReply> unpack_reply(std::string_view packed);

struct IdempotencyRow {
  std::string key_id, key;
  Digest body_hash{};
  Id call;
  std::string owner;                     // the process (node and boot) that began it
  IdempotencyState state = IdempotencyState::started;
  WallTime created{}, expires{};
  std::string reply;                     // packed; when finished
};

// Records `row` as started. If the pair exists and has not expired, changes nothing and returns what is there (state started,
// finished or unknown: compare body_hash first); otherwise returns `row` with state fresh. Race-free: one caller gets fresh.
Result<IdempotencyRow> begin_idempotent(store::Tx& tx, const IdempotencyRow& row, WallTime now);
// Stores the reply. caller_conflict if the row is not `call`'s any more (expired and taken).
Result<void> finish_idempotent(store::Tx& tx, std::string_view key_id, std::string_view key, Id call, std::string_view packed_reply);
// The call was never dispatched: the pair may be used again. Nothing happens if it is not `call`'s.
Result<void> forget_idempotent(store::Tx& tx, std::string_view key_id, std::string_view key, Id call);
// Takes an unknown row over for a new dispatch (`unknown: redispatch`). True for exactly one caller.
Result<bool> retake_idempotent(store::Tx& tx, std::string_view key_id, std::string_view key, Id call, std::string_view owner);
Result<std::optional<IdempotencyRow>> find_idempotent(store::Tx& tx, std::string_view key_id, std::string_view key);
// At start: every started row of `owner_prefix…` but not of `alive` becomes unknown. Returns how many.
Result<std::uint64_t> disown_idempotent(store::Tx& tx, std::string_view owner_prefix, std::string_view alive);
// Of a process that is gone: every started row whose owner ends with `:boot`. Returns how many.
Result<std::uint64_t> disown_idempotent_of(store::Tx& tx, std::string_view boot);
Result<std::uint64_t> sweep_idempotent(store::Tx& tx, WallTime now, std::size_t limit);

}  // namespace ballast::records
