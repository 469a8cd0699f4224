#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <thread>

#include "app/backup.hpp"
#include "app/migrate_store.hpp"
#include "app/progress.hpp"
#include "app/table.hpp"
#include "base/config_node.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "records/audit.hpp"
#include "store/moves.hpp"

namespace ballast::app {

namespace fs = std::filesystem;

namespace {

constexpr store::LeftOut kLeftOut[] = {
    {"members", "nodes that beat: each says so anew when it starts"},
    {"watchers", "who watches the alerts: a lease of a process that has stopped"},
    {"shared_answers", "a cache, which is made anew"},
};
constexpr Duration kLook = std::chrono::milliseconds(200);        // whether the source's server has stopped
constexpr Duration kPassEvery = std::chrono::seconds(30);         // meanwhile, so that little is left for the end

struct Flags {
  std::string config, from, to, wait, throttle;
  bool verify = false, take_back = false, start_over = false, json = false;
};

// The folder's journal, which a server holds as long as it lives. Nothing to hold where there is none.
class JournalLock {
 public:
  explicit JournalLock(const fs::path& data) : fd_(::open((data / "journal" / "lock").c_str(), O_RDWR | O_CLOEXEC)) { free_ = fd_ < 0 || ::flock(fd_, LOCK_EX | LOCK_NB) == 0; }
  ~JournalLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  JournalLock(const JournalLock&) = delete;
  JournalLock& operator=(const JournalLock&) = delete;
  bool free() const { return free_; }

