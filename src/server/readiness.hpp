// Readiness: the production checklist, judged from what is configured and from what was really seen, not from memory. Pure: facts in, lines out.
//
// A line is passed when a fact proves it, failed when a fact speaks against it, unproven when nothing here can know it (nobody looked, it never
// happened, or only a person can tell), not_applicable where there is nothing that it could be asked of. What only a person can know is told as
// evidence (records/evidence), which counts for kEvidenceLasts.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/json.hpp"
#include "records/evidence.hpp"

namespace ballast::server {

// What the configuration says.
struct ConfiguredFacts {
  std::vector<std::string> real;                 // providers other than the simulator
  std::vector<std::string> alone;                // routes all of whose targets are one provider's, and that have no answer of their own
  std::vector<std::string> untried;              // routes that try once only
  std::vector<std::string> unpriced;             // targets whose price nobody knows, of providers that cost money
  std::size_t routes = 0, degrading = 0, structured = 0, providers = 0, wires = 0;
  std::size_t limits = 0, budgets = 0;
  std::size_t flows = 0, approvals = 0, settles = 0, classifiers = 0;   // approvals and settles: stages
  bool telemetry = false;                        // spans go to a collector
  bool require_key = true, tls = false, loopback = true;
  bool sqlite = true, temporary = false;         // temporary: the database or the data folder is where a restart of the machine empties it
  Duration retention{};                          // of calls; zero: for ever
  std::optional<std::size_t> receivers;          // of alerts, beside the log; nothing: it is not known here
  std::vector<std::string> keys_without_end;     // configured keys that call, without an expiry
};

// What the ledger, the database and this process have seen, of the last kReadinessLooksBack. Times are zero where it never happened.
struct SeenFacts {
  // The calls.
  WallTime since{};                              // how far back they were looked at
  std::uint64_t calls = 0, failed = 0, direct = 0;   // direct: they named a model, not a route
  std::uint64_t cache_hits = 0, retried = 0, fell_over = 0;   // fell_over: answered by another target than the first that was asked
  WallTime last_fall_over{};
  std::uint64_t rescued = 0, degraded = 0;       // rescued: of those that fell over, streams that had begun (the newest are looked at); degraded: answered by
                                                 // a route's own answer, or from what the cache had kept past its time
  std::uint64_t limited = 0, over_budget = 0;    // refused by a limit, by a budget
  WallTime last_limited{};
  std::uint64_t busiest_minute = 0;              // calls
  std::vector<std::string> answered_by;          // providers, by name
  std::int64_t incurred_nano = 0, dearest_nano = 0;
  // This process, since its start.
  std::uint64_t breakers_opened = 0, breakers_open_now = 0;
  std::uint64_t budget_windows_charged = 0;
  std::uint64_t exported = 0, not_exported = 0;  // spans that a collector took, and that none did
  // Work, and what people did.
  std::uint64_t jobs = 0, dead = 0, redriven = 0;   // jobs: submitted in the range
  WallTime oldest_dead{};
  std::uint64_t approvals = 0, verdicts = 0, idempotent = 0;
  WallTime last_backup{}, last_restore{};
  WallTime last_alert{};                         // a notice that a receiver took
  WallTime last_alert_lost{};                    // one that its receiver did not take, at its last attempt so far
  std::string alert_lost_why;
};

struct ReadinessFacts {
  WallTime now{};
  ConfiguredFacts configured;
  std::optional<SeenFacts> seen;                 // nothing: nobody looked
  std::vector<records::Evidence> evidence;
};

enum class Readiness : std::uint8_t { passed, failed, unproven, not_applicable };
std::string_view to_string(Readiness state);

struct Judgement {
  Readiness state = Readiness::unproven;
  std::string evidence;                          // what speaks for that
  std::string todo;                              // what to do; empty when passed
};
struct ReadinessLine {
  std::string_view id, group, question;
  std::string_view see;                          // where it is explained
  bool told;                                     // a person may tell it
  Judgement (*judge)(const ReadinessFacts&);
};
// The checklist, in order: "before you ship", "before launch", "in production", "this installation".
std::span<const ReadinessLine> readiness_lines();
// Of a line that a person may tell.
const ReadinessLine* told_line(std::string_view id);

inline constexpr Duration kReadinessLooksBack = std::chrono::hours(24 * 30);
inline constexpr Duration kEvidenceLasts = std::chrono::hours(24 * 180);

// {"passed","failed","unproven","not_applicable","looked_back_to"?,"lines":[{id, group, question, state, evidence, todo, see, told}]}
json::object readiness_json(const ReadinessFacts& facts);

// The configuration in force, for whoever asks on any thread. Thread-safe.
class ConfiguredNow {
 public:
  void put(ConfiguredFacts facts) {
    const std::scoped_lock lock(mutex_);
    facts_ = std::move(facts);
  }
  ConfiguredFacts get() const {
    const std::scoped_lock lock(mutex_);
    return facts_;
  }

 private:
  mutable std::mutex mutex_;
  ConfiguredFacts facts_;
};

}  // namespace ballast::server
