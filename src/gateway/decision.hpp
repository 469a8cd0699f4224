// DecisionLog: why a call went the way it went, written while it goes. Each step of the road notes what it decided
// and from which figures; the log is stored with the call's ledger row and told in words by `explain`.
//
// It is compact JSON from the start (an array of steps), so that storing it costs nothing more: about 100 ns a step.
// It never holds prompts, answers or secrets. Bounded: past 8 KiB further steps are counted, not kept; a
// text is kept to 1 KiB. Always valid JSON: bytes that are not UTF-8 are replaced.
#pragma once
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "gateway/step_listener.hpp"

namespace ballast::gateway {

// Every step that a record may have. Who tells records to people (`explain`, the page) has words for each; tests hold them to this list.
inline constexpr std::string_view kDecisionSteps[] = {
    "stale", "route", "admitted", "slice_waited", "waited", "limit_refused",                             // let in or not
    "idempotent_replay", "idempotency_refused", "cache_hit", "cache_miss", "cache_bypassed",             // answered from memory or not
    "intent", "intent_asked", "intent_not_asked", "counted", "counted_beyond", "plan", "skipped", "warning", "held", "waited_for_money",
    "budget_refused",
    "breaker_open", "early_try", "no_credential", "target_limited", "call_not_judged", "hedge", "attempt", "not_blamed",
    "retry", "fail_over", "rested", "another_round", "rounds_used_up", "rescue", "rescue_impossible", "degraded",
    "judged", "asked_again", "passed_on", "routing_saved", "settled",
    "truncated",                                                                                         // what did not fit: DecisionLog::take
    "unknown", "reconciled",                                                                             // written by records, of what ended without us
};

// The name of a step: one of these, or it does not compile.
struct StepName {
  std::string_view text;
  consteval StepName(const char* name) : text(name) {      // implicit, so that a step reads as one
    if (std::ranges::find(kDecisionSteps, text) == std::end(kDecisionSteps)) throw "a step that is not in kDecisionSteps";
  }
};

// What is told while it happens and kept nowhere: a record says how such a thing ended.
inline constexpr std::string_view kMoments[] = {
    "waiting",                                             // for room in a limit
    "asking",                                              // a target was sent the call
    "answering",                                           // the first of a stream goes out to the caller
};
struct MomentName {
  std::string_view text;
  consteval MomentName(const char* name) : text(name) {
    if (std::ranges::find(kMoments, text) == std::end(kMoments)) throw "a moment that is not in kMoments";
  }
};

// One figure of a step. Strings are borrowed until `step` returns.
struct Fact {
  enum class Kind : unsigned char { text, number, flag };
  std::string_view name;
  Kind kind;
  std::string_view text;
  std::int64_t number = 0;

  Fact(std::string_view n, std::string_view t) : name(n), kind(Kind::text), text(t) {}
  Fact(std::string_view n, const char* t) : name(n), kind(Kind::text), text(t) {}
  Fact(std::string_view n, const std::string& t) : name(n), kind(Kind::text), text(t) {}
  Fact(std::string_view n, bool f) : name(n), kind(Kind::flag), number(f) {}
  template <class I>
    requires(std::is_integral_v<I> && !std::is_same_v<I, bool>)
  Fact(std::string_view n, I v) : name(n), kind(Kind::number), number(static_cast<std::int64_t>(v)) {}
};

class DecisionLog {
 public:
  explicit DecisionLog(MonoTime started) : started_(started) { text_.reserve(512); }
  // Notes a step, at `now` (kept as microseconds since the call began).
  void step(MonoTime now, StepName what, std::initializer_list<Fact> facts);
  // Tells a moment to whoever listens; it is not kept.
  void moment(MonoTime now, MomentName what, std::initializer_list<Fact> facts) const {
    if (listener_) tell(now, what.text, facts);
  }
  // From now on each step is told as it is noted, as far as they are kept. Borrowed; null: no more.
  void tell_to(StepListener* listener) { listener_ = listener; }
  // The finished array, for example [{"at_us":12,"step":"plan",…},…].
  std::string take();

 private:
  static constexpr std::size_t limit = 8 * 1024;
  void tell(MonoTime now, std::string_view what, std::initializer_list<Fact> facts) const;
  MonoTime started_;
  std::string text_;
  unsigned dropped_ = 0;
  StepListener* listener_ = nullptr;
};

}  // namespace ballast::gateway
