// Steps 7 to 9 of the road: usage to money, money to ledger and budget, and the record of why. Exactly once a call.
#include "base/log.hpp"
#include "base/text_writer.hpp"
#include "gateway/road.hpp"

namespace ballast::gateway {

namespace {

std::uint64_t micros(Duration d) { return static_cast<std::uint64_t>(std::max<std::int64_t>(d.count() / 1000, 0)); }

// One line a call. No prompt, no answer, no secret; names come from callers, so they are escaped.
void log_access(std::string& line, const Trail& trail) {
  const auto& r = trail.record;
  const std::pair<std::string_view, std::string_view> texts[] = {
      {",\"call\":", trail.call_id}, {",\"key\":", r.key_name}, {",\"team\":", r.team}, {",\"user\":", r.user}, {",\"feature\":", r.feature},
      {",\"api\":", r.api}, {",\"operation\":", r.operation}, {",\"model\":", r.requested_model}, {",\"route\":", r.route},
      {",\"served_by\":", r.served_by}, {",\"error\":", r.error}, {",\"trace\":", r.trace_id}};
  const std::pair<std::string_view, std::int64_t> numbers[] = {
      {",\"http_status\":", r.http_status}, {",\"attempts\":", static_cast<std::int64_t>(r.attempts.size())},
      {",\"latency_us\":", static_cast<std::int64_t>(r.latency_us)}, {",\"first_token_us\":", static_cast<std::int64_t>(r.first_token_us)},
      {",\"input_tokens\":", static_cast<std::int64_t>(r.usage.input + r.usage.cached + r.usage.cache_write)},
      {",\"output_tokens\":", static_cast<std::int64_t>(r.usage.output + r.usage.reasoning)}, {",\"incurred_nano\":", r.incurred_nano}};
  constexpr std::string_view what = R"(","level":"info","event":"call")";
  std::size_t room = what.size() + 1;
  for (const auto& [name, text] : texts) room += name.size() + json_string_room(text);
  for (const auto& [name, number] : numbers) room += name.size() + kNumberRoom;
  line.clear();
  line += "{\"time\":\"";
  log::append_time(line, r.arrived);
  append_text(line, room, [&](TextWriter& w) {
    w.put(what);
    for (const auto& [name, text] : texts)
      if (!text.empty()) w.put(name).json_string(text);
    for (const auto& [name, number] : numbers) w.put(name).number(number);
    w.put('}');
  });
  log::access(line);
}

void count(const RoadMetrics& m, const Trail& trail) {
  const auto& r = trail.record;
  const std::string_view route = r.route.empty() ? std::string_view("direct") : std::string_view(r.route);
  m.calls.with({route, r.api, r.status == records::CallStatus::ok ? std::string_view("ok") : std::string_view(r.error)}).add();
  measure(m.duration.with({route}), r.latency_us * 1000, trail, trail.span);
  if (r.first_token_us) measure(m.first_token.with({route}), r.first_token_us * 1000, trail, trail.span);
  for (std::size_t i = 0; i < r.attempts.size(); ++i) {
    const auto& a = r.attempts[i];
    m.attempts.with({a.provider, a.model, a.outcome}).add();
    measure(m.attempt_duration.with({a.provider, a.model}), a.latency_us * 1000, trail, span_of(trail, i));
    m.incurred.with({a.provider, a.model}).add(static_cast<std::uint64_t>(std::max<std::int64_t>(a.incurred_nano, 0)));
    const auto tokens = [&](std::string_view kind, std::uint64_t n) {
      if (n) m.tokens.with({a.provider, a.model, kind}).add(n);
    };
    tokens("input", a.usage.input);
    tokens("cached", a.usage.cached);
    tokens("cache_write", a.usage.cache_write);
    tokens("output", a.usage.output);
    tokens("reasoning", a.usage.reasoning);
  }
}

}  // namespace

void note_outcome(Trail& trail, const Error& error, int http_status) {
  trail.record.status = error.code == ErrorCode::caller_cancelled ? records::CallStatus::cancelled : records::CallStatus::failed;
  trail.record.error = to_string(error.code);
  trail.record.http_status = static_cast<std::uint16_t>(http_status);
}

void note_budget(const Scene& scene, const Asked& asked, Trail& trail) {
  NameBuffer model;
  trail.budget = scene.setup.budgets->tightest(budget_subject(asked), answered_by(trail.record, model));
}

Task<void> settle(const Scene& scene, const Asked* asked, Planned* plan, Trail& trail) {
  auto& r = trail.record;
  if (plan) {
    plan->hold.settle();
    plan->hold.charges(r.charges);
  }
  if (asked) note_budget(scene, *asked, trail);
  const MonoTime now = scene.now();
  r.latency_us = micros(now - trail.started);
  emit_spans(scene, trail);
  trail.decision.step(now, "settled", {{"outcome", r.error.empty() ? std::string_view("ok") : std::string_view(r.error)},
                                               {"incurred_nano", r.incurred_nano}, {"billed_nano", r.billed_nano}});
  r.decision = trail.decision.take();
  const auto written = scene.world.journal.outcome(scene.loop(), r);
  if (!written) log::error("journal_outcome_failed", {{"call", trail.call_id}, {"error", written.error().message}});
  count(scene.metrics, trail);
  count_genai(scene, trail);
  if (scene.setup.access_log) log_access(scene.here.scratch, trail);
  if (scene.setup.ledger == LedgerMode::strict && !r.attempts.empty()) {
    const auto synced = co_await scene.world.journal.sync(scene.sink.loop());
    if (!synced) log::error("journal_sync_failed", {{"call", trail.call_id}, {"error", synced.error().message}});
  }
}

}  // namespace ballast::gateway
