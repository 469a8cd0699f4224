// What a stage sees, the question it asks (its input hash), and the taint of what it reads.
#include <algorithm>
#include <set>

#include "work/canonical.hpp"
#include "work/decide_round.hpp"
#include "work/flow_reads.hpp"

namespace ballast::work {
namespace {

using Paths = std::span<const std::string>;

std::string_view bytes(const Digest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }

// The value at a path as far as it is made of members; what lies beyond is part of it.
const json::value& projected(const json::value& value, Paths path) {
  static const json::value absent = nullptr;
  const json::value* at = &value;
  for (const auto& name : path) {
    const auto* object = at->if_object();
    if (!object) return *at;
    const auto* next = object->if_contains(name);
    if (!next) return absent;
    at = next;
  }
  return *at;
}

Node* find_around(Graph& graph, std::string_view name) {
  for (Graph* g = &graph; g; g = g->around)
    if (Node* node = g->find(name)) return node;
  return nullptr;
}

Graph* item_named(Graph& graph, std::string_view name) {
  for (Graph* g = &graph; g; g = g->around)
    if (g->map && g->map->as == name) return g;
  return nullptr;
}

json::object seen(const Node& node) {
  const StageRecord* r = node.state == StageState::done ? node.result() : nullptr;
  json::object out;
  out["output"] = r && r->value ? *r->value : json::value(nullptr);
  out["confidence"] = r && r->confidence ? json::value(*r->confidence) : json::value(nullptr);
  out["skipped"] = node.state == StageState::skipped;
  out["fallback"] = r && (node.stand_in || r->fallback);
  return out;
}

// Of a map: its own reads and those of its inner stages, whose results it is made of.
void all_reads(const Stage& stage, std::vector<const Jq::Reads*>& out) {
  for (const Reading& r : readings(stage))
    if (r.view != View::settled) out.push_back(r.reads);
  if (const auto* m = stage.as<MapStage>())
    for (const Stage& inner : m->stages) all_reads(inner, out);
}

}  // namespace

// Each thing read is named once, in sorted order, so that the question does not depend on how the expressions are written down.
Digest DecideRound::question(Graph& graph, const Stage& stage) {
  std::vector<const Jq::Reads*> reads;
  all_reads(stage, reads);
  std::map<std::string, std::string> parts;
  const auto stage_part = [&](const std::string& name) {
    const Node* node = find_around(graph, name);
    if (!node) return;                                   // of the map's own inside
    const StageRecord* r = node->state == StageState::done ? node->result() : nullptr;
    parts["stages." + name] = r ? std::string(bytes(r->output)) : "-";
  };
  const auto input_part = [&](Paths path) {
    std::string key = "input";
    for (const auto& name : path) key += "." + name;
    if (!parts.contains(key)) parts[key] = bytes(value_digest(projected(state_.start_.input, path)));
  };
  for (const Jq::Reads* r : reads) {
    const auto everything = [&] {
      for (const auto& name : stage.waits_for) stage_part(name);
    };
    if (r->whole) {
      everything();
      input_part({});
      for (const Graph* g = &graph; g; g = g->around)
        if (g->map) parts["item." + g->map->as] = bytes(g->item_digest);
    }
    for (const auto& path : r->paths) {
      if (path.empty()) continue;
      if (path[0] == "input") input_part(Paths(path).subspan(1));
      else if (path[0] == "stages" && path.size() > 1) stage_part(path[1]);
      else if (path[0] == "stages") everything();
      else if (path[0] == "index" && graph.map) parts["index"] = std::to_string(graph.index);
      else if (const Graph* g = item_named(graph, path[0])) parts["item." + path[0]] = bytes(g->item_digest);
    }
  }
  Sha256 sum;
  sum.update("ballast.stage.1\n");
  sum.update(bytes(stage.digest));
  for (const auto& [name, value] : parts) sum.update(std::to_string(name.size()) + ":" + name + std::to_string(value.size()) + ":" + value);
  return sum.finish();
}

json::object DecideRound::context(Graph& graph, const Stage& stage) {
  std::vector<const Jq::Reads*> reads;
  for (const Reading& r : readings(stage))
    if (r.view != View::inside && r.view != View::settled) reads.push_back(r.reads);
  return context_of(graph, reads, stage.waits_for);
}

json::object DecideRound::context_of(Graph& graph, const std::vector<const Jq::Reads*>& reads, const std::vector<std::string>& waits_for, bool inside) {
  bool input = false, items = false;
  std::set<std::string_view> names;
  for (const Jq::Reads* r : reads) {
    bool everything = r->whole;
    input |= r->whole;
    items |= r->whole;
    for (const auto& path : r->paths) {
      if (path.empty()) continue;
      if (path[0] == "input") input = true;
      else if (path[0] == "stages" && path.size() > 1) names.insert(path[1]);
      else if (path[0] == "stages") everything = true;
      else items = true;
    }
    if (everything) names.insert(waits_for.begin(), waits_for.end());
    if (everything && inside)
      for (const Node& n : graph.nodes) names.insert(n.stage->name);
  }
  json::object out;
  if (input) out["input"] = state_.start_.input;
  json::object stages;
  for (const auto name : names)
    if (const Node* node = find_around(graph, name)) stages[name] = seen(*node);
  out["stages"] = std::move(stages);
  out["run"] = {{"id", state_.start_.id}, {"flow", state_.flow_->name()}, {"version", state_.flow_->version_name()}};
  for (const Graph* g = &graph; items && g; g = g->around) {
    if (!g->map || out.contains(g->map->as)) continue;
    out[g->map->as] = g->item ? *g->item : json::value(nullptr);
    if (!out.contains("index")) out["index"] = g->index;
  }
  return out;
}

TaintsAround DecideRound::taints(Graph& graph) const {
  TaintsAround around;
  around.stage = [&graph](std::string_view name) {
    const Node* node = find_around(graph, name);
    const StageRecord* r = node && node->state == StageState::done ? node->result() : nullptr;
    return r ? r->taint : Taint();
  };
  around.item = [&graph](std::string_view name) {
    Taint out;
    for (const Graph* g = &graph; g; g = g->around)
      if (g->map && (name.empty() || g->map->as == name)) out.join(g->item_taint);
    return out;
  };
  around.input = state_.start_.taint ? *state_.start_.taint : input_taint(*state_.flow_);
  return around;
}

}  // namespace ballast::work