 private:
  const int fd_;
  bool free_ = true;
};

// sqlite://FILE as sqlite:FILE.
std::string plain_url(std::string url) {
  if (url.starts_with("sqlite://")) url.erase(7, 2);
  return url;
}

bool same_database(const std::string& one, const std::string& other) {
  if (!one.starts_with("sqlite:") || !other.starts_with("sqlite:")) return one == other;
  return fs::weakly_canonical(one.substr(7)) == fs::weakly_canonical(other.substr(7));
}

double seconds_since(MonoTime began) { return std::chrono::duration<double>(SystemClock().mono() - began).count(); }
double rounded(double seconds) { return std::round(seconds * 1'000) / 1'000; }

json::object told(const store::TransferReport& report, bool both) {
  json::array tables, left_out, strangers;
  for (const auto& t : report.tables) {
    json::object o{{"name", t.name}, {"rows", t.rows}, {"bytes", t.bytes}, {"checksum", t.checksum}};
    if (both) o["target_rows"] = t.target_rows, o["target_checksum"] = t.target_checksum, o["same"] = t.same();
    tables.push_back(std::move(o));
  }
  for (const auto& l : kLeftOut) left_out.push_back(json::object{{"table", l.table}, {"why", l.why}});
  for (const auto& s : report.strangers) strangers.push_back(json::value(s));
  return {{"id", report.id}, {"rows", report.rows}, {"bytes", report.bytes}, {"copied_rows", report.copied_rows}, {"copied_bytes", report.copied_bytes},
          {"tables", std::move(tables)}, {"left_out", std::move(left_out)}, {"stays_behind", std::move(strangers)}};
}

// Of every table its name, rows and checksum, as `--verify` shows them.
Digest digest_of(const std::vector<store::TransferredTable>& tables) {
  std::string listing;
  for (const auto& t : tables) listing += fmt::format("{} {} {}\n", t.name, t.rows, t.checksum);
  return sha256(listing);
}

// For the trail of the target.
std::string note_of(const Flags& flags, const store::TransferReport& report) {
  return to_json(json::object{{"at_us", unix_us(SystemClock().wall())}, {"tables_sha256", to_hex(digest_of(report.tables))},
                              {"told", {{"move", report.id}, {"from", store::shown_url(flags.from)}, {"to", store::shown_url(flags.to)}, {"tables", report.tables.size()},
                                        {"rows", report.rows}, {"bytes", report.bytes}}}});
}

// What of the data folder the database does not hold.
json::array beside(const Config& config) {
  json::array out;
  std::error_code ignored;
  const std::string file = config.database.starts_with("sqlite:") ? fs::path(config.database.substr(7)).filename().string() : std::string();
  for (const auto& entry : fs::directory_iterator(config.data_dir, ignored)) {
    const std::string name = entry.path().filename().string();
    if (file.empty() || !name.starts_with(file)) out.push_back(json::value(name));
  }
  return out;
}

class Moving {
 public:
  Moving(const Flags& flags, const Config& config, store::Transfer& transfer, Duration patience)
      : flags_(flags), config_(config), transfer_(transfer), until_(clock_.mono() + patience) {}

  Result<json::object> move() {
    if (transfer_.finished()) return json::object{{"state", transfer_.used() ? "used" : "moved"}, {"already", true}, {"from", store::shown_url(flags_.from)}, {"to", store::shown_url(flags_.to)}};
    auto moved = finish();
    while (!moved && is_busy(moved.error())) {
      const MonoTime began = clock_.mono();
      auto passed = transfer_.pass();
      if (!passed) return fail(std::move(passed.error()));
      copying_ += seconds_since(began);
      ++passes_;
      moved = finish_within(kPassEvery);
      if (!moved && is_busy(moved.error()) && clock_.mono() >= until_) return with_times(told(*passed, false), "copied");
    }
    if (!moved) return fail(std::move(moved.error()));
    return with_times(told(*moved, false), "moved");
  }

 private:
  static bool is_busy(const Error& error) { return error.code == ErrorCode::caller_conflict && error.field == "database"; }

  Result<store::TransferReport> finish() {
    const JournalLock journal(config_.data_dir);
    if (!journal.free()) return fail(ErrorCode::caller_conflict, fmt::format("a server uses {}", config_.data_dir), "database");
    const MonoTime began = clock_.mono();
    auto done = transfer_.finish();
    if (done) stopped_ = seconds_since(began);
    return done;
  }

  Result<store::TransferReport> finish_within(Duration patience) {
    const MonoTime end = std::min(clock_.mono() + patience, until_);
    for (;;) {
      auto done = finish();
      if (done || !is_busy(done.error()) || clock_.mono() >= end) return done;
      std::this_thread::sleep_for(kLook);
    }
  }

  json::object with_times(json::object report, std::string_view state) const {
    report["state"] = state;
    report["from"] = store::shown_url(flags_.from);
    report["to"] = store::shown_url(flags_.to);
    report["passes"] = passes_;
    report["copying_seconds"] = rounded(copying_);
    if (state == "moved") report["stopped_seconds"] = rounded(stopped_);
    report["data_dir"] = config_.data_dir;
    report["beside"] = beside(config_);
    return report;
  }

  const Flags& flags_;
  const Config& config_;
  store::Transfer& transfer_;
  const SystemClock clock_;
  const MonoTime until_;
  double copying_ = 0, stopped_ = 0;
  int passes_ = 0;
};

std::string text_of(const json::object& o, std::string_view name) { return plain(o.at(name)); }

void print_moved(const json::object& o) {
  if (o.contains("already")) {
    std::cout << (text_of(o, "state") == "used" ? "this was moved before, and has been worked with since: nothing to do\n" : "this was moved before: nothing to do\n");
    return;
  }
  const bool moved = text_of(o, "state") == "moved";
  std::cout << fmt::format("{} {} rows of {} tables from {} to {}; each table has the same rows and checksum on both sides\n", moved ? "moved" : "copied", text_of(o, "rows"), o.at("tables").as_array().size(),
                           text_of(o, "from"), text_of(o, "to"));
  std::cout << fmt::format("{} rows ({} bytes) were written now; {} s beside the server", text_of(o, "copied_rows"), text_of(o, "copied_bytes"), text_of(o, "copying_seconds"));
  if (moved) std::cout << fmt::format(", {} s with it stopped", text_of(o, "stopped_seconds"));
  std::cout << '\n';
  for (const auto& name : o.at("stays_behind").as_array()) std::cout << "stays behind: table " << plain(name) << ", which is none of Ballast's\n";
  if (!moved) return;
  std::cout << fmt::format("not in the database: {} with {}: keep it as the first node's data_dir\n", text_of(o, "data_dir"), plain(o.at("beside")));
  std::cout << "now set `database` to the target and start; the source refuses to be started\n";
}

Result<json::object> act(const Flags& flags, const Config& config, const store::TransferOptions& options, Duration patience, bool& fine) {
  auto transfer = store::Transfer::open(flags.from, flags.to, options);
  if (!transfer) return fail(std::move(transfer.error()));
  if (flags.take_back) {
    const JournalLock journal(config.data_dir);
    if (!journal.free()) return fail(ErrorCode::caller_conflict, fmt::format("a server uses {}: stop it first", config.data_dir), "data_dir");
    if (auto back = (*transfer)->take_back(); !back) return fail(std::move(back.error()));
    return json::object{{"state", "taken_back"}, {"from", store::shown_url(flags.from)}, {"to", store::shown_url(flags.to)}};
  }
  if (flags.verify) {
    const auto report = (*transfer)->verify();
    if (!report) return fail(report.error());
    fine = std::ranges::all_of(report->tables, &store::TransferredTable::same);
    json::object out = told(*report, true);
    out["state"] = fine ? "same" : "differs";
    return out;
  }
  auto moved = Moving(flags, config, **transfer, patience).move();
  fine = moved && text_of(*moved, "state") != "copied";
  return moved;
}

void print(const Flags& flags, const json::object& report) {
  if (flags.json) std::cout << to_json(report) << '\n';
  else if (flags.take_back) std::cout << fmt::format("{} is the installation again; going on later begins where it was\n", text_of(report, "from"));
  else if (flags.verify) std::cout << table(report.at("tables").as_array());
  else print_moved(report);
}

int migrate_store(Flags flags) {
  const auto config = load_config(flags.config, system_environment());
  if (!config) {
    complain(config.error());
    return kBadConfig;
  }
  flags.from = plain_url(std::move(flags.from));
  flags.to = plain_url(std::move(flags.to));
  const auto patience = flags.wait.empty() ? Result<Duration>(Duration::zero()) : parse_duration(flags.wait, "--wait");
  const auto throttle = flags.throttle.empty() ? Result<std::uint64_t>(0) : parse_size(flags.throttle, "--throttle");
  for (const Error* error : {patience ? nullptr : &patience.error(), throttle ? nullptr : &throttle.error()})
    if (error) {
      complain(*error);
      return kUsage;
    }
  if (!same_database(config->database, flags.from) && !same_database(config->database, flags.to)) {
    complain("--config: its `database` is neither of the two: name the configuration of the installation that moves, whose data_dir tells whether it is served");
    return kUsage;
  }
  const auto known = all_migrations();
  bool fine = true;
  std::optional<Progress> progress(std::in_place, "looking", flags.json, Unit::things);
  const auto done = act(flags, *config, {.known = known, .left_out = kLeftOut, .only_known = flags.verify || flags.take_back, .start_over = flags.start_over, .bytes_per_second = *throttle, .note = [&](const auto& report) { return note_of(flags, report); }, .progress = std::ref(*progress)}, *patience, fine);
  progress.reset();
  if (!done) {
    complain(done.error());
    return done.error().code == ErrorCode::caller_invalid_request && done.error().field == "database" ? kUsage : kFailed;
  }
  print(flags, *done);
  if (fine) return kOk;
  if (flags.verify) complain("the two are not the same");
  else complain("not moved yet: all is copied, and a server still works on the source; stop it and run the same command again, or give --wait");
  return kFailed;
}

}  // namespace

std::span<const store::LeftOut> left_out_tables() { return kLeftOut; }

Result<void> tell_move(store::Tx& tx) {
  const auto note = store::take_note(tx);
  if (!note) return std::unexpected(note.error());
  if (!*note) return {};
  const auto document = parse_json(**note);
  if (!document) return std::unexpected(document.error());
  const JsonRef said(*document);
  const auto at = said.get<std::int64_t>("at_us");
  const auto tables = said.get<std::string>("tables_sha256");
  const auto told = said.get<JsonRef>("told");
  for (const Error* error : {at ? nullptr : &at.error(), tables ? nullptr : &tables.error(), told ? nullptr : &told.error()})
    if (error) return std::unexpected(*error);
  records::AuditEntry entry{.actor = "command line", .action = std::string(records::audit::store_moved), .subject = "database", .arguments = {}, .outcome = to_json(told->value()),
                            .at = from_unix_us(*at)};
  if (const auto raw = from_hex(*tables); raw && raw->size() == entry.arguments.size()) std::copy_n(raw->begin(), raw->size(), reinterpret_cast<char*>(entry.arguments.data()));
  auto head = records::append_audit(tx, records::admin_chain("0"), std::span(&entry, 1), SystemClock().wall());
  return head ? Result<void>{} : std::unexpected(head.error());
}

void add_migrate_store(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("migrate-store", "Move an installation's database: from a file to PostgreSQL, or back. Copies beside the server, ends when it has stopped.");
  command->add_option("FROM", flags->from, "sqlite:FILE or postgres://…")->required();
  command->add_option("TO", flags->to, "As FROM: an empty database, or what an earlier run has begun to fill.")->required();
  command->add_option("-c,--config", flags->config, "The configuration of the installation that moves (default: ./ballast.yaml if there, else none).")->envname("BALLAST_CONFIG");
  command->add_option("--wait", flags->wait, "So long for the server to be stopped, copying what changes meanwhile: 1h.");
  command->add_option("--throttle", flags->throttle, "Bytes a second to read at most, beside a server: 20MB.");
  auto* verify = command->add_flag("--verify", flags->verify, "Instead: read all of both and compare rows and checksums; 1 if they differ.");
  auto* back = command->add_flag("--take-back", flags->take_back, "Instead: let FROM count again, as long as nothing has used TO.");
  auto* anew = command->add_flag("--start-over", flags->start_over, "Empty a TO that an unfinished run has begun to fill.");
  verify->excludes(back)->excludes(anew);
  back->excludes(anew);
  command->add_flag("--json", flags->json, "Print JSON.");
  command->callback([&run, flags] { run = [flags] { return migrate_store(*flags); }; });
}

}  // namespace ballast::app
