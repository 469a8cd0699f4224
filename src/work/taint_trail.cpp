#include "work/taint_trail.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "work/taint_source.hpp"

namespace ballast::work {
namespace {

bool has(const Taint& taint, const TaintOrigin& origin) { return std::ranges::binary_search(taint.origins(), origin); }

// The search for one origin, from where it arrived back to where it began; nearer places first.
class Trail {
 public:
  explicit Trail(const TaintOrigin& origin) : origin_(origin) {}

  std::string way(Graph& graph, const Stage& sink) {
    read(graph, sink, kSink);
    for (std::size_t i = 0; i < places_.size() && found_.empty(); ++i) leave(i);
    if (!found_.empty()) return found_;
    // A child's run has the rest of it.
    for (std::size_t i = 0; i < places_.size(); ++i)
      if (places_[i].node && places_[i].node->stage->as<FlowStage>()) return told(i, fmt::format("its run's {} ({})", origin_.stage, to_string(origin_.kind)));
    return told(kSink, fmt::format("{} ({})", origin_.stage, to_string(origin_.kind)));
  }

 private:
  static constexpr std::size_t kSink = static_cast<std::size_t>(-1);
  struct Place {
    Graph* graph;
    const Node* node;                        // null: a map's item, `owner` is the map
    const Node* owner;
    std::string name;
    std::size_t before;                      // whence the search came
  };

  std::string told(std::size_t at, std::string end) const {
    std::vector<std::string> steps{std::move(end)};
    for (; at != kSink; at = places_[at].before) steps.push_back(places_[at].name);
    std::ranges::reverse(steps);
    return fmt::format("{}", fmt::join(steps, " ← "));
  }

  void leave(std::size_t i) {
    const Place at = places_[i];
    if (!at.node) return read_list(*at.graph, *at.owner, i);
    const auto source = taint_source(*at.node->stage);
    if (source == origin_.kind && origin_path(at.graph->prefix + at.node->stage->name) == origin_.stage) {
      found_ = told(at.before, fmt::format("{} ({})", at.name, to_string(origin_.kind)));
      return;
    }
    if (at.node->stand_in) give(*at.graph, *at.node->stand_in, i);
    read(*at.graph, *at.node->stage, i);
    for (const auto& item : at.node->items)
      if (item)
        for (const Node& inner : item->nodes) give(*item, inner, i);
  }

  void read_list(Graph& graph, const Node& owner, std::size_t from) {
    for (const auto& path : owner.stage->as<MapStage>()->over.jq->reads().paths) follow(graph, *owner.stage, path, from);
    if (owner.stage->as<MapStage>()->over.jq->reads().whole) follow_all(graph, *owner.stage, from);
  }
  void read(Graph& graph, const Stage& stage, std::size_t from) {
    for (const Reading& r : readings(stage)) {
      if (!carries(r)) continue;
      if (r.reads->whole) follow_all(graph, stage, from);
      for (const auto& path : r.reads->paths) follow(graph, stage, path, from);
    }
  }

  void follow_all(Graph& graph, const Stage& stage, std::size_t from) {
    input(from);
    for (const auto& name : stage.waits_for) named(graph, name, from);
    for (Graph* g = &graph; g; g = g->around)
      if (g->map) item(*g, from);
  }
  void follow(Graph& graph, const Stage& stage, const std::vector<std::string>& path, std::size_t from) {
    if (path.empty()) return;
    if (path[0] == "input") return input(from);
    if (path[0] == "stages" && path.size() > 1) return named(graph, path[1], from);
    if (path[0] == "stages") {
      for (const auto& name : stage.waits_for) named(graph, name, from);
      return;
    }
    for (Graph* g = &graph; g; g = g->around)
      if (g->map && g->map->as == path[0]) return item(*g, from);
  }

  void input(std::size_t from) {
    if (origin_.kind == TaintKind::input && origin_.stage.empty() && found_.empty()) found_ = told(from, "input (the user's)");
  }
  void named(Graph& graph, std::string_view name, std::size_t from) {
    for (Graph* g = &graph; g; g = g->around)
      if (const Node* node = g->find(name)) return give(*g, *node, from);
  }
  void give(Graph& graph, const Node& node, std::size_t from) {
    const StageRecord* r = node.state == StageState::done ? node.result() : nullptr;
    if (!r || !has(r->taint, origin_) || !seen_.insert(node.stage).second) return;
    places_.push_back({&graph, &node, nullptr, node.stage->name + ".output", from});
  }
  void item(Graph& item, std::size_t from) {
    if (!has(item.item_taint, origin_) || !seen_items_.insert(item.map).second) return;
    places_.push_back({item.around, nullptr, item.owner, item.map->as, from});
  }

  const TaintOrigin& origin_;
  std::vector<Place> places_;
  std::set<const Stage*> seen_;
  std::set<const MapStage*> seen_items_;
  std::string found_;
};

}  // namespace

std::vector<std::string> taint_ways(Graph& graph, const Stage& stage, const Taint& taint) {
  std::vector<std::string> out;
  for (const TaintOrigin& origin : taint.origins()) out.push_back(Trail(origin).way(graph, stage));
  return out;
}

}  // namespace ballast::work
