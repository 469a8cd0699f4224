#include <CLI/CLI.hpp>
#include <iostream>

#include "app/access.hpp"
#include "app/cli.hpp"
#include "app/story.hpp"
#include "records/ledger.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string call;
};

Result<json::value> find(Access& access, const std::string& call) {
  auto* db = access.database();
  if (!db) return access.call("GET", "/api/decisions/" + net::percent_encode(call));
  const auto id = parse_id(call, "call");
  if (!id) return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" is not a call's id (call_ and 26 characters)", call));
  const auto record = db->read_now([&](store::Tx& tx) { return records::get_call(tx, *id); });
  if (!record) return fail(record.error());
  return parse_json(records::to_json(*record));
}

int explain(const Flags& flags) {
  return ask_and_tell(flags.access, [&](Access& access) { return find(access, flags.call); }, [](const json::value& record) { std::cout << tell(record); });
}

}  // namespace

void add_explain(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("explain", "Tell why one call went the way it went.");
  auto flags = std::make_shared<Flags>();
  command->add_option("CALL_ID", flags->call, "The x-ballast-call-id of the answer.")->required();
  add_access_flags(*command, flags->access);
  command->callback([&run, flags] { run = [flags] { return explain(*flags); }; });
}

}  // namespace ballast::app
