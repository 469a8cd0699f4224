// Schedules: jobs that are submitted by the clock. A key has its own; scope read sees all of them, scope admin changes all.
#include <algorithm>
#include <cctype>

#include "base/log.hpp"
#include "server/job_records.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/submission.hpp"

namespace ballast::server {

namespace {

using Shown = Result<json::object>;
constexpr std::size_t kShownSlots = 5;

Error gone() { return Error{ErrorCode::caller_not_found, "there is no such schedule, or it is another key's", "name"}; }
bool may_see(const gateway::Principal& who, const work::Schedule& s) { return who.key->scopes.has(gateway::Scope::read) || s.owner() == who.key_id(); }
bool may_change(const gateway::Principal& who, const work::Schedule& s) { return who.admin() || s.owner() == who.key_id(); }

json::object schedule_json(const work::Schedule& s) {
  json::array next;
  for (auto slot = s.enabled ? s.next : std::nullopt; slot && next.size() < kShownSlots; slot = s.cron.next(*slot)) next.push_back(json::value(to_rfc3339(*slot)));
  json::object o{{"name", s.name}, {"cron", s.cron.text()}, {"timezone", s.cron.zone()}, {"when", s.cron.describe()}, {"enabled", s.enabled},
                 {"overlap", s.overlap == work::Overlap::skip ? "skip" : "allow"}, {"catch_up", s.catch_up == work::CatchUp::one ? "one" : "none"},
                 {"owner", s.owner()}, {"job", payload_json(s.shown)}, {"next", std::move(next)}};
  if (s.last) o["last"] = to_rfc3339(*s.last);
  if (s.last_job) o["last_job"] = to_string(s.last_job);
  if (!s.why.empty()) o["why"] = s.why;
  return o;
}

Result<work::Cron> cron_from(const JsonRef& body) {
  const auto cron = body.get<std::string>("cron");
  if (!cron) return fail(cron.error());
  const auto zone = body.maybe<std::string>("timezone");
  if (!zone) return fail(zone.error());
  if (auto known = work::Cron::compile("@daily", zone->value_or("UTC"), "timezone"); !known) return known;
  return work::Cron::compile(*cron, zone->value_or("UTC"), "cron");
}

Result<void> check_name(std::string_view name) {
  const bool fine = !name.empty() && name.size() <= work::kMaxName && std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; });
  if (fine) return {};
  return fail(ErrorCode::caller_invalid_request, fmt::format("must have 1 to {} letters, digits, - _ and dots", work::kMaxName), "name");
}

template <class T>
Result<T> word_of(const JsonRef& body, std::string_view member, std::string_view first, std::string_view second) {
  const auto word = body.maybe<std::string>(member);
  if (!word) return fail(word.error());
  if (!*word || **word == first) return static_cast<T>(0);
  if (**word == second) return static_cast<T>(1);
  return fail(ErrorCode::caller_invalid_request, fmt::format("must be {} or {}", first, second), std::string(member));
}

// The job as it is stored: a flow's version is bound at each slot.
Result<work::Submission> job_from(WorkDoor& door, const JsonRef& job, const gateway::Principal& who) {
  auto submission = submission_from(job, who);
  if (!submission) return submission;
  for (const std::string_view member : {"at", "deadline", "unique", "idempotency_key"})
    if (job.find(member)) return fail(ErrorCode::caller_invalid_request, "is for one job; a schedule makes many, each slot once", fmt::format("job.{}", member));
  work::Submission today = *submission;
  auto ready = make_ready(door, today);
  if (ready) return submission;
  ready.error().field = "job." + ready.error().field;
  return fail(std::move(ready.error()));
}

Result<work::Schedule> schedule_from(WorkDoor& door, std::string name, const JsonRef& body, const gateway::Principal& who) {
  if (auto fine = check_name(name); !fine) return fail(std::move(fine.error()));
  if (auto known = only_members(body, {"cron", "timezone", "job", "enabled", "overlap", "catch_up"}); !known) return fail(std::move(known.error()));
  auto cron = cron_from(body);
  if (!cron) return fail(std::move(cron.error()));
  const auto job = body.get<JsonRef>("job");
  if (!job) return fail(job.error());
  auto submission = job_from(door, *job, who);
  if (!submission) return fail(std::move(submission.error()));
  const auto enabled = body.maybe<bool>("enabled");
  const auto overlap = word_of<work::Overlap>(body, "overlap", "skip", "allow");
  const auto catch_up = word_of<work::CatchUp>(body, "catch_up", "one", "none");
  if (!enabled) return fail(enabled.error());
  if (!overlap) return fail(overlap.error());
  if (!catch_up) return fail(catch_up.error());
  return work::Schedule{.name = std::move(name), .cron = std::move(*cron), .job = std::move(*submission), .shown = to_json(job->value()), .enabled = enabled->value_or(true),
                        .overlap = *overlap, .catch_up = *catch_up, .next = {}, .last = {}, .last_job = {}, .why = {}};
}

