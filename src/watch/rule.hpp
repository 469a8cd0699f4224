// Rules: what is watched, from which figure on, and how grave it is. Values; `default_rules` is what is on from the first start.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"

namespace ballast::watch {

enum class Kind : std::uint8_t {
  cost_spike,        // dollars of the last minutes against what is usual
  token_anomaly,     // input tokens a call against what is usual
  traffic_rise,      // calls against what is usual
  silence,           // no call where there are always some
  error_burst,       // share of calls that fail, of the last minutes
  error_budget,      // the same against an objective, by burn rate
  latency_rise,      // calls slower than nine of ten usually are
  latency_budget,    // share of calls slower than a bound, by burn rate
  cache_collapse,    // hits of the cache against what is usual
  budget,            // share of a budget that is spent
  budget_forecast,   // a budget that will be spent before its window ends
  dead_letters,      // how many, and how old
  breaker_open,
  queue_age,
  price_missing,
  journal,           // the journal fails, or the ledger is far behind it
  lost_commits,      // the database has lost what it had acknowledged
};
inline constexpr std::size_t kKinds = 17;
std::string_view to_string(Kind kind);
std::optional<Kind> kind_from(std::string_view name);

enum class Severity : std::uint8_t { info, ticket, page };
std::string_view to_string(Severity severity);
std::optional<Severity> severity_from(std::string_view name);

// Fires while the budget of errors burns `rate` times too fast, over the long and over the short window (Site Reliability Workbook, chapter 5).
struct Burn {
  double rate = 1;
  Duration over{}, now{};
};

struct Rule {
  std::string name;
  Kind kind = Kind::error_burst;
  Severity severity = Severity::ticket;
  bool off = false;
  std::vector<std::string> by;                   // labels it is judged by, each value alone; "all": everything together
  std::map<std::string, std::string> where;      // only the series, or the thing, with these labels
  Duration hold{};                               // the condition holds so long before it fires
  Duration resolve = std::chrono::minutes(5);    // and is gone so long before it is resolved
  double factor = 0;                             // times what is usual
  double floor = 0;                              // and at least so much more than usual, in the kind's unit
  double threshold = 0;                          // for kinds without a baseline: a share, a count
  Duration age{};                                // of the oldest: dead letters, queues; of a breaker that is open; since the last loss
  std::uint64_t least = 0;                       // calls (of failures: failures) below which nothing is said
  double objective = 0;                          // share of calls that should be good
  Duration bound{};                              // what is slow
  std::vector<Burn> burns;
};

std::vector<Rule> default_rules();
// The unit of a kind's value: "usd", "tokens", "calls", "share", "seconds", "models".
std::string_view unit_of(Kind kind);

}  // namespace ballast::watch
