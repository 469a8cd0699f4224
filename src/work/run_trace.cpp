#include "work/run_trace.hpp"

#include <algorithm>

#include "work/run_rows.hpp"

namespace ballast::work {

namespace {

using What = StageRecord::What;

constexpr std::string_view kStage = "stage", kAttempt = "attempt", kUndo = "undo";

// "each[3].fetch" → "each.fetch": few names for many spans.
std::string without_items(std::string_view path) {
  std::string name;
  for (bool in = false; const char c : path) {
    if (c == '[') in = true;
    if (!in) name += c;
    if (c == ']') in = false;
  }
  return name;
}

// "each[3].fetch" lies in the stage "each"; empty: in the run itself.
std::string_view map_around(std::string_view path) {
  const auto dot = path.rfind('.');
  if (dot == std::string_view::npos) return {};
  path = path.substr(0, dot);
  return path.substr(0, path.rfind('['));
}

std::string_view error_of(const std::optional<Error>& error) { return error ? to_string(error->code) : std::string_view(); }

bool open(StageState s) { return s == StageState::pending || s == StageState::running || s == StageState::waiting || s == StageState::retrying; }

}  // namespace

bool in_attempts(StageKind kind) {
  switch (kind) {
    case StageKind::model:
    case StageKind::http:
    case StageKind::settle:
    case StageKind::query:
    case StageKind::classify:
    case StageKind::worker:
    case StageKind::flow: return true;
    default: return false;
  }
}

RunTrace::RunTrace(JobTracer* tracer, const Job& run) : tracer_(tracer), of_(trace_of(run.id, run.spec)) {
  if (!of_.span.valid() || !of_.span.sampled) tracer_ = nullptr;
}

// Null: there are too many, or nobody is told.
RunTrace::Told* RunTrace::find(std::string_view path, WallTime at) {
  if (!on()) return nullptr;
  if (const auto there = stages_.find(path); there != stages_.end()) return &there->second;
  if (const auto map = map_around(path); !map.empty() && !find(map, at)) return nullptr;   // before its items, which lie beneath it
  if (stages_.size() == kMostStages) return nullptr;
  return &stages_.emplace(std::string(path), Told{.first = at, .open = {}, .attempts = 0, .kind = {}, .closed = false, .here = false}).first->second;
}

std::uint64_t RunTrace::id_of(std::string_view what, std::string_view path, std::uint32_t attempt) const {
  return span_beneath(of_.span, fmt::format("{} {} {}", what, path, attempt));
}

void RunTrace::begun(const Stage& stage, std::string_view path, std::uint32_t attempt, WallTime at) {
  Told* t = find(path, at);
  if (!t) return;
  t->here = true;
  t->kind = to_string(stage.kind());
  t->open[attempt] = at;
}

void RunTrace::seen(const StageRecord& r) {
  if (r.path.starts_with('$')) return;
  Told* t = find(r.path, r.at);
  if (!t) return;
  t->first = std::min(t->first, r.at);
  t->attempts = std::max(t->attempts, r.attempt);
  if (r.what == What::started) {
    if (child_in(r)) t->open.try_emplace(r.attempt, r.at);
    return;
  }
  t->open.erase(r.attempt);
  t->closed = t->closed || r.what != What::failed;
}

void RunTrace::told(const StageRecord& r, const Stage& stage, const RunState::View* view) {
  Told* t = find(r.path, r.at);
  if (!t) return;
  t->here = true;
  t->kind = to_string(stage.kind());
  const std::string_view error = error_of(r.error);
  if (r.what == What::compensated) {
    const auto since = t->open.find(r.attempt);
    trace::SpanRecord span = made(kUndo, r.path, since == t->open.end() ? r.at : since->second, r.at);
    span.context.span = id_of(kUndo, r.path);
    span.failed = !error.empty();
    span.error = error;
    if (span.failed) span.attributes.emplace_back("error.type", span.error);
    t->closed = true;
    return made_.push_back(std::move(span));
  }
  const bool attempts = in_attempts(stage.kind());
  if (r.what == What::started) {
    if (attempts) t->open.try_emplace(r.attempt, r.at);
    return;
  }
  if (attempts && !r.fallback) {
    const auto since = t->open.find(r.attempt);
    end_attempt(r.path, r.attempt, since == t->open.end() ? r.at : since->second, r.at, error);
    t->open.erase(r.attempt);
    t->attempts = std::max(t->attempts, r.attempt);
  }
  if (t->closed || (r.what == What::failed && (!view || open(view->state)))) return;
  const bool fallen = r.fallback || (r.what == What::failed && view->state == StageState::done);
  end_stage(r.path, *t, fallen ? "fallback" : to_string(r.what), r.at, r.what == What::failed && !fallen ? error : std::string_view());
}

void RunTrace::close(const RunState* state, WallTime at) {
  if (!on()) return;
  for (auto& [path, t] : stages_) {
    const auto view = state ? state->find(path) : std::nullopt;
    if (t.closed || (!t.here && view && !open(view->state))) continue;   // told of by who had the run when it ended
    for (const auto& [attempt, since] : std::exchange(t.open, {})) end_attempt(path, attempt, since, at, to_string(ErrorCode::caller_cancelled));
    const std::string_view error = view && view->error ? to_string(view->error->code) : to_string(ErrorCode::caller_cancelled);
    end_stage(path, t, view && !open(view->state) ? to_string(view->state) : "cut", at, error);
  }
}

trace::SpanRecord RunTrace::made(std::string_view what, std::string_view path, WallTime from, WallTime to) const {
  trace::SpanRecord span{.context = of_.span, .parent = of_.span.span, .name = fmt::format("{} {}", what, without_items(path)), .kind = trace::Kind::internal,
                         .start = std::min(from, to), .end = to, .failed = false, .error = {}, .attributes = {}, .events = {}};
  span.attributes.emplace_back("ballast.stage.path", std::string(path));
  return span;
}

void RunTrace::end_attempt(std::string_view path, std::uint32_t attempt, WallTime from, WallTime to, std::string_view error) {
  trace::SpanRecord span = made(kAttempt, path, from, to);
  span.context.span = id_of(kAttempt, path, attempt);
  span.parent = id_of(kStage, path);
  span.failed = !error.empty();
  span.error = error;
  span.attributes.emplace_back("ballast.stage.attempt", static_cast<std::int64_t>(attempt));
  if (span.failed) span.attributes.emplace_back("error.type", span.error);
  made_.push_back(std::move(span));
}

void RunTrace::end_stage(std::string_view path, Told& t, std::string_view outcome, WallTime to, std::string_view error) {
  t.closed = true;
  trace::SpanRecord span = made(kStage, path, t.first, to);
  span.context.span = id_of(kStage, path);
  if (const auto map = map_around(path); !map.empty()) span.parent = id_of(kStage, map);
  span.failed = !error.empty();
  span.error = error;
  if (!t.kind.empty()) span.attributes.emplace_back("ballast.stage.kind", std::string(t.kind));
  span.attributes.emplace_back("ballast.stage.outcome", std::string(outcome));
  if (t.attempts > 0) span.attributes.emplace_back("ballast.stage.attempts", static_cast<std::int64_t>(t.attempts));
  if (span.failed) span.attributes.emplace_back("error.type", span.error);
  made_.push_back(std::move(span));
}

std::string RunTrace::around(std::string_view path, std::uint32_t attempt) const { return around(kAttempt, path, attempt); }
std::string RunTrace::around_undo(std::string_view path) const { return around(kUndo, path, 0); }

std::string RunTrace::around(std::string_view what, std::string_view path, std::uint32_t attempt) const {
  if (!of_.span.valid()) return {};
  trace::SpanContext at = of_.span;
  if (!on()) return trace::format_traceparent(at);
  at.sampled = stages_.contains(path);
  if (at.sampled) at.span = id_of(what, path, attempt);
  return trace::format_traceparent(at);
}

void tell_cut(JobTracer& tracer, const Job& run, std::span<const StageRecord> journal) {
  RunTrace trace(&tracer, run);
  for (const StageRecord& r : journal) trace.seen(r);
  trace.close(nullptr, run.finished);
  trace.flush();
}

void RunTrace::flush() {
  for (auto& span : std::exchange(made_, {})) tracer_->emit(std::move(span));
}

}  // namespace ballast::work
