// DecisionLog: why a call went the way it went, written while it goes. Each step of the road notes what it decided
// and from which figures; the log is stored with the call's ledger row and told in words by `explain`.
//
// It is compact JSON from the start (an array of steps), so that storing it costs nothing more: about 100 ns a step.
// It never holds prompts, answers or secrets. Bounded: past 8 KiB further steps are counted, not kept; a
// text is kept to 1 KiB. Always valid JSON: bytes that are not UTF-8 are replaced.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace ballast::gateway {

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
  void step(MonoTime now, std::string_view what, std::initializer_list<Fact> facts);
  // The finished array, for example [{"at_us":12,"step":"plan",…},…].
  std::string take();

 private:
  static constexpr std::size_t limit = 8 * 1024;
  MonoTime started_;
  std::string text_;
  unsigned dropped_ = 0;
};

}  // namespace ballast::gateway
