// What comes after what: names to stages, circles, and what an expression can see.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "work/flow_reader.hpp"
#include "work/flow_reads.hpp"

namespace ballast::work {
namespace {

constexpr std::array<std::string_view, 4> stage_members = {"output", "confidence", "skipped", "fallback"};
constexpr std::array<std::string_view, 3> run_members = {"id", "flow", "version"};

void insert_sorted(std::vector<std::string>& into, const std::string& name) {
  const auto at = std::ranges::lower_bound(into, name);
  if (at == into.end() || *at != name) into.insert(at, name);
}

std::string suggestion(std::string_view name, std::span<const std::string_view> known) {
  const auto near = nearest_name(name, known);
  return near.empty() ? std::string() : fmt::format(", did you mean \"{}\"?", near);
}

// One graph: the flow's, or a map's inside another.
struct Scope {
  Stages& stages;
  const Scope* around = nullptr;
  const MapStage* map = nullptr;

  std::vector<std::string_view> names() const {
    std::vector<std::string_view> out;
    for (const Scope* s = this; s; s = s->around)
      for (const Stage& stage : s->stages) out.push_back(stage.name);
    return out;
  }
};

class Linker {
 public:
  Linker(std::string_view file, std::vector<ConfigMistake>& mistakes) : file_(file), mistakes_(mistakes) {}

  void link(const Scope& scope) {
    for (Stage& s : scope.stages) {
      if (auto* m = std::get_if<MapStage>(&s.does)) link_map(s, *m, scope);
      for (const auto& name : s.after) order(s, name, scope);
      for (const auto& name : s.needs) order(s, name, scope);
      choices(s, scope);
      fall_back(s, scope);
      if (const auto* a = s.as<ApproveStage>(); a && !a->when.of.empty()) order(s, a->when.of, scope);
      for (const Reading& r : readings(s))
        if (r.view != View::inside) reads(s, r, scope);
    }
    circles(scope);
  }

  std::vector<std::string> output(const Expr& output, Stages& stages) {
    Stage end;                                     // as if the output were a stage after all others
    end.at = {0, 0, "output"};
    const Scope scope{stages};
    if (output) {
      reads(end, {&output.jq->reads(), &output.at}, scope);
      if (output.jq->reads().whole || reads_all_stages(output.jq->reads()))
        for (const Stage& s : stages) insert_sorted(end.waits_for, s.name);
    } else if (const Stage* last = last_stage(stages)) {
      end.waits_for.push_back(last->name);
    } else if (!stages.empty()) {
      complain({1, 1, "output"}, "is required: several stages come last, so say what the flow gives back");
    }
    return std::move(end.waits_for);
  }

 private:
  void complain(const Place& at, std::string message) { mistakes_.push_back({std::string(file_), at.line, at.column, at.field, std::move(message)}); }

  static bool reads_all_stages(const Jq::Reads& reads) {
    return std::ranges::any_of(reads.paths, [](const auto& p) { return p.size() == 1 && p[0] == "stages"; });
  }

  void link_map(Stage& s, MapStage& m, const Scope& scope) {
    const Scope inner{m.stages, &scope, &m};
    link(inner);
    Stage end;                                     // the map's output, as if it were its last stage
    end.at = s.at;
    if (m.output) reads(end, {&m.output.jq->reads(), &m.output.at}, inner, true);
    else if (!last_stage(m.stages)) complain(s.at, "needs an output: several stages of the map come last");
    const auto beyond = [&](const std::vector<std::string>& names) {
      for (const auto& name : names) insert_sorted(find_stage(scope.stages, name) ? s.waits_for : s.outer, name);
    };
    for (const Stage& stage : m.stages) beyond(stage.outer);
    beyond(end.outer);
  }

  void unknown(const Place& at, std::string_view name, const Scope& scope) {
    for (const Stage& s : scope.stages)
      if (const auto* m = s.as<MapStage>(); m && find_stage(m->stages, name))
        return complain(at, fmt::format("names the stage {}, which is inside the map {}; .stages.{}.output has what the map gives back", name, s.name, s.name));
    complain(at, fmt::format("names the stage {}, which does not exist{}", name, suggestion(name, scope.names())));
  }

  // `s` comes after `name`, of its own graph.
  void order(Stage& s, const std::string& name, const Scope& scope) {
    if (name == s.name) complain(s.at, "comes after itself");
    else if (find_stage(scope.stages, name)) insert_sorted(s.waits_for, name);
    else unknown(s.at, name, scope);
  }

  void choices(Stage& s, const Scope& scope) {
    const auto* c = s.as<ChooseStage>();
    if (!c) return;
    for (const auto& branch : c->branches)
      for (const auto& name : branch.then) {
        auto target = std::ranges::find(scope.stages, name, &Stage::name);
        if (target == scope.stages.end()) {
          unknown(branch.at, name, scope);
          continue;
        }
        insert_sorted(target->chosen_by, s.name);
        insert_sorted(target->waits_for, s.name);
      }
  }

