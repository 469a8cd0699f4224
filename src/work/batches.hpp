// Batches: makes batches happen. Each of its lines becomes a job of kind `call`, and what the jobs come to becomes the batch's files, so a batch
// survives whatever a job survives: a driver that died is taken up by the next process where the rows say it stood.
//
//   validating → in_progress → finalizing → completed | expired
//        │            │
//        ├→ failed    └→ cancelling → cancelled
//
// The window is the jobs' deadline: what is not answered by then is dead, and its line says so. Its jobs bear the batch's id as a tag.
//
// Of several nodes one drives them all, whoever has the duty: it finds within a second what others made or wish to be cancelled, and counts again what ended
// elsewhere.
//
// Single-threaded: the engine's home loop, but for `start`. One driver a batch; only it changes the batch's row, but for the wish to cancel it.
#pragma once
#include <functional>
#include <memory>
#include <unordered_map>

#include "base/task_group.hpp"
#include "work/batch_rows.hpp"
#include "work/door.hpp"
#include "work/feed.hpp"
#include "work/file_rows.hpp"
#include "work/on_duty.hpp"

namespace ballast::work {

struct BatchOptions {
  std::uint64_t max_lines = 50'000;
  std::size_t max_live = 1'000;              // batches that are not over
  std::uint32_t concurrency = 64;            // of the queue "batch", unless somebody has set its rules
  Duration retention = std::chrono::hours(24 * 30);      // of the files that batches make, and of batches that are over; 0: for ever
};

class Batches {
 public:
  Batches(Door& door, BatchOptions options);
  ~Batches();
  Batches(const Batches&) = delete;
  Batches& operator=(const Batches&) = delete;

  // Before `start`.
  void use(OnDuty duty) { duty_ = std::move(duty); }
  // Reads the batches that are not over. Blocking; after the engine's start, before the loops run.
  Result<void> start();
  // Takes them up.
  void open();
  // Every driver leaves its batch as the rows say. Before the engine drains.
  Task<void> stop();

  // `batch`: who asks for what; its id, state and times are given here. internal_unavailable: too many are under way.
  Task<Result<Batch>> create(Batch batch, Duration window);
  // Ends it soon; the batch as it then is. caller_conflict: it is over, or as good as.
  Task<Result<Batch>> cancel(JobId id);
  // Of one that is not over.
  std::optional<BatchCounts> counts(JobId id) const;
  // The same, whichever nodes its jobs are on: with several, its lines are counted.
  Task<BatchCounts> counts_now(Batch batch) const;
  // To be told of every job that ended.
  void ended(const Job& job);
  const BatchOptions& options() const { return options_; }

 private:
  struct Live {
    Batch batch;                             // as its row is, but for the counts, and the mistakes while its file is read
    std::uint64_t left = 0;                  // lines that nothing has come of yet
    std::uint64_t heard = 0;                 // with several nodes: jobs that ended here since the lines were counted
    bool doubtful = false;                   // whether its row is so: a write has failed
    bool cancel = false;                     // wished
    bool called_off = false;                 // and all that could be ended at once was
    std::uint64_t ticket = 0;
  };
  struct Lines;
  struct Paper;
  struct Tally;
  struct Found {
    Batch batch;
    LineCounts lines;
  };
  static Result<std::vector<Found>> find_live(store::Tx& tx);
  Task<Result<void>> look_at(Batch row);
  void take_up(Found found);
  Task<void> follow();
  Task<Result<void>> look();
  Task<Result<Batch>> wish_cancelled(JobId id);
  bool ending() const { return feed_.closed() || !duty_.mine(); }
  Task<void> drive(std::shared_ptr<Live> live);
  Task<Result<void>> step(Live& live);
  Task<Result<void>> validate(Live& live);
  Task<Result<void>> judge(Live& live);
  Task<Result<void>> submit(Live& live);
  Task<Result<void>> count(Live& live);
  Task<bool> submit_some(Live& live, std::vector<Submission> jobs);
  Task<Result<void>> cancel_jobs(Live& live);
  Task<Result<void>> finalize(Live& live);
  Task<Result<void>> write_papers(Live& live, Paper& output, Paper& errors, Tally& tally);
  Submission submission_of(const Live& live, const LineRow& row, BatchLine line) const;
  Task<Result<void>> more(Lines& lines, JobId file);
  static void keep(Live& live, Batch row);
  Result<void> stands(store::Tx& tx, const Batch& batch) const;
  Task<Result<void>> read_again(Live& live);
  Task<Result<void>> become(Live& live, Batch next, std::function<Result<void>(store::Tx&)> with = {});
  Task<bool> pause(Live& live, Duration most);
  void adopt(Batch batch, std::optional<BatchCounts> counts, std::uint64_t left);
  WallTime now() const { return engine_.home().clock().wall(); }

  Door& door_;                               // to its jobs, wherever they are
  Engine& engine_;
  const BatchOptions options_;
  OnDuty duty_;
  Feed feed_;                                // news of a batch, by its id
  std::uint64_t tickets_ = 0;
  std::unordered_map<JobId, std::shared_ptr<Live>> live_;
  TaskGroup drivers_{"batches"};
};

}  // namespace ballast::work
