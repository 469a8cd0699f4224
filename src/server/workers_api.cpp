// External workers, over plain HTTP in any language: pull tasks, send heartbeats, complete or fail them with the fence that came with them.
// Scope work. A fence that is not the present lease's is refused with 409: the task is somebody else's now, or has ended.
#include "base/config_node.hpp"
#include "base/text.hpp"
#include "server/job_json.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/work_door.hpp"
#include "work/event_rows.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kMostTasks = 1'000;
constexpr Duration kLongestWait = std::chrono::seconds(60);
constexpr Duration kShortestLease = std::chrono::milliseconds(500), kLongestLease = std::chrono::hours(24);
constexpr JsonLimits kBody{.max_bytes = 256u << 20, .max_depth = 256};

Result<Duration> lease_of(const JsonRef& body) {
  auto lease = maybe_duration(body, "lease");
  if (!lease) return fail(std::move(lease.error()));
  if (!*lease) return Duration(std::chrono::seconds(30));
  if (**lease < kShortestLease || **lease > kLongestLease) return fail(ErrorCode::caller_invalid_request, "must be from 500ms to 24h", "lease");
  return **lease;
}

Result<std::vector<std::string>> names_of(const JsonRef& body, std::string_view member) {
  std::vector<std::string> out;
  const auto list = body.find(member);
  if (!list) return out;
  if (!list->is_array()) return list->error("must be a list of names");
  for (std::size_t i = 0; i < list->size(); ++i) {
    auto name = list->item(i).as<std::string>();
    if (!name) return fail(std::move(name.error()));
    out.push_back(std::move(*name));
  }
  return out;
}

Result<work::PullRequest> pull_from(const JsonRef& body) {
  if (auto known = only_members(body, {"worker", "queues", "tasks", "max", "wait", "lease"}); !known) return fail(std::move(known.error()));
  work::PullRequest pull;
  auto worker = body.get<std::string>("worker");
  if (!worker) return fail(std::move(worker.error()));
  if (worker->empty() || worker->size() > work::kMaxName || !is_utf8(*worker)) return fail(ErrorCode::caller_invalid_request, fmt::format("must be 1 to {} bytes of UTF-8", work::kMaxName), "worker");
  pull.worker = std::move(*worker);
  auto queues = names_of(body, "queues"), tasks = names_of(body, "tasks");
  if (!queues) return fail(std::move(queues.error()));
  if (!tasks) return fail(std::move(tasks.error()));
  pull.queues = std::move(*queues);
  if (pull.queues.empty()) pull.queues = {"default"};
  pull.tasks = std::move(*tasks);
  const auto most = body.maybe_int("max", 1, kMostTasks);
  if (!most) return fail(most.error());
  pull.most = static_cast<std::size_t>(most->value_or(1));
  const auto wait = maybe_duration(body, "wait");
  if (!wait) return fail(wait.error());
  pull.wait = std::min(wait->value_or(Duration{}), kLongestWait);
  auto lease = lease_of(body);
  if (!lease) return fail(std::move(lease.error()));
  pull.lease = *lease;
  return pull;
}

// What was leased for a worker that is gone goes back at once, without counting an attempt.
Task<void> give_back(WorkDoor& door, net::Exchange& exchange, const std::vector<work::Lease>& leases) {
  (void)co_await door.ask(exchange, [&]() -> Task<bool> {
    std::vector<work::WorkerWord> words;
    for (const auto& l : leases) words.push_back({.job = l.job->id, .fence = l.fence, .to = work::Commit::To::snoozed, .output = {}, .error = {}, .delay = {}, .event = {}});
    const auto done = co_await door.jobs().commit(std::move(words));
    co_return !done.empty();
  });
}

