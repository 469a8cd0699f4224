// JobQueue: waiting work of a driver. Bounded; two priorities; many producers, one or more threads that serve it, of which some may take no low jobs.
// Every job pushed is finished exactly once: by who took it, by `push` (refused at the limit) or by `take` (too late).
#pragma once
#include <condition_variable>
#include <cstddef>
#include <mutex>

#include "base/clock.hpp"
#include "store/database.hpp"

namespace ballast::store {

class JobQueue {
 public:
  JobQueue(std::size_t limit, const Clock& clock) : limit_(limit), clock_(clock) {}

  void push(Job& job) {
    const char* refusal = nullptr;
    const bool low = job.priority == Priority::low;      // once it is pushed the job may be gone
    {
      std::lock_guard lock(mutex_);
      if (stopping_) refusal = "the database is closing";
      else if (size_ >= limit_) refusal = "too much work waits for the database";
      else {
        lists_[static_cast<int>(job.priority)].push(job);
        ++size_;
      }
    }
    if (refusal) job.finish(std::unexpected(make_error(Fault::unavailable, refusal)));
    else if (low) wake_.notify_all();                    // one alone might be a thread that takes none
    else wake_.notify_one();
  }

  enum class Takes : bool { normal, all };
  // Of several readers one is kept free of low reads.
  static Takes reader_takes(bool first, std::size_t readers) { return first && readers > 1 ? Takes::normal : Takes::all; }
  // Waits for work and takes up to `max` normal jobs as a chain, or one low job: when no normal one waits, or for the fairness of
  // every eighth turn. Null: closed and drained of what this thread takes; so somebody must take all.
  Job* take(std::size_t max, Takes takes = Takes::all) {
    for (;;) {
      Job* late = nullptr;
      Job* group = nullptr;
      {
        std::unique_lock lock(mutex_);
        List& normal = lists_[0];
        List& low = lists_[1];
        const auto any = [&] { return normal.first || (takes == Takes::all && low.first); };
        wake_.wait(lock, [&] { return any() || stopping_; });
        if (!any()) return nullptr;
        const bool take_low = takes == Takes::all && low.first && (!normal.first || ++turns_ % 8 == 0);
        List taken, expired;
        const MonoTime now = clock_.mono();
        for (std::size_t n = take_low ? 1 : max; n > 0; --n) {
          Job* job = (take_low ? low : normal).pop();
          if (!job) break;
          --size_;
          (job->due < now ? expired : taken).push(*job);
        }
        group = taken.first;
        late = expired.first;
      }
      while (late) {
        Job* next = late->next;
        late->finish(std::unexpected(make_error(Fault::timeout, "the deadline passed while the work waited for the database")));
        late = next;
      }
      if (group) return group;
    }
  }

  void close() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
  }
  std::size_t size() const {
    std::lock_guard lock(mutex_);
    return size_;
  }
  bool closing() const {
    std::lock_guard lock(mutex_);
    return stopping_;
  }

 private:
  struct List {
    Job* first = nullptr;
    Job* last = nullptr;
    void push(Job& job) {
      job.next = nullptr;
      (last ? last->next : first) = &job;
      last = &job;
    }
    Job* pop() {
      Job* job = first;
      if (job) {
        first = job->next;
        if (!first) last = nullptr;
        job->next = nullptr;
      }
      return job;
    }
  };
  const std::size_t limit_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  List lists_[2];
  std::size_t size_ = 0;
  unsigned turns_ = 0;
  bool stopping_ = false;
};

}  // namespace ballast::store
