#include "store/sqlite/connection.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "store/drivers.hpp"

namespace ballast::store {

namespace {

constexpr std::size_t kMaxPrepared = 512;
constexpr std::size_t kMaxCells = std::size_t{1} << 20;
constexpr std::size_t kMaxArena = std::size_t{1} << 30;

// `$n` numbers by first appearance in SQLite, `?n` by its number: the meaning PostgreSQL gives to `$n`.
std::string with_question_marks(std::string_view sql) {
  std::string out;
  out.reserve(sql.size());
  char quote = 0;
  for (std::size_t i = 0; i < sql.size(); ++i) {
    const char c = sql[i];
    if (quote) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '$' && i + 1 < sql.size() && sql[i + 1] >= '1' && sql[i + 1] <= '9') {
      out += '?';
      continue;
    }
    out += c;
  }
  return out;
}

Fault fault_for(int extended, int system_errno) {
  switch (extended & 0xff) {
    case SQLITE_CONSTRAINT: return Fault::conflict;
    case SQLITE_FULL: return Fault::full;
    case SQLITE_IOERR: return system_errno == ENOSPC || system_errno == EDQUOT ? Fault::full : Fault::unavailable;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_CANTOPEN: return Fault::unavailable;
    case SQLITE_INTERRUPT: return Fault::timeout;
    default: return Fault::broken;
  }
}

// Ends a statement's run on every path, so that it holds no lock and no pointer to arguments.
struct Resetting {
  sqlite3_stmt* statement;
  ~Resetting() {
    sqlite3_reset(statement);
  }
};

void add_column(Rows& rows, sqlite3_stmt* s, int column) {
  switch (sqlite3_column_type(s, column)) {
    case SQLITE_INTEGER: rows.add_integer(sqlite3_column_int64(s, column)); break;
    case SQLITE_FLOAT: rows.add_real(sqlite3_column_double(s, column)); break;
    case SQLITE_TEXT: {
      const char* text = reinterpret_cast<const char*>(sqlite3_column_text(s, column));
      rows.add_text({text, static_cast<std::size_t>(sqlite3_column_bytes(s, column))}, Kind::text);
      break;
    }
    case SQLITE_BLOB: {
      const char* bytes = static_cast<const char*>(sqlite3_column_blob(s, column));
      rows.add_text(bytes ? std::string_view(bytes, static_cast<std::size_t>(sqlite3_column_bytes(s, column))) : std::string_view{}, Kind::bytes);
      break;
    }
    default: rows.add_null();
  }
}

}  // namespace

