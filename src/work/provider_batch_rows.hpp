// The rows of calls that wait for their provider's batch, and of those batches. Repositories take a `Tx&`, never begin one.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "llm/provider_batch.hpp"
#include "store/database.hpp"
#include "work/job.hpp"

namespace ballast::work {

enum class BatchCallState : std::uint8_t { gathering = 0, sent, answered, refused };

struct BatchCall {
  JobId job;
  BatchCallState state = BatchCallState::gathering;
  std::string provider, model;
  llm::Operation operation = llm::Operation::chat;
  llm::BatchApi api{};
  std::string body;                          // as it is sent
  int status = 0;                            // of its answer
  std::string answer;
  JobId parent;                              // the batch of ours whose line it is; zero: none
  bool cancel = false;                       // nobody wants it answered any more: it is not made the ordinary way
};
Result<void> put_batch_call(store::Tx& tx, const BatchCall& call);
// Nothing: the job has none.
Result<std::optional<BatchCall>> get_batch_call(store::Tx& tx, JobId job);
Result<void> delete_batch_call(store::Tx& tx, JobId job);
Result<void> refuse_batch_call(store::Tx& tx, JobId job);

// A batch at a provider.
struct ProviderBatch {
  JobId id;
  bool created = false;                      // the provider has it
  std::string provider, model;
  llm::Operation operation = llm::Operation::chat;
  llm::BatchApi api{};
  std::string credential;                    // by whose name it was created
  std::string remote;                        // the provider's id of it
  WallTime begun{};
  bool cancelled = false;                    // the provider knows that nobody waits for it
};
// Of calls that are gathered: the oldest kind's, of one batch of ours or of none, at most `most` of them and `most_bytes`. Nothing: none are.
Result<std::optional<ProviderBatch>> begin_batch(store::Tx& tx, JobId id, WallTime now, std::size_t most, std::size_t most_bytes);
Result<std::vector<ProviderBatch>> list_provider_batches(store::Tx& tx);
Result<std::vector<llm::BatchItem>> batch_items(store::Tx& tx, JobId batch);
Result<void> update_provider_batch(store::Tx& tx, const ProviderBatch& batch);
// What it came to; calls of it without an answer go the ordinary way. The batch is gone.
Result<void> end_provider_batch(store::Tx& tx, JobId batch, std::span<const llm::BatchResult> results);

// Does anybody wait for an answer of it?
Result<bool> is_wanted(store::Tx& tx, JobId batch);

// Calls off all calls of a batch of ours. Returns the jobs whose calls a provider has, or has answered: they end with what it finished.
Result<std::vector<JobId>> call_off(store::Tx& tx, JobId parent);
// Are such jobs left?
Result<bool> any_called_off(store::Tx& tx, JobId parent);

// Jobs that wait though what they wait for has come; or, `called_off`, will not come.
Result<std::vector<JobId>> answered_and_waiting(store::Tx& tx, std::size_t limit, bool called_off);
// Calls that were answered, or never sent, of jobs that are over.
Result<std::vector<BatchCall>> orphaned_batch_calls(store::Tx& tx, std::size_t limit);

}  // namespace ballast::work