Task<void> pull(WorkDoor& door, net::Exchange& exchange, const JsonRef& body) {
  auto request = pull_from(body);
  if (!request) co_return co_await reply_problem(exchange, request.error());
  std::optional<Departure> left(std::in_place, door, exchange);
  const auto leases = co_await door.ask(exchange, [&] { return door.engine().pull(std::move(*request), left->ticket()); });
  left.reset();
  if (!leases) co_return co_await reply_problem(exchange, leases.error());
  json::array tasks;
  for (const auto& l : *leases) tasks.push_back(lease_json(l));
  const std::string text = to_json(json::object{{"tasks", std::move(tasks)}});
  const net::Headers headers{{"content-type", "application/json"}, {"cache-control", "no-store"}};
  const auto sent = co_await exchange.respond(200, headers, text);
  if (!sent && !leases->empty()) co_await give_back(door, exchange, *leases);
}

struct Held {
  work::JobId id;
  work::Fence fence = 0;
};
Result<Held> held_from(const JsonRef& item) {
  const auto id = item.get<std::string_view>("id");
  if (!id) return fail(id.error());
  const auto job = work::parse_job_id(*id);
  if (!job) return item.error("id: a job's id looks like job_0123456789abc");
  const auto fence = item.get<std::string_view>("fence");
  if (!fence) return fail(fence.error());
  const auto number = parse_int<work::Fence>(*fence);
  if (!number) return item.error("fence: must be the one that came with the task, unchanged");
  return Held{*job, *number};
}

using ReadOne = Result<work::WorkerWord> (*)(const JsonRef& item);

Result<work::WorkerWord> completion(const JsonRef& item) {
  if (auto known = only_members(item, {"id", "fence", "output"}); !known) return fail(std::move(known.error()));
  const auto held = held_from(item);
  if (!held) return fail(held.error());
  const auto output = item.find("output");
  return work::WorkerWord{.job = held->id, .fence = held->fence, .to = work::Commit::To::done, .output = output ? to_json(output->value()) : "null", .error = {}, .delay = {}, .event = {}};
}