// What its schema and its pages hold is not trusted.
Result<std::unique_ptr<SqliteConnection>> SqliteConnection::prepare_foreign(std::unique_ptr<SqliteConnection> self) {
  sqlite3_db_config(self->db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(self->db_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(self->db_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  if (self->max_result_bytes_) sqlite3_limit(self->db_, SQLITE_LIMIT_LENGTH, static_cast<int>(std::min<std::uint64_t>(self->max_result_bytes_, 1u << 30)));
  sqlite3_limit(self->db_, SQLITE_LIMIT_ATTACHED, 0);
  for (const char* pragma : {"PRAGMA query_only=ON", "PRAGMA temp_store=MEMORY", "PRAGMA cell_size_check=ON", "PRAGMA cache_size=-8192"})
    if (auto done = self->run(pragma, {}); !done) return std::unexpected(done.error());
  // A file that is no database says so now.
  if (auto looked = self->run("SELECT COUNT(*) FROM sqlite_master", {}); !looked) return std::unexpected(looked.error());
  return self;
}

Result<std::unique_ptr<SqliteConnection>> SqliteConnection::open(const std::string& path, Use use, const OpenOptions& options, const Clock& clock) {
  sqlite3* db = nullptr;
  // The writer's file is its owner's alone, and SQLite gives the log beside it the same rights.
  if (const int fd = use == Use::writer ? ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1; fd >= 0) ::close(fd);
  const int flags = (use == Use::foreign ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | (use == Use::writer ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int rc = sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
  std::unique_ptr<SqliteConnection> self(new SqliteConnection(db, clock));
  if (!db) return std::unexpected(make_error(Fault::unavailable, "out of memory while opening " + path));
  if (rc != SQLITE_OK) return std::unexpected(make_error(Fault::unavailable, path + ": " + sqlite3_errmsg(db)));
  sqlite3_busy_timeout(db, 5'000);
  sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  sqlite3_wal_hook(db, [](void* c, sqlite3*, const char*, int pages) {
    static_cast<SqliteConnection*>(c)->log_pages_ = pages;
    return SQLITE_OK;
  }, self.get());
  sqlite3_progress_handler(db, 2'000, [](void* c) {
    auto* me = static_cast<SqliteConnection*>(c);
    return static_cast<int>(me->due_ != MonoTime::max() && me->clock_.mono() > me->due_);
  }, self.get());

  self->max_result_bytes_ = options.max_result_bytes;
  if (use == Use::foreign) return prepare_foreign(std::move(self));
  std::vector<std::string> pragmas = {"PRAGMA foreign_keys=ON", "PRAGMA temp_store=MEMORY", "PRAGMA wal_autocheckpoint=0"};
  // A pragma that changes the autocheckpoint replaces the hook; ours is set again below.
  if (use == Use::writer) {
    pragmas.insert(pragmas.begin(), "PRAGMA journal_mode=WAL");
    pragmas.insert(pragmas.end(), {"PRAGMA synchronous=FULL", "PRAGMA cache_size=-32768"});
    if (options.max_bytes) pragmas.push_back("PRAGMA max_page_count=" + std::to_string(options.max_bytes / 4096));
  } else {
    pragmas.insert(pragmas.end(), {"PRAGMA query_only=ON", "PRAGMA cache_size=-8192"});
  }
  for (const std::string& pragma : pragmas) {
    auto done = self->run(pragma, {});
    if (!done) return std::unexpected(done.error());
    if (pragma.ends_with("=WAL") && (done->empty() || (*done)[0].text(0) != "wal"))
      return std::unexpected(make_error(Fault::unavailable, path + ": this place cannot hold a write-ahead log (a network file system?)"));
  }
  sqlite3_wal_hook(db, [](void* c, sqlite3*, const char*, int pages) {
    static_cast<SqliteConnection*>(c)->log_pages_ = pages;
    return SQLITE_OK;
  }, self.get());
  return self;
}

SqliteConnection::~SqliteConnection() {
  for (auto& [sql, statement] : prepared_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

Error SqliteConnection::error_now(int code, std::string_view sql) const {
  if (max_result_bytes_ && (code & 0xff) == SQLITE_TOOBIG) return too_large_result(max_result_bytes_);
  const Fault fault = fault_for(sqlite3_extended_errcode(db_), sqlite3_system_errno(db_));
  std::string message = "SQLite: ";
  message += fault == Fault::timeout ? "the deadline passed" : sqlite3_errmsg(db_);
  if (fault == Fault::broken) message.append(" (").append(std::to_string(code)).append(") in: ").append(sql.substr(0, 200));
  return make_error(fault, std::move(message));
}

Result<sqlite3_stmt*> SqliteConnection::prepare(std::string_view sql) {
  if (auto found = prepared_.find(sql); found != prepared_.end()) return found->second;
  if (prepared_.size() >= kMaxPrepared) {
    for (auto& [text, statement] : prepared_) sqlite3_finalize(statement);
    prepared_.clear();
  }
  const std::string translated = with_question_marks(sql);
  sqlite3_stmt* statement = nullptr;
  const int rc = sqlite3_prepare_v3(db_, translated.c_str(), static_cast<int>(translated.size() + 1), SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (rc != SQLITE_OK) return std::unexpected(error_now(rc, sql));
  if (!statement) return std::unexpected(make_error(Fault::broken, "SQLite: an empty statement"));
  prepared_.emplace(std::string(sql), statement);
  return statement;
}

Result<void> SqliteConnection::bind(sqlite3_stmt* s, const Value* values, std::size_t count) {
  if (static_cast<std::size_t>(sqlite3_bind_parameter_count(s)) != count)
    return std::unexpected(make_error(Fault::broken, "SQLite: " + std::to_string(count) + " arguments for: " + sqlite3_sql(s)));
  for (std::size_t i = 0; i < count; ++i) {
    const Value& v = values[i];
    const int at = static_cast<int>(i + 1);
    int rc = SQLITE_OK;
    switch (v.kind()) {
      case Kind::null: rc = sqlite3_bind_null(s, at); break;
      case Kind::integer: rc = sqlite3_bind_int64(s, at, v.integer()); break;
      case Kind::real: rc = sqlite3_bind_double(s, at, v.real()); break;
      case Kind::text: rc = sqlite3_bind_text64(s, at, v.text().data() ? v.text().data() : "", v.text().size(), SQLITE_STATIC, SQLITE_UTF8); break;
      case Kind::bytes: rc = sqlite3_bind_blob64(s, at, v.text().data() ? v.text().data() : "", v.text().size(), SQLITE_STATIC); break;
    }
    if (rc != SQLITE_OK) return std::unexpected(error_now(rc, sqlite3_sql(s)));
  }
  return {};
}

Result<Rows> SqliteConnection::run(std::string_view sql, Args args) {
  auto prepared = prepare(sql);
  if (!prepared) return std::unexpected(prepared.error());
  sqlite3_stmt* s = *prepared;
  Resetting resetting{s};
  if (auto bound = bind(s, args.begin(), args.size()); !bound) return std::unexpected(bound.error());
  Rows rows;
  const int columns = sqlite3_column_count(s);
  rows.start(static_cast<std::size_t>(columns));
  const auto before = sqlite3_total_changes64(db_);
  for (;;) {
    const int rc = sqlite3_step(s);
    if (rc == SQLITE_DONE) break;
    if (rc != SQLITE_ROW) return std::unexpected(error_now(rc, sql));
    for (int c = 0; c < columns; ++c) add_column(rows, s, c);
    if (max_result_bytes_ && rows.arena_bytes() + rows.cell_count() * sizeof(std::int64_t) > max_result_bytes_) return std::unexpected(too_large_result(max_result_bytes_));
    if (rows.cell_count() > kMaxCells || rows.arena_bytes() > kMaxArena)
      return std::unexpected(make_error(Fault::broken, "a result is too large: the query needs pages"));
  }
  if (sqlite3_total_changes64(db_) != before) rows.set_affected(sqlite3_changes64(db_));
  return rows;
}

Result<std::vector<std::int64_t>> SqliteConnection::run_many(std::string_view sql, const Batch& batch) {
  std::vector<std::int64_t> affected;
  affected.reserve(batch.size());
  auto prepared = prepare(sql);
  if (!prepared) return std::unexpected(prepared.error());
  sqlite3_stmt* s = *prepared;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Resetting resetting{s};
    const auto row = batch.row(i);
    if (auto bound = bind(s, row.data(), row.size()); !bound) return std::unexpected(bound.error());
    const auto before = sqlite3_total_changes64(db_);
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {}
    if (rc != SQLITE_DONE) return std::unexpected(error_now(rc, sql));
    affected.push_back(sqlite3_total_changes64(db_) != before ? sqlite3_changes64(db_) : 0);
  }
  return affected;
}

Result<void> SqliteConnection::execute(std::string_view sql) {
  auto done = run(sql, {});
  if (!done) return std::unexpected(done.error());
  return {};
}

bool SqliteConnection::in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }

bool SqliteConnection::checkpoint() {
  int in_log = 0, copied = 0;
  const int rc = sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, &in_log, &copied);
  return rc == SQLITE_OK && in_log == copied;
}

Result<Rows> SqliteTx::run(const Statement& statement, Args args) {
  if (spoiled_) return std::unexpected(*spoiled_);
  auto result = connection_.run(statement.sqlite, args);
  if (!result) spoiled_ = result.error();
  return result;
}

Result<std::vector<std::int64_t>> SqliteTx::run_many(const Statement& statement, const Batch& batch) {
  if (spoiled_) return std::unexpected(*spoiled_);
  auto result = connection_.run_many(statement.sqlite, batch);
  if (!result) spoiled_ = result.error();
  return result;
}

Result<void> SqliteTx::run_later(const Statement& statement, const Batch& batch, Otherwise otherwise) {
  const auto changed = run_many(statement, batch);
  if (!changed) return std::unexpected(changed.error());
  if (!otherwise) return {};
  const auto odd = std::ranges::find_if(*changed, [](std::int64_t n) { return n != 1; });
  if (odd == changed->end()) return {};
  spoiled_ = otherwise(static_cast<std::size_t>(odd - changed->begin()));
  return std::unexpected(*spoiled_);
}

WallTime SqliteTx::now() {
  if (!now_) now_ = clock_.wall();
  return *now_;
}

}  // namespace ballast::store
