// The command line: one file per command, each adding itself to the parser.
//
// Exit codes: 0 done; 1 failed (the server said no, nothing was found, the machine refused); 2 wrong usage;
// 3 the configuration is wrong; 4 (serve) this node may not join its installation, or know its database; 75 (serve) other nodes took this one for dead and
// it did not start anew. Answers go to standard output, everything else to standard error.
#pragma once
#include <functional>
#include <string>

#include "base/result.hpp"

namespace CLI {
class App;
}

namespace ballast::app {

inline constexpr int kOk = 0, kFailed = 1, kUsage = 2, kBadConfig = 3, kRefused = 4, kTakenForDead = 75;
inline constexpr const char* kVersion = "0.1.0";

// Set by the subcommand that was chosen; returns the exit code.
using Run = std::function<int()>;

void add_serve(CLI::App& app, Run& run);
void add_check(CLI::App& app, Run& run);
void add_explain(CLI::App& app, Run& run);
void add_feedback(CLI::App& app, Run& run);
void add_top(CLI::App& app, Run& run);
void add_keys(CLI::App& app, Run& run);
void add_journal(CLI::App& app, Run& run);
void add_budgets(CLI::App& app, Run& run);
void add_alerts(CLI::App& app, Run& run);
void add_audit(CLI::App& app, Run& run);
void add_jobs(CLI::App& app, Run& run);
void add_runs(CLI::App& jobs, Run& run);         // beneath `jobs`
void add_flows(CLI::App& app, Run& run);
void add_queues(CLI::App& app, Run& run);
void add_schedules(CLI::App& app, Run& run);
void add_inbox(CLI::App& app, Run& run);
void add_backup(CLI::App& app, Run& run);     // and restore
void add_erase(CLI::App& app, Run& run);
void add_export(CLI::App& app, Run& run);
void add_usage(CLI::App& app, Run& run);
void add_query(CLI::App& app, Run& run);
void add_schema(CLI::App& app, Run& run);
void add_intents(CLI::App& app, Run& run);
void add_tokens(CLI::App& app, Run& run);
void add_contract(CLI::App& app, Run& run);
void add_simulate(CLI::App& app, Run& run);
void add_nodes(CLI::App& app, Run& run);
void add_health(CLI::App& app, Run& run);
void add_version(CLI::App& app, Run& run);

// Parses, runs the chosen command, never throws.
int command_line(int argc, const char* const* argv);

// "ballast: MESSAGE" on standard error, on one line and harmless for a terminal.
void complain(const std::string& message);
void complain(const Error& error);

}  // namespace ballast::app
