#include <CLI/CLI.hpp>
#include <iostream>

#include "app/access.hpp"
#include "app/cli.hpp"
#include "app/story.hpp"
#include "app/table.hpp"
#include "app/terminal.hpp"
#include "records/ledger.hpp"
#include "server/feedback_json.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string call;
  bool messages = false;
};

bool is_run(std::string_view id) { return id.starts_with("job_"); }

Result<json::value> find(Access& access, const std::string& call) {
  if (is_run(call)) {
    if (auto there = need_server(access); !there) return fail(std::move(there.error()));
    return access.call("GET", fmt::format("/api/jobs/{}/stages", net::percent_encode(call)));
  }
  auto* db = access.database();
  if (!db) return access.call("GET", "/api/decisions/" + net::percent_encode(call));
  const auto id = parse_id(call, "call");
  if (!id) return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" is not a call's id (call_ and 26 characters)", call));
  const auto record = db->read_now([&](store::Tx& tx) -> Result<std::string> {
    const auto found = records::get_call(tx, *id);
    if (!found) return std::unexpected(found.error());
    const auto feedback = records::feedback_of(tx, to_string(*id, "call"));
    if (!feedback) return std::unexpected(feedback.error());
    return server::with_feedback(records::to_json(*found), *feedback);
  });
  if (!record) return fail(record.error());
  return parse_json(*record);
}

// What was asked and answered, as it is kept.
std::string tell_messages(const json::value& kept) {
  const auto& o = kept.as_object();
  const auto yes = [&](std::string_view name) { return o.contains(name) && o.at(name).is_bool() && o.at(name).get_bool(); };
  return fmt::format("recorded   {}{}{}{}\n\nrequest\n{}\n\nreply\n{}\n", one_line(plain(o.at("recorded"))), yes("redacted") ? ", redacted" : "",
                     yes("truncated") ? ", cut" : "", yes("whole") ? "" : ", broken off", one_line(to_json(o.at("request"))), one_line(to_json(o.at("reply"))));
}

Result<json::value> find_messages(Access& access, const std::string& call) {
  if (is_run(call)) return fail(ErrorCode::caller_invalid_request, "messages are of a call (call_…); those of a run's stages are what `ballast explain` tells of it", "ID");
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  return access.call("GET", fmt::format("/api/calls/{}/messages", net::percent_encode(call)));
}

int explain(const Flags& flags) {
  if (flags.messages) return ask_and_tell(flags.access, [&](Access& access) { return find_messages(access, flags.call); }, [](const json::value& kept) { std::cout << tell_messages(kept); });
  return ask_and_tell(flags.access, [&](Access& access) { return find(access, flags.call); }, [&](const json::value& record) { std::cout << (is_run(flags.call) ? tell_run(record) : tell(record)); });
}

}  // namespace

void add_explain(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("explain", "Tell why one call, or one run of a flow, went the way it went.");
  auto flags = std::make_shared<Flags>();
  command->add_option("ID", flags->call, "The x-ballast-call-id of an answer (call_…), or the id of a run (job_…).")->required();
  command->add_flag("--messages", flags->messages, "What was asked and answered, where the call's route records messages (told in the audit trail).");
  add_access_flags(*command, flags->access);
  command->callback([&run, flags] { run = [flags] { return explain(*flags); }; });
}

}  // namespace ballast::app
