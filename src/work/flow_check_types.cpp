// Members and types: what an expression reads against what the schema of its source says.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "work/flow_proof.hpp"
#include "work/flow_reads.hpp"

namespace ballast::work {
namespace {

struct Scope {
  const Stages& stages;
  const Scope* around = nullptr;
  const MapStage* map = nullptr;
};

class Types {
 public:
  Types(const Flow& flow, std::span<const FlowPtr> flows, Proof& out) : flow_(flow), flows_(flows), out_(out) {}

  void graph(const Scope& scope) {
    for (const Stage& s : scope.stages) {
      for (const Reading& r : readings(s))
        if (r.view != View::inside) members(r, scope, output_of(s));
      if (const auto* m = s.as<MapStage>()) {
        const Scope inner{m->stages, &scope, m};
        graph(inner);
        if (m->output) members({&m->output.jq->reads(), &m->output.at}, inner, nullptr);
        list(*m, scope);
      }
      if (const auto* f = s.as<FlowStage>(); f && f->input)
        if (const Flow* child = flow_named(flows_, f->name); child && child->input())
          fits(f->input, child->input().text, fmt::format("what the flow {} takes", f->name), scope);
      if (const Expr* e = sent(s); e && *e && s.input) fits(*e, s.input.text, "the stage's input", scope);
      if (const auto* t = s.as<TransformStage>(); t && s.output) fits(t->program, s.output.text, "the stage's output", scope);
    }
  }

  void members(const Reading& r, const Scope& scope, const json::value* own) {
    for (const auto& path : r.reads->paths) {
      const auto [schema, rest] = source(path, scope, own);
      if (!schema) continue;
      const auto type = type_at(*schema, rest);
      const auto what = fmt::format("reads .{}: .{} {}", fmt::join(path, "."), fmt::join(std::span(path).first(path.size() - rest.size()), "."), type.why);
      if (type.says == PathType::Says::never) out_.error(flow_, *r.at, what);
      if (type.says == PathType::Says::doubtful) out_.warning(flow_, *r.at, what);
    }
  }

 private:
  using Path = std::span<const std::string>;

  // What an outer thing's schema says of its output: of a child flow, its output stage where that is plain.
  const json::value* output_of(const Stage& s) const { return output_schema(s); }

  // The schema that a path leads into, and the rest of the path below it.
  std::pair<const json::value*, Path> source(Path path, const Scope& scope, const json::value* own) const {
    if (path.empty()) return {};
    if (path[0] == "input") return {flow_.input() ? &flow_.input().text : nullptr, path.subspan(1)};
    if (path[0] == "output") return {own, path.subspan(1)};
    if (path[0] != "stages" || path.size() < 3 || path[2] != "output") return {};
    for (const Scope* s = &scope; s; s = s->around)
      if (const Stage* stage = find_stage(s->stages, path[1])) {
        // The body of an answer has a schema of its own.
        const auto* h = stage->as<HttpStage>();
        if (h && h->call.schema && !stage->output && path.size() > 3 && path[3] == "body") return {&h->call.schema.text, path.subspan(4)};
        return {output_of(*stage), path.subspan(3)};
      }
    return {};
  }

  static const Expr* sent(const Stage& s) {
    if (const auto* h = s.as<HttpStage>()) return &h->call.body;
    if (const auto* w = s.as<WorkerStage>()) return &w->input;
    if (const auto* f = s.as<FlowStage>()) return &f->input;
    if (const auto* t = s.as<SettleStage>()) return &t->values;
    return nullptr;
  }

  // The path that a program is, when it is nothing but a path: its value is then of that type.
  static std::vector<std::string> plain_path(const Expr& e) {
    const auto text = trim(e.jq->text());
    const bool plain = text.size() > 1 && text[0] == '.' && text[1] != '.' && std::ranges::all_of(text, [](char c) {
      return c == '.' || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    });
    std::vector<std::string> out;
    if (plain)
      for (const auto step : split(text.substr(1), '.')) out.emplace_back(step);
    return out;
  }

  PathType type_of(const Expr& e, const Scope& scope, const std::vector<std::string>& path) const {
    if (!e || path.empty()) return {};
    const auto [schema, rest] = source(path, scope, nullptr);
    return schema ? type_at(*schema, rest) : PathType{};
  }

  void fits(const Expr& e, const json::value& wanted, std::string_view whose, const Scope& scope) {
    const auto path = plain_path(e);
    const auto type = type_of(e, scope, path);
    if (type.says != PathType::Says::known) return;
    if (const auto why = mismatch(*type.schema, wanted)) out_.error(flow_, e.at, fmt::format("does not fit {}: {}", whose, *why));
  }

  void list(const MapStage& m, const Scope& scope) {
    static const json::value array = json::object{{"type", "array"}};
    const auto path = plain_path(m.over);
    const auto type = type_of(m.over, scope, path);
    if (type.says != PathType::Says::known) return;
    if (const auto why = mismatch(*type.schema, array)) out_.error(flow_, m.over.at, fmt::format("cannot be gone over: {}", *why));
  }

  const Flow& flow_;
  std::span<const FlowPtr> flows_;
  Proof& out_;
};

}  // namespace

void check_types(const Flow& flow, std::span<const FlowPtr> flows, Proof& out) {
  Types types(flow, flows, out);
  const Scope scope{flow.stages()};
  types.graph(scope);
  if (flow.output()) types.members({&flow.output().jq->reads(), &flow.output().at}, scope, nullptr);
}

bool reads_stage(const Stage& stage, std::string_view name, std::string_view member) {
  for (const Reading& r : readings(stage))
    for (const auto& path : r.reads->paths)
      if (path.size() > 1 && path[0] == "stages" && path[1] == name && (path.size() == 2 || path[2] == member)) return true;
  return false;
}

}  // namespace ballast::work
