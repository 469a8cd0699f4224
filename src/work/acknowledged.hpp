// Acknowledged: what this process' cycles of the last minute did, by their numbers, so that it can be told what is gone when the database comes back without them: a
// standby has taken over that had not heard of the last moments. Pure; of one thread.
//
// Bounded: the cycles of kRemembered, kMostCycles of them and kMostNames jobs at most, about 8 MB; the oldest go first.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "work/job.hpp"

namespace ballast::work {

constexpr Duration kRemembered = std::chrono::seconds(60);
constexpr std::size_t kMostLostNamed = 1'000;            // jobs of each kind, and effects

// What was acknowledged and is not there.
struct LostCommits {
  struct Jobs {
    std::uint64_t count = 0;
    std::vector<JobId> named;                            // the first kMostLostNamed
  };
  std::int64_t kept = 0, last = 0;                       // cycles: the newest that is there, the newest that was acknowledged
  std::uint64_t cycles = 0;                              // of those between them that did something, as far as they are known
  bool all_known = true;                                 // false: older ones are gone too, of which nothing is known any more
  std::optional<WallTime> since;                         // of the first that is known
  Jobs submitted;                                        // there are no such jobs
  Jobs ended;                                            // as before: they will run again
  Jobs went_on;                                          // an attempt, a wait, a stage of a run: again
  std::uint64_t effects = 0;                             // begun, and the journal of effects does not know
  std::vector<std::pair<JobId, std::string>> named_effects;   // by run and stage
};

class Acknowledged {
 public:
  enum class What : std::uint8_t { submitted, ended, went_on };
  static constexpr std::size_t kMostCycles = 65'536, kMostNames = 262'144, kMostEffects = 16'384;

  // A cycle is durable; what is noted until the next one is of it. Numbers rise.
  void begin(std::int64_t number, WallTime at, MonoTime now);
  void note(What what, JobId job);
  void note_effect(JobId run, std::string stage);
  // What the cycles above `kept` did.
  LostCommits since(std::int64_t kept) const;

 private:
  struct Cycle {
    std::int64_t number = 0;
    WallTime at{};
    MonoTime noted{};
    std::uint64_t names = 0, effects = 0;                // where its own begin, counted from the first that ever was
  };
  struct Name {
    JobId job;
    What what{};
  };
  void forget_first();

  std::deque<Cycle> cycles_;
  std::deque<Name> names_;
  std::deque<std::pair<JobId, std::string>> effects_;
  std::uint64_t names_gone_ = 0, effects_gone_ = 0;      // from the front
  std::int64_t forgotten_ = 0, last_ = 0;                // numbers of cycles
};

}  // namespace ballast::work
