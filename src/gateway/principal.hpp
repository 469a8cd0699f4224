// Principal: who asks. A key's identity plus the user and feature a call is attributed to.
// Values: copied freely, compared by key id, never changed after authentication.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace ballast::gateway {

// What a key may do. A set of bits; `admin` implies every other.
enum class Scope : std::uint8_t {
  call = 1,   // make model calls
  usage = 2,  // read its own usage and remaining limits
  read = 4,   // read everybody's usage, decisions, breakers, budgets
  admin = 8,  // change keys, breakers, budgets
  work = 16,  // pull tasks and complete them: an external worker
  approve = 32,  // see and decide the approvals it, its user or its team is asked for
};
struct Scopes {
  std::uint8_t bits = static_cast<std::uint8_t>(Scope::call);
  bool has(Scope s) const { return (bits & static_cast<std::uint8_t>(s)) != 0 || (bits & static_cast<std::uint8_t>(Scope::admin)) != 0; }
  void add(Scope s) { bits = static_cast<std::uint8_t>(bits | static_cast<std::uint8_t>(s)); }
  friend bool operator==(Scopes, Scopes) = default;
};
std::string_view to_string(Scope scope);
std::optional<Scope> scope_from(std::string_view name);
// "call,usage" ↔ bits; an unknown name is refused, naming `field`.
std::string to_string(Scopes scopes);
Result<Scopes> scopes_from(std::string_view comma_separated, std::string_view field);

// A key as everyone but its owner sees it: everything except the secret. Immutable once in a KeyRing.
struct KeyInfo {
  std::string id;                        // "key_…", or "admin", or "config:NAME"
  std::string name;
  std::string team;                      // above keys: limits and budgets may bind a whole team; may be empty
  std::string user;                      // when set, every call of this key is this user's, whatever it says
  std::string feature;                   // likewise
  Scopes scopes;
  std::vector<std::string> models;       // what a caller may name: exact, or a prefix ending in '*'; empty allows all
  WallTime created{};
  std::optional<WallTime> expires;
  bool configured = false;               // from ballast.yaml: cannot be revoked through the API
  friend bool operator==(const KeyInfo&, const KeyInfo&) = default;
};

// Longest user, feature or team name kept; a longer one is condensed to a prefix and a hash, so it stays distinct.
inline constexpr std::size_t kMaxAttribution = 128;

struct Principal {
  std::shared_ptr<const KeyInfo> key;    // never null once authenticated
  std::string user;                      // empty: not stated
  std::string feature;

  const std::string& key_id() const { return key->id; }
  const std::string& key_name() const { return key->name; }
  const std::string& team() const { return key->team; }
  const std::vector<std::string>& models() const { return key->models; }
  bool admin() const { return key->scopes.has(Scope::admin); }
};

// What a request says about its caller, strongest first. Views are borrowed for the call.
struct Attribution {
  std::string_view header_user;          // x-ballast-user
  std::string_view header_feature;       // x-ballast-feature
  std::string_view body_user;            // OpenAI `user` (or `safety_identifier`)
  std::string_view metadata_user;        // metadata.user_id
  std::string_view metadata_feature;     // metadata.feature
};

// Sets user and feature: the key's own, else header, else body, else metadata. Cannot fail: attribution never costs
// a caller an answer. Control characters and over-long names are condensed.
void attribute(Principal& principal, const Attribution& said);

// caller_forbidden, naming the scope or the model.
Result<void> require(const Principal& principal, Scope scope);
// `requested` is the name in the request, `route` the route it resolved to; either may be allowed. A pattern that names
// only targets ("openai/*") allows direct calls to them, not routes that lead there.
Result<void> require_model(const Principal& principal, std::string_view requested, std::string_view route);

// "openai/*" matches every name with that prefix; "*" everything; otherwise equality.
bool name_matches(std::string_view pattern, std::string_view name);

}  // namespace ballast::gateway
