#include "query/joins.hpp"

#include <algorithm>
#include <queue>

namespace ballast::query {

namespace {

struct Edge {
  std::size_t join, to;                    // to: a node
  bool forward;
};

std::size_t index_of(const Dataset& d, const Node* node) { return static_cast<std::size_t>(node - d.nodes.data()); }

// From a node over every declared edge. Roles are ends: nothing leads on from them.
std::vector<Edge> edges_of(const Dataset& d, std::size_t node) {
  std::vector<Edge> out;
  if (d.nodes[node].role) return out;
  for (std::size_t j = 0; j < d.joins.size(); ++j) {
    const Join& join = d.joins[j];
    if (!join.role.empty()) {
      if (join.from == node) out.push_back({j, index_of(d, d.node(join.role)), true});
      continue;
    }
    if (join.from == node) out.push_back({j, join.to, true});
    if (join.to == node) out.push_back({j, join.from, false});
  }
  return out;
}

// One shortest way to a node from what is joined, and how many there are.
struct Way {
  std::size_t length = 0, count = 0;
  std::vector<JoinStep> steps;             // of one of them
  std::string words, other;                // two of them, for the error
};

std::string words_of(const Dataset& d, const std::vector<JoinStep>& steps) {
  std::string out;
  for (const auto& s : steps) out += (out.empty() ? d.nodes[s.parent].name : "") + " → " + d.nodes[s.node].name;
  return out;
}

class Planner {
 public:
  Planner(const Dataset& dataset, std::size_t root) : dataset_(dataset), joined_{root} { plan_.root = root; }

  // Breadth first from all that is joined: the steps back to it, of at most two ways.
  Way way_to(std::size_t target) const {
    std::map<std::size_t, std::size_t> distance;
    std::map<std::size_t, std::vector<JoinStep>> before;
    std::queue<std::size_t> open;
    for (const auto n : joined_) distance[n] = 0, open.push(n);
    while (!open.empty()) {
      const std::size_t at = open.front();
      open.pop();
      for (const auto& e : edges_of(dataset_, at)) {
        const auto [known, fresh] = distance.try_emplace(e.to, distance[at] + 1);
        if (fresh) open.push(e.to);
        if (known->second == distance[at] + 1) before[e.to].push_back({.node = e.to, .parent = at, .join = e.join, .forward = e.forward});
      }
    }
    Way out;
    if (!distance.contains(target)) return out;
    out.length = distance[target];
    std::vector<JoinStep> steps;
    walk_back(target, before, steps, out);
    return out;
  }

  Result<void> add(std::size_t target, const Way& way, const std::string& path) {
    if (way.count == 0) return fail(ErrorCode::caller_invalid_request, fmt::format("no declared join leads from {} to {}", dataset_.nodes[plan_.root].name, dataset_.nodes[target].name), path);
    if (way.count > 1)
      return fail(ErrorCode::caller_invalid_request, fmt::format("there are several ways to {}: {}; {}. Say which by \"through\": [a table on the way]", dataset_.nodes[target].name, way.words, way.other), path);
    for (const auto& s : way.steps) {
      plan_.steps.push_back(s);
      joined_.insert(s.node);
    }
    return {};
  }
  bool has(std::size_t node) const { return joined_.contains(node); }
  JoinPlan take() { return std::move(plan_); }

 private:
  void walk_back(std::size_t at, const std::map<std::size_t, std::vector<JoinStep>>& before, std::vector<JoinStep>& steps, Way& out) const {
    if (joined_.contains(at)) {
      std::vector<JoinStep> way(steps.rbegin(), steps.rend());
      if (++out.count == 1) {
        out.words = words_of(dataset_, way);
        out.steps = std::move(way);
      } else {
        out.other = words_of(dataset_, way);
      }
      return;
    }
    for (const auto& step : before.at(at)) {
      if (out.count > 1) return;
      steps.push_back(step);
      walk_back(step.parent, before, steps, out);
      steps.pop_back();
    }
  }

