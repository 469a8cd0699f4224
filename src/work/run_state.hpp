// RunState: where a run of a flow stands, made of the records of its journal. Pure.
//
// A record belongs to (stage path, input hash). The hash is of the stage's definition and of what it reads (`.input` member by member,
// other stages' outputs as a whole), so a result is found again exactly when it still answers the same question, whatever the order in which
// records arrive and wherever the stage stands in the file. Records that answer no present question are kept and ignored.
//
// Applying a record twice, or several in any order, gives the same state. A result (done, skipped) is final for its question.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/hash.hpp"
#include "work/flow.hpp"
#include "work/taint.hpp"

namespace ballast::work {

// One entry of a run's journal.
struct StageRecord {
  enum class What : std::uint8_t {
    started,      // it waits: `value` is what for ({until}, {event,key}, {value} to approve, {child}); of a map its items
    done,         // `value` is its output
    skipped,      // an approval that was refused or has expired, where the flow says so
    failed,       // an attempt; `error`
    compensated,  // undone; with an `error`: could not be undone
  };
  std::string path;                              // "draft", "each[3].fetch"
  Digest input{};
  What what = What::done;
  std::uint32_t attempt = 1;
  WallTime at{};
  std::shared_ptr<const json::value> value;      // started, done
  Digest output{};                               // done: value_digest(*value)
  std::optional<double> confidence;
  bool fallback = false;                         // done: by its fallback's value
  Taint taint;                                   // done
  Money cost;                                    // of this attempt
  std::optional<Error> error;                    // failed, compensated
};
std::string_view to_string(StageRecord::What what);

// What a run begins with. `id` also seeds what is drawn by lot (samples, jitter).
struct RunStart {
  std::string id;
  json::value input;
  std::optional<Taint> taint;                    // of the input; none: as the flow says (input_taint)
  WallTime at{};
};

enum class StageState : std::uint8_t { pending, running, waiting, retrying, done, skipped, failed };
std::string_view to_string(StageState state);

class RunState {
 public:
  RunState(FlowPtr flow, RunStart start);
  ~RunState();
  RunState(RunState&&) noexcept;
  RunState& operator=(RunState&&) noexcept;

  // Error: caller_not_found for a path that the flow does not have (another version's record): ignored otherwise.
  Result<void> apply(const StageRecord& record);
  // The stage was started outside and has not answered: decide does not ask again. Ends with its next record, or `lost`.
  void begin(std::string_view path);
  void lost(std::string_view path);

  const Flow& flow() const { return *flow_; }
  const FlowPtr& flow_ptr() const { return flow_; }
  const RunStart& start() const { return start_; }
  Money cost() const { return cost_; }           // of all recorded attempts

  // As of the last `decide`. `error` and `value` may be null.
  struct View {
    std::string path;
    const Stage* stage;
    StageState state;
    Digest input{};                              // zero: not known yet
    std::uint32_t attempts = 0;
    const Error* error = nullptr;
    std::shared_ptr<const json::value> value;
    std::optional<double> confidence;
    bool fallback = false, compensated = false;
    Taint taint;
    std::optional<WallTime> at;                  // of the result
  };
  std::vector<View> stages() const;              // in the order of the file; items of maps in place
  std::optional<View> find(std::string_view path) const;

 private:
  friend class DecideRound;                         // run_node.hpp has what it sees
  struct Inside;
  FlowPtr flow_;
  RunStart start_;
  Money cost_;
  std::unique_ptr<Inside> inside_;
};

// The records a run keeps that begins again at `path`: all but those of this stage and of what depends on it. For a retry of one stage, or a
// fork whose input or version is another (what that changes is not found again by its hash).
std::vector<StageRecord> keep_before(const Flow& flow, std::vector<StageRecord> records, std::string_view path);

}  // namespace ballast::work
