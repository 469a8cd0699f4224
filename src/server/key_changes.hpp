// What a body of /api/keys says of a key, and how it becomes true. The server and the command line share it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "gateway/keys.hpp"
#include "records/keys.hpp"

namespace ballast::server {

// Only what the body names.
struct KeyChange {
  std::optional<std::string> name, team, user, feature;
  std::optional<gateway::Scopes> scopes;
  std::optional<std::vector<std::string>> models;          // empty: everything
  std::optional<std::optional<WallTime>> expires;          // null: never
};
// caller_invalid_request naming the member. An unknown member is one: a misspelt name would make a key of more rights than was meant.
Result<KeyChange> key_change_from(const json::value& document);
// A new key; a name is required.
Result<gateway::KeyInfo> new_key_from(KeyChange change);

// Who does it ("key:key_…", "command line"), and when. Each of these is an entry of the administrative chain, in the same transaction.
struct KeyHand {
  std::string actor;
  WallTime now{};
};
// As records::insert_key and records::revoke_key.
Result<void> add_key(store::Tx& tx, const records::KeyRow& row, const KeyHand& hand);
// Mints a key and stores its hash. Blocking.
Result<gateway::MintedKey> create_key(store::Database& db, gateway::KeyInfo info, const KeyHand& hand);
Result<void> revoke_key(store::Tx& tx, std::string_view id, const KeyHand& hand);
// Changes an unrevoked key and returns its row. caller_not_found; caller_conflict for a revoked one; caller_invalid_request for an
// expiry in the past.
Result<records::KeyRow> change_key(store::Tx& tx, std::string_view id, const KeyChange& change, const KeyHand& hand);

// How long the secret that a key had may go on beside the new one.
inline constexpr Duration kLongestOverlap = std::chrono::hours(24 * 30);
struct RotatedKey {
  std::string secret;
  records::KeyRow row;
};
// Gives an unrevoked key a new secret. The one before is good for `overlap`. Errors as above.
Result<RotatedKey> rotate_key(store::Tx& tx, std::string_view id, Duration overlap, const KeyHand& hand);

}  // namespace ballast::server
