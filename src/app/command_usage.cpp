#include <CLI/CLI.hpp>
#include <iostream>
#include <map>

#include "app/access.hpp"
#include "app/cli.hpp"
#include "app/table.hpp"
#include "app/terminal.hpp"
#include "records/ledger.hpp"
#include "server/usage_json.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string by, from, to;
  std::map<std::string_view, std::string> filters;        // by the API's name of each
  std::size_t limit = server::kUsageRows, offset = 0;
};

// The flags as a query: what is wrong with them is found before anybody is asked.
Result<records::UsageQuery> query_of(const Flags& flags) {
  records::UsageQuery query{.limit = flags.limit, .offset = flags.offset};
  auto by = server::usage_groups(flags.by, "--by");
  if (!by) return fail(std::move(by.error()));
  query.by = std::move(*by);
  for (const auto& [name, value] : server::kCallFilters) query.filter.*value = flags.filters.at(name);
  const auto time = [](const std::string& text, std::string_view field, WallTime& into) -> Result<void> {
    if (text.empty()) return {};
    auto at = parse_time(text, field);
    if (!at) return fail(std::move(at.error()));
    into = *at;
    return {};
  };
  if (auto ok = time(flags.from, "--from", query.filter.from); !ok) return fail(std::move(ok.error()));
  if (auto ok = time(flags.to, "--to", query.filter.to); !ok) return fail(std::move(ok.error()));
  return query;
}

Result<json::value> from_database(store::Database& db, const records::UsageQuery& query) {
  const auto rows = db.read_now([&](store::Tx& tx) { return records::usage(tx, query); });
  if (!rows) return fail(rows.error());
  return server::usage_json(*rows, query);
}

Result<json::value> from_server(Access& access, const Flags& flags) {
  std::string target = fmt::format("/api/usage?limit={}&offset={}", flags.limit, flags.offset);
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) target += fmt::format("&{}={}", name, net::percent_encode(value));
  };
  add("by", flags.by);
  add("from", flags.from);
  add("to", flags.to);
  for (const auto& [name, value] : flags.filters) add(name, value);
  return access.call("GET", target);
}

int usage(const Flags& flags) {
  const auto query = query_of(flags);
  if (!query) {
    complain(query.error());
    return kUsage;
  }
  const auto ask = [&](Access& access) {
    auto* db = access.database();
    return db ? from_database(*db, *query) : from_server(access, flags);
  };
  return ask_and_tell(flags.access, ask, [](const json::value& answer) {
    const auto* rows = rows_of(answer);
    if (!rows) std::cout << to_json(answer) << '\n';
    else if (rows->empty()) std::cout << "no calls\n";
    else std::cout << table(*rows);
    if (const auto* next = answer.as_object().if_contains("next_offset")) std::cerr << "there may be more: --offset " << one_line(plain(*next)) << '\n';
  });
}

}  // namespace

void add_usage(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("usage", "What was used and what it cost, to the nano-dollar.");
  auto flags = std::make_shared<Flags>();
  add_access_flags(*command, flags->access);
  command->add_option("--by", flags->by, "Group by, with commas: key, user, feature, team, model, provider, route, operation, hour, day, status.");
  command->add_option("--from", flags->from, "Calls from this time on: 2026-11-01 or 2026-11-01T12:00:00Z.");
  command->add_option("--to", flags->to, "Calls before this time.");
  for (const auto& [name, ignored] : server::kCallFilters) {
    const std::string flag = name == "key" ? "--key-id" : "--" + std::string(name);        // --key is the admin key
    const std::string what = name == "key" ? "Only calls of this key, by its id: key_01k…, or config:NAME." : fmt::format("Only calls of this {}.", name);
    command->add_option(flag, flags->filters[name], what);
  }
  command->add_option("--limit", flags->limit, fmt::format("Rows at most (1 to {}).", server::kMostUsageRows))->check(CLI::Range(std::size_t{1}, server::kMostUsageRows));
  command->add_option("--offset", flags->offset, "Rows to pass over: the next page.")->check(CLI::Range(std::size_t{0}, server::kMostUsageOffset));
  command->callback([&run, flags] { run = [flags] { return usage(*flags); }; });
}

}  // namespace ballast::app
