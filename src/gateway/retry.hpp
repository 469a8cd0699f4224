// What to do after a failed attempt: pure, by class of error (the table of the field notes), or as the provider says itself
// (`x-should-retry`: false forbids the same target, true allows it once more where the class would not). One attempt budget
// and one deadline bound a call, however many targets and credentials it has.
#pragma once
#include <algorithm>
#include <chrono>
#include <optional>

#include "base/clock.hpp"
#include "base/random.hpp"
#include "base/result.hpp"

namespace ballast::gateway {

// The retry section of a route.
struct RetryOptions {
  unsigned attempts = 4;                                   // upstream attempts a call may make, all targets together
  Duration deadline = std::chrono::seconds(60);            // from arrival to the first byte of the answer
  Duration backoff = std::chrono::milliseconds(250);       // first ceiling of the full-jitter wait
  Duration max_backoff = std::chrono::seconds(8);
  Duration patience = std::chrono::seconds(2);             // a Retry-After up to this is waited for on the same target
};

enum class Blame : unsigned char { none, target, credential };   // whose health the failure speaks of

// Properties of an error class, whatever the circumstances.
struct FailureClass {
  unsigned same_target_retries = 0;    // how often the same target may be tried again
  bool other_credential = false;       // another key of the same provider may help
  bool other_target = false;           // the next target of the plan may help
  bool larger_context_only = false;    // only a target with a larger context may help
  Blame blame = Blame::none;
  bool credential_dead = false;        // the key will not recover by waiting
};
FailureClass classify_failure(ErrorCode code);

// another_round: every target has failed this call; from the first that may be tried again, as breakers say.
enum class Next : unsigned char { stop, same_target, other_credential, next_target, another_round };

struct RetryState {
  unsigned attempts_made = 1;           // in the call
  unsigned tries_on_target = 1;
  bool more_credentials = false;
  bool more_targets = false;
  bool several_targets = false;         // the route has more than one, whatever their breakers say
  bool content_filter_moves_on = false; // the route's `on_content_filter: next`
  Duration deadline_left{};
};

struct RetryDecision {
  Next next = Next::stop;
  Duration wait{};                      // before the next attempt
};

// What a loop's calls may spend on further rounds: rounds help the few whom chance hit everywhere, and would bury providers that
// are late for all. One round for twenty calls and one each ten seconds, at most `most` in store. One thread's.
class RoundBudget {
 public:
  static constexpr double per_call = 0.05, per_second = 0.1, most = 10;
  void called() { store_ = std::min(store_ + per_call, most); }
  bool take(MonoTime now) {
    if (last_ != MonoTime{}) store_ = std::min(store_ + per_second * std::chrono::duration<double>(now - last_).count(), most);
    last_ = now;
    if (store_ < 1) return false;
    store_ -= 1;
    return true;
  }

 private:
  double store_ = most / 2;
  MonoTime last_{};
};

// Never decides for an attempt that the budget or the deadline does not allow. `random` draws the jitter.
RetryDecision decide_retry(const Error& error, const RetryState& state, const RetryOptions& options, Random& random);

}  // namespace ballast::gateway
