#include <iostream>

#include "app/acts.hpp"
#include "app/table.hpp"
#include "app/terminal.hpp"
#include "base/text.hpp"
#include "net/url.hpp"
#include "server/effect_json.hpp"
#include "server/job_json.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string id, task, flow, payload, queue, state, tag, text, before, wait, delay, rate, code, name, stage, note;
  std::vector<std::string> ids;
  std::size_t limit = 50;
  int priority = work::kDefaultPriority, attempts = 0, concurrency = -1, per_tenant = -1;
};
using Act = ActOf<Flags>;

std::string with_query(std::string target, std::initializer_list<std::pair<std::string_view, const std::string&>> parameters) {
  char before = '?';
  for (const auto& [name, value] : parameters) {
    if (value.empty()) continue;
    target += fmt::format("{}{}={}", std::exchange(before, '&'), name, net::percent_encode(value));
  }
  return target;
}

Result<work::JobId> id_of(const std::string& text) {
  if (const auto id = work::parse_job_id(text)) return *id;
  return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" is not a job's id (job_ and 13 characters)", text), "ID");
}

Result<json::value> submit(Access& access, const Flags& f) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  if (f.task.empty() == f.flow.empty()) return fail(ErrorCode::caller_invalid_request, "name either a task or, with --flow, a flow", "TASK");
  json::object body{{f.task.empty() ? "flow" : "task", f.task.empty() ? f.flow : f.task}, {"priority", f.priority}};
  if (!f.payload.empty()) {
    auto payload = parse_json(f.payload);
    if (!payload) return fail(ErrorCode::caller_invalid_request, "is not JSON: " + payload.error().message, "PAYLOAD");
    body[f.task.empty() ? "input" : "payload"] = std::move(*payload);
  }
  if (!f.queue.empty()) body["queue"] = f.queue;
  if (!f.delay.empty()) body["delay"] = f.delay;
  if (f.attempts > 0) body["attempts"] = f.attempts;
  return access.call("POST", with_query("/api/jobs", {{"wait", f.wait}}), std::move(body));
}

Result<json::value> list(Access& access, const Flags& f) {
  if (!access.database())
    return access.call("GET", with_query("/api/jobs", {{"state", f.state}, {"queue", f.queue}, {"task", f.task}, {"flow", f.flow}, {"tag", f.tag}, {"text", f.text},
                                                       {"before", f.before}, {"limit", std::to_string(f.limit)}}));
  work::JobFilter filter{.queue = f.queue, .tag = f.tag, .text = f.text, .limit = f.limit};
  if (!f.task.empty()) filter.name = f.task, filter.kind = work::JobKind::task;
  if (!f.flow.empty()) filter.name = f.flow, filter.kind = work::JobKind::flow;
  if (!f.state.empty() && !(filter.state = work::job_state_from(f.state))) return fail(ErrorCode::caller_invalid_request, "must be queued, waiting, done, dead or cancelled", "--state");
  if (!f.before.empty()) {
    const auto id = id_of(f.before);
    if (!id) return fail(id.error());
    filter.before = *id;
  }
  const auto page = access.database()->read_now([&](store::Tx& tx) { return work::list_jobs(tx, filter); });
  if (!page) return fail(page.error());
  json::array jobs;
  for (const auto& job : page->jobs) jobs.push_back(server::job_json(job, false, server::Detail::brief));
  json::object answer{{"jobs", std::move(jobs)}};
  if (page->next) answer["next"] = to_string(page->next);
  return answer;
}

Result<json::value> show(Access& access, const Flags& f) {
  const auto id = id_of(f.id);
  if (!id) return fail(id.error());
  if (!access.database()) return access.call("GET", with_query("/api/jobs/" + f.id, {{"wait", f.wait}}));
  const auto job = access.database()->read_now([&](store::Tx& tx) { return work::get_job(tx, *id); });
  if (!job) return fail(job.error());
  if (!*job) return fail(ErrorCode::caller_not_found, "there is no such job, or not any more", "ID");
  return server::job_json(**job, false, server::Detail::whole);
}

Result<json::value> attempts(Access& access, const Flags& f) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  const auto id = id_of(f.id);
  if (!id) return fail(id.error());
  return access.call("GET", "/api/jobs/" + f.id + "/attempts");
}

