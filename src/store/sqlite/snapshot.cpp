// A read transaction that stays open while SQLite's backup interface copies the pages it sees: neither writers nor checkpoints change them.
#include <sqlite3.h>

#include "store/drivers.hpp"
#include "store/snapshots.hpp"
#include "store/sqlite/connection.hpp"

namespace ballast::store {

namespace {

constexpr int kPagesAtOnce = 2'048;                      // 8 MB

struct Closed {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using Handle = std::unique_ptr<sqlite3, Closed>;

Error error_of(sqlite3* db, const std::string& path) {
  const int code = db ? sqlite3_errcode(db) & 0xff : SQLITE_NOMEM;
  return make_error(code == SQLITE_FULL ? Fault::full : Fault::unavailable, path + ": " + (db ? sqlite3_errmsg(db) : "out of memory"));
}

// The first column of the last row.
Result<std::string> ask(sqlite3* db, const std::string& path, const char* sql) {
  std::string out;
  const auto row = [](void* into, int n, char** values, char**) {
    if (n > 0 && values[0]) *static_cast<std::string*>(into) = values[0];
    return 0;
  };
  if (sqlite3_exec(db, sql, row, &out, nullptr) != SQLITE_OK) return std::unexpected(error_of(db, path));
  return out;
}

class SqliteSnapshot final : public Snapshot {
 public:
  SqliteSnapshot(std::unique_ptr<SqliteConnection> reader) : reader_(std::move(reader)) {}

  Result<Rows> run(std::string_view sql) override { return reader_->run(sql, {}); }

  Result<std::vector<std::string>> write(const std::filesystem::path& folder, std::vector<TableCopy>& tables, const CopyProgress& progress) override {
    auto names = run("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name");
    if (!names) return std::unexpected(names.error());
    for (const Row r : *names) {
      auto n = run("SELECT COUNT(*) FROM \"" + r.string(0) + "\"");
      if (!n) return std::unexpected(n.error());
      tables.push_back({r.string(0), {}, (*n)[0].integer(0)});
      progress(0, 0);
    }
    const std::string to = (folder / kSqliteCopy).string();
    if (auto copied = copy(to, progress); !copied) return std::unexpected(copied.error());
    return std::vector<std::string>{std::string(kSqliteCopy)};
  }

 private:
  Result<void> copy(const std::string& path, const CopyProgress& progress) {
    sqlite3* made = nullptr;
    const int opened = sqlite3_open_v2(path.c_str(), &made, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    const Handle to(made);
    if (opened != SQLITE_OK) return std::unexpected(error_of(made, path));
    if (auto quick = ask(made, path, "PRAGMA synchronous=OFF"); !quick) return std::unexpected(quick.error());
    sqlite3_backup* backup = sqlite3_backup_init(made, "main", reader_->handle(), "main");
    if (!backup) return std::unexpected(error_of(made, path));
    int rc = SQLITE_OK;
    while ((rc = sqlite3_backup_step(backup, kPagesAtOnce)) == SQLITE_OK) {
      const auto all = static_cast<std::uint64_t>(sqlite3_backup_pagecount(backup)), left = static_cast<std::uint64_t>(sqlite3_backup_remaining(backup));
      progress((all - left) * 4'096, all * 4'096);
    }
    sqlite3_backup_finish(backup);
    if (rc != SQLITE_DONE) return std::unexpected(error_of(made, path));
    // A file that stands alone, without a log beside it; and is whole.
    if (auto alone = ask(made, path, "PRAGMA journal_mode=DELETE"); !alone) return std::unexpected(alone.error());
    sqlite3_progress_handler(made, 1'000'000, [](void* p) {
      (*static_cast<const CopyProgress*>(p))(0, 0);
      return 0;
    }, const_cast<CopyProgress*>(&progress));
    const auto whole = ask(made, path, "PRAGMA quick_check(1)");
    if (!whole) return std::unexpected(whole.error());
    if (*whole != "ok") return std::unexpected(make_error(Fault::broken, "the database is damaged, and so is this copy of it: " + *whole));
    return {};
  }

  const std::unique_ptr<SqliteConnection> reader_;
};

}  // namespace

Result<std::unique_ptr<Snapshot>> sqlite_snapshot(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::unexpected(make_error(Fault::unavailable, "there is no database at " + path));
  auto reader = SqliteConnection::open(path, SqliteConnection::Use::reader, {}, system_clock());
  if (!reader) return std::unexpected(reader.error());
  if (auto begun = (*reader)->execute("BEGIN"); !begun) return std::unexpected(begun.error());
  // The transaction's moment is that of its first read.
  if (auto read = (*reader)->run("SELECT COUNT(*) FROM sqlite_master", {}); !read) return std::unexpected(read.error());
  return std::make_unique<SqliteSnapshot>(std::move(*reader));
}

}  // namespace ballast::store
