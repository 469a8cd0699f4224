// One PostgreSQL connection with its prepared statements, and the transaction as a body sees it. Used by one thread.
// Arguments and results travel in binary. Every call blocks that thread; none of them is an event loop's.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/hash.hpp"
#include "store/database.hpp"

struct pg_conn;
struct pg_result;

namespace ballast::store {

class PostgresConnection {
 public:
  // Fault::unavailable. The URL may hold a password: it is never repeated in a message.
  static Result<std::unique_ptr<PostgresConnection>> open(const std::string& url, std::chrono::milliseconds timeout);
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;
  ~PostgresConnection();

  Result<Rows> run(std::string_view sql, Args args);
  // One round trip per 256 rows (pipeline mode).
  Result<std::vector<std::int64_t>> run_many(std::string_view sql, const Batch& batch);
  // The simple protocol: several statements, text results; returns the last value of the last row, if any.
  Result<std::string> simple(const std::string& sql);
  // COPY … TO STDOUT; returns the rows copied. `sink` may fail.
  Result<std::int64_t> copy_out(const std::string& sql, const std::function<Result<void>(std::string_view)>& sink);
  // COPY … FROM STDIN; `source` gives the next piece, empty at the end.
  Result<std::int64_t> copy_in(const std::string& sql, const std::function<Result<std::string_view>()>& source);
  bool alive() const;
  // Serialisation failure or deadlock: the same body may succeed when run again.
  bool should_rerun() const { return sqlstate_ == "40001" || sqlstate_ == "40P01"; }
  void forget_error() { sqlstate_.clear(); }

 private:
  explicit PostgresConnection(pg_conn* connection) : connection_(connection) {}
  Result<const std::string*> prepare(std::string_view sql, const Value* values, std::size_t count);
  Result<std::vector<std::int64_t>> run_piece(const std::string& name, const Batch& batch, std::size_t from, std::size_t to);
  Result<std::int64_t> end_copy(Result<void> so_far, const std::string& sql);
  Error error_of(const pg_result* result, std::string_view sql);
  pg_conn* connection_;
  std::string sqlstate_;
  bool lost_ = false;
  std::unordered_map<std::string, std::string, StringHash, std::equal_to<>> prepared_;
};

// After the first error nothing more runs: PostgreSQL has aborted the transaction.
class PostgresTx final : public Tx {
 public:
  explicit PostgresTx(PostgresConnection& connection) : connection_(connection) {}
  Dialect dialect() const override { return Dialect::postgres; }
  Result<Rows> run(const Statement& statement, Args args) override;
  Result<std::vector<std::int64_t>> run_many(const Statement& statement, const Batch& batch) override;
  WallTime now() override;
  const std::optional<Error>& spoiled() const { return spoiled_; }

 private:
  PostgresConnection& connection_;
  std::optional<WallTime> now_;
  std::optional<Error> spoiled_;
};

}  // namespace ballast::store
