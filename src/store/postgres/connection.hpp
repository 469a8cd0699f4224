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

class Silence;

class PostgresConnection {
 public:
  // Fault::unavailable. The URL may hold a password: it is never repeated in a message. `silence` finds out a server that takes the connection and then hangs.
  // `patience`: the server ends a transaction in which it has been asked nothing for as long, whose locks others may wait for.
  static Result<std::unique_ptr<PostgresConnection>> open(const std::string& url, std::chrono::milliseconds timeout, Silence* silence = nullptr,
                                                          std::chrono::seconds patience = std::chrono::seconds(120));
  // Whether there is a server that says anything to a newcomer, be it that it has no room.
  static bool answers(const std::string& url, std::chrono::milliseconds timeout);
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;
  ~PostgresConnection();

  Result<Rows> run(std::string_view sql, Args args);
  // One round trip per 256 rows (pipeline mode).
  Result<std::vector<std::int64_t>> run_many(std::string_view sql, const Batch& batch);
  // Tx::run_later, Tx::run_set. Nothing is known of them before `settle`, which `run` and `run_many` do on their way.
  Result<void> run_later(std::string_view sql, const Batch& batch, Otherwise otherwise);
  Result<void> run_set(std::string_view sql, const Batch& batch);
  Result<void> settle();
  // BEGIN, which goes with the first statement. `settle` comes before `commit`; afterwards `transaction_key` names the transaction, for who has to
  // learn its fate. `along`: COMMIT goes with what was not read yet, without `settle`; the transaction has no name, and one whose rows are not as
  // they must be fails on the server: which row it was, another try without `along` tells. With many rows to look at it is over: `is_along`.
  Result<void> begin(bool along);
  bool is_along() const { return along_; }
  // What the server answered to COMMIT.
  Result<std::string> commit();
  const std::string& transaction_key() const { return transaction_key_; }
  // Another one after each crash of the server, which no connection outlives: what it had not written is gone then, and the ids of the
  // transactions with it, so that they are given again.
  const std::string& life() const { return life_; }
  void roll_back();
  // The simple protocol: several statements, text results; returns the last value of the last row, if any.
  Result<std::string> simple(const std::string& sql);
  // COPY … TO STDOUT; returns the rows copied. `sink` may fail.
  Result<std::int64_t> copy_out(const std::string& sql, const std::function<Result<void>(std::string_view)>& sink);
  // COPY … FROM STDIN; `source` gives the next piece, empty at the end.
  Result<std::int64_t> copy_in(const std::string& sql, const std::function<Result<std::string_view>()>& source);
  // Waits until the server has said something, `wake` (a descriptor) can be read, or `patience` is over; the words it has said on the channels that
  // this connection listens to, but for its own. Outside transactions.
  Result<std::vector<std::string>> words(int wake, std::chrono::milliseconds patience);
  // Of one run, in bytes; 0: what memory holds.
  void set_max_result(std::uint64_t bytes) { max_result_bytes_ = bytes; }
  bool alive() const;
  int socket() const;
  // Serialisation failure or deadlock: the same body may succeed when run again.
  bool should_rerun() const { return sqlstate_ == "40001" || sqlstate_ == "40P01"; }
  void forget_error() { sqlstate_.clear(); }

 private:
  explicit PostgresConnection(pg_conn* connection) : connection_(connection) {}
  struct Freed {
    void operator()(pg_result* r) const;
  };
  using ResultPtr = std::unique_ptr<pg_result, Freed>;
  // Statements sent whose results have not been read.
  struct Sent {
    std::string sql;
    std::size_t count = 1, first = 0;        // how many, and which row of its batch the first one is
    Otherwise otherwise = {};
    enum class Role : unsigned char { change, key, commit } role = Role::change;   // key: its value is the transaction's
  };
  // The name of a prepared statement; of these types of arguments (PostgreSQL's numbers, 0: as the text says).
  Result<std::string> prepare(std::string_view sql, std::span<const unsigned> types);
  Result<std::string> prepare(std::string_view sql, std::span<const Value> values);
  // Into the pipeline.
  Result<void> send(const char* sql, Sent::Role role);
  bool send_row(const std::string& name, std::span<const Value> row);
  bool send_arrays(const std::string& name, const Batch& batch, std::size_t from, std::size_t to, std::span<const unsigned> types);
  Result<void> make_room(std::size_t statements);
  // Sends all of it and reads all of it; returns the results of the statements that are not in `sent_`: runs of `sql`.
  Result<std::vector<ResultPtr>> collect(std::string_view sql);
  Result<std::vector<std::int64_t>> run_piece(std::string_view sql, const std::string& name, const Batch& batch, std::size_t from, std::size_t to);
  Result<Rows> run_bounded(const std::string& name, std::string_view sql, std::span<const Value> values);
  Result<std::int64_t> end_copy(Result<void> so_far, const std::string& sql);
  Error error_of(const pg_result* result, std::string_view sql);
  pg_conn* connection_;
  std::string sqlstate_, transaction_key_, committed_, life_;
  bool lost_ = false, along_ = false;
  std::uint64_t max_result_bytes_ = 0;
  std::vector<Sent> sent_;
  std::unordered_map<std::string, std::string, StringHash, std::equal_to<>> prepared_;
};

// After the first error nothing more runs: PostgreSQL has aborted the transaction.
class PostgresTx final : public Tx {
 public:
  explicit PostgresTx(PostgresConnection& connection) : connection_(connection) {}
  Dialect dialect() const override { return Dialect::postgres; }
  Result<Rows> run(const Statement& statement, Args args) override;
  Result<std::vector<std::int64_t>> run_many(const Statement& statement, const Batch& batch) override;
  Result<void> run_later(const Statement& statement, const Batch& batch, Otherwise otherwise) override;
  Result<void> run_set(const Statement& statement, const Batch& batch) override;
  WallTime now() override;
  // Before the commit: whatever `run_later` has left is done, unless COMMIT goes along with it.
  Result<void> settle();
  const std::optional<Error>& spoiled() const { return spoiled_; }

 private:
  template <class T>
  Result<T> keep(Result<T> result) {
    if (!result) spoiled_ = result.error();
    return result;
  }
  PostgresConnection& connection_;
  std::optional<WallTime> now_;
  std::optional<Error> spoiled_;
};

}  // namespace ballast::store