Result<json::value> effects(Access& access, const Flags& f) {
  const auto id = id_of(f.id);
  if (!id) return fail(id.error());
  if (!access.database()) return access.call("GET", with_query("/api/jobs/" + f.id + "/effects", {{"state", f.state}}));
  const auto found = access.database()->read_now([&](store::Tx& tx) { return records::list_effects(tx, id->value); });
  if (!found) return fail(found.error());
  return server::effects_json(*id, *found, f.state);
}

Result<json::value> resolve(Access& access, const Flags& f) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  const auto id = id_of(f.id);
  if (!id) return fail(id.error());
  json::object body{{"stage", f.stage}, {"state", f.state}};
  if (f.attempts > 0) body["attempt"] = f.attempts;
  for (const auto& [name, value] : {std::pair("kind", &f.name), {"note", &f.note}})
    if (!value->empty()) body[name] = *value;
  return access.call("POST", "/api/jobs/" + f.id + "/effects/resolve", std::move(body));
}

Result<json::value> each(Access& access, const Flags& f, std::string_view action) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  json::array done;
  for (const auto& text : f.ids) {
    const auto id = id_of(text);
    if (!id) return fail(id.error());
    auto answer = access.call("POST", fmt::format("/api/jobs/{}/{}", text, action));
    if (!answer) {
      done.push_back(json::object{{"id", text}, {"refused", answer.error().message}});
      continue;
    }
    done.push_back(std::move(*answer));
  }
  return json::object{{"jobs", std::move(done)}};
}
Result<json::value> cancel(Access& access, const Flags& f) { return each(access, f, "cancel"); }

Result<json::value> redrive(Access& access, const Flags& f) {
  if (!f.ids.empty()) return each(access, f, "redrive");
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  json::object body{{"limit", f.limit}};
  for (const auto& [name, value] : {std::pair("queue", &f.queue), {"name", &f.name}, {"code", &f.code}, {"text", &f.text}, {"rate", &f.rate}})
    if (!value->empty()) body[name] = *value;
  return access.call("POST", "/api/dead/redrive", std::move(body));
}

Result<json::value> dead(Access& access, const Flags&) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  return access.call("GET", "/api/dead");
}

Result<json::value> queues(Access& access, const Flags&) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  return access.call("GET", "/api/queues");
}

Result<json::value> change_queue(Access& access, const Flags& f, std::optional<bool> paused) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  json::object body;
  if (paused) body["paused"] = *paused;
  if (f.concurrency >= 0) body["concurrency"] = f.concurrency;
  if (f.per_tenant >= 0) body["per_tenant"] = f.per_tenant;
  if (body.empty()) return fail(ErrorCode::caller_invalid_request, "say --concurrency or --per-tenant", "--concurrency");
  return access.call("PUT", "/api/queues/" + net::percent_encode(f.queue), std::move(body));
}
Result<json::value> pause(Access& access, const Flags& f) { return change_queue(access, f, true); }
Result<json::value> resume(Access& access, const Flags& f) { return change_queue(access, f, false); }
Result<json::value> limit(Access& access, const Flags& f) { return change_queue(access, f, std::nullopt); }

void print_rows(const json::value& answer) {
  const auto* rows = rows_of(answer);
  json::array flat;
  for (const auto& row : rows ? *rows : json::array{}) {
    json::object line;
    for (const auto& [name, value] : row.as_object()) {
      if (name == "error" && value.is_object()) line["error"] = fmt::format("{}: {}", plain(value.as_object().at("code")), plain(value.as_object().at("message")));
      else if (!value.is_object()) line[name] = value;
    }
    flat.push_back(std::move(line));
  }
  std::cout << (flat.empty() ? std::string("none\n") : table(flat));
  if (const auto* next = answer.as_object().if_contains("next")) std::cerr << "there may be more: --before " << one_line(plain(*next)) << '\n';
}

void print_one(const json::value& answer) { std::cout << members(answer); }

