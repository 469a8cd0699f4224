// What a stage does once its order has come, and what becomes of its answer.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "work/canonical.hpp"
#include "work/decide_round.hpp"
#include "work/flow_reads.hpp"
#include "work/taint_trail.hpp"

namespace ballast::work {
namespace {

Error refusal(ErrorCode code, std::string message) { return Error{code, std::move(message), {}, false, {}, {}, {}, {}}; }

bool worked_out(StageKind kind) {
  return kind == StageKind::transform || kind == StageKind::text || kind == StageKind::choose || kind == StageKind::approve || kind == StageKind::wait || kind == StageKind::map;
}

std::shared_ptr<const json::value> shared(json::value value) { return std::make_shared<const json::value>(std::move(value)); }

// The worst that comes after `name`, in its graph.
Risk guarded(const Stages& stages, std::string_view name) {
  Risk worst = Risk::read;
  std::vector<std::string_view> open{name}, seen;
  while (!open.empty()) {
    const auto at = open.back();
    open.pop_back();
    if (std::ranges::find(seen, at) != seen.end()) continue;
    seen.push_back(at);
    for (const Stage& s : stages)
      if (std::ranges::find(s.waits_for, at) != s.waits_for.end()) {
        worst = std::max(worst, risk_of(s));
        open.push_back(s.name);
      }
  }
  return worst;
}

// RFC 3339, or seconds since 1970.
Result<WallTime> moment(const json::value& value) {
  if (const auto* text = value.if_string()) return parse_time(*text, "until");
  if (value.is_number()) {
    const double seconds = value.to_number<double>();
    if (seconds >= 0 && seconds < 9e9) return WallTime(Duration(static_cast<std::int64_t>(seconds * 1e9)));
  }
  return fail(ErrorCode::caller_invalid_request, "must be a time such as \"2026-11-21T04:00:00Z\", or seconds since 1970", "until");
}

std::int64_t nanos(WallTime at) { return at.time_since_epoch().count(); }

}  // namespace

Result<void> check_output(const Stage& stage, const json::value& output) {
  if (!stage.output) return {};
  auto ok = schema::require(*stage.output.schema, output, stage.name + ".output");
  if (!ok) ok.error().code = ErrorCode::provider_bad_response;
  return ok;
}

Result<std::optional<double>> confidence_of(const Stage& stage, const json::value& context, const json::value& output) {
  if (!stage.confidence) return std::nullopt;
  json::value seen = context;
  seen.as_object()["output"] = output;
  auto value = stage.confidence.jq->one(seen);
  if (!value) return fail(std::move(value.error()));
  if (value->is_null()) return std::nullopt;
  const double c = value->is_number() ? value->to_number<double>() : -1;
  if (c < 0 || c > 1) return fail(ErrorCode::caller_invalid_request, "must be a number from 0 to 1", stage.name + ".confidence");
  return c;
}

void DecideRound::answer(Graph& graph, Node& node) {
  const Answers& a = node.answers[*node.asks];
  if (a.result) return take_result(graph, node, *a.result);
  if (node.running) return;
  if (const StageRecord* started = a.begun()) {
    node.state = StageState::waiting;
    if (const auto* map = node.stage->as<MapStage>()) return walk_map(graph, node, *map, *started);
    return go_on_waiting(graph, node, *started);
  }
  if (a.failures.empty()) return start(graph, node);
  const StageRecord& last = a.failures.rbegin()->second;
  const auto attempts = a.failures.rbegin()->first;
  const Error error = last.error.value_or(refusal(ErrorCode::internal_error, "failed without an error"));
  const Retry& retry = node.stage->retry;
  if (worked_out(node.stage->kind()) || attempts >= retry.attempts || !retry.retries(error)) return exhausted(graph, node, error);
  Duration delay = backoff_delay(retry.backoff, attempts, chance(path_of(graph, node), attempts));
  if (error.retry_after) delay = std::max(delay, std::chrono::duration_cast<Duration>(*error.retry_after));
  node.state = StageState::retrying;
  if (now_ >= last.at + delay) return start(graph, node);
  wait_until(last.at + delay);
}

void DecideRound::take_result(Graph& graph, Node& node, const StageRecord& result) {
  const Stage& stage = *node.stage;
  if (result.what == StageRecord::What::skipped) return settle(node, StageState::skipped);
  look_inside(graph, node);
  if (stage.at_least && result.confidence.value_or(0) < *stage.at_least) {
    const auto had = result.confidence ? fmt::format("a confidence of {}", *result.confidence) : std::string("no confidence");
    return exhausted(graph, node, refusal(ErrorCode::provider_bad_response, fmt::format("has {}, below {}", had, *stage.at_least)));
  }
  settle(node, StageState::done);
}

// No attempt is left: its fallback, or it has failed.
void DecideRound::exhausted(Graph& graph, Node& node, Error error) {
  const Fallback& fallback = node.stage->fallback;
  node.error = std::move(error);
  if (!node.answers[*node.asks].result) look_inside(graph, node);
  if (!fallback.stage.empty()) {
    node.fallen = changed_ = true;
    return;
  }
  if (!fallback.output) return settle(node, StageState::failed);
  json::value seen = context(graph, *node.stage);
  seen.as_object()["error"] = {{"code", to_string(node.error->code)}, {"message", node.error->message}};
  auto value = fallback.output.jq->one(seen);
  if (!value) {
    node.error = std::move(value.error());
    return settle(node, StageState::failed);
  }
  StageRecord r;
  r.path = path_of(graph, node);
  r.input = node.answers[*node.asks].input;
  const auto& failures = node.answers[*node.asks].failures;
  r.at = failures.empty() ? state_.start_.at : failures.rbegin()->second.at;
  r.output = value_digest(*value);
  r.value = shared(std::move(*value));
  r.fallback = true;
  r.taint = taint_given(*node.stage, origin_path(r.path), taints(graph));
  node.substitute = std::move(r);
  settle(node, StageState::done);
}

void DecideRound::start(Graph& graph, Node& node) {
  if (frozen_ || halted(graph)) return;
  const Stage& stage = *node.stage;
  if (const auto* t = stage.as<TransformStage>()) return transform(graph, node, t->program);
  if (const auto* t = stage.as<TextStage>()) return render(graph, node, t->text);
  if (const auto* c = stage.as<ChooseStage>()) return choose(graph, node, *c);
  if (const auto* a = stage.as<ApproveStage>()) return approve(graph, node, *a);
  if (const auto* w = stage.as<WaitStage>()) return wait(graph, node, *w);
  if (const auto* m = stage.as<MapStage>()) return begin_map(graph, node, *m);
  const auto& most = state_.flow_->policy().max_cost;
  const auto* query = stage.as<QueryStage>();
  if (most && (stage.as<ModelStage>() || (query && !query->route.empty())) && state_.cost_ >= *most)
    return exhausted(graph, node, refusal(ErrorCode::policy_budget_exceeded, fmt::format("the run has cost ${}, and its policy.max_cost is ${}", to_usd(state_.cost_), to_usd(*most))));
  perform_outside(graph, node);
}

void DecideRound::perform_outside(Graph& graph, Node& node) {
  const Answers& a = node.answers[*node.asks];
  const auto around = taints(graph);
  RunStage run;
  run.path = path_of(graph, node);
  run.stage = node.stage;
  run.input = a.input;
  run.attempt = a.attempt();
  run.context = shared(context(graph, *node.stage));
  run.key = fmt::format("{}:{}:{}", state_.start_.id, run.path, to_hex(a.input).substr(0, 16));
  run.reads = taint_read(*node.stage, around);
  run.gives = taint_given(*node.stage, origin_path(run.path), around);
  if (node.stage->kind() == StageKind::settle) run.ways = taint_ways(graph, *node.stage, run.reads);
  starts_.push_back(std::move(run));
}

void DecideRound::transform(Graph& graph, Node& node, const Expr& program) {
  auto value = program.jq->one(context(graph, *node.stage));
  if (!value) return keep_failed(graph, node, std::move(value.error()));
  keep_done(graph, node, std::move(*value), taint_given(*node.stage, origin_path(path_of(graph, node)), taints(graph)));
}

void DecideRound::render(Graph& graph, Node& node, const Text& text) {
  auto value = text.text->render(context(graph, *node.stage));
  if (!value) return keep_failed(graph, node, std::move(value.error()));
  keep_done(graph, node, json::value(*value), taint_given(*node.stage, origin_path(path_of(graph, node)), taints(graph)));
}

void DecideRound::choose(Graph& graph, Node& node, const ChooseStage& choice) {
  const json::value seen = context(graph, *node.stage);
  json::array chosen;
  for (const auto& branch : choice.branches) {
    if (branch.when) {
      const auto holds = branch.when.jq->truth(seen);
      if (!holds) return keep_failed(graph, node, holds.error());
      if (!*holds) continue;
    }
    for (const auto& name : branch.then) chosen.emplace_back(name);
    break;
  }
  keep_done(graph, node, json::object{{"chosen", std::move(chosen)}}, {});
}

// ---- Waiting

void DecideRound::approve(Graph& graph, Node& node, const ApproveStage& approval) {
  auto shown = approval.show.jq->one(context(graph, *node.stage));
  if (!shown) return keep_failed(graph, node, std::move(shown.error()));
  if (!must_look(graph, node, approval)) {
    json::object output{{"decision", "passed"}, {"value", std::move(*shown)}, {"by", nullptr}, {"at", nullptr}, {"note", nullptr}};
    return keep_done(graph, node, std::move(output), taint_read(*node.stage, taints(graph)));
  }
  StageRecord r;
  r.what = StageRecord::What::started;
  r.taint = taint_read(*node.stage, taints(graph));
  r.output = value_digest(*shown);
  r.value = shared(json::object{{"value", std::move(*shown)}});
  keep(graph, node, std::move(r));
}

bool DecideRound::must_look(Graph& graph, const Node& node, const ApproveStage& approval) const {
  using Rule = ApproveWhen::Rule;
  const ApproveWhen& when = approval.when;
  if (when.rule == Rule::never) return false;
  if (when.rule == Rule::risk) return guarded(*graph.stages, node.stage->name) >= when.risk;
  if (when.rule == Rule::sample) return chance(path_of(graph, node), 0) < when.share;
  if (when.rule != Rule::confidence) return true;
  // Whatever is not known to be sure is looked at.
  bool any = false;
  for (const auto& name : node.stage->waits_for) {
    if (!when.of.empty() && name != when.of) continue;
    const Node* other = graph.find(name);
    if (when.of.empty() && !other->stage->confidence) continue;
    const StageRecord* r = other->state == StageState::done ? other->result() : nullptr;
    if (!r || !r->confidence || *r->confidence < when.below) return true;
    any = true;
  }
  return !any;
}

void DecideRound::wait(Graph& graph, Node& node, const WaitStage& wait) {
  const json::value seen = context(graph, *node.stage);
  StageRecord r;
  r.what = StageRecord::What::started;
  if (!wait.event.empty()) {
    json::value key = nullptr;
    if (wait.key) {
      auto value = wait.key.jq->one(seen);
      if (!value) return keep_failed(graph, node, std::move(value.error()));
      key = std::move(*value);
    }
    r.value = shared(json::object{{"event", wait.event}, {"key", std::move(key)}});
    return keep(graph, node, std::move(r));
  }
  WallTime until = now_ + wait.for_;
  if (wait.until) {
    const auto value = wait.until.jq->one(seen);
    const auto at = value ? moment(*value) : Result<WallTime>(fail(value.error()));
    if (!at) return keep_failed(graph, node, at.error());
    until = *at;
  }
  r.value = shared(json::object{{"until", nanos(until)}});
  keep(graph, node, std::move(r));
}

void DecideRound::go_on_waiting(Graph& graph, Node& node, const StageRecord& started) {
  if (frozen_) return;
  const Stage& stage = *node.stage;
  if (const auto* w = stage.as<WaitStage>(); w && w->event.empty()) {
    const auto* at = started.value && started.value->is_object() ? started.value->get_object().if_contains("until") : nullptr;
    const WallTime until(Duration(at && at->is_int64() ? at->get_int64() : nanos(started.at)));
    if (now_ < until) return wait_until(until);
    return keep_done(graph, node, json::object{{"at", to_rfc3339(until)}}, {});
  }
  const auto* a = stage.as<ApproveStage>();
  const Duration patience = a ? a->expires : stage.timeout;
  if (patience == Duration::zero()) return;
  if (now_ < started.at + patience) return wait_until(started.at + patience);
  if (a && a->on_expire == ApproveStage::Otherwise::skip) {
    StageRecord r;
    r.what = StageRecord::What::skipped;
    return keep(graph, node, std::move(r));
  }
  Error error = refusal(a || stage.as<WaitStage>() ? ErrorCode::caller_timeout : ErrorCode::provider_timeout,
                        fmt::format("{} within {}", a ? "nobody decided" : "nothing came", format_duration(patience)));
  error.retryable = stage.as<WorkerStage>() != nullptr;
  keep_failed(graph, node, std::move(error));
}

// ---- Maps

void DecideRound::begin_map(Graph& graph, Node& node, const MapStage& map) {
  auto over = map.over.jq->one(context(graph, *node.stage));
  if (!over) return keep_failed(graph, node, std::move(over.error()));
  const auto* list = over->if_array();
  if (!list) return keep_failed(graph, node, refusal(ErrorCode::caller_invalid_request, "over must give a list"));
  if (list->size() > map.max)
    return keep_failed(graph, node, refusal(ErrorCode::caller_too_large, fmt::format("over gives {} items, and max is {}", list->size(), map.max)));
  StageRecord r;
  r.what = StageRecord::What::started;
  r.value = shared(std::move(*over));
  keep(graph, node, std::move(r));
}

Graph& DecideRound::item_at(Graph& graph, Node& node, const StageRecord& started, std::size_t index) {
  Graph& item = *item_of(node, graph, index);
  if (item.item) return item;
  const json::value& value = started.value->get_array()[index];
  item.item = std::shared_ptr<const json::value>(started.value, &value);
  item.item_digest = value_digest(value);
  item.item_taint = taint_read(*node.stage, taints(graph));
  return item;
}

// Of a map that has its result, or has failed: what its items came to, for who looks and for what is to be undone.
void DecideRound::look_inside(Graph& graph, Node& node) {
  const auto* map = node.stage->as<MapStage>();
  const Answers& a = node.answers[*node.asks];
  if (!map || a.started.empty() || !a.started.begin()->second.value || !a.started.begin()->second.value->is_array()) return;
  const StageRecord& started = a.started.begin()->second;
  const bool frozen = std::exchange(frozen_, true), all_items = std::exchange(all_items_, true);
  const std::size_t count = std::min<std::size_t>(started.value->get_array().size(), map->max);
  for (std::size_t i = 0; i < count; ++i) {
    Graph& item = item_at(graph, node, started, i);
    do {
      changed_ = false;
      walk(item);
    } while (changed_);
  }
  frozen_ = frozen;
  all_items_ = all_items;
  changed_ = true;
}

void DecideRound::walk_map(Graph& graph, Node& node, const MapStage& map, const StageRecord& started) {
  const auto* list = started.value ? started.value->if_array() : nullptr;
  if (!list) return keep_failed(graph, node, refusal(ErrorCode::internal_error, "the record of its items is damaged"));
  const std::size_t limit = std::max<std::uint32_t>(map.limit, 1), count = std::min<std::size_t>(list->size(), map.max);
  if (node.closed.size() < count) node.closed.resize(count, false);
  std::size_t open = 0;
  const Node* failed = nullptr;
  bool busy = false;
  for (std::size_t i = node.passed; i < count && (open < limit || all_items_); ++i) {
    Graph& item = item_at(graph, node, started, i);
    if (!node.closed[i]) {
      walk(item);
      const bool at_rest = !running(item);
      node.closed[i] = all_settled(item) || (first_failed(item) && at_rest);
      open += !node.closed[i];
      busy |= !at_rest;
    }
    const Node* broken = first_failed(item);
    if (!failed && !map.collect) failed = broken;
    if (i == node.passed && node.closed[i] && (map.collect || !broken)) ++node.passed;
  }
  node.broken = failed != nullptr;
  if (frozen_) return;
  if (failed && !busy) {
    Error error = failed->error.value_or(refusal(ErrorCode::internal_error, "failed without an error"));
    error.message = fmt::format("{}: {}", failed->stage->name, error.message);
    return keep_failed(graph, node, std::move(error));
  }
  if (!failed && open == 0) collect(graph, node, map, count);
}

void DecideRound::collect(Graph& graph, Node& node, const MapStage& map, std::size_t count) {
  json::array out;
  Taint taint = taint_given(*node.stage, origin_path(path_of(graph, node)), taints(graph));
  const Stage* last = map.output ? nullptr : last_stage(map.stages);
  for (std::size_t i = 0; i < count; ++i) {
    Graph& item = *node.items[i];
    for (const Node& n : item.nodes)
      if (const StageRecord* r = n.state == StageState::done ? n.result() : nullptr; r && (!last || n.stage == last)) taint.join(r->taint);
    if (const Node* failed = first_failed(item)) {
      const Error error = failed->error.value_or(refusal(ErrorCode::internal_error, "failed"));
      out.push_back(json::object{{"error", {{"code", to_string(error.code)}, {"message", error.message}, {"stage", failed->stage->name}}}});
    } else if (map.output) {
      auto value = map.output.jq->one(context_of(item, {&map.output.jq->reads()}, {}, true));
      if (!value) return keep_failed(graph, node, std::move(value.error()));
      out.push_back(std::move(*value));
    } else {
      const Node* n = last ? item.find(last->name) : nullptr;
      const StageRecord* r = n && n->state == StageState::done ? n->result() : nullptr;
      out.push_back(r && r->value ? *r->value : json::value(nullptr));
    }
  }
  keep_done(graph, node, std::move(out), std::move(taint));
}

// ---- Records

void DecideRound::keep_done(Graph& graph, Node& node, json::value output, Taint taint) {
  if (auto ok = check_output(*node.stage, output); !ok) return keep_failed(graph, node, std::move(ok.error()));
  auto sure = node.stage->confidence ? confidence_of(*node.stage, context(graph, *node.stage), output) : std::optional<double>();
  if (!sure) return keep_failed(graph, node, std::move(sure.error()));
  StageRecord r;
  r.what = StageRecord::What::done;
  r.output = value_digest(output);
  r.value = shared(std::move(output));
  r.confidence = *sure;
  r.taint = std::move(taint);
  keep(graph, node, std::move(r));
}

void DecideRound::keep_failed(Graph& graph, Node& node, Error error) {
  StageRecord r;
  r.what = StageRecord::What::failed;
  if (error.field.empty()) error.field = path_of(graph, node);
  r.error = std::move(error);
  keep(graph, node, std::move(r));
}

void DecideRound::keep(Graph& graph, Node& node, StageRecord record) {
  const Answers& a = node.answers[*node.asks];
  record.path = path_of(graph, node);
  record.input = a.input;
  record.attempt = a.attempt();
  record.at = now_;
  static_cast<void>(state_.apply(record));
  kept_.push_back(KeepRecord{std::move(record)});
  changed_ = true;
}

// Drawn from the run's name: the same whenever it is asked.
double DecideRound::chance(std::string_view path, std::uint32_t draw) const {
  const Digest d = sha256(fmt::format("{}\n{}\n{}", state_.start_.id, path, draw));
  std::uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) bits = bits << 8 | d[static_cast<std::size_t>(i)];
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

}  // namespace ballast::work
