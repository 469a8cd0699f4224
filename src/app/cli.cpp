#include "app/cli.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>

#include "app/migrate_store.hpp"
#include "app/terminal.hpp"

namespace ballast::app {

// Servers, files and models have a part in what is said: none of it steers the terminal.
void complain(const std::string& message) { std::fprintf(stderr, "ballast: %s\n", one_line(message).c_str()); }
void complain(const Error& error) {
  complain(error.field.empty() ? error.message : error.field + ": " + error.message);
}

int command_line(int argc, const char* const* argv) {
  CLI::App app("Ballast: one binary between an application and its models.", "ballast");
  app.require_subcommand(1);
  app.footer("\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration; of serve: 4 refused as a node, 75 taken for dead.\n"
             "Environment: BALLAST_CONFIG, BALLAST_SERVER, BALLAST_ADMIN_KEY stand for --config, --server, --key.");
  Run run;
  add_serve(app, run);
  add_check(app, run);
  add_explain(app, run);
  add_feedback(app, run);
  add_top(app, run);
  add_keys(app, run);
  add_journal(app, run);
  add_usage(app, run);
  add_budgets(app, run);
  add_alerts(app, run);
  add_query(app, run);
  add_schema(app, run);
  add_intents(app, run);
  add_tokens(app, run);
  add_contract(app, run);
  add_audit(app, run);
  add_jobs(app, run);
  add_flows(app, run);
  add_queues(app, run);
  add_schedules(app, run);
  add_inbox(app, run);
  add_backup(app, run);
  add_migrate_store(app, run);
  add_erase(app, run);
  add_export(app, run);
  add_simulate(app, run);
  add_nodes(app, run);
  add_health(app, run);
  add_version(app, run);
  try {
    app.parse(argc, argv);
    return run ? run() : kUsage;
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e, std::cout, std::cerr);
    return code == 0 ? kOk : kUsage;
  } catch (const std::exception& e) {
    complain(e.what());
    return kFailed;
  }
}

}  // namespace ballast::app
