// Readers of a SQLite file that is not ours.
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/text.hpp"
#include "base/thread.hpp"
#include "store/drivers.hpp"
#include "store/job_queue.hpp"
#include "store/sqlite/connection.hpp"

namespace ballast::store {

namespace {

bool touches(const Gate& gate, const char* table, const char* column) {
  const auto found = gate.tables.find(to_lower_ascii(std::string_view(table ? table : "")));
  if (found == gate.tables.end()) return false;
  const std::string_view name = column ? column : "";
  return name.empty() || found->second.contains(to_lower_ascii(name));   // no column: its rows are counted
}

// What lies beneath a view that may be read, may be read through it.
int authorize(void* context, int action, const char* first, const char* second, const char* database, const char* view) {
  const Gate& gate = *static_cast<const Gate*>(context);
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_TRANSACTION: return SQLITE_OK;
    case SQLITE_READ: {
      if (database && std::string_view(database) != "main") return SQLITE_DENY;
      return touches(gate, first, second) || (view && touches(gate, view, "")) ? SQLITE_OK : SQLITE_DENY;
    }
    case SQLITE_FUNCTION: return gate.functions.contains(to_lower_ascii(std::string_view(second ? second : ""))) ? SQLITE_OK : SQLITE_DENY;
    default: return SQLITE_DENY;
  }
}

class ForeignSqlite final : public Database {
 public:
  ForeignSqlite(std::string path, ForeignOptions options, const Clock& clock) : path_(std::move(path)), options_(std::move(options)), clock_(clock), reads_(options_.max_queued, clock) {
    for (unsigned i = 0; i < std::max(1u, options_.readers); ++i) threads_.emplace_back([this] { serve(); });
  }
  ~ForeignSqlite() override {
    reads_.close();
    threads_.clear();
  }

  Dialect dialect() const override { return Dialect::sqlite; }
  Stats stats() const override { return {.reads = read_count_, .queued = reads_.size()}; }

 protected:
  void submit_write(Job& job, WriteOptions) override { job.finish(std::unexpected(make_error(Fault::broken, "this database is only read"))); }
  void submit_read(Job& job, ReadOptions options) override {
    job.due = clock_.mono() + options.limit;
    reads_.push(job);
  }

 private:
  void serve() {
    name_this_thread("foreign-read");
    std::unique_ptr<SqliteConnection> connection;
    while (Job* job = reads_.take(1)) {
      auto result = read(connection, *job);
      ++read_count_;
      job->finish(std::move(result));
    }
  }

  Result<void> read(std::unique_ptr<SqliteConnection>& connection, Job& job) {
    if (!connection) {
      auto opened = SqliteConnection::open(path_, SqliteConnection::Use::foreign, {.max_result_bytes = options_.max_bytes}, clock_);
      if (!opened) return std::unexpected(std::move(opened.error()));
      connection = std::move(*opened);
      sqlite3_set_authorizer(connection->handle(), authorize, const_cast<Gate*>(&options_.gate));
    }
    connection->set_deadline(job.due);
    auto result = connection->execute("BEGIN");
    if (result) {
      SqliteTx tx(*connection, clock_);
      result = guarded(job, tx);
    }
    connection->set_deadline(MonoTime::max());
    if (connection->in_transaction()) (void)connection->execute("ROLLBACK");
    return result;
  }
  static Result<void> guarded(Job& job, Tx& tx) {
    try {
      return job.run(tx);
    } catch (const std::exception& e) {
      return std::unexpected(make_error(Fault::broken, std::string("a transaction's body threw: ") + e.what()));
    }
  }

  const std::string path_;
  const ForeignOptions options_;
  const Clock& clock_;
  JobQueue reads_;
  std::atomic<std::uint64_t> read_count_{0};
  std::vector<std::jthread> threads_;
};

}  // namespace

Result<std::unique_ptr<Database>> open_foreign_sqlite(const std::string& path, ForeignOptions options) {
  const Clock& clock = options.clock ? *options.clock : system_clock();
  return std::make_unique<ForeignSqlite>(path, std::move(options), clock);
}

}  // namespace ballast::store
