#include "app/command_readiness.hpp"

#include <iostream>

#include "app/cli.hpp"
#include "app/progress.hpp"
#include "app/table.hpp"
#include "app/terminal.hpp"
#include "base/text.hpp"
#include "server/readiness_facts.hpp"

namespace ballast::app {

namespace {

Result<records::Evidence> evidence_of(const ProductionFlags& flags, WallTime now) {
  const auto cut = flags.record.find('=');
  records::Evidence e{.line = flags.record.substr(0, cut), .at = now, .note = flags.note, .actor = "command line", .told = now};
  if (cut != std::string::npos) {
    const auto at = parse_time(std::string_view(flags.record).substr(cut + 1), "--record");
    if (!at) return fail(at.error());
    e.at = *at;
  }
  if (auto good = server::check_evidence(e, now); !good) {
    Error error = std::move(good.error());
    error.field = error.field == "note" ? "--note" : "--record";
    return fail(std::move(error));
  }
  return e;
}

// With the server, or in the database itself.
int record(const ProductionFlags& flags) {
  const auto evidence = evidence_of(flags, SystemClock().wall());
  if (!evidence) {
    complain(evidence.error());
    return kUsage;
  }
  const auto put = [&](Access& access) -> Result<json::value> {
    if (auto* db = access.database()) {
      const auto done = db->write_now([&](store::Tx& tx) -> Result<bool> {
        if (auto kept = records::put_evidence(tx, *evidence); !kept) return std::unexpected(kept.error());
        return true;
      });
      if (!done) return fail(done.error());
      return json::object{{"line", evidence->line}, {"at", to_rfc3339(evidence->at)}, {"note", evidence->note}};
    }
    json::object body{{"line", evidence->line}, {"note", evidence->note}};
    if (const auto cut = flags.record.find('='); cut != std::string::npos) body["at"] = flags.record.substr(cut + 1);
    return access.call("POST", "/api/readiness/evidence", std::move(body));
  };
  return ask_and_tell(flags.access, put, [](const json::value& answer) { std::cout << members(answer); });
}

int tell(const json::value& answer, bool as_json) {
  std::cout << (as_json ? to_json(answer) + "\n" : tell_readiness(answer));
  const auto* failed = answer.as_object().if_contains("failed");
  return failed && failed->to_number<std::int64_t>() > 0 ? kFailed : kOk;
}

}  // namespace

std::string tell_readiness(const json::value& answer) {
  const auto& o = answer.as_object();
  const auto text = [](const json::object& line, std::string_view name) { return one_line(plain(line.at(name))); };
  std::string out, group;
  for (const auto& item : o.at("lines").as_array()) {
    const auto& line = item.as_object();
    if (const std::string name = text(line, "group"); name != group) {
      group = name;
      out += fmt::format("{}{}\n", out.empty() ? "" : "\n", group);
    }
    std::string state = text(line, "state");
    if (state == "not_applicable") state = "-";
    out += fmt::format("  {:9} {}\n            {}\n", state, text(line, "question"), text(line, "evidence"));
    if (const std::string todo = text(line, "todo"); !todo.empty()) out += fmt::format("            to do: {}\n", todo);
  }
  out += fmt::format("\n{} passed, {} failed, {} unproven\n", text(o, "passed"), text(o, "failed"), text(o, "unproven"));
  return out;
}

int check_production(const ProductionFlags& flags, const std::function<std::variant<server::ConfiguredFacts, int>()>& configured) {
  if (!flags.record.empty()) return record(flags);
  int code = kFailed;
  const auto access = Access::open(flags.access, code, Access::Without::nothing);
  if (access) {
    std::optional<Progress> progress(std::in_place, "waiting for the server to look", flags.access.json);
    const auto answer = (*access)->call("GET", "/api/readiness");
    progress.reset();
    if (answer) return tell(*answer, flags.access.json);
    complain(answer.error());
    return kFailed;
  }
  if (!flags.access.server.empty()) {
    complain(access.error());
    return code;
  }
  if (code != kBadConfig) complain(access.error().message + "; from the configuration alone");   // what is wrong with it is told below
  auto facts = configured();
  if (const int* wrong = std::get_if<int>(&facts)) return *wrong;
  return tell(server::readiness_json({.now = SystemClock().wall(), .configured = std::get<0>(std::move(facts)), .seen = {}, .evidence = {}}), flags.access.json);
}

}  // namespace ballast::app
