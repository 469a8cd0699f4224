// Database: SQL storage behind two drivers, SQLite (one file, embedded) and PostgreSQL (many nodes).
//
// A transaction is a closure `Result<T>(Tx&)` that the store runs on its own threads; a coroutine awaits it and is resumed on
// its own loop, for writes after the commit is durable. Returning an error rolls back. A body may run again (a failed group,
// a serialisation failure): it must have no effect outside the Tx but its result, and must not block or await.
//
// SQL is written once, in the common subset: parameters `$1…`, INSERT … ON CONFLICT, RETURNING, BIGINT-sized integers, bytes, text.
// Where a dialect differs, the Statement carries both texts. Isolation is READ COMMITTED (SQLite gives more): a rule over
// several rows is one guarded statement, never "read, then write".
// Durability: SQLite WAL with synchronous=FULL; PostgreSQL as the server is configured.
// Concurrency: every method of Database is thread-safe. Tx, Rows and Statement belong to the body.
#pragma once
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <semaphore>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "store/values.hpp"

namespace ballast::store {

enum class Dialect : unsigned char { sqlite, postgres };

// What went wrong beneath, read from an Error of this module with `fault_of`.
enum class Fault : unsigned char {
  none,            // not an error of the store: the body's own
  conflict,        // a unique, foreign-key or check constraint refused the row (caller_conflict)
  full,            // no space, or the file is at its limit; nothing was written (internal_unavailable)
  unavailable,     // the database cannot be reached or is too busy; nothing was written (internal_unavailable, retryable)
  commit_unknown,  // the connection died during COMMIT and its fate could not be learnt: it may or may not have happened
  timeout,         // the deadline passed before the body ended; nothing was written (internal_unavailable, retryable)
  schema,          // the stored schema is newer than this program or was altered (internal_error)
  broken,          // bad SQL, wrong type, damaged file: a bug or a broken machine (internal_error)
};
Fault fault_of(const Error& error);
Error make_error(Fault fault, std::string message);

// SQL text, for both dialects or for each. The text must outlive the statement object; it is the key of the prepared-statement
// cache, so texts are literals or come from a small closed set.
struct Statement {
  std::string_view sqlite, postgres;
  constexpr Statement(const char* both) : sqlite(both), postgres(both) {}
  constexpr explicit Statement(std::string_view both) : sqlite(both), postgres(both) {}
  constexpr Statement(const char* lite, const char* pg) : sqlite(lite), postgres(pg) {}
  std::string_view text(Dialect d) const { return d == Dialect::sqlite ? sqlite : postgres; }
};

// What a transaction fails with when a row of a batch is not as it must be.
using Otherwise = std::function<Error(std::size_t row)>;

// An open transaction (or, in a read, a snapshot). Borrowed: valid inside its body only.
class Tx {
 public:
  virtual ~Tx() = default;
  virtual Dialect dialect() const = 0;
  // Runs one statement; gathers its rows (at most 2^20 cells of 1 GiB in all: page your queries).
  virtual Result<Rows> run(const Statement& statement, Args args = {}) = 0;
  // Runs one statement once per row of `batch`; the result is the number of rows each run changed. SQLite: a loop over a
  // prepared statement. PostgreSQL: one pipelined round trip. Stops at the first error.
  virtual Result<std::vector<std::int64_t>> run_many(const Statement& statement, const Batch& batch) = 0;
  // `run_many` for its effect alone. With `otherwise`, every run must change exactly one row: the first that does not fails the transaction with
  // `otherwise(its row)`, which may be called after this returns and must own what it needs. PostgreSQL sends it along with the next statement
  // whose result is wanted, or before the commit, and tells its error there.
  virtual Result<void> run_later(const Statement& statement, const Batch& batch, Otherwise otherwise = {}) = 0;
  // As `run_later`, for many rows at once. PostgreSQL: one statement for some thousands of rows, with each column of the batch as an array:
  // `… SELECT unnest($1::bigint[]), unnest($2::text[])`. A column holds values of one kind, or NULL.
  virtual Result<void> run_set(const Statement& statement, const Batch& batch) = 0;
  // Database time: the same for the whole transaction; on PostgreSQL the server's, so nodes agree.
  virtual WallTime now() = 0;
};

// A step of the schema. Applied in order of version, each in one transaction, once per database.
// `sql` may use {int} {real} {text} {blob} for types, {table} after a CREATE TABLE's closing parenthesis and {clustered} there
// instead for a table that lives in its primary key's tree. Statements are separated by `;` at the end of a line.
struct Migration {
  std::string_view module;   // versions count per module
  int version;               // from 1, without gaps
  std::string_view name;
  std::string_view sql;
  // Moves a piece of data, before `sql`: called in transactions of its own until it returns false. Killed in between, it goes on from there.
  Result<bool> (*move)(Tx&) = nullptr;
  // A program that knows the module up to this version or further runs on what the step leaves, though it does not know the step: one that takes away what
  // programs before version 7 use says 7. By default any that ran before it.
  int oldest_beside = 0;
};
std::string expand_sql(Dialect dialect, std::string_view sql);

// low: bulk work. Writes: in transactions of their own, after waiting normal ones. Reads: those that somebody waits for come first, and never wait
// for a low one to end: of several readers the first takes no low reads. Long ones should come in steps, a read each, so that they take turns.
enum class Priority : unsigned char { normal, low };
struct WriteOptions {
  Priority priority = Priority::normal;
  std::chrono::milliseconds limit{30'000};             // in the queue; a body that has begun is let finish
  // Its own rows tell whether it was committed, and keep it from being committed once they were asked. PostgreSQL then sends COMMIT along with what
  // `run_later` and `run_set` have left, a round trip less, and answers Fault::commit_unknown whenever the connection dies after that.
  bool fate_in_rows = false;
};
struct ReadOptions {
  std::chrono::milliseconds limit{10'000};             // in the queue and running: bounds how long a reader pins the WAL
  Priority priority = Priority::normal;
};

template <class F>
using Of = typename std::invoke_result_t<F&, Tx&>::value_type;

// One unit of queued work, for the drivers. `finish` is called exactly once, on any thread, and may destroy the job.
struct Job {
  virtual Result<void> run(Tx& tx) = 0;
  virtual void finish(Result<void> outcome) = 0;
  Job* next = nullptr;
  MonoTime due{};
  Priority priority = Priority::normal;
  bool fate_in_rows = false;