  const Dataset& dataset_;
  std::set<std::size_t> joined_;
  JoinPlan plan_;
};

void mark_outer(JoinPlan& plan, const Intent& intent, const Dataset& d) {
  std::set<std::size_t> outer;
  for (auto& s : plan.steps) {
    s.outer = outer.contains(s.parent) || std::ranges::find(intent.optional, d.nodes[s.node].name) != intent.optional.end();
    if (s.outer) outer.insert(s.node);
  }
}

void find_grain(JoinPlan& plan, const Dataset& d) {
  plan.grain = plan.root;
  plan.whole = {plan.root};
  for (const auto& s : plan.steps) {
    const auto cardinality = d.joins[s.join].cardinality;
    if (cardinality == Cardinality::one_to_one) {
      if (plan.whole.contains(s.parent)) plan.whole.insert(s.node);
      continue;
    }
    if (cardinality == Cardinality::many_to_one && s.forward) continue;
    if (plan.grain && cardinality == Cardinality::many_to_one && plan.whole.contains(s.parent)) {
      plan.grain = s.node;
      plan.whole = {s.node};
    } else {
      plan.grain.reset();
      plan.whole.clear();
    }
  }
}

void gather(const Expression& e, const Dataset& d, std::set<std::size_t>& into);
void gather(const Condition& c, const Dataset& d, std::set<std::size_t>& into) {
  for (const auto& p : c.parts) gather(p, d, into);
  for (const auto& e : c.sides) gather(e, d, into);
}
void gather(const Expression& e, const Dataset& d, std::set<std::size_t>& into) {
  if (e.op == Expression::Op::column) into.insert(index_of(d, d.node(e.node)));
  for (const auto& a : e.args) gather(a, d, into);
  for (const auto& a : e.within) gather(a, d, into);
  for (const auto& o : e.order) gather(o.by, d, into);
  if (e.where) gather(*e.where, d, into);
}

}  // namespace

bool JoinPlan::has(std::size_t node) const { return node == root || std::ranges::any_of(steps, [&](const JoinStep& s) { return s.node == node; }); }
bool JoinPlan::is_outer(std::size_t node) const { return std::ranges::any_of(steps, [&](const JoinStep& s) { return s.node == node && s.outer; }); }

std::set<std::size_t> nodes_used(const Intent& intent, const Dataset& dataset) {
  std::set<std::size_t> out;
  for (const auto& o : intent.outputs) gather(o.value, dataset, out);
  for (const auto& o : intent.order) gather(o.by, dataset, out);
  if (intent.where) gather(*intent.where, dataset, out);
  if (intent.having) gather(*intent.having, dataset, out);
  return out;
}

Result<JoinPlan> plan_joins(const Intent& intent, const std::set<std::size_t>& needed, const Dataset& dataset, const std::string& path) {
  Planner planner(dataset, index_of(dataset, dataset.node(intent.from)));
  for (const auto& name : intent.through) {
    const std::size_t node = index_of(dataset, dataset.node(name));
    if (planner.has(node)) continue;
    if (auto added = planner.add(node, planner.way_to(node), path); !added) return std::unexpected(added.error());
  }
  std::set<std::size_t> open = needed;
  for (const auto& name : intent.optional) open.insert(index_of(dataset, dataset.node(name)));
  for (;;) {
    std::erase_if(open, [&](std::size_t n) { return planner.has(n); });
    if (open.empty()) break;
    std::size_t nearest = *open.begin();
    Way best = planner.way_to(nearest);
    for (const auto n : open) {
      Way way = planner.way_to(n);
      // What has one way goes before what has two: it may lead by.
      const auto rank = [](const Way& w) { return std::pair(w.count == 1 ? 0 : w.count > 1 ? 1 : 2, w.length); };
      if (rank(way) < rank(best)) nearest = n, best = std::move(way);
    }
    if (auto added = planner.add(nearest, best, path); !added) return std::unexpected(added.error());
  }
  JoinPlan plan = planner.take();
  if (plan.steps.size() > dataset.limits.joins) return fail(ErrorCode::caller_too_large, fmt::format("needs more than {} joins", dataset.limits.joins), path);
  mark_outer(plan, intent, dataset);
  find_grain(plan, dataset);
  return plan;
}

}  // namespace ballast::query