// error: {message, code?}; retry: false when no other attempt would help; delay: when to try again.
Result<work::WorkerWord> failure(const JsonRef& item) {
  if (auto known = only_members(item, {"id", "fence", "error", "retry", "delay"}); !known) return fail(std::move(known.error()));
  const auto held = held_from(item);
  if (!held) return fail(held.error());
  work::WorkerWord word{.job = held->id, .fence = held->fence, .to = work::Commit::To::failed, .output = {}, .error = Error{ErrorCode::internal_error, "the worker gave no reason"}, .delay = {}, .event = {}};
  if (const auto error = item.find("error")) {
    const auto message = error->is_string() ? error->as<std::string>() : error->get<std::string>("message");
    if (!message) return fail(message.error());
    word.error->message = std::string(utf8_prefix(*message, 8'192));
    const auto code = error->is_object() ? error->maybe<std::string>("code") : Result<std::optional<std::string>>(std::nullopt);
    if (!code) return fail(code.error());
    if (*code) word.error->code = error_code_from(**code).value_or(ErrorCode::internal_error);
  }
  const auto retry = item.maybe<bool>("retry");
  if (!retry) return fail(retry.error());
  if (!retry->value_or(true)) word.to = work::Commit::To::dead;
  const auto delay = maybe_duration(item, "delay");
  if (!delay) return fail(delay.error());
  word.delay = *delay;
  return word;
}

Result<work::WorkerWord> release(const JsonRef& item) {
  if (auto known = only_members(item, {"id", "fence", "delay"}); !known) return fail(std::move(known.error()));
  const auto held = held_from(item);
  const auto delay = maybe_duration(item, "delay");
  if (!held) return fail(held.error());
  if (!delay) return fail(delay.error());
  return work::WorkerWord{.job = held->id, .fence = held->fence, .to = work::Commit::To::snoozed, .output = {}, .error = {}, .delay = *delay, .event = {}};
}

// progress: any JSON; followers of the job see it. The lease is as it was.
Result<work::WorkerWord> progress(const JsonRef& item) {
  if (auto known = only_members(item, {"id", "fence", "attempt", "progress"}); !known) return fail(std::move(known.error()));
  const auto held = held_from(item);
  const auto said = item.at("progress");
  const auto attempt = item.maybe_int("attempt", 1, 1'000'000);
  if (!held) return fail(held.error());
  if (!said) return fail(said.error());
  if (!attempt) return fail(attempt.error());
  work::JobEvent event{.attempt = static_cast<std::uint32_t>(attempt->value_or(1)), .kind = "progress", .data = to_json(said->value())};
  if (event.data.size() > work::kMaxEventData) return said->error(fmt::format("must be at most {} KB", work::kMaxEventData >> 10));
  return work::WorkerWord{.job = held->id, .fence = held->fence, .to = work::Commit::To::running, .output = {}, .error = {}, .delay = {}, .event = std::move(event)};
}

// `tasks`: a list, each settled alone.
Task<void> settle(WorkDoor& door, net::Exchange& exchange, const JsonRef& body, ReadOne read) {
  const auto list = body.get<JsonRef>("tasks");
  if (!list) co_return co_await reply_problem(exchange, list.error());
  if (!list->is_array() || list->size() == 0 || list->size() > kMostTasks)
    co_return co_await reply_problem(exchange, Error{ErrorCode::caller_invalid_request, fmt::format("must be a list of 1 to {} tasks", kMostTasks), "tasks"});
  std::vector<work::WorkerWord> words;
  for (std::size_t i = 0; i < list->size(); ++i) {
    auto one = read(list->item(i));
    if (!one) co_return co_await reply_problem(exchange, one.error());
    words.push_back(std::move(*one));
  }
  const auto results = co_await door.ask(exchange, [&] { return door.jobs().commit(std::move(words)); });
  json::array out;
  bool all_away = true;
  for (const auto& r : results) {
    all_away = all_away && !r && r.error().code == ErrorCode::internal_unavailable;
    out.push_back(r ? json::object{{"state", r->running ? "running" : to_string(r->state)}} : json::object{{"error", refusal_json(r.error())}});
  }
  if (all_away) co_return co_await reply_problem(exchange, results.front().error());
  co_await reply_json(exchange, 200, json::object{{"tasks", std::move(out)}});
}

Task<void> heartbeat(WorkDoor& door, net::Exchange& exchange, const JsonRef& body) {
  const auto list = body.get<JsonRef>("tasks");
  const auto lease = lease_of(body);
  if (!list) co_return co_await reply_problem(exchange, list.error());
  if (!lease) co_return co_await reply_problem(exchange, lease.error());
  std::vector<work::Beat> held;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto one = held_from(list->item(i));
    if (!one) co_return co_await reply_problem(exchange, one.error());
    held.push_back({one->id, one->fence, *lease});
  }
  auto out = co_await door.ask(exchange, [&]() -> Task<json::array> {
    json::array answers;
    for (const auto& kept : co_await door.jobs().heartbeat(std::move(held))) {
      answers.push_back(kept ? json::object{{"lease", "kept"}} : json::object{{"lease", "lost"}, {"error", refusal_json(kept.error())}});
    }
    co_return answers;
  });
  co_await reply_json(exchange, 200, json::object{{"tasks", std::move(out)}});
}

}  // namespace

Task<bool> workers_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view prefix = "/api/workers/";
  if (!request.path.starts_with(prefix) || request.method != "POST") co_return false;
  const std::string_view action = request.path.substr(prefix.size());
  constexpr std::pair<std::string_view, ReadOne> ends[] = {{"complete", completion}, {"fail", failure}, {"release", release}, {"progress", progress}};
  ReadOne end = nullptr;
  for (const auto& [name, read] : ends)
    if (name == action) end = read;
  if (!end && action != "pull" && action != "heartbeat") co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::work);
  if (!who) {
    co_await reply_problem(exchange, who.error());
    co_return true;
  }
  const auto document = parse_json(exchange.body(), kBody);
  if (!document) co_await reply_problem(exchange, document.error());
  else if (action == "pull") co_await pull(*parts.work, exchange, JsonRef(*document));
  else if (action == "heartbeat") co_await heartbeat(*parts.work, exchange, JsonRef(*document));
  else co_await settle(*parts.work, exchange, JsonRef(*document), end);
  co_return true;
}

}  // namespace ballast::server
