// What asks and their answers say (ask_rows.hpp), as JSON. Pure. Written by another node of this installation, perhaps of another version: members that are
// missing are defaults, what cannot be read is internal_error.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "work/ask_rows.hpp"
#include "work/event_rows.hpp"
#include "work/run_move.hpp"
#include "work/signal_rows.hpp"

namespace ballast::work {

// What an external worker says of its lease.
struct WorkerWord {
  JobId job;
  Fence fence = 0;
  Commit::To to = Commit::To::done;          // but for `waiting`
  std::string output;
  std::optional<Error> error;
  std::optional<Duration> delay;
  std::optional<JobEvent> event;             // told to the job's followers; its time is given when it is kept
};
Commit commit_of(const WorkerWord& word);

struct CancelWord {
  std::string reason;
  std::string actor;                         // told on the job's audit chain; empty: nobody asked for it
};
// Writes that the actor cancelled these jobs. Empty without an actor.
Also tell_of_cancel(std::string_view actor, std::vector<JobId> jobs, WallTime now);

struct Beat {
  JobId job;
  Fence fence = 0;
  Duration lease{};                          // from when it was asked
};

// ---- asks: the body, and the payload where there is one ----
std::string pack_cancel(const CancelWord& word);
Result<CancelWord> read_cancel(std::string_view body);
void pack_commit(const WorkerWord& word, AskRow& ask);               // job, body and payload
Result<WorkerWord> read_commit(const AskRow& ask);
std::string pack_move(const MoveWish& wish);
Result<MoveWish> read_move(const AskRow& ask);
std::string pack_beats(std::span<const Beat> beats);
Result<std::vector<Beat>> read_beats(std::string_view body);

std::string pack_signal(const Signal& signal, std::size_t most);       // without its payload: it is kept already
struct SignalWord {
  Signal signal;
  std::size_t most = 0;
};
Result<SignalWord> read_signal(const AskRow& ask);

// ---- answers ----
std::string pack_refusal(const Error& error);
std::string pack_state(JobState state, bool running = false);
std::string pack_moved(const MovePlan& plan, bool moved);
// A refusal is the error.
Result<Settled> read_state(std::string_view answer);
Result<MovePlan> read_moved(std::string_view answer);    // without `run` and `write`: it was done there, or nothing was to do (from equals to)

}  // namespace ballast::work
