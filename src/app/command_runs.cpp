#include <algorithm>
#include <iostream>

#include "app/acts.hpp"
#include "app/table.hpp"
#include "app/terminal.hpp"
#include "net/url.hpp"
#include "work/job.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string id, other, stage, input, version, name, key, payload, keep;
  bool call_off = false, dry_run = false;
};

// Runs live in a server.
Result<json::value> ask(Access& access, std::string_view method, const std::string& path, std::optional<json::value> body = {}) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  return access.call(method, path, std::move(body));
}

Result<std::string> run_path(const std::string& id, std::string_view rest) {
  if (!work::parse_job_id(id)) return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" is not a run's id (job_ and 13 characters)", id), "ID");
  return fmt::format("/api/jobs/{}/{}", id, rest);
}

Result<json::value> stages(Access& access, const Flags& f) {
  const auto path = run_path(f.id, "stages");
  return path ? ask(access, "GET", *path) : fail(path.error());
}

Result<json::value> compare(Access& access, const Flags& f) {
  const auto path = run_path(f.id, "compare/" + f.other);
  return path ? ask(access, "GET", *path) : fail(path.error());
}

Result<json::value> rollback(Access& access, const Flags& f) {
  const auto path = run_path(f.id, "rollback");
  if (!path) return fail(path.error());
  auto begun = ask(access, "POST", *path);
  if (!begun) return begun;
  auto ended = access.call("GET", fmt::format("/api/jobs/{}?wait=60s", begun->at("id").as_string().c_str()));
  if (!ended) return ended;
  const auto* output = ended->as_object().if_contains("output");
  json::object answer{{"id", begun->at("id")}, {"state", ended->at("state")}};
  if (output && output->is_object())
    for (const auto& [name, value] : output->get_object()) answer[name] = value;
  return answer;
}

Result<json::value> fork(Access& access, const Flags& f) {
  const auto path = run_path(f.id, "fork");
  if (!path) return fail(path.error());
  json::object body;
  if (!f.stage.empty()) body["stage"] = f.stage;
  if (!f.version.empty()) body["version"] = f.version;
  if (!f.input.empty()) {
    auto input = parse_json(f.input);
    if (!input) return fail(ErrorCode::caller_invalid_request, "is not JSON: " + input.error().message, "--input");
    body["input"] = std::move(*input);
  }
  return ask(access, "POST", *path, std::move(body));
}

Result<json::value> move(Access& access, const Flags& f) {
  const auto path = run_path(f.id, "move");
  if (!path) return fail(path.error());
  return ask(access, "POST", *path, json::object{{"version", f.version.empty() ? "current" : f.version}, {"call_off", f.call_off}, {"dry_run", f.dry_run}});
}

Result<json::value> flows(Access& access, const Flags&) { return ask(access, "GET", "/api/flows"); }
Result<json::value> flow(Access& access, const Flags& f) { return ask(access, "GET", "/api/flows/" + net::percent_encode(f.name)); }

// Text that is no JSON is a string.
json::value loose(const std::string& text) {
  auto value = parse_json(text);
  return value ? std::move(*value) : json::value(text);
}

Result<json::value> send_event(Access& access, const Flags& f) {
  json::object body{{"event", f.name}};
  if (!f.key.empty()) body["key"] = loose(f.key);
  if (!f.payload.empty()) body["payload"] = loose(f.payload);
  if (!f.keep.empty()) body["keep"] = f.keep;
  return ask(access, "POST", "/api/events", std::move(body));
}

// A list of objects as a table; longer values are cut.
void print_list(const json::value& answer, std::string_view list) {
  constexpr std::size_t kWidth = 60;
  json::array flat;
  for (const auto& row : answer.at(list).as_array()) {
    json::object line;
    for (const auto& [name, value] : row.as_object()) {
      std::string text = value.is_object() || value.is_array() ? to_json(value) : plain(value);
      std::ranges::replace(text, '\n', ' ');
      line[name] = shortened(text, kWidth);
    }
    flat.push_back(std::move(line));
  }
  std::cout << (flat.empty() ? std::string("none\n") : table(flat));
}

void print_members(const json::value& answer) { std::cout << members(answer); }

void print_compared(const json::value& answer) {
  for (const char* side : {"a", "b"}) std::cout << fmt::format("{}  {}\n", side, one_line(to_json(answer.at(side))));
  json::array rows;
  for (const auto& stage : answer.at("stages").as_array()) {
    const auto& o = stage.as_object();
    const auto said = [&](const char* side) {
      const auto* record = o.if_contains(side);
      if (!record) return std::string();
      const auto* output = record->as_object().if_contains("output");
      const std::string text = output ? to_json(*output) : plain(record->at("what"));
      return shortened(text, 50);
    };
    const bool same = o.at("same").as_bool();
    rows.push_back(json::object{{"stage", o.at("stage")}, {"same", same ? "yes" : "NO"}, {"a", said("a")}, {"b", same ? std::string() : said("b")}});
  }
  std::cout << (rows.empty() ? std::string("no stage has a result\n") : table(rows));
}

}  // namespace

void add_runs(CLI::App& jobs, Run& run) {
  auto flags = std::make_shared<Flags>();
  add_act(jobs, run, flags, "stages", "A run of a flow, stage by stage.", stages, [](const json::value& a) { print_list(a, "records"); })->add_option("ID", flags->id, "job_…")->required();
  auto* forked = add_act(jobs, run, flags, "fork", "A new run with this one's results, from a stage on asked anew.", fork, print_members);
  forked->add_option("ID", flags->id, "job_…")->required();
  forked->add_option("--stage", flags->stage, "This stage and what depends on it is performed again; absent: what has no result.");
  forked->add_option("--input", flags->input, "Another input, JSON.");
  forked->add_option("--version", flags->version, "current, or a version's digest; absent: the run's own.");
  auto* moved = add_act(jobs, run, flags, "move", "Move a live run to another version of its flow: what it has done stays done.", move, print_members);
  moved->add_option("ID", flags->id, "job_…")->required();
  moved->add_option("--to", flags->version, "current, a version's number, or its digest; absent: current.");
  moved->add_flag("--call-off", flags->call_off, "Withdraw what it asked of people and events that the version asks no more.");
  moved->add_flag("--dry-run", flags->dry_run, "Only say what would become of it.");
  auto* both = add_act(jobs, run, flags, "compare", "Two runs, stage by stage.", compare, print_compared);
  both->add_option("ID", flags->id, "job_…")->required();
  both->add_option("OTHER", flags->other, "job_…")->required();
  add_act(jobs, run, flags, "rollback", "Undo an ended run: its compensations, the last done first.", rollback, print_members)->add_option("ID", flags->id, "job_…")->required();
}

void add_flows(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("flows", "Flows in force.");
  command->require_subcommand(1);
  add_act(*command, run, flags, "list", "Their names and versions.", flows, [](const json::value& a) { print_list(a, "flows"); });
  add_act(*command, run, flags, "show", "A flow's stages.", flow, [](const json::value& a) { print_list(a, "stages"); })->add_option("NAME", flags->name, "Its name.")->required();
  auto* sent = add_act(app, run, flags, "event", "Send an event to the runs that wait for it.", send_event, print_members);
  sent->add_option("EVENT", flags->name, "Its name.")->required();
  sent->add_option("--event-key", flags->key, "Which one: JSON, or text.");
  sent->add_option("--payload", flags->payload, "JSON, or text.");
  sent->add_option("--keep", flags->keep, "For runs that begin to wait later: 24h if absent.");
}

}  // namespace ballast::app