Task<void> reply(net::Exchange& exchange, Shown shown, int status) {
  if (!shown) co_return co_await reply_problem(exchange, shown.error());
  co_await reply_json(exchange, status, std::move(*shown));
}

Task<void> list(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who) {
  auto shown = co_await door.ask(exchange, [&]() -> Task<Shown> {
    co_await door.schedules().look();
    json::array all;
    for (const auto& [name, s] : door.schedules().all())
      if (may_see(who, s)) all.push_back(schedule_json(s));
    co_return json::object{{"schedules", std::move(all)}};
  });
  co_await reply(exchange, std::move(shown), 200);
}

Task<void> put(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who, const std::string& name) {
  const auto document = parse_json(exchange.body(), {.max_bytes = 1u << 20, .max_depth = 256});
  if (!document) co_return co_await reply_problem(exchange, document.error());
  auto made = schedule_from(door, name, JsonRef(*document), who);
  if (!made) co_return co_await reply_problem(exchange, made.error());
  auto shown = co_await door.ask(exchange, [&]() -> Task<Shown> {
    auto& schedules = door.schedules();
    co_await schedules.look();
    if (const auto there = schedules.all().find(name); there != schedules.all().end() && !may_change(who, there->second))
      co_return fail(ErrorCode::caller_conflict, "is the name of another key's schedule", "name");
    auto told = tell_of_act(who, records::audit::schedule_changed, name, door.engine().home().clock().wall(), exchange.body());
    const auto done = co_await schedules.put(std::move(*made), std::move(told));
    if (!done) co_return std::unexpected(done.error());
    const auto there = schedules.all().find(name);
    if (there == schedules.all().end()) co_return std::unexpected(gone());
    co_return schedule_json(there->second);
  });
  if (shown) log::info("schedule_changed", {{"schedule", name}, {"by", who.key_id()}});
  co_await reply(exchange, std::move(shown), 200);
}

// GET, DELETE and POST …/run of one that is there.
Task<void> act(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who, const std::string& name) {
  const std::string_view method = exchange.request().method;
  auto shown = co_await door.ask(exchange, [&]() -> Task<Shown> {
    auto& schedules = door.schedules();
    co_await schedules.look();
    const auto there = schedules.all().find(name);
    if (there == schedules.all().end() || !may_see(who, there->second)) co_return std::unexpected(gone());
    if (method == "GET") co_return schedule_json(there->second);
    if (!may_change(who, there->second)) co_return fail(ErrorCode::caller_forbidden, "is another key's: scope admin may", "name");
    const WallTime now = door.engine().home().clock().wall();
    if (method == "POST") {
      const auto job = co_await schedules.run_now(name, tell_of_act(who, records::audit::schedule_run, name, now));
      if (!job) co_return std::unexpected(job.error());
      co_return json::object{{"id", to_string(job->id)}, {"url", "/api/jobs/" + to_string(job->id)}};
    }
    const auto done = co_await schedules.remove(name, tell_of_act(who, records::audit::schedule_deleted, name, now));
    if (!done) co_return std::unexpected(done.error());
    co_return json::object{{"name", name}, {"deleted", *done}};
  });
  co_await reply(exchange, std::move(shown), method == "POST" ? 202 : 200);
}

}  // namespace

Task<bool> schedules_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view all = "/api/schedules", one = "/api/schedules/", run = "/run";
  const bool listing = request.path == all;
  if (!listing && !request.path.starts_with(one)) co_return false;
  std::string_view name = listing ? std::string_view() : std::string_view(request.path).substr(one.size());
  const bool running = request.method == "POST" && name.ends_with(run);
  if (running) name.remove_suffix(run.size());
  const bool known = request.method == "GET" || (!listing && (running || request.method == "PUT" || request.method == "DELETE"));
  if (!known) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::call);
  if (!who) co_await reply_problem(exchange, who.error());
  else if (listing) co_await list(*parts.work, exchange, *who);
  else if (request.method == "PUT") co_await put(*parts.work, exchange, *who, std::string(name));
  else co_await act(*parts.work, exchange, *who, std::string(name));
  co_return true;
}

}  // namespace ballast::server
