#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>

#include "app/backup.hpp"
#include "app/cli.hpp"
#include "base/hash.hpp"
#include "records/audit.hpp"
#include "work/homes.hpp"

namespace ballast::app {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kStaged = ".restore-new", kAside = ".before-restore-";

class Lock {
 public:
  explicit Lock(const fs::path& path) : fd_(fs::exists(path) ? ::open(path.c_str(), O_RDWR | O_CLOEXEC) : -1) {
    free_ = fd_ < 0 || ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
  }
  ~Lock() {
    if (fd_ >= 0) ::close(fd_);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  bool free() const { return free_; }

 private:
  const int fd_;
  bool free_ = true;
};

class Restoring {
 public:
  Restoring(const Config& config, const std::string& from, bool force, const Told& told)
      : config_(config), from_(from), data_(config.data_dir), force_(force), told_(told), sqlite_(config.database.starts_with("sqlite:")) {
    if (sqlite_) file_ = config.database.substr(7);
    kept_ = fmt::format("{}{}", kAside, unix_ms(SystemClock().wall()));
  }

  Result<Restored> restore() {
    auto manifest = read_manifest(from_);
    if (!manifest) return fail(std::move(manifest.error()));
    manifest_ = std::move(*manifest);
    using Step = Result<void> (Restoring::*)();
    if (auto done = check_kind(); !done) return fail(std::move(done.error()));
    const Lock journal(data_ / "journal" / "lock"), database(file_.string() + "-checkpointer");
    if (!journal.free() || (sqlite_ && !database.free()))
      return fail(ErrorCode::caller_conflict, fmt::format("a server uses {}: stop it first", data_.string()), "--config");
    for (const Step step : {&Restoring::refuse_to_overwrite, &Restoring::check_files, &Restoring::stage, &Restoring::fill_postgres, &Restoring::swap, &Restoring::begin_anew})
      if (auto done = (this->*step)(); !done) return fail(std::move(done.error()));
    return Restored{std::move(manifest_), moved_ ? (data_ / kept_).string() : std::string()};
  }
  ~Restoring() {
    std::error_code ignored;
    fs::remove_all(data_ / kStaged, ignored);
    if (sqlite_) fs::remove(staged_file(), ignored);
  }

 private:
  fs::path staged_file() const { return file_.string() + std::string(kStaged); }
  bool interrupted() const { return fs::exists(data_ / kRestoreMark); }

  Result<void> check_kind() {
    if (manifest_.database != (sqlite_ ? "sqlite" : "postgres"))
      return fail(ErrorCode::caller_invalid_request, fmt::format("the backup is of a {} database, and the configuration's is another: set `database`", manifest_.database), "--from");
    for (const auto& step : manifest_.schema) {
      std::int64_t newest = 0;
      const auto known = all_migrations();
      for (const auto& m : known) {
        if (m.module != step.module) continue;
        newest = std::max<std::int64_t>(newest, m.version);
        if (m.version == step.version && to_hex(sha256(m.sql)) != step.checksum)
          return fail(ErrorCode::caller_invalid_request, fmt::format("its schema {}/{} is not this program's: it was made by another build", step.module, step.version), "--from");
      }
      if (step.version > newest)
        return fail(ErrorCode::caller_invalid_request, fmt::format("was made by a newer Ballast ({}): its schema \"{}\" is at version {}, this program knows {}", manifest_.version, step.module, step.version, newest), "--from");
    }
    return {};
  }

  Result<void> check_files() {
    std::uint64_t all = 0, done = 0;
    for (const auto& f : manifest_.files) all += f.bytes;
    for (const auto& f : manifest_.files) {
      auto found = look_at_file(from_ / f.path, [&](std::uint64_t n) { told_("checking", done += n, all); });
      if (!found) return fail(ErrorCode::caller_invalid_request, fmt::format("{}: {}", f.path, found.error().message), "--from");
      if (found->bytes != f.bytes || found->sha256 != f.sha256)
        return fail(ErrorCode::caller_invalid_request, fmt::format("{} is damaged: it is not what the manifest says; nothing was touched", f.path), "--from");
    }
    return {};
  }

  Result<void> refuse_to_overwrite() {
    if (force_ || interrupted()) return {};
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(data_, error))
      if (!is_ours(entry.path().filename().string()))
        return fail(ErrorCode::caller_conflict, fmt::format("{} is not empty (it has {}); --force replaces what is there, and keeps it beside", data_.string(), entry.path().filename().string()), "data_dir");
    if (sqlite_ && fs::exists(file_))
      return fail(ErrorCode::caller_conflict, fmt::format("{} is there already; --force replaces it, and keeps it beside", file_.string()), "database");
    return {};
  }
  static bool is_ours(const std::string& name) { return name == kStaged || name == kRestoreMark || name.starts_with(kAside) || name.ends_with(kStaged); }

  // Copies beside what is there, on the same file systems, so that the rest is renames.
  Result<void> stage() {
    std::error_code ignored;
    const fs::path staged = data_ / kStaged;
    fs::remove_all(staged, ignored);
    if (auto made = make_own_folder(data_); !made) return made;
    if (auto made = make_own_folder(staged); !made) return made;
    std::uint64_t done = 0;
    const Watch watch = [&](std::uint64_t n) { told_("copying", done += n, 0); };
    for (const auto& f : manifest_.files) {
      const bool of_database = f.path.starts_with("database/");
      if (of_database && !sqlite_) continue;             // read from where it is
      const fs::path to = of_database ? staged_file() : staged / fs::path(f.path).lexically_relative("data");
      fs::create_directories(to.parent_path(), ignored);
      fs::remove(to, ignored);
      auto copied = copy_file(from_ / f.path, to, watch);
      if (!copied) return fail(std::move(copied.error()));
      if (copied->sha256 != f.sha256) return fail(ErrorCode::internal_unavailable, fmt::format("{} changed while it was copied; nothing was touched", f.path), "--from");
    }
    return {};
  }

