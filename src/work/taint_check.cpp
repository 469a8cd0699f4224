// Taint before anything runs: the ways by which it reaches a settle stage.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "work/flow_reads.hpp"
#include "work/taint_source.hpp"

namespace ballast::work {
namespace {

// From a value back to where its taint began: {"shape.output", "triage.output"}, "model".
struct Way {
  std::vector<std::string> steps;
  TaintKind kind;
  bool from_input() const { return kind == TaintKind::input; }
  const std::string& origin() const { return steps.back(); }
};
std::string in_words(std::string_view sink, const Way& way) {
  return fmt::format("{} ← {} ({})", sink, fmt::join(way.steps, " ← "), way.from_input() ? "the user's" : to_string(way.kind));
}

using Ways = std::vector<Way>;                // one per origin, the shortest
void join(Ways& into, const Ways& more, const std::string& step = {}) {
  for (Way way : more) {
    if (!step.empty()) way.steps.insert(way.steps.begin(), step);
    const auto same = std::ranges::find_if(into, [&](const Way& w) { return w.kind == way.kind && w.origin() == way.origin(); });
    if (same == into.end()) into.push_back(std::move(way));
    else if (way.steps.size() < same->steps.size()) *same = std::move(way);
  }
}

struct Scope {
  const Stages& stages;
  const Scope* around = nullptr;
  const MapStage* map = nullptr;
};

std::string squeezed(std::string_view text) {
  std::string out;
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (quoted || !(c == ' ' || c == '\n' || c == '\t')) out += c;
  }
  return out;
}

class Checker {
 public:
  Checker(std::span<const FlowPtr> flows, TaintFindings* out) : flows_(flows), out_(out) {}

  // Of the flow's output.
  Ways flow(const Flow& flow) {
    if (!open_.insert(flow.name()).second) return {};           // a circle, told elsewhere
    const auto* outside = std::exchange(flow_, &flow);
    const Scope scope{flow.stages()};
    if (out_) sinks(scope);
    Ways ways;
    if (flow.output()) join(ways, read({&flow.output().jq->reads(), &flow.output().at}, flow.output_reads(), scope));
    else if (const Stage* last = last_stage(flow.stages())) join(ways, given(*last, scope));
    flow_ = outside;
    open_.erase(flow.name());
    return ways;
  }

 private:
  Ways read(const Reading& r, const std::vector<std::string>& waits_for, const Scope& scope) {
    Ways ways;
    const auto all_stages = [&] {
      for (const auto& name : waits_for) join(ways, named(name, scope));
    };
    if (r.reads->whole) {
      all_stages();
      join(ways, input());
      join(ways, item({}, scope));
    }
    for (const auto& path : r.reads->paths) {
      if (path.empty()) continue;
      if (path[0] == "input") join(ways, input());
      else if (path[0] == "stages" && path.size() > 1) join(ways, named(path[1], scope));
      else if (path[0] == "stages") all_stages();
      else join(ways, item(path[0], scope));
    }
    return ways;
  }

  Ways input() const {
    if (flow_->input_trusted()) return {};
    return {{{"input"}, TaintKind::input}};
  }

  Ways named(std::string_view name, const Scope& scope) {
    for (const Scope* s = &scope; s; s = s->around)
      if (const Stage* stage = find_stage(s->stages, name)) return given(*stage, *s);
    return {};
  }

  // Of the items by this name; of all when it is empty.
  Ways item(std::string_view name, const Scope& scope) {
    Ways ways;
    for (const Scope* s = &scope; s; s = s->around) {
      if (!s->map || (!name.empty() && s->map->as != name)) continue;
      join(ways, read({&s->map->over.jq->reads(), &s->map->over.at}, {}, *s->around), name.empty() ? std::string() : std::string(name));
      if (!name.empty()) break;
    }
    return ways;
  }

  // Of what a stage gives.
  Ways given(const Stage& stage, const Scope& scope) {
    if (const auto known = memo_.find(&stage); known != memo_.end()) return known->second;
    memo_[&stage] = {};
    const auto step = stage.name + ".output";
    Ways ways;
    if (const auto source = taint_source(stage)) {
      ways.push_back({{step}, *source});
    } else {
      for (const Reading& r : readings(stage))
        if (carries(r) && r.view != View::inside && !(stage.as<FlowStage>() && r.view == View::stage)) join(ways, read(r, stage.waits_for, scope), step);
      if (const auto* m = stage.as<MapStage>()) join(ways, collected(*m, scope), step);
      if (const auto* f = stage.as<FlowStage>()) join(ways, called(stage, *f, scope), step);
    }
    if (!stage.fallback.stage.empty()) join(ways, named(stage.fallback.stage, scope), step);
    return memo_[&stage] = ways;
  }

  Ways collected(const MapStage& m, const Scope& scope) {
    const Scope inner{m.stages, &scope, &m};
    if (m.output) {
      std::vector<std::string> all;
      for (const Stage& s : m.stages) all.push_back(s.name);
      return read({&m.output.jq->reads(), &m.output.at, View::inside}, all, inner);
    }
    const Stage* last = last_stage(m.stages);
    return last ? given(*last, inner) : Ways{};
  }

  Ways sent(const Stage& stage, const FlowStage& f, const Scope& scope) {
    return f.input ? read({&f.input.jq->reads(), &f.input.at}, stage.waits_for, scope) : Ways{};
  }

