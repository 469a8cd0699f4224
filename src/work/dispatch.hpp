// Dispatch: runs the jobs of this process. Task names and job kinds are registered with a handler; every lease becomes a coroutine on the home
// loop, with its timeout, and ends with exactly one commit.
//
// Single-threaded: the engine's home loop. Handlers are registered before the engine starts.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/task_group.hpp"
#include "work/engine.hpp"

namespace ballast::work {

// What a handler makes of its lease. It may commit by itself (`Engine::commit` with To::running) before it ends.
struct Outcome {
  Commit::To to = Commit::To::done;
  std::string output;
  std::optional<Error> error;
  std::optional<Duration> delay;
  Also also;
  std::vector<Submission> children;
};

// `cancel` fires when the lease is revoked or its time is up: what is under way is for nobody, end soon.
using JobHandler = std::function<Task<Outcome>(Lease lease, CancelToken cancel)>;
// The same without waiting, for what the handler would end as done and nobody would see: Executor::at_once.
using InstantHandler = std::function<std::optional<Outcome>(const Lease& lease)>;

class Dispatch final : public Executor {
 public:
  struct Options {
    Duration timeout = std::chrono::minutes(10);         // of an attempt whose job does not say; 0: none
  };
  Dispatch(Scheduler& home, Options options) : home_(home), options_(options) {}
  ~Dispatch() override;

  void add_task(std::string name, JobHandler handler, InstantHandler instant = {}) { tasks_by_name_[std::move(name)] = {std::move(handler), std::move(instant)}; }
  void set_kind(JobKind kind, JobHandler handler, InstantHandler instant = {}) { kinds_[static_cast<std::size_t>(kind)] = {std::move(handler), std::move(instant)}; }
  void use(Engine& engine) { engine_ = &engine; }

  bool runs(const JobSpec& spec) const override { return find(spec) != nullptr; }
  std::optional<Commit> at_once(const Lease& lease) override;
  void start(Lease lease) override;
  void revoke(JobId id, Fence fence) override;
  std::size_t running() const { return running_.size(); }
  Task<void> stop() override;

 private:
  struct Running {
    Fence fence = 0;
    CancelSource cancel;
    bool timed_out = false;
  };
  struct Handlers {
    JobHandler run;
    InstantHandler instant;
  };
  const Handlers* find(const JobSpec& spec) const;
  Task<void> run(Lease lease, std::shared_ptr<Running> state);

  Scheduler& home_;
  const Options options_;
  Engine* engine_ = nullptr;
  bool stopping_ = false;
  std::unordered_map<std::string, Handlers> tasks_by_name_;
  Handlers kinds_[3];
  std::unordered_map<JobId, std::shared_ptr<Running>> running_;
  TaskGroup tasks_{"jobs"};
};

// "ballast.noop": ends at once with its input as output. For measuring the road itself.
inline constexpr std::string_view kNoop = "ballast.noop";
void add_builtin_tasks(Dispatch& dispatch);

}  // namespace ballast::work