 protected:
  ~Job() = default;
};

class Database {
 public:
  virtual ~Database() = default;       // waits for queued work; every awaiting task has been resumed
  Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  virtual Dialect dialect() const = 0;

  // `co_await db.write(loop, [&](Tx& tx) -> Result<T> {…})`. The task must not be destroyed while it waits.
  template <class F>
  Task<Result<Of<F>>> write(Scheduler& loop, F body, WriteOptions options = {});
  // As `write`, on a connection that cannot write; bodies run beside each other and beside the writer.
  template <class F>
  Task<Result<Of<F>>> read(Scheduler& loop, F body, ReadOptions options = {});
  // The same, blocking the calling thread: for command-line tools, background threads and tests. Never on an event loop.
  template <class F>
  Result<Of<F>> write_now(F body, WriteOptions options = {});
  template <class F>
  Result<Of<F>> read_now(F body, ReadOptions options = {});

  // Brings the schema up to date. Several nodes may call it at once. A newer program's steps are let be where none of them says that this one is too
  // old (Migration::oldest_beside): so a node of the version before starts again in the middle of a rolling upgrade, or after it went wrong. Fault::schema: one
  // says so ("written by a newer Ballast"), or a recorded checksum differs. Blocking; start-up only.
  Result<void> migrate(std::span<const Migration> migrations);

  struct Stats {
    std::uint64_t transactions = 0;    // commits
    std::uint64_t bodies = 0;          // bodies committed
    std::uint64_t reruns = 0;
    std::uint64_t reads = 0;
    std::uint64_t queued = 0;          // now
    std::uint64_t wal_pages = 0;       // SQLite: size of the log after the last commit
    std::uint64_t checkpoints = 0;
    std::uint64_t reconnects = 0;      // PostgreSQL
  };
  virtual Stats stats() const = 0;

