#include <CLI/CLI.hpp>
#include <iostream>

#include "app/access.hpp"
#include "app/cli.hpp"
#include "app/table.hpp"
#include "base/text.hpp"
#include "records/ledger.hpp"
#include "server/usage_json.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string by, from, to;
};

Result<json::value> from_database(store::Database& db, const Flags& flags) {
  records::UsageQuery query;
  if (!flags.by.empty()) {
    for (const auto name : split(flags.by, ',')) {
      const auto by = records::group_by_from(trim(name));
      if (!by) return fail(ErrorCode::caller_invalid_request, fmt::format("cannot group by \"{}\"", name), "--by");
      query.by.push_back(*by);
    }
  }
  const auto time = [](const std::string& text, std::string_view field, WallTime& into) -> Result<void> {
    if (text.empty()) return {};
    auto at = parse_time(text, field);
    if (!at) return fail(std::move(at.error()));
    into = *at;
    return {};
  };
  if (auto ok = time(flags.from, "--from", query.filter.from); !ok) return fail(std::move(ok.error()));
  if (auto ok = time(flags.to, "--to", query.filter.to); !ok) return fail(std::move(ok.error()));
  query.limit = 100'000;
  const auto rows = db.read_now([&](store::Tx& tx) { return records::usage(tx, query); });
  if (!rows) return fail(rows.error());
  json::array list;
  for (const auto& row : *rows) list.push_back(server::usage_row_json(row, query.by));
  return json::object{{"rows", std::move(list)}};
}

Result<json::value> from_server(Access& access, const Flags& flags) {
  std::string target = "/api/usage?limit=1000";
  if (!flags.by.empty()) target += "&by=" + net::percent_encode(flags.by);
  if (!flags.from.empty()) target += "&from=" + net::percent_encode(flags.from);
  if (!flags.to.empty()) target += "&to=" + net::percent_encode(flags.to);
  return access.call("GET", target);
}

int usage(const Flags& flags) {
  int code = kFailed;
  auto access = Access::open(flags.access, code);
  if (!access) {
    complain(access.error());
    return code;
  }
  auto* db = (*access)->database();
  const auto answer = db ? from_database(*db, flags) : from_server(**access, flags);
  if (!answer) {
    complain(answer.error());
    return answer.error().field.starts_with("--") ? kUsage : kFailed;
  }
  const auto* rows = rows_of(*answer);
  if (flags.access.json || !rows) std::cout << to_json(*answer) << '\n';
  else if (rows->empty()) std::cout << "no calls\n";
  else std::cout << table(*rows);
  return kOk;
}

}  // namespace

void add_usage(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("usage", "What was used and what it cost, to the nano-dollar.");
  auto flags = std::make_shared<Flags>();
  add_access_flags(*command, flags->access);
  command->add_option("--by", flags->by, "Group by, with commas: key, user, feature, team, model, provider, route, operation, hour, day, status.");
  command->add_option("--from", flags->from, "Calls from this time on: 2026-11-01 or 2026-11-01T12:00:00Z.");
  command->add_option("--to", flags->to, "Calls before this time.");
  command->callback([&run, flags] { run = [flags] { return usage(*flags); }; });
}

}  // namespace ballast::app
