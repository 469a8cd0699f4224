// The SQLite driver: one writer thread that commits natural groups, reader threads beside it.
//
// A group is what waits when the writer becomes free; each body runs in a savepoint. Nothing is published before the commit.
// An error such as SQLITE_FULL inside one savepoint may roll the whole group back: then each body runs once more, alone.
// Only the writer checkpoints, between groups, and only in the process that holds FILE-checkpointer: SQLite 3.40 can
// damage a database whose log is reset while another connection checkpoints.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/thread.hpp"
#include "store/drivers.hpp"
#include "store/job_queue.hpp"
#include "store/sqlite/connection.hpp"

namespace ballast::store {

namespace {

// Event loops come first where cores are few: a batch of the importer must not hold up a call for its time slice.
constexpr int kWriterNice = 10;

constexpr std::size_t kMaxGroup = 256;

class SqliteDatabase final : public Database {
 public:
  SqliteDatabase(std::unique_ptr<SqliteConnection> writer, std::vector<std::unique_ptr<SqliteConnection>> readers, const std::string& path,
                 const OpenOptions& options, const Clock& clock)
      : clock_(clock), options_(options), writes_(options.max_queued, clock), reads_(options.max_queued, clock),
        writer_(std::move(writer)), readers_(std::move(readers)) {
    checkpointer_ = ::open((path + "-checkpointer").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (checkpointer_ >= 0) may_checkpoint_ = ::flock(checkpointer_, LOCK_EX | LOCK_NB) == 0;
    threads_.emplace_back([this] {
      name_this_thread("db-write");
      ::setpriority(PRIO_PROCESS, 0, kWriterNice);   // Linux: of the calling thread
      write_groups();
    });
    for (auto& reader : readers_) threads_.emplace_back([this, &reader] { serve_reads(*reader, JobQueue::reader_takes(&reader == &readers_.front(), readers_.size())); });
  }
  ~SqliteDatabase() override {
    writes_.close();
    reads_.close();
    threads_.clear();
    if (may_checkpoint_) writer_->checkpoint();
    if (checkpointer_ >= 0) ::close(checkpointer_);
  }

  Dialect dialect() const override { return Dialect::sqlite; }

  Stats stats() const override {
    return {.transactions = transactions_, .bodies = bodies_, .reruns = reruns_, .reads = read_count_,
            .queued = writes_.size() + reads_.size(), .wal_pages = wal_pages_, .checkpoints = checkpoints_};
  }

 protected:
  void submit_write(Job& job, WriteOptions options) override {
    job.due = clock_.mono() + options.limit;
    job.priority = options.priority;
    writes_.push(job);
  }
  void submit_read(Job& job, ReadOptions options) override {
    job.due = clock_.mono() + options.limit;
    job.priority = options.priority;
    reads_.push(job);
  }

 private:
  void write_groups() {
    while (Job* group = writes_.take(kMaxGroup)) {
      if (group->next) run_group(group);
      else run_alone(*group);
      wal_pages_ = static_cast<std::uint64_t>(writer_->log_pages());
      checkpoint_if_due();
    }
  }

  // One body with what came of it, until the group's commit says whether it counts.
  struct Outcome {
    Job* job;
    Result<void> result;
  };

  void run_group(Job* group) {
    std::vector<Outcome> outcomes;
    bool lost = !writer_->execute("BEGIN IMMEDIATE");
    for (Job* job = group; job; job = job->next) {
      if (lost) {
        outcomes.push_back({job, {}});
        continue;
      }
      auto opened = writer_->execute("SAVEPOINT body");
      Result<void> result = opened ? run_body(*job) : opened;
      lost = !writer_->in_transaction();
      if (!lost && !result) lost = !writer_->execute("ROLLBACK TO body");
      if (!lost) lost = !writer_->execute("RELEASE body");
      outcomes.push_back({job, std::move(result)});
    }
    if (!lost && writer_->execute("COMMIT")) {
      ++transactions_;
      for (Outcome& o : outcomes) {
        bodies_ += o.result.has_value();
        o.job->finish(std::move(o.result));
      }
      return;
    }
    roll_back();
    for (Outcome& o : outcomes) {
      ++reruns_;
      run_alone(*o.job);
    }
  }

  void run_alone(Job& job) {
    auto result = writer_->execute("BEGIN IMMEDIATE");
    if (result) result = run_body(job);
    if (result) {
      result = writer_->execute("COMMIT");
      if (result) {
        ++transactions_;
        ++bodies_;
      }
    }
    if (!result) roll_back();
    job.finish(std::move(result));
  }

  // A body that swallowed an error may not commit half of its work.
  Result<void> run_body(Job& job) {
    SqliteTx tx(*writer_, clock_);
    Result<void> result = guarded(job, tx);
    if (result && tx.spoiled()) return std::unexpected(*tx.spoiled());
    if (result && !writer_->in_transaction()) return std::unexpected(make_error(Fault::broken, "a body ended its own transaction"));
    return result;
  }
  static Result<void> guarded(Job& job, Tx& tx) {
    try {
      return job.run(tx);
    } catch (const std::exception& e) {
      return std::unexpected(make_error(Fault::broken, std::string("a transaction's body threw: ") + e.what()));
    }
  }

  void roll_back() {
    if (writer_->in_transaction()) (void)writer_->execute("ROLLBACK");
  }

  void checkpoint_if_due() {
    const std::size_t pages = static_cast<std::size_t>(writer_->log_pages());
    if (pages < last_pages_) next_checkpoint_ = options_.checkpoint_pages;  // the log began anew
    last_pages_ = pages;
    if (!may_checkpoint_ || pages < next_checkpoint_) return;
    if (writes_.size() > 0 && pages < next_checkpoint_ * 4) return;         // when idle, or when it must be
    writer_->checkpoint();
    ++checkpoints_;
    next_checkpoint_ = pages + options_.checkpoint_pages;                   // a reader may hold the rest back
  }

  void serve_reads(SqliteConnection& connection, JobQueue::Takes takes) {
    name_this_thread("db-read");
    while (Job* job = reads_.take(1, takes)) {
      connection.set_deadline(job->due);
      auto result = connection.execute("BEGIN");
      if (result) {
        SqliteTx tx(connection, clock_);
        result = guarded(*job, tx);
      }
      connection.set_deadline(MonoTime::max());
      if (connection.in_transaction()) (void)connection.execute("ROLLBACK");
      ++read_count_;
      job->finish(std::move(result));
    }
  }

  const Clock& clock_;
  const OpenOptions options_;
  JobQueue writes_, reads_;
  std::unique_ptr<SqliteConnection> writer_;
  std::vector<std::unique_ptr<SqliteConnection>> readers_;
  std::size_t last_pages_ = 0;
  std::size_t next_checkpoint_ = options_.checkpoint_pages;
  int checkpointer_ = -1;
  bool may_checkpoint_ = false;
  std::atomic<std::uint64_t> transactions_{0}, bodies_{0}, reruns_{0}, read_count_{0}, wal_pages_{0}, checkpoints_{0};
  std::vector<std::jthread> threads_;
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

Result<std::unique_ptr<Database>> open_sqlite(const std::string& path, OpenOptions options) {
  const Clock& clock = options.clock ? *options.clock : system_clock();
  auto writer = SqliteConnection::open(path, SqliteConnection::Use::writer, options, clock);
  if (!writer) return std::unexpected(writer.error());
  std::vector<std::unique_ptr<SqliteConnection>> readers;
  for (unsigned i = 0; i < std::max(1u, options.readers); ++i) {
    auto reader = SqliteConnection::open(path, SqliteConnection::Use::reader, options, clock);
    if (!reader) return std::unexpected(reader.error());
    readers.push_back(std::move(*reader));
  }
  return std::make_unique<SqliteDatabase>(std::move(*writer), std::move(readers), path, options, clock);
}

}  // namespace ballast::store
