// Sessions of the dashboard, as stored: who signed in with which key. The token is never here: its SHA-256, and a proof that ties the session to
// the key's secret of then, which without the token says nothing about it. Repositories take a Tx and never begin one.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::records {

struct SessionRow {
  Digest digest{};           // of the token
  std::string key_id;
  Digest proof{};            // HMAC-SHA-256 by the token of the digest of the key's secret
  WallTime created{};
  WallTime expires{};        // whatever is done with it
  WallTime seen{};           // last use, to the minute or so
  friend bool operator==(const SessionRow&, const SessionRow&) = default;
};

// caller_conflict where the digest exists.
Result<void> insert_session(store::Tx& tx, const SessionRow& session);
Result<std::optional<SessionRow>> find_session(store::Tx& tx, const Digest& digest);
// Of the key's, all but the `most` that were used last go.
Result<void> bound_sessions(store::Tx& tx, std::string_view key_id, std::size_t most);
// Those that expire after `now`, newest first.
Result<std::vector<SessionRow>> list_sessions(store::Tx& tx, WallTime now, std::size_t limit);
struct SessionUse {
  Digest digest{};
  WallTime at{};
};
// Moves `seen` forward. In batches; unknown ones are ignored.
Result<void> touch_sessions(store::Tx& tx, std::span<const SessionUse> uses);
// One that is not there is no error.
Result<void> delete_session(store::Tx& tx, const Digest& digest);
// Those that expired by `now`, or were last seen before `idle_since`; returns how many went.
Result<std::uint64_t> sweep_sessions(store::Tx& tx, WallTime now, WallTime idle_since);

}  // namespace ballast::records
