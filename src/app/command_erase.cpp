#include <CLI/CLI.hpp>
#include <iostream>
#include <thread>

#include "app/access.hpp"
#include "app/backup.hpp"
#include "app/cli.hpp"
#include "app/progress.hpp"
#include "app/table.hpp"
#include "store/scrub.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string user, wait;
  bool dry_run = false, cancel = false, cancel_batches = false, with_trail = false, scrub = false;
};

constexpr auto kLook = std::chrono::seconds(1);           // whether the batches are over

Result<json::value> erase(Access& access, const Flags& f) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  const auto patience = f.wait.empty() ? Result<Duration>(Duration::zero()) : parse_duration(f.wait, "--wait");
  if (!patience) return fail(patience.error());
  const auto until = std::chrono::steady_clock::now() + *patience;
  for (;;) {
    auto done = access.call("POST", "/api/erase", json::object{{"user", f.user}, {"dry_run", f.dry_run}, {"cancel", f.cancel}, {"cancel_batches", f.cancel_batches}, {"with_trail", f.with_trail}});
    const bool batches = !done && done.error().field == "cancel_batches";
    if (!batches || std::chrono::steady_clock::now() >= until) return done;
    std::this_thread::sleep_for(kLook);
  }
}

int scrub(const Flags& f) {
  const auto config = load_config(f.access.config, system_environment());
  if (!config) {
    complain(config.error());
    return kBadConfig;
  }
  const auto known = all_migrations();
  std::optional<Progress> progress(std::in_place, "rewriting the database's files", f.access.json);
  const auto done = store::scrub_database(config->database, known);
  progress.reset();
  if (!done) {
    complain(done.error());
    return kFailed;
  }
  if (f.access.json) std::cout << to_json(json::object{{"scrubbed", true}}) << '\n';
  else std::cout << "nothing of what was deleted is left in the database's files\n";
  return kOk;
}

int run_erase(const Flags& f) {
  if (f.scrub == !f.user.empty()) {
    complain("say either --user NAME or --scrub");
    return kUsage;
  }
  if (f.scrub) return scrub(f);
  return ask_and_tell(f.access, [&](Access& access) { return erase(access, f); }, [](const json::value& answer) { std::cout << members(answer); });
}

}  // namespace

void add_erase(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("erase", "Erase one user's data; what his calls cost stays, under a pseudonym.");
  add_access_flags(*command, flags->access);
  command->add_option("--user", flags->user, "As jobs and calls name him.");
  command->add_flag("--dry-run", flags->dry_run, "Only count.");
  command->add_flag("--cancel", flags->cancel, "End his live jobs and schedules first.");
  command->add_flag("--cancel-batches", flags->cancel_batches, "Cancel the batches of his keys first, at their providers too.");
  command->add_option("--wait", flags->wait, "So long for batches of his keys to be over: 1h.");
  command->add_flag("--with-trail", flags->with_trail, "The chains of his jobs in the audit trail, too; a tombstone of each stays.");
  command->add_flag("--scrub", flags->scrub, "Instead: rewrite the database's files, so that nothing deleted is left in them. SQLite: no server may use it.");
  command->callback([&run, flags] { run = [flags] { return run_erase(*flags); }; });
}

}  // namespace ballast::app
