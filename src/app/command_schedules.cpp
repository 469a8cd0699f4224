#include <iostream>

#include "app/acts.hpp"
#include "app/table.hpp"
#include "net/url.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string name, cron, timezone, job, overlap, catch_up;
  bool disabled = false;
};

Result<json::value> call(Access& access, const Flags& f, std::string_view method, std::string_view action = {}, std::optional<json::value> body = {}) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  return access.call(method, fmt::format("/api/schedules/{}{}", net::percent_encode(f.name), action), std::move(body));
}

Result<json::value> list(Access& access, const Flags&) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  return access.call("GET", "/api/schedules");
}
Result<json::value> show(Access& access, const Flags& f) { return call(access, f, "GET"); }
Result<json::value> remove(Access& access, const Flags& f) { return call(access, f, "DELETE"); }
Result<json::value> run_now(Access& access, const Flags& f) { return call(access, f, "POST", "/run"); }

Result<json::value> put(Access& access, const Flags& f) {
  auto job = parse_json(f.job);
  if (!job) return fail(ErrorCode::caller_invalid_request, "is not JSON: " + job.error().message, "JOB");
  json::object body{{"cron", f.cron}, {"job", std::move(*job)}, {"enabled", !f.disabled}};
  for (const auto& [name, value] : {std::pair("timezone", &f.timezone), {"overlap", &f.overlap}, {"catch_up", &f.catch_up}})
    if (!value->empty()) body[name] = *value;
  return call(access, f, "PUT", {}, std::move(body));
}

void print_one(const json::value& answer) { std::cout << members(answer); }

void print_list(const json::value& answer) {
  const auto* rows = rows_of(answer);
  json::array flat;
  for (const auto& row : rows ? *rows : json::array{}) {
    json::object line;
    for (const std::string_view name : {"name", "when", "enabled", "next", "last", "last_job", "why"})
      if (const auto* value = row.as_object().if_contains(name)) line[name] = value->is_array() ? (value->as_array().empty() ? json::value("") : value->as_array().front()) : *value;
    flat.push_back(std::move(line));
  }
  std::cout << (flat.empty() ? std::string("none\n") : table(flat));
}

}  // namespace

void add_schedules(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("schedules", "Schedules: jobs submitted by the clock.");
  command->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  using Act = ActOf<Flags>;
  for (const auto& [name, about, act] : {std::tuple("list", "What fires when, and what it last made.", Act(list)), {"show", "A schedule, with its next five slots.", show},
                                         {"put", "Make or replace a schedule.", put}, {"delete", "Delete a schedule; its jobs stay.", remove}, {"run", "Run its job now.", run_now}}) {
    auto* sub = add_act(*command, run, flags, name, about, act, act == Act(list) ? print_list : print_one);
    if (act != Act(list)) sub->add_option("NAME", flags->name, "Its name.")->required();
    if (act != Act(put)) continue;
    sub->add_option("JOB", flags->job, "JSON, as POST /api/jobs takes it: '{\"flow\": \"report\", \"input\": {}}'.")->required();
    sub->add_option("--cron", flags->cron, "\"0 9 * * mon-fri\", @daily, or \"every 15m\".")->required();
    sub->add_option("--timezone", flags->timezone, "Europe/Berlin; absent: UTC.");
    sub->add_option("--overlap", flags->overlap, "skip (if absent): no job while that of an earlier slot lives; or allow.");
    sub->add_option("--catch-up", flags->catch_up, "one (if absent): a job for all slots that were missed; or none.");
    sub->add_flag("--disabled", flags->disabled, "It fires nothing until it is put again without this.");
  }
}

}  // namespace ballast::app
