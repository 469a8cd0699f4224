// Asks: what one node wants done about a job that is on another's board, as rows of the database they share.
//
// An ask is addressed to a job, not to a node: whoever owns the job's home performs it, so a job that is given away or adopted takes its open asks along.
// The answer is written in the transaction that does what was asked, on the condition that nobody answered or withdrew it: an ask is performed once, its
// answer is never lost, and one that was withdrawn is never performed. Heartbeats alone are addressed to a node: they are worth nothing later. A signal's row is
// its sender's own, until whoever waits for the signal was woken: should the sender die before, whoever sees the row goes on.
//
// Repositories take a Tx and never begin one.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.hpp"
#include "work/engine.hpp"
#include "work/job.hpp"

namespace ballast::work {

enum class AskKind : std::uint8_t { cancel = 0, wake = 1, commit = 2, move = 3, heartbeats = 4, signal = 5 };

// One of them. Its number is an id of the asker (`Engine::new_id`); what the end of a job asks has a job's own (FamilyWriter).
struct AskRow {
  JobId seq;
  AskKind kind = AskKind::wake;
  JobId job;                                 // none: heartbeats, signal
  std::uint32_t owner = 0;                   // heartbeats: the boot epoch they are for
  std::optional<unsigned> asker;             // the node that waits for the answer; nobody: the row goes when it is performed
  std::string body;                          // ask_words.hpp
  std::string payload;                       // any bytes: an output
  WallTime asked{};                          // by the database's clock; given at insertion
};

Result<void> insert_asks(store::Tx& tx, std::span<const AskRow> asks);
// Those that `owner` is to perform, and signals sent before `orphaned`, oldest first: at most `limit`, and, but for the first, no more than `bytes` of payload.
Result<std::vector<AskRow>> open_asks(store::Tx& tx, std::uint32_t owner, WallTime orphaned, std::size_t limit, std::uint64_t bytes);
// For the transaction that does what was asked, after it was done. It fails, retryable, if the ask is not open any more or its job is not `owner`'s. Without an
// `answer` it is the state that the job then has (pack_state).
Also performed(const AskRow& ask, std::uint32_t owner, std::string answer);
// Answers what nothing was done about. False: it is not open any more.
Result<bool> answer_ask(store::Tx& tx, JobId seq, std::string_view answer);
Result<void> delete_asks(store::Tx& tx, std::span<const JobId> seqs);

struct AskAnswer {
  JobId seq;
  std::string answer;
};
Result<std::vector<AskAnswer>> answers_of(store::Tx& tx, std::span<const JobId> seqs);
// Takes back those that are open, and returns them: they will never be performed. The others have been.
Result<std::vector<JobId>> withdraw_asks(store::Tx& tx, std::span<const JobId> seqs);
// Of those asked before: what was answered, what jobs are over for, and heartbeats that nobody took; at most `limit`.
Result<std::uint64_t> sweep_asks(store::Tx& tx, WallTime asked_before, std::size_t limit);

// Where jobs are that are not on this node's board, as followers and askers want to know. Unknown ones are left out.
struct Sight {
  JobId job;
  bool live = false;
  JobState state = JobState::queued;
  std::uint32_t attempt = 0;
  Fence fence = 0;                           // of the last lease that ended
  std::int64_t events = 0;                   // the last one's number
  std::uint32_t owner = 0;                   // boot epoch; 0: nobody's
  std::optional<unsigned> node;              // of the owner
  Fence leased = 0;                          // somebody holds it; 0: nobody. Only by `look_at_leases`
  friend bool operator==(const Sight&, const Sight&) = default;
};
Result<std::vector<Sight>> look_at(store::Tx& tx, std::span<const JobId> jobs);
// As it, and who of them is leased. Reads every claim there is: a row for each batch of leases.
Result<std::vector<Sight>> look_at_leases(store::Tx& tx, std::span<const JobId> jobs);

// What the end of a job asks of jobs on other boards, in the transaction that ends it: a child's end wakes its run, a run that did not come to
// its end calls its children off.
class FamilyWriter final : public EndWriter {
 public:
  // `engine` ends them. `next` (may be null) is written after it.
  FamilyWriter(const Engine& engine, const EndWriter* next) : engine_(engine), next_(next) {}
  bool wants(const JobSpec& spec) const override;
  Result<void> write(store::Tx& tx, const Job& ended) const override;

 private:
  const Engine& engine_;
  const EndWriter* const next_;
};

}  // namespace ballast::work
