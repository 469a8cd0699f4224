// ProviderBatches: calls that may wait, gathered and sent through their provider's batch API, at its batch price.
//
//   job leased → waits (gathering) → sent with others → answered → job leased again → the call is made of the answer, and booked
//                                                     ↘ refused → made along the ordinary road
//
// All of it is rows, so a crash loses nothing: what was gathered is sent, what was sent is asked after. A batch whose creation a crash cut is
// looked for by its mark (OpenAI) before another is created; where the API keeps no marks (Anthropic) it is created again, and may be paid twice.
// A batch that nobody waits for any more (its jobs are over, or the batch of ours whose lines it has is cancelled) is cancelled at its provider too, however
// often that must be asked; what was finished before is booked and given.
// The money is booked when the answers are there, also of jobs that were cancelled meanwhile; calls that a budget binds are not sent this way
// (Gateway::batch_target).
//
// Single-threaded: the engine's home loop.
#pragma once
#include <optional>

#include "base/task_group.hpp"
#include "gateway/credentials.hpp"
#include "work/door.hpp"
#include "work/model_call.hpp"
#include "work/on_duty.hpp"
#include "work/provider_batch_rows.hpp"

namespace ballast::work {

struct ProviderBatchOptions {
  Duration gather = std::chrono::minutes(1); // how long calls are gathered, and how often a batch is asked after
  std::size_t most = 2'000;                  // calls of one batch, and
  std::size_t most_bytes = 16u << 20;        // of their bodies: the answers are read in one go
};

class ProviderBatches {
 public:
  ProviderBatches(gateway::Gateway& gateway, Door& door, ModelCaller& caller, ProviderBatchOptions options)
      : gateway_(gateway), door_(door), engine_(door.engine()), caller_(caller), options_(options) {}
  // Of several nodes one gathers, sends and asks after; the others' calls wait for it. Before `open`.
  void use(OnDuty duty) { duty_ = std::move(duty); }
  // On the home loop, once the engine is open.
  void open();
  Task<void> stop();

  // What the holder of a job does.
  struct Way {
    bool wait = false;                       // until it is woken; `also` is for the commit that says so
    Also also;
    std::optional<gateway::ProviderAnswer> answer;       // make the call of it. Neither: make it the ordinary way
  };
  Task<Result<Way>> way_of(const Lease& lease, const ModelRequest& request);
  // For the commit that ends the lease of a job with an answer: `used`, or it goes the ordinary way next time.
  static Also ended(JobId job, bool used);

 private:
  Task<void> run();
  Task<Result<void>> turn();
  Task<Result<void>> wake_answered();
  Task<Result<void>> cancel_called_off();
  Task<Result<void>> book_orphans();
  Task<Result<void>> gather();
  Task<Result<void>> create(ProviderBatch batch);
  Task<Result<void>> mark_created(ProviderBatch batch, std::string remote);
  Task<Result<void>> refuse(const ProviderBatch& batch, std::string why);
  Task<Result<void>> call_off(ProviderBatch batch);
  Task<Result<void>> drop(const ProviderBatch& batch);
  Task<Result<void>> look_after(ProviderBatch batch);
  Task<Result<std::string>> send(const ProviderBatch& batch, Result<llm::BatchAsk> ask);
  const gateway::ProviderAccess* access_of(const ProviderBatch& batch);
  Result<gateway::CredentialLease> credential_of(ProviderBatch& batch);

  gateway::Gateway& gateway_;
  Door& door_;                               // to the jobs, wherever they are
  Engine& engine_;
  ModelCaller& caller_;
  const ProviderBatchOptions options_;
  OnDuty duty_;
  gateway::SetupPtr setup_;                  // of the present turn
  CancelSource stopping_;
  TaskGroup tasks_{"provider batches"};
};

}  // namespace ballast::work
