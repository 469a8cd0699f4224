// Schedules: jobs submitted at the times a cron line names. What one is, how it is stored, and when it fires: pure but for its rows.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/database.hpp"
#include "work/cron.hpp"
#include "work/engine.hpp"

namespace ballast::work {

enum class Overlap : std::uint8_t { skip, allow };       // the job of the slot before still lives: this slot makes none, or one all the same
enum class CatchUp : std::uint8_t { one, none };         // slots that passed while nobody looked: one job for all of them, or none

// A slot not older than this is on time, not missed.
inline constexpr Duration kOnTime = std::chrono::minutes(1);
inline constexpr std::size_t kMaxSchedules = 10'000;

struct Schedule {
  std::string name;
  Cron cron;
  Submission job;                            // its keys are the slot's and the schedule's: see `submission_of`. A flow's version is none
  std::string shown;                         // the job as it was put, JSON
  bool enabled = true;
  Overlap overlap = Overlap::skip;
  CatchUp catch_up = CatchUp::one;
  std::optional<WallTime> next, last;        // the slot that fires next; the one that fired last
  JobId last_job;
  std::string why;                           // why the last slot made no job; empty: it made `last_job`
  const std::string& owner() const { return job.spec.key_id; }
};

// What is to be done now about a schedule whose next slot was `next`.
struct Firing {
  std::optional<WallTime> slot;              // make its job
  std::optional<WallTime> next;              // and wait for this one
};
Firing decide_firing(const Cron& cron, WallTime next, WallTime now, CatchUp catch_up);

// The job of a slot. Its idempotency key is the schedule's and the slot's, so that a slot makes one job whatever happens; with Overlap::skip
// it is unique while it lives.
Submission submission_of(const Schedule& schedule, WallTime slot);

// ---- rows ----
Result<void> put_schedule(store::Tx& tx, const Schedule& schedule);
Result<bool> delete_schedule(store::Tx& tx, std::string_view name);
// One that this program cannot read (its zone is unknown to this machine) is left out and told of in the log; its row stays.
Result<std::vector<Schedule>> load_schedules(store::Tx& tx);
// From slot `from` to the next one. `job` is the slot's if it has been inserted in this transaction; else there is none, for the reason `why`.
// caller_conflict of field "schedule": it is gone, was changed, or another process fired that slot.
Result<void> move_schedule(store::Tx& tx, std::string_view name, WallTime from, const Firing& to, JobId job, std::string_view why);

}  // namespace ballast::work
