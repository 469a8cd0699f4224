#include <CLI/CLI.hpp>
#include <iostream>

#include "app/backup.hpp"
#include "app/cli.hpp"
#include "app/config.hpp"
#include "app/progress.hpp"
#include "app/table.hpp"
#include "base/text.hpp"
#include "gateway/shared_books.hpp"
#include "records/rejected.hpp"

namespace ballast::app {

namespace {

struct Flags {
  std::string config;
  bool json = false;
};

json::object report_json(const records::RejectedReport& report) {
  json::array calls;
  for (const auto& c : report.calls) {
    json::object row{{"call", c.call}, {"outcome", c.outcome}};
    if (!c.error.empty()) row["error"] = c.error;
    calls.push_back(std::move(row));
  }
  return {{"imported", report.imported}, {"already_there", report.present}, {"refused", report.refused},
          {"damaged_bytes", report.damaged_bytes}, {"calls", std::move(calls)}};
}

void print(const records::RejectedReport& report, const std::string& file) {
  if (report.calls.empty() && report.damaged_bytes == 0) {
    std::cout << "no rejected calls\n";
    return;
  }
  const json::object out = report_json(report);
  std::cout << table(out.at("calls").as_array())
            << fmt::format("{} imported, {} already there, {} refused again", report.imported, report.present, report.refused);
  if (report.damaged_bytes) std::cout << fmt::format("; {} bytes were damaged", report.damaged_bytes);
  std::cout << '\n';
  if (report.refused) std::cout << "What was refused is still in " << file << '\n';
}

int import_rejected(const Flags& flags) {
  auto config = load_config(flags.config, system_environment());
  if (!config) {
    complain(config.error());
    return kBadConfig;
  }
  const std::string folder = config->data_dir + "/journal";
  std::optional<Progress> progress(std::in_place, "importing", flags.json, Unit::bytes);
  auto database = store::open_database(config->database);
  if (database)
    if (auto migrated = (*database)->migrate(all_migrations()); !migrated) database = fail(std::move(migrated.error()));
  const records::RejectedHooks hooks{.progress = [&](std::uint64_t done, std::uint64_t all) { (*progress)("importing", done, all); }, .charged = gateway::note_nobodys};
  auto report = database ? records::import_rejected(folder, **database, hooks) : Result<records::RejectedReport>(fail(database.error()));
  progress.reset();
  if (!report) {
    complain(report.error());
    return kFailed;
  }
  if (flags.json) std::cout << to_json(report_json(*report)) << '\n';
  else print(*report, folder + "/rejected");
  return report->refused == 0 ? kOk : kFailed;
}

}  // namespace

void add_journal(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("journal", "What is to be done with the call journal.");
  command->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  auto* again = command->add_subcommand(
      "import-rejected",
      "Try again the calls that no database took (DATA_DIR/journal/rejected), and say what became of each. Harmless to repeat, also beside a "
      "running server, which counts them towards its budgets from its next start on. Exit code 1 if any is refused again.");
  again->add_option("-c,--config", flags->config, "Configuration file (default: ./ballast.yaml if there, else none).")->envname("BALLAST_CONFIG");
  again->add_flag("--json", flags->json, "Print JSON.");
  again->callback([&run, flags] { run = [flags] { return import_rejected(*flags); }; });
}

}  // namespace ballast::app
