// The PostgreSQL driver: a small pool of threads, each with a connection of its own that it opens again when it is lost.
//
// A write reruns after a serialisation failure, a deadlock, or a connection lost before COMMIT (the server has then rolled back).
// When the connection is lost during COMMIT, another one asks pg_xact_status about the transaction's id; only when nobody can
// answer (unreachable until the deadline; another timeline: a standby took over; a crash since, after which an id may have been given
// again) does the caller get commit_unknown.
//
// Work waits out a restart of the server: for its whole limit until the first connection stands, later for kBridged. A server that
// is away for longer is away: what comes then tries once, and is told at once. One that hangs is found out (silence.hpp), and then it is away.
#include <atomic>
#include <condition_variable>
#include <functional>
#include <thread>

#include "base/thread.hpp"
#include "store/drivers.hpp"
#include "store/job_queue.hpp"
#include "store/postgres/connection.hpp"
#include "store/postgres/silence.hpp"

namespace ballast::store {

namespace {

constexpr unsigned kWriters = 2;
constexpr int kMaxReruns = 10;
constexpr auto kBridged = std::chrono::seconds(5);
// A process that is stopped (a machine that pauses) in the middle of a transaction must not stop others, which see it dead after two seconds.
constexpr std::chrono::seconds kStopped(2), kReading(120);
constexpr auto kNewcomer = std::chrono::seconds(3);
constexpr std::chrono::milliseconds kLongTry(500), kTriedAgain(1'000);   // after a try in vain that took long, those that come are told at once

// The transaction's id, the server's timeline and its life: what a later connection needs to learn its fate.
struct CommitKey {
  std::string xid, timeline, life;
};

class PostgresDatabase final : public Database {
 public:
  PostgresDatabase(std::string url, const OpenOptions& options, const Clock& clock)
      : url_(std::move(url)), clock_(clock), options_(options), writes_(options.max_queued, clock), reads_(options.max_queued, clock) {
    for (unsigned i = 0; i < (options.read_only ? 0 : kWriters); ++i) threads_.emplace_back([this] { serve(writes_, true, JobQueue::Takes::all); });
    const unsigned readers = std::max(1u, options.readers);
    for (unsigned i = 0; i < readers; ++i) threads_.emplace_back([this, takes = JobQueue::reader_takes(i == 0, readers)] { serve(reads_, false, takes); });
  }
  ~PostgresDatabase() override {
    writes_.close();
    reads_.close();
    {
      std::lock_guard lock(nap_mutex_);
      closing_ = true;
    }
    nap_.notify_all();
    threads_.clear();
  }

  Dialect dialect() const override { return Dialect::postgres; }
  Stats stats() const override {
    return {.transactions = transactions_, .bodies = transactions_, .reruns = reruns_, .reads = read_count_,
            .queued = writes_.size() + reads_.size(), .reconnects = reconnects_};
  }

 protected:
  void submit_write(Job& job, WriteOptions options) override {
    if (options_.read_only) return job.finish(std::unexpected(make_error(Fault::broken, "this database is only read")));
    job.due = clock_.mono() + options.limit;
    job.priority = options.priority;
    job.fate_in_rows = options.fate_in_rows;
    writes_.push(job);
  }
  void submit_read(Job& job, ReadOptions options) override {
    job.due = clock_.mono() + options.limit;
    job.priority = options.priority;
    reads_.push(job);
  }

 private:
  // What a thread has.
  struct Seat {
    const bool writes;
    std::unique_ptr<PostgresConnection> connection = nullptr;
    bool connected_before = false;
  };

  void serve(JobQueue& queue, bool writes, JobQueue::Takes takes) {
    name_this_thread(writes ? "db-write" : "db-read");
    Seat seat{.writes = writes};
    while (Job* job = queue.take(1, takes)) {
      auto result = writes ? write(seat, *job) : read(seat, *job);
      if (result) given_up_at_ = MonoTime::max();
      job->finish(std::move(result));
    }
  }

  // A live connection, or Fault::unavailable when there is none by `due`, or sooner: see above.
  Result<void> connect(Seat& seat, MonoTime due) {
    if (seat.connection && seat.connection->alive()) return {};
    seat.connection.reset();
    if (const MonoTime now = clock_.mono(); now >= given_up_at_.load() && now < tried_at_.load() + kTriedAgain)
      return std::unexpected(make_error(Fault::unavailable, "PostgreSQL cannot be reached"));
    return reconnect(seat, [&] { return std::min(due, given_up_at_.load()); });
  }

  // `until`: when to give up. It may come nearer meanwhile.
  Result<void> reconnect(Seat& seat, const std::function<MonoTime()>& until) {
    for (auto pause = std::chrono::milliseconds(20);; pause = std::min(pause * 2, std::chrono::milliseconds(1'000))) {
      const MonoTime began = clock_.mono();
      auto opened = PostgresConnection::open(url_, options_.connect_timeout, &silence_, seat.writes ? kStopped : kReading);
      if (opened) {
        seat.connection = std::move(*opened);
        seat.connection->set_max_result(options_.max_result_bytes);
        if (seat.connected_before) ++reconnects_;
        seat.connected_before = ever_connected_ = true;
        given_up_at_ = MonoTime::max();
        return {};
      }
      const MonoTime now = clock_.mono();
      if (now - began >= kLongTry) tried_at_ = now;
      MonoTime never = MonoTime::max();
      if (ever_connected_) given_up_at_.compare_exchange_strong(never, now + kBridged);
      if (now + pause >= until() || !wait(pause)) return std::unexpected(opened.error());
    }
  }

  // False when the database is closing.
  bool wait(std::chrono::milliseconds pause) {
    std::unique_lock lock(nap_mutex_);
    return !nap_.wait_for(lock, pause, [&] { return closing_; });
  }

  Result<void> write(Seat& seat, Job& job) {
    bool along = job.fate_in_rows;
    for (int round = 0;; ++round) {
      if (auto ready = connect(seat, job.due); !ready) return ready;
      bool rerun = false;
      auto result = write_once(seat, job, along, rerun);
      if (!result) along = false;
      if (!rerun || round >= kMaxReruns || clock_.mono() >= job.due) return result;
      ++reruns_;
      if (round > 1 && !wait(std::chrono::milliseconds(1 << std::min(round, 7)))) return result;
    }
  }

  // `along`: COMMIT goes with what the body left, and what fails is tried again the other way, which tells more.
  Result<void> write_once(Seat& seat, Job& job, bool along, bool& rerun) {
    seat.connection->forget_error();
    Silence::Waiting waiting(silence_, seat.connection->socket());
    if (auto begun = seat.connection->begin(along); !begun) {
      rerun = !seat.connection->alive();
      return begun;
    }
    PostgresTx tx(*seat.connection);
    Result<void> result = guarded(job, tx);
    if (result) result = tx.settle();
    if (!result) {
      rerun = tx.spoiled() && (along || !seat.connection->alive() || seat.connection->should_rerun());
      if (seat.connection->alive()) seat.connection->roll_back();
      return result;
    }
    auto committed = seat.connection->commit();
    if (committed && *committed == "COMMIT") {
      ++transactions_;
      return {};
    }
    if (committed) return std::unexpected(make_error(Fault::broken, "PostgreSQL answered COMMIT with " + *committed));
    if (seat.connection->alive()) {  // refused, for example by a deferred constraint: rolled back
      rerun = along || seat.connection->should_rerun();
      seat.connection->roll_back();
      return std::unexpected(committed.error());
    }
    if (along) return unknown();
    const std::string& named = seat.connection->transaction_key();
    waiting.end();
    const CommitKey key{named.substr(0, named.find(' ')), named.substr(named.find(' ') + 1), seat.connection->life()};
    return learn_fate(seat, key, job.due, rerun);
  }

  static Result<void> unknown() {
    return std::unexpected(make_error(Fault::commit_unknown, "the connection was lost during COMMIT and its outcome cannot be learnt"));
  }

  Result<void> learn_fate(Seat& seat, const CommitKey& key, MonoTime due, bool& rerun) {
    for (;;) {
      if (!seat.connection->alive()) seat.connection.reset();
      if (!seat.connection)
        if (auto ready = reconnect(seat, [&] { return due; }); !ready) return unknown();
      const Silence::Waiting waiting(silence_, seat.connection->socket());
      auto timeline = seat.connection->simple("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)");
      if (timeline && *timeline != key.timeline) return unknown();
      auto status = timeline ? seat.connection->simple("SELECT coalesce(pg_xact_status('" + key.xid + "'), 'forgotten')") : timeline;
      if (status && *status == "committed") {
        if (seat.connection->life() != key.life) return unknown();    // the id may be another's since
        ++transactions_;
        return {};
      }
      if (status && *status == "aborted") {
        rerun = true;
        return std::unexpected(make_error(Fault::unavailable, "the connection was lost during COMMIT; nothing was written"));
      }
      if (status && *status == "forgotten") return unknown();
      if (clock_.mono() >= due || !wait(std::chrono::milliseconds(20))) return unknown();
    }
  }

  Result<void> read(Seat& seat, Job& job) {
    for (int round = 0;; ++round) {
      if (auto ready = connect(seat, job.due); !ready) return ready;
      const auto left = std::max<std::int64_t>(1, std::chrono::duration_cast<std::chrono::milliseconds>(job.due - clock_.mono()).count());
      seat.connection->forget_error();
      const Silence::Waiting waiting(silence_, seat.connection->socket());
      auto begun = seat.connection->simple("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = " + std::to_string(left));
      PostgresTx tx(*seat.connection);
      Result<void> result = begun ? guarded(job, tx) : Result<void>(std::unexpected(begun.error()));
      if (result) result = tx.settle();
      if (seat.connection->alive()) seat.connection->roll_back();
      ++read_count_;
      if (result || seat.connection->alive() || round >= 2) return result;
    }
  }

  static Result<void> guarded(Job& job, Tx& tx) {
    try {
      return job.run(tx);
    } catch (const std::exception& e) {
      return std::unexpected(make_error(Fault::broken, std::string("a transaction's body threw: ") + e.what()));
    }
  }

  const std::string url_;
  const Clock& clock_;
  const OpenOptions options_;
  JobQueue writes_, reads_;
  std::mutex nap_mutex_;
  std::condition_variable nap_;
  bool closing_ = false;
  std::atomic<bool> ever_connected_ = false;
  std::atomic<MonoTime> given_up_at_ = MonoTime::max();   // while the server is away
  std::atomic<MonoTime> tried_at_ = MonoTime::min();      // in vain, and for long, by whomever
  std::atomic<std::uint64_t> transactions_{0}, reruns_{0}, read_count_{0}, reconnects_{0};
  Silence silence_{clock_, [this] { return PostgresConnection::answers(url_, kNewcomer); }};
  std::vector<std::jthread> threads_;
};

}  // namespace

Result<std::unique_ptr<Database>> open_postgres(const std::string& url, OpenOptions options) {
  const Clock& clock = options.clock ? *options.clock : system_clock();
  return std::make_unique<PostgresDatabase>(url, options, clock);
}

}  // namespace ballast::store
