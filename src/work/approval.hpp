// Approval: what a run asks a human, what the human answers, and who may answer what. Values and pure rules; rows are approval_rows.hpp's.
//
// An approval is bound: to the exact value that was shown (its digest), to the question (the stage's input hash), to the definition of the flow, to
// the policy that made it ask and to the principal for whom the run acts. Who decides states the digest of what was seen.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"
#include "work/job.hpp"

namespace ballast::work {

// The n-th question of a run, from 1. Printed "appr_" + the job's 13 characters + "_" + n. A name, not a secret.
struct ApprovalId {
  JobId job;
  std::int64_t n = 0;
  friend auto operator<=>(const ApprovalId&, const ApprovalId&) = default;
  explicit operator bool() const { return n != 0; }
};
std::string to_string(ApprovalId id);
std::optional<ApprovalId> parse_approval_id(std::string_view text);

// As stored. `withdrawn`: the run has ended, or asks the stage anew.
enum class ApprovalState : std::uint8_t { pending = 0, approved = 1, edited = 2, rejected = 3, expired = 4, withdrawn = 5 };
std::string_view to_string(ApprovalState state);
std::optional<ApprovalState> approval_state_from(std::string_view name);

inline constexpr std::size_t kMaxShown = 1u << 20;       // bytes of JSON that a human is asked to look at
inline constexpr std::size_t kMaxNote = 2'000;
inline constexpr std::size_t kMaxAssignees = 64;

// What an edit may change: all, or these members ("reply.text", "items[2]") and what is below them; and what the whole must be afterwards.
struct EditRule {
  bool allowed = false;
  std::vector<std::string> paths;            // empty: all that `schema` allows
  json::value schema;                        // null: any
};
std::string pack_rule(const EditRule& rule);
EditRule unpack_rule(std::string_view packed);
// caller_invalid_request naming the first place that may not be changed, or what the schema does not allow.
Result<void> check_edit(const EditRule& rule, const json::value& shown, const json::value& edited);

// What an approval is bound to. All of it is looked at again before the effect.
struct Binding {
  Digest input{};                            // the question: the stage's input hash
  Digest shown{};                            // value_digest of what was shown
  Digest definition{};                       // of the flow
  Digest policy{};                           // SHA-256 of the policy's text
  std::string key_id, user;                  // for whom the run acts
  friend bool operator==(const Binding&, const Binding&) = default;
};

// What the run asks.
struct ApprovalAsk {
  JobId job;
  std::string path;                          // of the stage
  Digest input{};
  json::value shown;
  std::string flow;
  Digest definition{};
  std::string policy;                        // why it asks, for people: "always", "confidence 0.71 below 0.85"
  std::string key_id, user;                  // who submitted the run
  std::vector<std::string> assignees;        // "user:anna", "group:editors", "key:NAME"; empty: whoever may approve
  EditRule edit;
  bool signature = false;
  std::optional<bool> self;                  // may who submitted the run decide; absent: only without assignees
  WallTime expires{};
  struct Escalation { WallTime at{}; std::string to; };
  std::optional<Escalation> escalate;
};

struct Approval {
  ApprovalId id;
  ApprovalAsk ask;                           // `shown` is null where a list leaves it out
  Digest digest{};                           // value_digest(ask.shown)
  ApprovalState state = ApprovalState::pending;
  WallTime asked{}, decided{};               // decided: or expired, withdrawn
  std::string by, note;                      // "user:anna", "key:key_…", "system"
  std::optional<json::value> value;          // edited: the edited form
  Digest value_digest{};                     // approved: `digest`; edited: of `value`
  bool taken = false;                        // the run has gone on with it

  bool self_allowed() const { return ask.self.value_or(ask.assignees.empty()); }
  Binding binding() const;
};

// Who decides, as it was proven: `user` is the key's own, or a link's assignee, never what a request merely says.
struct Decider {
  std::string key_id, key_name, user, team;  // team: the group
  bool admin = false;
  bool link = false;                         // by an approval link, which names a user
  std::string name() const;                  // for records: "user:anna" or "key:key_…"
};

// Is it, or its group, among the assignees (or are there none).
bool is_assigned(const Approval& approval, const Decider& who);
// May it look: assigned, or an administrator.
bool may_look(const Approval& approval, const Decider& who);
// caller_not_found where it may not even look; caller_forbidden: it submitted the run, or is not the user whose signature is wanted. An
// administrator stands in for assignees, but neither for a signature nor for the second pair of eyes.
Result<void> may_decide(const Approval& approval, const Decider& who);
// "user:NAME", "group:NAME" or "key:NAME".
bool is_assignee(std::string_view text);

}  // namespace ballast::work
