// Taint as a value, and how it spreads while a run runs.
#include "work/taint.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "work/flow_reads.hpp"
#include "work/taint_source.hpp"

namespace ballast::work {
namespace {
constexpr std::string_view kind_names[] = {"model", "web", "worker", "event", "input"};
}  // namespace

std::string_view to_string(TaintKind kind) { return kind_names[static_cast<std::size_t>(kind)]; }

void Taint::join(const Taint& other) {
  for (const auto& o : other.origins_) {
    const auto at = std::ranges::lower_bound(origins_, o);
    if (at == origins_.end() || *at != o) origins_.insert(at, o);
  }
}

json::value Taint::to_json() const {
  json::array out;
  for (const auto& o : origins_) out.push_back(json::object{{"stage", o.stage}, {"kind", to_string(o.kind)}});
  return out;
}

Result<Taint> Taint::from_json(const json::value& value) {
  Taint out;
  const JsonRef list(value);
  if (!list.is_array()) return list.error("must be a list of origins");
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto stage = list.item(i).get<std::string>("stage");
    auto kind = list.item(i).get<std::string_view>("kind");
    if (!stage) return fail(std::move(stage.error()));
    if (!kind) return fail(std::move(kind.error()));
    const auto name = std::ranges::find(kind_names, *kind);
    if (name == std::end(kind_names)) return list.item(i).error("has an unknown kind");
    out.join(TaintOrigin{std::move(*stage), static_cast<TaintKind>(name - kind_names)});
  }
  return out;
}

std::optional<TaintKind> taint_source(const Stage& stage) {
  if (stage.as<ModelStage>()) return TaintKind::model;
  // A model chose what is read; without one, what stands in a database was written by somebody.
  if (const auto* q = stage.as<QueryStage>()) return q->route.empty() ? TaintKind::web : TaintKind::model;
  if (const auto* h = stage.as<HttpStage>(); h && !h->call.trusted) return TaintKind::web;
  if (const auto* s = stage.as<SettleStage>(); s && !s->effect.trusted) return TaintKind::web;
  if (const auto* w = stage.as<WorkerStage>(); w && !w->trusted) return TaintKind::worker;
  if (const auto* w = stage.as<WaitStage>(); w && !w->event.empty()) return TaintKind::event;
  return std::nullopt;
}

bool carries(const Reading& reading) { return reading.role == ReadRole::data && reading.view != View::settled; }

Taint taint_read(const Stage& stage, const TaintsAround& around) {
  Taint out;
  for (const Reading& r : readings(stage)) {
    if (!carries(r)) continue;
    if (r.reads->whole) {
      out.join(around.input);
      for (const auto& name : stage.waits_for) out.join(around.stage(name));
      if (around.item) out.join(around.item({}));
    }
    for (const auto& path : r.reads->paths) {
      if (path.empty()) continue;
      if (path[0] == "input") out.join(around.input);
      else if (path[0] == "stages" && path.size() > 1) out.join(around.stage(path[1]));
      else if (path[0] == "stages")
        for (const auto& name : stage.waits_for) out.join(around.stage(name));
      else if (path[0] != "run" && path[0] != "index" && path[0] != "error" && path[0] != "output" && around.item) out.join(around.item(path[0]));
    }
  }
  return out;
}

Taint taint_given(const Stage& stage, std::string_view path, const TaintsAround& around) {
  // What a source gives is its own whatever it was sent; the rest passes on what it read.
  Taint out = taint_read(stage, around);
  if (const auto source = taint_source(stage)) out.join(TaintOrigin{std::string(path), *source});
  if (!stage.fallback.stage.empty()) out.join(around.stage(stage.fallback.stage));
  return out;
}

std::string origin_path(std::string_view path) {
  std::string out;
  bool inside = false;
  for (const char c : path) {
    if (c == '[') inside = true;
    if (!inside) out += c;
    if (c == ']') inside = false;
  }
  return out;
}

Taint input_taint(const Flow& flow) { return flow.input_trusted() ? Taint() : Taint(TaintOrigin{"", TaintKind::input}); }

Result<void> may_settle(std::string_view path, const Taint& taint, const Digest& values, std::span<const Digest> approved, std::span<const std::string> ways) {
  if (taint.clean() || std::ranges::find(approved, values) != approved.end()) return {};
  constexpr std::size_t kMostTold = 8;
  const std::string what = fmt::format("{}.values", path);
  std::vector<std::string> from;
  for (const auto& way : ways) from.push_back(fmt::format("{} ← {}", what, way));
  if (ways.empty())
    for (const auto& o : taint.origins()) from.push_back(o.stage.empty() ? std::string(to_string(o.kind)) : fmt::format("{} ({})", o.stage, to_string(o.kind)));
  if (from.size() > kMostTold) {
    const auto more = from.size() - kMostTold;
    from.resize(kMostTold);
    from.push_back(fmt::format("{} more", more));
  }
  return fail(ErrorCode::caller_forbidden, fmt::format("is tainted: {}; no approval or signature over exactly these values stands between", fmt::join(from, ", ")), what);
}

}  // namespace ballast::work