void add_filters(CLI::App& sub, Flags& f) {
  sub.add_option("--queue", f.queue, "Of this queue.");
  sub.add_option("--text", f.text, "With this text in input, output or error.");
  sub.add_option("--limit", f.limit, "Jobs at most.")->check(CLI::Range(1, 10'000))->capture_default_str();
}

}  // namespace

void add_jobs(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("jobs", "Jobs: submit, see, cancel and redrive them.");
  command->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  auto* make = add_act(*command, run, flags, "submit", "Submit a job.", submit, print_one);
  make->add_option("TASK", flags->task, "The task's name.");
  make->add_option("PAYLOAD", flags->payload, "JSON.");
  make->add_option("--flow", flags->flow, "A run of this flow instead of a task.");
  make->add_option("--input", flags->payload, "The flow's input, JSON.");
  make->add_option("--queue", flags->queue, "The queue; absent: default.");
  make->add_option("--priority", flags->priority, "0 first, 9 last.")->check(CLI::Range(0, 9))->capture_default_str();
  make->add_option("--attempts", flags->attempts, "Tries in all.")->check(CLI::Range(1, 1000));
  make->add_option("--delay", flags->delay, "Not before this has passed: 10m.");
  make->add_option("--wait", flags->wait, "Answer when it has ended, or after so long: 30s.");
  auto* all = add_act(*command, run, flags, "list", "Jobs, newest first.", list, print_rows);
  add_filters(*all, *flags);
  all->add_option("--state", flags->state, "queued, running, waiting, done, dead or cancelled.");
  all->add_option("--task", flags->task, "Of this task.");
  all->add_option("--flow", flags->flow, "Of this flow.");
  all->add_option("--tag", flags->tag, "With this tag.");
  all->add_option("--before", flags->before, "The page after this job.");
  auto* one = add_act(*command, run, flags, "show", "A job with its input and output.", show, print_one);
  one->add_option("ID", flags->id, "job_…")->required();
  one->add_option("--wait", flags->wait, "Until it has ended, or so long: 30s.");
  add_act(*command, run, flags, "attempts", "The failed attempts of a job.", attempts, print_rows)->add_option("ID", flags->id, "job_…")->required();
  auto* done = add_act(*command, run, flags, "effects", "What a run did outside, try by try.", effects, print_rows);
  done->add_option("ID", flags->id, "job_…")->required();
  done->add_option("--state", flags->state, "Those in this state: unknown, confirmed, failed, …");
  auto* known = add_act(*command, run, flags, "resolve", "Say what became of an effect that is unknown.", resolve, print_one);
  known->add_option("ID", flags->id, "job_…")->required();
  known->add_option("STAGE", flags->stage, "The stage, as `jobs effects` shows it.")->required();
  known->add_option("STATE", flags->state, "confirmed: it has happened; failed: it has not.")->required()->check(CLI::IsMember({"confirmed", "failed"}));
  known->add_option("--attempt", flags->attempts, "Which try, where several are unknown.")->check(CLI::Range(1, 1'000'000));
  known->add_option("--kind", flags->name, "http, settle or compensation.");
  known->add_option("--note", flags->note, "How you know. Goes into the audit trail.");
  add_act(*command, run, flags, "cancel", "Cancel jobs.", cancel, print_rows)->add_option("ID", flags->ids, "job_…")->required();
  add_act(*command, run, flags, "dead", "Dead letters by cause.", dead, print_rows);
  auto* again = add_act(*command, run, flags, "redrive", "Drive dead jobs again: those named, or those of a cause.", redrive, [](const json::value& answer) {
    if (answer.as_object().contains("jobs")) print_rows(answer);
    else print_one(answer);
  });
  add_filters(*again, *flags);
  again->add_option("ID", flags->ids, "job_…; absent: all that the filters name.");
  again->add_option("--name", flags->name, "Of this task or flow.");
  again->add_option("--code", flags->code, "That died of this error.");
  again->add_option("--rate", flags->rate, "So many per time: 10/s.");
  add_runs(*command, run);
}

void add_queues(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("queues", "Queues: see, pause, resume and limit them.");
  command->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  add_act(*command, run, flags, "list", "What waits, runs and is held back.", queues, print_rows);
  for (const auto& [name, about, act] : {std::tuple("pause", "Lease nothing of a queue; what runs goes on.", Act(pause)), {"resume", "Lease from it again.", resume}, {"limit", "Set its limits.", limit}}) {
    auto* sub = add_act(*command, run, flags, name, about, act, print_one);
    sub->add_option("QUEUE", flags->queue, "Its name.")->required();
    if (act != Act(limit)) continue;
    sub->add_option("--concurrency", flags->concurrency, "Jobs at once, by whomever; 0: no limit.")->check(CLI::NonNegativeNumber);
    sub->add_option("--per-tenant", flags->per_tenant, "Of one tenant at once; 0: no limit.")->check(CLI::NonNegativeNumber);
  }
}

}  // namespace ballast::app
