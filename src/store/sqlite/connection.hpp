// One SQLite connection with its prepared statements, and the transaction as a body sees it. Used by one thread.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>

#include "base/hash.hpp"
#include "store/database.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace ballast::store {

class SqliteConnection {
 public:
  enum class Use : unsigned char { writer, reader, foreign };   // foreign: a file that is not ours
  static Result<std::unique_ptr<SqliteConnection>> open(const std::string& path, Use use, const OpenOptions& options, const Clock& clock);
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;
  ~SqliteConnection();

  Result<Rows> run(std::string_view sql, Args args);
  Result<std::vector<std::int64_t>> run_many(std::string_view sql, const Batch& batch);
  Result<void> execute(std::string_view sql);            // no arguments, no rows
  bool in_transaction() const;
  // Of one run, in bytes; 0: what memory holds.
  void set_max_result(std::uint64_t bytes) { max_result_bytes_ = bytes; }
  // Statements fail with Fault::timeout once the clock passes `due`.
  void set_deadline(MonoTime due) { due_ = due; }
  sqlite3* handle() { return db_; }                      // for SQLite's backup interface
  int log_pages() const { return log_pages_; }           // in the WAL after the last commit
  // Copies what it can from the log into the database without waiting for anyone. True when all of it was copied.
  bool checkpoint();

 private:
  SqliteConnection(sqlite3* db, const Clock& clock) : db_(db), clock_(clock) {}
  static Result<std::unique_ptr<SqliteConnection>> prepare_foreign(std::unique_ptr<SqliteConnection> self);
  Result<sqlite3_stmt*> prepare(std::string_view sql);
  Result<void> bind(sqlite3_stmt* statement, const Value* values, std::size_t count);
  Error error_now(int code, std::string_view sql) const;
  sqlite3* db_;
  const Clock& clock_;
  MonoTime due_ = MonoTime::max();
  int log_pages_ = 0;
  std::uint64_t max_result_bytes_ = 0;                   // 0: the default
  std::unordered_map<std::string, sqlite3_stmt*, StringHash, std::equal_to<>> prepared_;
};

// After the first error nothing more runs: as on PostgreSQL, where an error aborts the transaction.
class SqliteTx final : public Tx {
 public:
  SqliteTx(SqliteConnection& connection, const Clock& clock) : connection_(connection), clock_(clock) {}
  Dialect dialect() const override { return Dialect::sqlite; }
  Result<Rows> run(const Statement& statement, Args args) override;
  Result<std::vector<std::int64_t>> run_many(const Statement& statement, const Batch& batch) override;
  Result<void> run_later(const Statement& statement, const Batch& batch, Otherwise otherwise) override;
  Result<void> run_set(const Statement& statement, const Batch& batch) override { return run_later(statement, batch, {}); }
  WallTime now() override;
  const std::optional<Error>& spoiled() const { return spoiled_; }

 private:
  SqliteConnection& connection_;
  const Clock& clock_;
  std::optional<WallTime> now_;
  std::optional<Error> spoiled_;
};

}  // namespace ballast::store