  Result<void> fill_postgres() {
    if (sqlite_) return {};
    known_ = all_migrations();
    store::PostgresCopy copy{.folder = from_ / "database", .tables = manifest_.tables, .known = known_, .steps = {}};
    for (const auto& s : manifest_.schema) copy.steps.emplace_back(s.module, s.version);
    auto begun = store::begin_postgres_restore(config_.database, copy, force_ || interrupted(), [&](std::uint64_t done, std::uint64_t all) { told_("tables", done, all); });
    if (!begun) return fail(std::move(begun.error()));
    postgres_ = std::move(*begun);
    return {};
  }

  // From the mark on until it is taken away no server starts here.
  Result<void> swap() {
    if (auto marked = write_file(data_ / kRestoreMark, fmt::format("a restore from {} is under way\n", from_.string())); !marked) return marked;
    if (auto synced = sync_folder(data_); !synced) return synced;
    if (auto aside = put_aside(); !aside) return aside;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(data_ / kStaged, error))
      if (auto moved = move_file(entry.path(), data_ / entry.path().filename()); !moved) return moved;
    if (sqlite_) {
      if (auto moved = move_file(staged_file(), file_); !moved) return moved;
      if (auto synced = sync_folder(fs::absolute(file_).parent_path()); !synced) return synced;
    }
    if (auto synced = sync_folder(data_); !synced) return synced;
    return postgres_ ? postgres_->commit() : Result<void>{};
  }

  Result<void> put_aside() {
    const fs::path aside = data_ / kept_;
    std::vector<fs::path> old;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(data_, error))
      if (!is_ours(entry.path().filename().string())) old.push_back(entry.path());
    if (sqlite_)
      for (const char* end : {"", "-wal", "-shm", "-checkpointer"})
        if (const fs::path file = file_.string() + end; fs::exists(file) && std::ranges::find(old, file) == old.end()) old.push_back(file);
    if (old.empty()) return {};
    moved_ = true;
    if (auto made = make_own_folder(aside); !made) return made;
    for (const fs::path& path : old) {
      if (!fs::exists(path)) continue;                   // the database was found under both of its names
      const bool inside = fs::absolute(path).parent_path() == fs::absolute(data_);
      if (auto moved = move_file(path, inside ? aside / path.filename() : fs::path(path.string() + kept_)); !moved) return moved;
    }
    return {};
  }

  // What a restored installation begins with: today's schema, fences above all that were handed out, an entry in the trail.
  Result<void> begin_anew() {
    auto database = store::open_database(config_.database);
    if (!database) return fail(std::move(database.error()));
    if (auto counted = count_rows(**database); !counted) return counted;
    const auto known = all_migrations();
    if (auto migrated = (*database)->migrate(known); !migrated) return migrated;
    const records::AuditEntry entry{.actor = "command line", .action = std::string(records::audit::backup_restored), .subject = "backup", .arguments = sha256(manifest_.sha256),
                                    .outcome = to_json(json::object{{"manifest", manifest_.sha256}, {"made", manifest_.made}}), .at = {}};
    auto begun = (*database)->write_now([&](store::Tx& tx) -> Result<void> {
      if (auto anew = work::disown_homes(tx, work::kEpochsSkipped); !anew) return anew;
      auto head = records::append_audit(tx, records::admin_chain("0"), std::span(&entry, 1), SystemClock().wall());
      return head ? Result<void>{} : std::unexpected(head.error());
    });
    if (!begun) return begun;
    std::error_code error;
    fs::remove(data_ / kRestoreMark, error);
    if (error) return fail(ErrorCode::internal_unavailable, fmt::format("cannot remove {}: {}", (data_ / kRestoreMark).string(), error.message()));
    return sync_folder(data_);
  }

  Result<void> count_rows(store::Database& database) const {
    for (const auto& table : manifest_.tables) {
      const std::string sql = fmt::format("SELECT COUNT(*) FROM \"{}\"", table.name);
      const auto rows = database.read_now([&](store::Tx& tx) { return tx.run(store::Statement(std::string_view(sql))); }, {.limit = std::chrono::minutes(30)});
      if (!rows) return fail(rows.error());
      if ((*rows)[0].integer(0) != table.rows)
        return fail(ErrorCode::internal_error, fmt::format("table {} has {} rows where the backup has {}", table.name, (*rows)[0].integer(0), table.rows), "--from");
    }
    return {};
  }

  const Config& config_;
  const fs::path from_, data_;
  const bool force_;
  const Told& told_;
  const bool sqlite_;
  fs::path file_;                            // SQLite's
  std::string kept_;
  bool moved_ = false;
  BackupManifest manifest_;
  std::vector<store::Migration> known_;
  std::unique_ptr<store::PostgresRestore> postgres_;
};

}  // namespace

Result<Restored> restore_backup(const Config& config, const std::string& from, bool force, const Told& told) { return Restoring(config, from, force, told).restore(); }

Result<void> refuse_half_restored(const std::string& data_dir) {
  if (!fs::exists(fs::path(data_dir) / kRestoreMark)) return {};
  return fail(ErrorCode::internal_unavailable, fmt::format("a restore into {} was interrupted: run `ballast restore` again", data_dir), "data_dir");
}

}  // namespace ballast::app
