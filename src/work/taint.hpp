// Taint: which values derive from what nobody answers for. A model, the web, an untrusted worker, an event from outside and the user's
// input put taint on what they give; whatever reads a tainted value is tainted. A settle stage refuses it, when the flow is
// checked and again when it runs, unless an approval or a signature over exactly those values stands between.
//
// It follows data, by what expressions read (which may say too much, never too little). What a tainted value merely decides
// (`when`, `choose`) is a warning of the check, not a refusal.
#pragma once
#include <compare>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "work/flow.hpp"

namespace ballast::work {

enum class TaintKind : std::uint8_t { model, web, worker, event, input };
std::string_view to_string(TaintKind kind);

struct TaintOrigin {
  std::string stage;                          // its path without item numbers, "each.fetch"; empty: the run's input
  TaintKind kind = TaintKind::input;
  friend auto operator<=>(const TaintOrigin&, const TaintOrigin&) = default;
};

// A set of origins, beside each value of a run. Empty: clean. A value; at most one entry per stage and kind of the flow.
class Taint {
 public:
  Taint() = default;
  Taint(TaintOrigin origin) : origins_{std::move(origin)} {}
  bool clean() const { return origins_.empty(); }
  const std::vector<TaintOrigin>& origins() const { return origins_; }   // sorted
  void join(const Taint& other);
  friend bool operator==(const Taint&, const Taint&) = default;

  json::value to_json() const;                                           // [{"stage","kind"}, …]
  static Result<Taint> from_json(const json::value& value);

 private:
  std::vector<TaintOrigin> origins_;
};

// ---- While a run runs

// What a stage's reading can name: the taints of stages' outputs, of a map's item by its name (empty: of all items around; null outside
// of maps) and of the run's input.
struct TaintsAround {
  std::function<Taint(std::string_view stage)> stage;
  std::function<Taint(std::string_view name)> item;
  Taint input;
};
// Of the values a stage reads to send or give back.
Taint taint_read(const Stage& stage, const TaintsAround& around);
// Of its output: what it read and what it is. `path` without item numbers. Of a flow stage add the child's own.
Taint taint_given(const Stage& stage, std::string_view path, const TaintsAround& around);
// "each[3].fetch" → "each.fetch".
std::string origin_path(std::string_view path);
// The taint of a run's input before anybody has said anything else.
Taint input_taint(const Flow& flow);

// Whether these values may be settled: they are clean, or one of `approved` (digests of what a human approved or a user signed, as
// value_digest) is theirs. caller_forbidden naming the ways by which the taint came (taint_trail), or, without them, where it began.
Result<void> may_settle(std::string_view path, const Taint& taint, const Digest& values, std::span<const Digest> approved, std::span<const std::string> ways = {});

// ---- Before it runs

struct TaintFindings {
  std::vector<ConfigMistake> errors, warnings;
};
// Of one flow; `flows`: those that its flow stages may name, itself included. Flows that call each other in a circle are told by the
// proof and taken as clean here.
TaintFindings check_taint(const Flow& flow, std::span<const FlowPtr> flows);

}  // namespace ballast::work
