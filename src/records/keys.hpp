// API keys and teams, as stored. Secrets are never here: their SHA-256 and a prefix to recognise them by.
// Repositories take a Tx and never begin one.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::records {

struct KeyRow {
  std::string id;                        // "key_…"
  std::string name;
  Digest digest{};                       // SHA-256 of the secret
  std::string prefix;                    // the first characters of the secret, shown in lists
  std::string scopes = "call";           // comma separated
  std::vector<std::string> models;       // exact or prefix*; empty allows all
  std::string team, user, feature;
  WallTime created{};
  std::optional<WallTime> expires, revoked, last_used;
  Digest old_digest{};                   // of the secret before the last rotation, until
  std::optional<WallTime> old_until;     // this time; empty: it is worth nothing
  friend bool operator==(const KeyRow&, const KeyRow&) = default;
};

// caller_conflict when the id or the digest exists.
Result<void> insert_key(store::Tx& tx, const KeyRow& key);
// In order of creation, newest last.
Result<std::vector<KeyRow>> list_keys(store::Tx& tx, bool with_revoked = false, std::size_t limit = 100'000);
// caller_not_found.
Result<KeyRow> get_key(store::Tx& tx, std::string_view id);
Result<std::optional<KeyRow>> find_key(store::Tx& tx, const Digest& digest);
// Sets `revoked` once; a second time changes nothing. caller_not_found.
Result<void> revoke_key(store::Tx& tx, std::string_view id, WallTime at);
// Name, scopes, models, team, user, feature, expires of an unrevoked key. caller_not_found.
Result<void> update_key(store::Tx& tx, const KeyRow& key);
// Another secret for an unrevoked key: its digest and prefix, and until when the one it has goes on (empty: no longer). The one
// before that is worth nothing from now on. caller_not_found.
Result<void> rotate_key(store::Tx& tx, std::string_view id, const Digest& digest, std::string_view prefix, std::optional<WallTime> old_until);
struct KeyUse {
  std::string id;
  WallTime at;
};
// Moves last_used forward. Called in batches, never per call. Unknown ids are ignored.
Result<void> touch_keys(store::Tx& tx, std::span<const KeyUse> uses);

struct TeamRow {
  std::string id, name;
  WallTime created{};
  friend bool operator==(const TeamRow&, const TeamRow&) = default;
};
Result<void> insert_team(store::Tx& tx, const TeamRow& team);           // caller_conflict
Result<std::vector<TeamRow>> list_teams(store::Tx& tx, std::size_t limit = 10'000);
Result<void> delete_team(store::Tx& tx, std::string_view id);           // caller_not_found

}  // namespace ballast::records