  void fall_back(Stage& s, const Scope& scope) {
    if (s.fallback.stage.empty()) return;
    auto target = std::ranges::find(scope.stages, s.fallback.stage, &Stage::name);
    if (target == scope.stages.end()) unknown(s.fallback.at, s.fallback.stage, scope);
    else target->only_fallback = true;
  }

  void reads(Stage& s, const Reading& r, const Scope& scope, bool of_map = false) {
    const bool all = r.reads->whole || reads_all_stages(*r.reads);
    const bool is_output = s.name.empty() && !of_map;
    if (all && r.view != View::settled && !is_output && s.after.empty() && s.needs.empty() && !of_map)
      complain(*r.at, "may read every stage, so its order is not known: read .stages.NAME.output, or name in after what it comes after");
    if (all && r.view == View::settled && r.reads->whole) complain(*r.at, "reads everything; a settle stage's effect sees .values and .run alone");
    for (const auto& path : r.reads->paths) read(s, r, path, scope, of_map);
  }

  void read(Stage& s, const Reading& r, const std::vector<std::string>& path, const Scope& scope, bool of_map) {
    const std::string_view root = path.empty() ? std::string_view() : std::string_view(path[0]);
    if (path.empty() || root.starts_with('$')) return;
    const auto visible = roots(r.view, scope);
    if (std::ranges::find(visible, root) == visible.end()) {
      if (r.view == View::settled) return complain(*r.at, fmt::format("reads .{}; a settle stage's effect sees .values and .run alone", root));
      return complain(*r.at, fmt::format("reads .{}, which there is not{}", root, suggestion(root, visible)));
    }
    if (root == "run" && path.size() > 1) return member(*r.at, "run", path[1], run_members);
    if (root != "stages" || path.size() < 2) return;
    const auto& name = path[1];
    if (name == s.name) return complain(*r.at, fmt::format("reads its own stage {}{}", name, r.view == View::own ? "; .output is what it gave" : ""));
    const Scope* where = &scope;
    while (where && !find_stage(where->stages, name)) where = where->around;
    if (!where) return unknown(*r.at, name, scope);
    // What stands around an inner stage is the map's to wait for; a map that reads itself from inside would wait for ever.
    if (where != &scope && contains(*where, name, scope)) return complain(*r.at, fmt::format("reads the map {} that it is part of", name));
    if (where != &scope) insert_sorted(s.outer, name);
    else if (!of_map) insert_sorted(s.waits_for, name);
    if (path.size() > 2) member(*r.at, fmt::format("stages.{}", name), path[2], stage_members);
  }

  static bool contains(const Scope& where, std::string_view name, const Scope& inner) {
    const Stage* stage = find_stage(where.stages, name);
    for (const Scope* s = &inner; s != &where; s = s->around)
      if (stage->as<MapStage>() == s->map) return true;
    return false;
  }

  void member(const Place& at, std::string_view of, std::string_view name, std::span<const std::string_view> known) {
    if (std::ranges::find(known, name) != known.end()) return;
    complain(at, fmt::format("reads .{}.{}, which there is not: it has .{}", of, name, fmt::join(known, ", .")));
  }

  static std::vector<std::string_view> roots(View view, const Scope& scope) {
    if (view == View::settled) return {"values", "run"};
    std::vector<std::string_view> out = {"input", "stages", "run"};
    if (view == View::own) out.push_back("output");
    if (view == View::failed) out.push_back("error");
    for (const Scope* s = &scope; s; s = s->around)
      if (s->map) {
        out.push_back(s->map->as);
        out.push_back("index");
      }
    return out;
  }

  // A stage waits for what it comes after, and for the fallback that may stand in for it.
  void circles(const Scope& scope) {
    enum class Mark { none, open, closed };
    std::map<std::string_view, Mark> marks;
    std::vector<std::string_view> way;
    const auto visit = [&](const auto& self, const Stage& s) -> void {
      auto& mark = marks[s.name];
      if (mark == Mark::closed) return;
      way.push_back(s.name);
      if (mark == Mark::open) {
        const auto from = std::ranges::find(way, s.name);
        complain(s.at, fmt::format("waits for itself: {}", fmt::join(std::vector(from, way.end()), " → ")));
      } else {
        mark = Mark::open;
        for (const auto& name : s.waits_for)
          if (const Stage* next = find_stage(scope.stages, name)) self(self, *next);
        if (const Stage* next = find_stage(scope.stages, s.fallback.stage)) self(self, *next);
        marks[s.name] = Mark::closed;
      }
      way.pop_back();
    };
    for (const Stage& s : scope.stages) visit(visit, s);
  }

  std::string_view file_;
  std::vector<ConfigMistake>& mistakes_;
};

}  // namespace

std::vector<std::string> link(Stages& stages, const Expr& output, std::string_view file, std::vector<ConfigMistake>& mistakes) {
  Linker linker(file, mistakes);
  linker.link(Scope{stages});
  return linker.output(output, stages);
}

}  // namespace ballast::work
