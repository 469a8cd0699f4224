// The run as a whole: which stages' order has come, and how it ends.
#include "work/decide.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "work/canonical.hpp"
#include "work/decide_round.hpp"

namespace ballast::work {
namespace {

Error refusal(ErrorCode code, std::string message) { return Error{code, std::move(message), {}, false, {}, {}, {}, {}}; }

}  // namespace

DecideRound::DecideRound(RunState& state, WallTime now) : state_(state), now_(now) {
  if (std::exchange(state.inside_->stale, false))
    for (Node& n : state.inside_->top->nodes) n.forget();
}

void DecideRound::settle(Node& node, StageState state) {
  node.state = state;
  changed_ = true;
}

void DecideRound::wait_until(WallTime at) {
  if (!wake_ || at < *wake_) wake_ = at;
}

bool DecideRound::running(const Graph& graph) {
  return std::ranges::any_of(graph.nodes, [](const Node& n) {
    return n.running || std::ranges::any_of(n.items, [](const auto& item) { return item && running(*item); });
  });
}
bool DecideRound::all_settled(const Graph& graph) { return std::ranges::all_of(graph.nodes, &Node::settled) && !first_failed(graph); }
const Node* DecideRound::first_failed(const Graph& graph) {
  const auto found = std::ranges::find(graph.nodes, StageState::failed, &Node::state);
  return found == graph.nodes.end() ? nullptr : &*found;
}
// Something around it has failed for good: nothing more begins.
bool DecideRound::halted(const Graph& graph) {
  for (const Graph* g = &graph; g; g = g->around)
    if (first_failed(*g) || (g->owner && g->owner->broken)) return true;
  return false;
}

// ---- Order

void DecideRound::walk(Graph& graph) {
  for (Node& n : graph.nodes) visit(graph, n);
}

void DecideRound::visit(Graph& graph, Node& node) {
  if (node.settled()) return;
  if (node.fallen) return fall_back(graph, node);
  if (!node.asks) {
    if (!order_allows(graph, node)) return;
    const Digest input = question(graph, *node.stage);
    static_cast<void>(node.question(input));
    node.asks = static_cast<std::size_t>(std::ranges::find(node.answers, input, &Answers::input) - node.answers.begin());
    const Answers& a = node.answers[*node.asks];
    if (node.stage->when && !a.result && !a.begun()) {
      const auto holds = node.stage->when.jq->truth(context(graph, *node.stage));
      if (!holds) return exhausted(graph, node, holds.error());
      if (!*holds) return settle(node, StageState::skipped);
    }
  }
  answer(graph, node);
}

// Whether all it comes after are settled, and leave it something to do.
bool DecideRound::order_allows(Graph& graph, Node& node) {
  const Stage& stage = *node.stage;
  bool any_done = stage.waits_for.empty(), chosen = stage.chosen_by.empty();
  for (const auto& name : stage.waits_for) {
    const Node& before = *graph.find(name);
    if (before.state != StageState::done && before.state != StageState::skipped) return false;
    any_done |= before.state == StageState::done;
  }
  if (stage.only_fallback && !active_fallback(graph, node)) return false;
  for (const auto& name : stage.chosen_by) {
    const StageRecord* r = graph.find(name)->state == StageState::done ? graph.find(name)->result() : nullptr;
    const auto* output = r && r->value ? r->value->if_object() : nullptr;
    const auto* names = output ? output->if_contains("chosen") : nullptr;
    if (names && names->is_array()) chosen |= std::ranges::any_of(names->get_array(), [&](const auto& n) { return n.is_string() && n.get_string() == stage.name; });
  }
  const bool starved = std::ranges::any_of(stage.needs, [&](const auto& name) { return graph.find(name)->state == StageState::skipped; });
  if (any_done && chosen && !starved) return true;
  settle(node, StageState::skipped);
  return false;
}

// Does a stage want it as its fallback? When none ever will, it is skipped.
bool DecideRound::active_fallback(Graph& graph, Node& node) {
  bool open = false;
  for (const Node& n : graph.nodes) {
    if (n.stage->fallback.stage != node.stage->name) continue;
    if (n.fallen) return true;
    open |= !n.settled();
  }
  if (!open) settle(node, StageState::skipped);
  return false;
}

void DecideRound::fall_back(Graph& graph, Node& node) {
  const Node& other = *graph.find(node.stage->fallback.stage);
  if (other.state == StageState::done) {
    node.stand_in = &other;
    return settle(node, StageState::done);
  }
  if (other.state == StageState::failed && other.error) node.error = other.error;
  if (other.settled()) settle(node, StageState::failed);
}

// ---- The run

void DecideRound::settle_down() {
  do {
    changed_ = false;
    starts_.clear();
    wake_.reset();
    walk(*state_.inside_->top);
  } while (changed_);
}

std::vector<Action> DecideRound::decide() {
  // First what is recorded: a run that has failed already must not ask anybody for anything.
  frozen_ = true;
  settle_down();
  frozen_ = false;
  settle_down();
  std::vector<Action> actions = std::move(kept_);
  end(actions);
  return actions;
}

void DecideRound::end(std::vector<Action>& actions) {
  Graph& top = *state_.inside_->top;
  const FlowPolicy& policy = state_.flow_->policy();
  if (const Node* failed = first_failed(top)) {
    if (running(top)) return;
    return fail_run(actions, failed->stage->name, failed->error.value_or(refusal(ErrorCode::internal_error, "failed without an error")));
  }
  if (all_settled(top)) return finish(actions);
  if (policy.deadline > Duration::zero()) {
    const WallTime deadline = state_.start_.at + policy.deadline;
    if (now_ >= deadline)
      return fail_run(actions, {}, refusal(ErrorCode::caller_timeout, fmt::format("the run took longer than its deadline of {}", format_duration(policy.deadline))));
    wait_until(deadline);
  }
  std::ranges::move(starts_, std::back_inserter(actions));
  if (wake_) actions.push_back(WaitUntil{*wake_});
}

void DecideRound::fail_run(std::vector<Action>& actions, std::string path, Error error) {
  if (state_.flow_->policy().compensate_on_failure) {
    if (running(*state_.inside_->top)) return;             // also an undoing that is under way
    if (auto undone = undo()) return actions.push_back(std::move(*undone));
  }
  actions.push_back(FailRun{std::move(path), std::move(error)});
}

void DecideRound::finish(std::vector<Action>& actions) {
  Graph& top = *state_.inside_->top;
  const Flow& flow = *state_.flow_;
  const auto around = taints(top);
  FinishRun f;
  for (const auto& name : flow.output_reads()) f.taint.join(around.stage(name));
  if (!flow.output()) {
    const Node* last = flow.output_reads().empty() ? nullptr : top.find(flow.output_reads().front());
    const StageRecord* r = last && last->state == StageState::done ? last->result() : nullptr;
    f.output = r && r->value ? r->value : std::make_shared<const json::value>(nullptr);
    return actions.push_back(std::move(f));
  }
  const Jq::Reads& reads = flow.output().jq->reads();
  if (reads.whole || std::ranges::any_of(reads.paths, [](const auto& p) { return !p.empty() && p[0] == "input"; })) f.taint.join(around.input);
  auto value = flow.output().jq->one(context_of(top, {&reads}, flow.output_reads()));
  if (!value) return fail_run(actions, {}, std::move(value.error()));
  f.output = std::make_shared<const json::value>(std::move(*value));
  actions.push_back(std::move(f));
}

// ---- Undoing

void DecideRound::done_stages(Graph& graph, std::vector<std::pair<Graph*, Node*>>& out) {
  for (Node& n : graph.nodes) {
    const bool own = n.asks && n.answers[*n.asks].result && n.answers[*n.asks].result->what == StageRecord::What::done;
    if (own && n.stage->compensate && !n.answers[*n.asks].compensated) out.emplace_back(&graph, &n);
    for (const auto& item : n.items)
      if (item) done_stages(*item, out);
  }
}

std::optional<Action> DecideRound::undo() {
  std::vector<std::pair<Graph*, Node*>> done;
  done_stages(*state_.inside_->top, done);
  // The last done first; of equal moments, the last in the file.
  const std::pair<Graph*, Node*>* last = nullptr;
  const auto at = [](const auto& d) { return d.second->answers[*d.second->asks].result->at; };
  for (const auto& d : done)
    if (!last || at(d) >= at(*last)) last = &d;
  if (!last) return std::nullopt;
  auto& [graph, node] = *last;
  const Answers& a = node->answers[*node->asks];
  Compensate c;
  c.path = path_of(*graph, *node);
  c.stage = node->stage;
  c.input = a.input;
  json::value seen = context(*graph, *node->stage);
  seen.as_object()["output"] = a.result->value ? *a.result->value : json::value(nullptr);
  c.context = std::make_shared<const json::value>(std::move(seen));
  c.key = fmt::format("{}:{}:{}:undo", state_.start_.id, c.path, to_hex(a.input).substr(0, 16));
  return c;
}

void DecideRound::take_stock() {
  frozen_ = all_items_ = true;
  settle_down();
}

std::vector<Action> DecideRound::roll_back() {
  take_stock();
  std::vector<Action> actions;
  if (!running(*state_.inside_->top))
    if (auto undone = undo()) actions.push_back(std::move(*undone));
  return actions;
}

std::vector<Action> decide(RunState& state, WallTime now) { return DecideRound(state, now).decide(); }
void take_stock(RunState& state) { DecideRound(state, state.start().at).take_stock(); }
std::vector<Action> roll_back(RunState& state) { return DecideRound(state, state.start().at).roll_back(); }

}  // namespace ballast::work