  // A child's output: what taints it by itself, and, where its input reaches its output, what it was sent.
  Ways called(const Stage& stage, const FlowStage& f, const Scope& scope) {
    const auto child = std::ranges::find_if(flows_, [&](const FlowPtr& p) { return p->name() == f.name; });
    if (child == flows_.end()) return {};
    Checker inner(flows_, nullptr);
    inner.open_ = open_;
    Ways ways;
    for (Way& way : inner.flow(**child)) {
      if (way.from_input()) {
        join(ways, sent(stage, f, scope));
        continue;
      }
      for (auto& step : way.steps) step = f.name + "/" + step;
      join(ways, {way});
    }
    if ((*child)->input_trusted()) join(ways, sent(stage, f, scope));
    return ways;
  }

  // ---- What must stay clean

  void sinks(const Scope& scope) {
    for (const Stage& stage : scope.stages) {
      if (const auto* s = stage.as<SettleStage>()) settle(stage, *s, scope);
      if (const auto* f = stage.as<FlowStage>()) trusted_input(stage, *f, scope);
      if (const auto* m = stage.as<MapStage>()) sinks(Scope{m->stages, &scope, m});
    }
  }

  void complain(std::vector<ConfigMistake>& into, const Place& at, std::string message) {
    into.push_back({flow_->source().file, at.line, at.column, at.field, std::move(message)});
  }

  void settle(const Stage& stage, const SettleStage& s, const Scope& scope) {
    const auto ways = read({&s.values.jq->reads(), &s.values.at}, stage.waits_for, scope);
    if (!ways.empty()) {
      const auto barrier = approval(stage, s, scope);
      if (barrier.holds) return;
      for (const Way& way : ways)
        complain(out_->errors, s.values.at, fmt::format("is tainted: {}; {}", in_words(stage.name + ".values", way), barrier.advice));
      return;
    }
    controls(stage, scope);
  }

  struct Barrier {
    bool holds = false;
    std::string advice;
  };
  // An approval that always takes place, that this stage cannot do without, and that shows exactly these values.
  Barrier approval(const Stage& stage, const SettleStage& s, const Scope& scope) {
    Barrier b;
    const auto values = squeezed(s.values.jq->text());
    b.advice = fmt::format("let an approve stage show exactly these values ('{}'), name it in needs, and settle .stages.NAME.output.value", s.values.jq->text());
    for (const auto& name : stage.waits_for) {
      const Stage* other = find_stage(scope.stages, name);
      const auto* a = other ? other->as<ApproveStage>() : nullptr;
      if (!a) continue;
      const bool takes = values == fmt::format(".stages.{}.output.value", name);
      const bool same = values == squeezed(a->show.jq->text());
      const auto advise = [&](std::string_view why) { b.advice = fmt::format("the approval {} stands between, but {}", name, why); };
      if (!takes && !same) advise(fmt::format("shows something else; settle exactly .stages.{}.output.value", name));
      else if (same && !takes && a->editable) advise(fmt::format("what it shows may be edited; settle .stages.{}.output.value", name));
      else if (a->when.rule != ApproveWhen::Rule::always && a->when.rule != ApproveWhen::Rule::risk) advise("it does not always take place; give it when: always");
      else if (other->fallback) advise("its fallback would stand in for a human");
      else if (std::ranges::find(stage.needs, name) == stage.needs.end()) advise(fmt::format("{} would run without it; add needs: {}", stage.name, name));
      else return {true, {}};
    }
    return b;
  }

  // What decides whether it runs, and is tainted.
  void controls(const Stage& stage, const Scope& scope) {
    std::set<const Stage*> seen;
    const auto visit = [&](const auto& self, const Stage& s) -> void {
      if (!seen.insert(&s).second) return;
      for (const Reading& r : readings(s))
        if (r.role == ReadRole::control && r.view == View::stage)
          for (const Way& way : read(r, s.waits_for, scope))
            complain(out_->warnings, *r.at, fmt::format("decides whether {} settles, and is tainted: {}; let an approval or a rule over clean values decide", stage.name, in_words(s.name, way)));
      for (const auto* names : {&s.chosen_by, &s.needs})
        for (const auto& name : *names)
          if (const Stage* next = find_stage(scope.stages, name)) self(self, *next);
    };
    visit(visit, stage);
  }

  void trusted_input(const Stage& stage, const FlowStage& f, const Scope& scope) {
    const auto child = std::ranges::find_if(flows_, [&](const FlowPtr& p) { return p->name() == f.name; });
    if (child == flows_.end() || !(*child)->input_trusted()) return;
    for (const Way& way : sent(stage, f, scope))
      complain(out_->errors, f.input.at, fmt::format("is tainted: {}; the flow {} trusts its input, so give it clean values only", in_words(stage.name + ".input", way), f.name));
  }

  std::span<const FlowPtr> flows_;
  TaintFindings* out_;
  const Flow* flow_ = nullptr;
  std::set<std::string> open_;
  std::map<const Stage*, Ways> memo_;
};

}  // namespace

TaintFindings check_taint(const Flow& flow, std::span<const FlowPtr> flows) {
  TaintFindings out;
  Checker(flows, &out).flow(flow);
  return out;
}

}  // namespace ballast::work