 protected:
  virtual void submit_write(Job& job, WriteOptions options) = 0;
  virtual void submit_read(Job& job, ReadOptions options) = 0;

 private:
  template <class F, bool writes>
  struct Awaited;
  template <class F>
  struct Blocking;
};

struct OpenOptions {
  unsigned readers = 2;                          // SQLite reader threads; PostgreSQL: connections in all = readers + 2. All but the first take low reads too
  std::size_t max_queued = 100'000;              // jobs waiting; beyond it work is refused as unavailable
  std::chrono::milliseconds connect_timeout{5'000};
  std::uint64_t max_bytes = 0;                   // SQLite: file limit, 0 none (tests provoke `full` with it)
  std::size_t checkpoint_pages = 4'096;          // SQLite: log pages (4 KiB) that ask for a checkpoint
  const Clock* clock = nullptr;                  // null: the system's
  bool read_only = false;                        // PostgreSQL: writes are refused (foreign.hpp)
  std::uint64_t max_result_bytes = 0;            // texts and bytes of a result, 1 GiB if 0; above it the read fails (caller_too_large)
};
// "sqlite:path/to/file.db" (created if absent) or "postgres://…" / "postgresql://…" (a libpq URI). The URL may hold a
// password: no error repeats it. For PostgreSQL an unreachable server is not an error here: work waits for it, then fails.
Result<std::unique_ptr<Database>> open_database(std::string_view url, OpenOptions options = {});

// ---- templates ----

template <class F, bool writes>
struct Database::Awaited final : Job {
  Database& db;
  Scheduler& loop;
  F& body;
  std::conditional_t<writes, WriteOptions, ReadOptions> options;
  std::optional<Result<Of<F>>> value;
  std::optional<Error> error;
  std::coroutine_handle<> waiter;

  Awaited(Database& d, Scheduler& l, F& b, std::conditional_t<writes, WriteOptions, ReadOptions> o)
      : db(d), loop(l), body(b), options(o) {}
  Result<void> run(Tx& tx) override {
    value.emplace(body(tx));
    if (!*value) return std::unexpected(value->error());
    return {};
  }
  void finish(Result<void> outcome) override {
    if (!outcome) error = std::move(outcome.error());
    loop.resume(waiter);  // `this` may be gone from here on
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    waiter = h;
    if constexpr (writes) db.submit_write(*this, options);
    else db.submit_read(*this, options);
  }
  Result<Of<F>> await_resume() {
    if (error) return std::unexpected(std::move(*error));
    return std::move(*value);
  }
};

template <class F>
struct Database::Blocking final : Job {
  F& body;
  std::optional<Result<Of<F>>> value;
  std::optional<Error> error;
  std::binary_semaphore done{0};

  explicit Blocking(F& b) : body(b) {}
  Result<void> run(Tx& tx) override {
    value.emplace(body(tx));
    if (!*value) return std::unexpected(value->error());
    return {};
  }
  void finish(Result<void> outcome) override {
    if (!outcome) error = std::move(outcome.error());
    done.release();
  }
  Result<Of<F>> take() {
    done.acquire();
    if (error) return std::unexpected(std::move(*error));
    return std::move(*value);
  }
};

template <class F>
Task<Result<Of<F>>> Database::write(Scheduler& loop, F body, WriteOptions options) {
  Awaited<F, true> job(*this, loop, body, options);
  Result<Of<F>> result = co_await job;
  co_return result;
}

template <class F>
Task<Result<Of<F>>> Database::read(Scheduler& loop, F body, ReadOptions options) {
  Awaited<F, false> job(*this, loop, body, options);
  Result<Of<F>> result = co_await job;
  co_return result;
}

template <class F>
Result<Of<F>> Database::write_now(F body, WriteOptions options) {
  Blocking<F> job(body);
  submit_write(job, options);
  return job.take();
}

template <class F>
Result<Of<F>> Database::read_now(F body, ReadOptions options) {
  Blocking<F> job(body);
  submit_read(job, options);
  return job.take();
}

}  // namespace ballast::store
