// decide: what a run does next. Pure: the same flow, records and time give the same actions. The runner (runner.hpp) performs them.
//
//   for (;;) {
//     auto actions = decide(state, now);
//     keep the records among them durably, then perform the rest; what comes of it is a StageRecord: made durable, then `state.apply(record)`
//   }
//
// What needs nothing from outside (transform, template, choose, a map's items, a time to wait) is worked out at once, applied to the state
// and handed over as a record to keep. An answer without anything to perform: the run waits for what is under way outside.
//
// A stage runs when all it comes after are settled. It is skipped when: `when` is false; a choice did not take it; one of its `needs` was
// skipped; or all it comes after were skipped. It fails when its attempts are used up, or its confidence is too low; then its fallback stands
// in, else the run (the item, the map) fails, once what is under way has ended. `on_failure: compensate`: first what was
// done is undone, the last first.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "work/run_state.hpp"

namespace ballast::work {

// Perform the stage's outside part: a model call, an HTTP call, a worker's job, a child run, a settlement. Answer with a record of
// this path, input and attempt: done, failed, or (worker, child) started. Call `state.begin(path)` when it is under way.
struct RunStage {
  std::string path;
  const Stage* stage = nullptr;                  // of the state's flow
  Digest input{};
  std::uint32_t attempt = 1;
  std::shared_ptr<const json::value> context;    // what its expressions see
  std::string key;                               // the same for every attempt: for idempotency
  Taint reads;                                   // of the values it sends: what may_settle asks
  std::vector<std::string> ways;                 // of a settle stage: how each origin of `reads` came to it
  Taint gives;                                   // of its output: goes into the record; of a flow stage join the child's
};
// Keep this record; the state has it already. A `started` one of an approval or an event means: ask, listen.
struct KeepRecord { StageRecord record; };
// Undo the stage: its `compensate` in this context. Answer with a `compensated` record.
struct Compensate {
  std::string path;
  const Stage* stage = nullptr;
  Digest input{};
  std::shared_ptr<const json::value> context;
  std::string key;
};
// Nothing to do for these before that moment: ask again then. At most one, and the earliest.
struct WaitUntil { WallTime at; };
struct FinishRun {
  std::shared_ptr<const json::value> output;
  Taint taint;
};
// What still waits outside (a worker, a child, a human, an event) is to be called off; where that comes too late its record is applied and
// decide asked again: with `on_failure: compensate` it is undone as well.
struct FailRun {
  std::string path;                              // the stage; empty: the run as a whole
  Error error;
};
using Action = std::variant<RunStage, KeepRecord, Compensate, WaitUntil, FinishRun, FailRun>;

// Records first, in the order they were made. Also notes in the state what follows from its records (which question each stage asks now).
std::vector<Action> decide(RunState& state, WallTime now);
// Notes in the state what follows from its records alone, of all items of maps: which question each stage asks, and what it came to.
void take_stock(RunState& state);
// The run's compensations, the last done first: one at a time. Empty: nothing is left to undo.
std::vector<Action> roll_back(RunState& state);

// What the performer of a stage does with what came back: is it what the stage's `output` wants, and how sure is it. Errors: provider_bad_response
// naming the path; caller_invalid_request where the `confidence` is not a number from 0 to 1.
Result<void> check_output(const Stage& stage, const json::value& output);
Result<std::optional<double>> confidence_of(const Stage& stage, const json::value& context, const json::value& output);

}  // namespace ballast::work
