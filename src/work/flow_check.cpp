#include "work/flow_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "base/text.hpp"
#include "work/flow_proof.hpp"
#include "work/taint.hpp"

namespace ballast::work {
namespace {

// ---- Flows among each other

void circles(std::span<const FlowPtr> flows, Proof& out) {
  std::map<std::string_view, int> marks;             // 1: on the way, 2: done
  std::vector<std::string_view> way;
  const auto visit = [&](const auto& self, const Flow& flow) -> void {
    marks[flow.name()] = 1;
    way.push_back(flow.name());
    each_stage(flow.stages(), [&](const Stage& s, const Stages&) {
      const auto* f = s.as<FlowStage>();
      const Flow* next = f ? flow_named(flows, f->name) : nullptr;
      if (!next || marks[next->name()] == 2) return;
      if (marks[next->name()] == 0) return self(self, *next);
      const auto from = std::ranges::find(way, next->name());
      out.error(flow, s.at, fmt::format("calls itself without an end: {} → {}", fmt::join(std::vector(from, way.end()), " → "), next->name()));
    });
    way.pop_back();
    marks[flow.name()] = 2;
  };
  for (const auto& flow : flows)
    if (marks[flow->name()] == 0) visit(visit, *flow);
}

void children(const Flow& flow, std::span<const FlowPtr> flows, Proof& out) {
  each_stage(flow.stages(), [&](const Stage& s, const Stages&) {
    const auto* f = s.as<FlowStage>();
    if (!f) return;
    const Flow* child = flow_named(flows, f->name);
    if (!child) {
      std::vector<std::string_view> names;
      for (const auto& other : flows) names.push_back(other->name());
      const auto near = nearest_name(f->name, std::span<const std::string_view>(names));
      return out.error(flow, s.at, fmt::format("calls the flow {}, which does not exist{}", f->name, near.empty() ? "" : fmt::format(", did you mean \"{}\"?", near)));
    }
    if (!f->version.empty() && f->version != child->version_name() && !to_hex(child->digest()).starts_with(f->version))
      out.error(flow, s.at, fmt::format("calls version {} of {}, of which there is {}", f->version, f->name, child->version_name()));
    if (s.timeout == Duration::zero() && flow.policy().deadline == Duration::zero() && child->policy().deadline == Duration::zero())
      out.error(flow, s.at, fmt::format("may wait for ever: give it a timeout, or {} a policy.deadline", f->name));
    if (child->input() && !f->input)
      if (const auto why = mismatch(json::object{{"type", "object"}, {"additionalProperties", false}}, child->input().text))
        out.error(flow, s.at, fmt::format("gives {} no input: {}", f->name, *why));
  });
}

// ---- What can never happen

bool is_literally(const Expr& e, bool value) {
  const auto text = trim(e.jq->text());
  return value ? text == "true" : text == "false" || text == "null";
}

void unreachable(const Flow& flow, const Stages& stages, Proof& out) {
  std::set<std::string_view> taken;                   // names of branches that can be reached
  for (const Stage& s : stages) {
    const auto* c = s.as<ChooseStage>();
    if (!c) continue;
    bool open = true;
    for (const auto& b : c->branches) {
      if (!open) out.error(flow, b.at, "can never be taken: a branch before it always is");
      else if (b.when && is_literally(b.when, false)) out.error(flow, b.at, "can never be taken: its condition is never true");
      else taken.insert(b.then.begin(), b.then.end());
      if (!b.when || is_literally(b.when, true)) open = false;
    }
    if (open && std::ranges::all_of(c->branches, [](const auto& b) { return static_cast<bool>(b.when); }))
      out.warning(flow, s.at, "has no else: when no condition holds, every stage it names is skipped");
  }
  std::set<std::string_view> never;
  for (bool more = true; std::exchange(more, false);)
    for (const Stage& s : stages) {
      if (never.contains(s.name)) continue;
      const bool off = s.when && is_literally(s.when, false);
      const bool unchosen = !s.chosen_by.empty() && !taken.contains(s.name);
      const bool starved = std::ranges::any_of(s.needs, [&](const auto& n) { return never.contains(n); });
      if (!off && !unchosen && !starved) continue;
      never.insert(s.name);
      more = true;
      out.error(flow, s.at, fmt::format("can never run: {}", off ? "its `when` is never true" : unchosen ? "no branch that names it can be taken" : "it needs a stage that can never run"));
    }
  for (const Stage& s : stages)
    if (s.only_fallback && !s.chosen_by.empty()) out.error(flow, s.at, "is a fallback and a branch of a choice at once; it can be one of them");
}

// ---- Ends, repetitions, undoing

Duration longest_retries(const Stage& s) {
  double total = 0;
  for (std::uint32_t n = 1; n < s.retry.attempts; ++n)
    total += std::min(static_cast<double>(s.retry.backoff.first.count()) * std::pow(s.retry.backoff.factor, n - 1), static_cast<double>(s.retry.backoff.max.count()));
  total += static_cast<double>(s.timeout.count()) * s.retry.attempts;
  return Duration(static_cast<std::int64_t>(std::min(total, 9e18)));
}

void ends(const Flow& flow, const Stage& s, Proof& out) {
  if (const auto* w = s.as<WaitStage>(); w && !w->event.empty() && s.timeout == Duration::zero())
    out.error(flow, s.at, fmt::format("may wait for the event {} for ever: give it a timeout", w->event));
  if (const auto* a = s.as<ApproveStage>(); a && a->expires == Duration::zero() && a->when.rule != ApproveWhen::Rule::never)
    out.error(flow, s.at, "may wait for a human for ever: say when it expires");
  if (const auto* m = s.as<MapStage>(); m && m->limit == 0)
    out.warning(flow, s.at, "has no limit of how many items run at once; 1 is used");
  const auto deadline = flow.policy().deadline;
  if (deadline > Duration::zero() && s.retry.attempts > 1 && longest_retries(s) > deadline)
    out.warning(flow, s.at, fmt::format("may try for {}, longer than the run's deadline of {}", format_duration(longest_retries(s)), format_duration(deadline)));
  if (s.at_least && !s.fallback) out.warning(flow, s.at, "fails the run when its confidence is too low: it has no fallback");
}

void effects(const Flow& flow, const Stage& s, Proof& out) {
  if (!is_effect(s)) return;
  if (s.retry.attempts > 1 && idempotency_of(s) == Idempotency::none)
    out.error(flow, s.at, "is tried again although doing it twice is not doing it once: send an idempotency: key, or retry: {attempts: 1}");
  if (risk_of(s) != Risk::destructive || s.compensate || s.irreversible || s.as<SettleStage>()) return;
  out.error(flow, s.at, "is destructive and nothing undoes it: give it compensate, say compensate: none, or declare its risk as read or write");
}

// ---- Humans

bool some_confidence(const Stage& s, const Stages& stages) {
  return std::ranges::any_of(s.waits_for, [&](const auto& name) { return static_cast<bool>(find_stage(stages, name)->confidence); });
}

void granted(const Flow& flow, const Stage& s, const ApproveStage& a, const FlowWorld& world, Proof& out) {
  auto asked = a.assignees;
  if (a.escalate && !asked.empty()) asked.push_back(a.escalate->to);
  Grant best = Grant::nobody;
  for (const auto& name : asked.empty() ? std::vector<std::string>{{}} : asked) best = std::max(best, world.can_approve(name, a.signature));
  if (best == Grant::yes) return;
  const std::string none = asked.empty() ? fmt::format("no key{} may approve", a.signature ? " of a user" : "")
                                         : fmt::format("none of {} has a key{} that may approve", fmt::join(asked, ", "), a.signature ? " of their own" : "");
  if (!world.knows_all_keys)
    out.note(flow, s.at, fmt::format("may be granted by nobody{}: {} as far as the configuration says; keys in the database are not known here",
                                     best == Grant::administrator ? " but an administrator" : "", none));
  else if (best == Grant::administrator) out.warning(flow, s.at, fmt::format("can be granted by an administrator alone: {}", none));
  else out.error(flow, s.at, fmt::format("can be granted by nobody: {}; give a key the scope approve", none));
}

void approvals(const Flow& flow, const Stage& s, const Stages& stages, const FlowWorld& world, Proof& out) {
  const auto* a = s.as<ApproveStage>();
  if (!a) return;
  if (world.can_approve && a->when.rule != ApproveWhen::Rule::never) granted(flow, s, *a, world, out);
  if (a->when.rule == ApproveWhen::Rule::confidence) {
    const Stage* of = a->when.of.empty() ? nullptr : find_stage(stages, a->when.of);
    if (of ? !of->confidence : !some_confidence(s, stages))
      out.error(flow, s.at, of ? fmt::format("goes by the confidence of {}, which has none", of->name) : "goes by confidence, and no stage it shows has one");
  }
  const bool may_skip = a->on_reject == ApproveStage::Otherwise::skip || a->on_expire == ApproveStage::Otherwise::skip;
  for (const Stage& other : stages) {
    if (!std::ranges::binary_search(other.waits_for, s.name) || std::ranges::find(other.needs, s.name) != other.needs.end()) continue;
    if (may_skip && is_effect(other)) out.error(flow, other.at, fmt::format("would run although {} was refused: add needs: {}", s.name, s.name));
  }
}

// ---- What may be missing

// If `s` runs, `name` has run: it is among what `s` needs, or among what that needs.
bool ensured(const Stages& stages, const Stage& s, std::string_view name) {
  return std::ranges::any_of(s.needs, [&](const auto& n) {
    const Stage* other = find_stage(stages, n);
    return n == name || (other && ensured(stages, *other, name));
  });
}

void skipped(const Flow& flow, const Stages& stages, Proof& out) {
  const auto may_skip = [&](const Stage& s) { return s.when || !s.chosen_by.empty() || !s.needs.empty(); };
  for (const Stage& s : stages)
    for (const auto& name : s.waits_for) {
      const Stage& other = *find_stage(stages, name);
      if (other.only_fallback) {
        const auto user = std::ranges::find(stages, name, [](const Stage& u) { return u.fallback.stage; });
        out.warning(flow, s.at, fmt::format("reads {}, which runs only as a fallback; .stages.{}.output has it either way", name, user == stages.end() ? name : user->name));
      }
      // With one predecessor alone it is skipped together with it.
      if (!may_skip(other) || s.waits_for.size() == 1 || ensured(stages, s, name) || s.kind() == StageKind::choose) continue;
      if (std::ranges::find(s.chosen_by, name) == s.chosen_by.end() && reads_stage(s, name) && !reads_stage(s, name, "skipped"))
        out.warning(flow, s.at, fmt::format("reads {0}, which may have been skipped and is null then: add needs: {0}, or ask .stages.{0}.skipped", name));
    }
}

}  // namespace

void each_stage(const Stages& stages, const std::function<void(const Stage&, const Stages&)>& f) {
  for (const Stage& s : stages) {
    f(s, stages);
    if (const auto* m = s.as<MapStage>()) each_stage(m->stages, f);
  }
}

const Flow* flow_named(std::span<const FlowPtr> flows, std::string_view name) {
  const auto found = std::ranges::find_if(flows, [&](const FlowPtr& f) { return f->name() == name; });
  return found == flows.end() ? nullptr : found->get();
}

FlowFindings check_flows(std::span<const FlowPtr> flows, const FlowWorld& world) {
  Proof out;
  std::map<std::string_view, std::string_view> files;
  for (const auto& flow : flows) {
    const auto [at, fresh] = files.emplace(flow->name(), flow->source().file);
    if (!fresh) out.error(*flow, {1, 1, "flow"}, fmt::format("is {}, as in {}; each flow has its own name", flow->name(), at->second));
  }
  circles(flows, out);
  for (const auto& flow : flows) {
    children(*flow, flows, out);
    unreachable(*flow, flow->stages(), out);
    skipped(*flow, flow->stages(), out);
    check_types(*flow, flows, out);
    each_stage(flow->stages(), [&](const Stage& s, const Stages& stages) {
      if (const auto* m = s.as<MapStage>()) {
        unreachable(*flow, m->stages, out);
        skipped(*flow, m->stages, out);
      }
      if (const auto* m = s.as<ModelStage>(); m && world.route_exists && !world.route_exists(m->route))
        out.error(*flow, s.at, fmt::format("asks for the model {}, which is neither a route, an alias nor PROVIDER/MODEL", m->route));
      if (const auto* q = s.as<QueryStage>()) {
        if (!q->route.empty() && world.route_exists && !world.route_exists(q->route))
          out.error(*flow, s.at, fmt::format("asks for the model {}, which is neither a route, an alias nor PROVIDER/MODEL", q->route));
        if (world.dataset_exists && !world.dataset_exists(q->dataset))
          out.error(*flow, s.at, fmt::format("asks the dataset {}, and there is none of this name", q->dataset));
      }
      if (const auto* c = s.as<ClassifyStage>(); c && world.classifier_exists && !world.classifier_exists(c->classifier))
        out.error(*flow, s.at, fmt::format("asks the classifier {}, and there is none of this name under classifiers: in ballast.yaml", c->classifier));
      ends(*flow, s, out);
      effects(*flow, s, out);
      approvals(*flow, s, stages, world, out);
    });
    auto taint = check_taint(*flow, flows);
    std::ranges::move(taint.errors, std::back_inserter(out.findings.errors));
    std::ranges::move(taint.warnings, std::back_inserter(out.findings.warnings));
  }
  for (auto* list : {&out.findings.errors, &out.findings.warnings, &out.findings.notes}) {
    std::ranges::sort(*list, {}, [](const auto& m) { return std::tie(m.file, m.line, m.column, m.field, m.message); });
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  return std::move(out.findings);
}

}  // namespace ballast::work
