#include "work/run_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "work/run_node.hpp"

namespace ballast::work {
namespace {

struct Step {
  std::string_view name;
  std::optional<std::size_t> item;
};
// "each[3].fetch" → {each, 3}, {fetch}. Nothing for what is not a path.
std::optional<std::vector<Step>> steps_of(std::string_view path) {
  std::vector<Step> out;
  for (auto rest = path; !rest.empty();) {
    auto name = take_until(rest, '.');
    Step step{name, {}};
    if (const auto open = name.find('['); open != std::string_view::npos) {
      if (!name.ends_with(']')) return std::nullopt;
      step.item = parse_int<std::size_t>(name.substr(open + 1, name.size() - open - 2));
      step.name = name.substr(0, open);
      if (!step.item) return std::nullopt;
    }
    if (step.name.empty() || (step.item && rest.empty())) return std::nullopt;
    out.push_back(step);
  }
  if (out.empty()) return std::nullopt;
  return out;
}

// The same winner whatever the order of arrival.
bool earlier(const StageRecord& a, const StageRecord& b) {
  return std::tie(a.at, a.attempt, a.what, a.output) < std::tie(b.at, b.attempt, b.what, b.output);
}
void keep_earliest(std::optional<StageRecord>& into, const StageRecord& record) {
  if (!into || earlier(record, *into)) into = record;
}
bool keep_earliest(std::map<std::uint32_t, StageRecord>& into, const StageRecord& record) {
  const auto [at, fresh] = into.emplace(record.attempt, record);
  if (!fresh && earlier(record, at->second)) at->second = record;
  return fresh;
}

}  // namespace

std::string_view to_string(StageRecord::What what) {
  constexpr std::string_view names[] = {"started", "done", "skipped", "failed", "compensated"};
  return names[static_cast<std::size_t>(what)];
}
std::string_view to_string(StageState state) {
  constexpr std::string_view names[] = {"pending", "running", "waiting", "retrying", "done", "skipped", "failed"};
  return names[static_cast<std::size_t>(state)];
}

Answers& Node::question(const Digest& input) {
  for (Answers& a : answers)
    if (a.input == input) return a;
  answers.push_back({.input = input, .result = {}, .compensated = {}, .started = {}, .failures = {}});
  return answers.back();
}

void Node::forget() {
  state = StageState::pending;
  asks.reset();
  stand_in = nullptr;
  error.reset();
  substitute.reset();
  fallen = broken = false;
  closed.clear();
  passed = 0;
  for (auto& item : items)
    if (item) {
      item->item.reset();
      for (Node& n : item->nodes) n.forget();
    }
}

Node* Graph::find(std::string_view name) {
  for (Node& n : nodes)
    if (n.stage->name == name) return &n;
  return nullptr;
}

std::unique_ptr<Graph> make_graph(const Stages& stages, Graph* around, Node* owner, const MapStage* map, std::size_t index, std::string prefix) {
  auto graph = std::make_unique<Graph>();
  graph->stages = &stages;
  graph->around = around;
  graph->owner = owner;
  graph->map = map;
  graph->index = index;
  graph->prefix = std::move(prefix);
  graph->nodes.resize(stages.size());
  for (std::size_t i = 0; i < stages.size(); ++i) graph->nodes[i].stage = &stages[i];
  return graph;
}

Graph* item_of(Node& node, Graph& around, std::size_t index) {
  const auto* map = node.stage->as<MapStage>();
  if (!map || index >= map->max) return nullptr;
  if (node.items.size() <= index) node.items.resize(index + 1);
  if (!node.items[index])
    node.items[index] = make_graph(map->stages, &around, &node, map, index, fmt::format("{}{}[{}].", around.prefix, node.stage->name, index));
  return node.items[index].get();
}

RunState::RunState(FlowPtr flow, RunStart start) : flow_(std::move(flow)), start_(std::move(start)), inside_(std::make_unique<Inside>()) {
  inside_->top = make_graph(flow_->stages(), nullptr, nullptr, nullptr, 0, {});
}
RunState::~RunState() = default;
RunState::RunState(RunState&&) noexcept = default;
RunState& RunState::operator=(RunState&&) noexcept = default;

namespace {

// `over` (may be null): whether decide is done with it, or with an item that it is part of.
Node* node_at(Graph& top, std::string_view path, bool* over = nullptr) {
  const auto steps = steps_of(path);
  if (!steps) return nullptr;
  Graph* graph = &top;
  Node* node = nullptr;
  for (const Step& step : *steps) {
    if (!graph) return nullptr;
    node = graph->find(step.name);
    if (!node) return nullptr;
    if (over) *over |= node->settled() || (step.item && *step.item < node->closed.size() && node->closed[*step.item]);
    graph = step.item ? item_of(*node, *graph, *step.item) : nullptr;
  }
  return node;
}

}  // namespace

Result<void> RunState::apply(const StageRecord& record) {
  bool over = false;
  Node* node = node_at(*inside_->top, record.path, &over);
  if (!node) return fail(ErrorCode::caller_not_found, fmt::format("the flow {} has no stage {}", flow_->name(), record.path));
  node->running = false;
  if (over && record.what != StageRecord::What::compensated) inside_->stale = true;
  Answers& a = node->question(record.input);
  switch (record.what) {
    case StageRecord::What::started: keep_earliest(a.started, record); break;
    case StageRecord::What::compensated: keep_earliest(a.compensated, record); break;
    case StageRecord::What::done:
    case StageRecord::What::skipped: {
      if (!a.result) cost_ += record.cost;
      keep_earliest(a.result, record);
      break;
    }
    case StageRecord::What::failed:
      if (keep_earliest(a.failures, record)) cost_ += record.cost;
      break;
  }
  return {};
}

void RunState::begin(std::string_view path) {
  if (Node* node = node_at(*inside_->top, path)) node->running = true;
}
void RunState::lost(std::string_view path) {
  if (Node* node = node_at(*inside_->top, path)) node->running = false;
}

namespace {

RunState::View view_of(std::string path, const Node& node) {
  RunState::View v;
  v.path = std::move(path);
  v.stage = node.stage;
  v.state = node.running && !node.settled() ? StageState::running : node.state;
  if (node.asks) {
    const Answers& a = node.answers[*node.asks];
    v.input = a.input;
    if (!a.failures.empty()) {
      v.attempts = a.failures.rbegin()->first;
      v.error = a.failures.rbegin()->second.error ? &*a.failures.rbegin()->second.error : nullptr;
    }
    if (a.result) v.attempts = std::max(v.attempts, a.result->attempt);
    v.compensated = a.compensated && !a.compensated->error;
  }
  if (node.error) v.error = &*node.error;
  if (node.state != StageState::done) return v;
  if (const auto* r = node.result()) {
    v.value = r->value;
    v.confidence = r->confidence;
    v.fallback = node.stand_in || r->fallback;
    v.taint = r->taint;
    v.at = r->at;
  }
  return v;
}

void collect(const Graph& graph, std::vector<RunState::View>& out) {
  for (const Node& n : graph.nodes) {
    out.push_back(view_of(graph.prefix + n.stage->name, n));
    for (const auto& item : n.items)
      if (item) collect(*item, out);
  }
}

}  // namespace

std::vector<RunState::View> RunState::stages() const {
  std::vector<View> out;
  collect(*inside_->top, out);
  return out;
}

std::optional<RunState::View> RunState::find(std::string_view path) const {
  const auto steps = steps_of(path);
  Graph* graph = inside_->top.get();
  const Node* node = nullptr;
  for (std::size_t i = 0; steps && graph && i < steps->size(); ++i) {
    const Step& step = (*steps)[i];
    node = graph->find(step.name);
    const bool inner = i + 1 < steps->size();
    if (!node || inner != step.item.has_value()) return std::nullopt;
    graph = inner && *step.item < node->items.size() ? node->items[*step.item].get() : nullptr;
    if (inner && !graph) return std::nullopt;
  }
  return node ? std::optional(view_of(std::string(path), *node)) : std::nullopt;
}

// ---- Beginning again

std::set<std::string_view> with_followers(const Stages& stages, std::string_view name) {
  std::set<std::string_view> out{name};
  for (bool more = true; std::exchange(more, false);)
    for (const Stage& s : stages) {
      const bool follows = std::ranges::any_of(s.waits_for, [&](const auto& w) { return out.contains(w); }) || out.contains(s.fallback.stage);
      if (follows && out.insert(s.name).second) more = true;
    }
  return out;
}

std::vector<StageRecord> keep_before(const Flow& flow, std::vector<StageRecord> records, std::string_view path) {
  const auto steps = steps_of(path);
  if (!steps || !flow.at_path(path)) return records;
  const Stages* stages = &flow.stages();
  std::string prefix;
  for (const Step& step : *steps) {
    auto gone = with_followers(*stages, step.name);
    const Stage* stage = find_stage(*stages, step.name);
    const auto own = prefix + stage->name;
    std::erase_if(records, [&](const StageRecord& r) {
      if (!std::string_view(r.path).starts_with(prefix)) return false;
      const auto rest = std::string_view(r.path).substr(prefix.size());
      const auto name = rest.substr(0, rest.find_first_of(".["));
      if (!gone.contains(name)) return false;
      // A map that is entered keeps its items and forgets what it made of them.
      if (name == step.name && step.item) return r.path == own && r.what != StageRecord::What::started;
      return true;
    });
    if (step.item) {
      prefix = fmt::format("{}[{}].", own, *step.item);
      stages = &stage->as<MapStage>()->stages;
    }
  }
  return records;
}

}  // namespace ballast::work
