// Schedules: fires what is due, each slot once. A job and the move to the next slot are one transaction, conditional on the slot: neither a
// crash in between, nor another process, nor a clock that is set back makes a second job of a slot. A slot whose job cannot be accepted for want
// of room or of the database waits; one whose job is refused (its flow is gone) is left, and the schedule says why.
//
// Of several nodes one fires, whoever has the duty; it reads what is stored before it does, and once a second, for any node may change it.
//
// Everything on the engine's home loop, but for `start`.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "work/flow_book.hpp"
#include "work/on_duty.hpp"
#include "work/schedule.hpp"

namespace ballast::work {

class Schedules {
 public:
  Schedules(Engine& engine, const FlowBook& flows) : engine_(engine), flows_(flows) {}
  Schedules(const Schedules&) = delete;
  Schedules& operator=(const Schedules&) = delete;
  // Before `start`.
  void use(OnDuty duty) { duty_ = std::move(duty); }
  // Reads what is stored. Blocking; once, before the loop runs.
  Result<void> start();
  // Begins to fire.
  void open();
  // Fires nothing more; resumes when what was being written is. Before the engine's own.
  Task<void> drain();

  using All = std::map<std::string, Schedule, std::less<>>;
  const All& all() const { return all_; }
  // What other nodes have changed is in `all` then, if the database answers. At once where there is one node.
  Task<void> look();
  // New, or in place of one of the same name: its next slot is counted from now. caller_invalid_request: above kMaxSchedules.
  Task<Result<void>> put(Schedule schedule, Also also);
  Task<Result<bool>> remove(std::string name, Also also);
  // A job now, beside its slots and whatever still lives. caller_not_found.
  Task<Result<Accepted>> run_now(std::string name, Also also);

 private:
  Task<void> fire_due();
  Task<void> fire(std::string name);
  Result<Submission> job_of(const Schedule& schedule, WallTime slot) const;
  Task<void> skip(std::string name, WallTime from, Firing firing, Error why);
  Task<void> reload();
  void wait(std::string_view name, const Error& why);
  void arm();
  void wake();

  Engine& engine_;
  const FlowBook& flows_;
  OnDuty duty_;
  All all_;
  bool open_ = false, firing_ = false, waiting_ = false;
  MonoTime again_{};                         // not before this: the database was away, or there was no room
  std::uint64_t changes_ = 0;                // of all_
  Timer timer_;
  TaskGroup tasks_{"schedules"};
};

}  // namespace ballast::work
