// Routes: what a request's `model` may name, and where it leads. A RouteTable is an immutable value built from the
// configuration; a reload makes a new one and swaps the pointer.
//
// A name is, in this order: a route, an alias, "provider/model" of a configured provider, or a bare model that exactly one
// provider serves. Bounds: no memory per looked-up name.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "gateway/cache.hpp"
#include "gateway/fair_queue.hpp"
#include "gateway/retry.hpp"

namespace ballast::classify {
class Model;
}

namespace ballast::gateway {

struct Demand;                             // structured.hpp
struct RecordRule;                         // recorder.hpp

enum class Strategy : std::uint8_t { ordered, weighted, least_latency, cheapest, complexity, context, intent };
enum class Complexity : std::uint8_t { simple, medium, hard };
enum class RescueMode : std::uint8_t { restart, proceed, error };   // "restart", "continue", "error"
enum class OnContentFilter : std::uint8_t { fail, next };
std::string_view to_string(Strategy s);
std::string_view to_string(Complexity c);
std::string_view to_string(RescueMode m);
std::optional<Strategy> strategy_from(std::string_view name);
std::optional<Complexity> complexity_from(std::string_view name);
std::optional<RescueMode> rescue_mode_from(std::string_view name);

struct Target {
  std::string provider;
  std::string model;                       // the provider's name for it
  std::string name;                        // "provider/model"
  std::uint32_t weight = 1;                // strategy weighted; 0: only when all others are gone
  std::optional<Complexity> complexity;    // strategy complexity: the class it is meant for
  std::vector<std::string> intents;        // strategy intent: the labels it is meant for; none: for all others, and for what is unclear
};
// "provider/model": split at the first '/'.
Result<Target> target_from(std::string_view text, std::string_view field);

struct HedgeOptions {
  std::optional<Duration> after;           // nullopt: no hedging
  unsigned max = 1;                        // extra attempts
};
struct RescueOptions {
  RescueMode mode = RescueMode::error;
  unsigned hold_back = 64;                 // restart: tokens kept back before the first byte goes out
};
struct DegradeOptions {
  Duration stale{};                        // zero: no stale answers
  std::optional<std::string> answer;       // template text
};

// What becomes of an answer that ought to be JSON (structured.hpp).
enum class Enforce : std::uint8_t { none, schema, json };   // json: what asks for JSON without a schema, too
struct StructuredOptions {
  Enforce enforce = Enforce::schema;
  unsigned reask = 1;                      // times a model is asked again, within the route's attempts
  bool pass = false;                       // an answer that stays wrong is passed on, and says so; else an error
  bool hold = false;                       // streams: nothing is sent before the whole is judged
  std::shared_ptr<const Demand> demand;    // the route's own schema, for calls that bring none
};

// Strategies intent and complexity: a small model that is asked once what a call wants where the classifier is unsure (intent.cpp).
struct AskOptions {
  Target target;
  Duration timeout = std::chrono::seconds(2);   // of the whole answer; then the call is as unsure as before
  bool out_of_scope = false;               // asked, too, where the classifier calls it out of scope
  std::int64_t max_tokens = 1024;          // of its answer, thoughts included
  std::string effort;                      // of its thoughts; empty: the model's own
  std::map<std::string, std::string> labels;   // what they mean, in words
};
// What that model is offered beside the labels; no label of such a route's classifier is called so.
inline constexpr std::string_view kNoLabel = "none";

struct Route {
  std::string name;
  std::vector<Target> targets;             // at least one, at most 64
  Strategy strategy = Strategy::ordered;
  std::string classifier;                  // the name of what tells what a call wants; empty: none
  double unsure_below = 0.5;               // a label of less confidence is not gone by
  std::shared_ptr<const classify::Model> intents;   // the classifier itself; null: none
  std::optional<AskOptions> ask;
  RetryOptions retries;
  HedgeOptions hedge;
  RescueOptions rescue;
  CacheOptions cache;
  QueueOptions queue;
  OnContentFilter on_content_filter = OnContentFilter::fail;
  DegradeOptions degrade;
  StructuredOptions structured;
  std::shared_ptr<const RecordRule> record;   // of the messages of its calls; null: none is kept
  bool direct = false;                     // made for a "provider/model" or a bare model, not configured
};
using RoutePtr = std::shared_ptr<const Route>;

// What the table must know of providers: their names, and the models each is known to serve.
struct ProviderModels {
  std::string provider;
  std::vector<std::string> models;
  bool open = true;                        // may serve models that are not listed (not so for the simulator)
};

class RouteTable {
 public:
  // `direct` gives the options of routes made for "provider/model". Refuses, naming the field: a route without targets,
  // an unknown provider, an alias that leads nowhere, to an alias, or shadows a route.
  static Result<std::shared_ptr<const RouteTable>> create(std::vector<Route> routes, std::map<std::string, std::string> aliases,
                                                          std::vector<ProviderModels> providers, Route direct = {});
  // caller_not_found naming the nearest names; caller_invalid_request for a bare model that several providers serve.
  Result<RoutePtr> resolve(std::string_view model) const;

  struct Name {
    std::string name;
    std::string kind;                      // "route", "alias", "model"
    std::string leads_to;                  // an alias's route, or empty
  };
  std::vector<Name> names() const;         // for /v1/models, sorted: routes, aliases, then provider/model
  const std::map<std::string, RoutePtr, std::less<>>& routes() const { return routes_; }

 private:
  RouteTable() = default;
  Result<void> check_provider(const Target& target, const std::vector<std::string>& known, std::string field) const;
  RoutePtr direct_to(std::string_view provider, std::string_view model) const;
  Error unknown(std::string_view model) const;

  std::map<std::string, RoutePtr, std::less<>> routes_;
  std::map<std::string, std::string, std::less<>> aliases_;
  std::map<std::string, RoutePtr, std::less<>> known_;             // "provider/model" of known models
  std::map<std::string, std::vector<std::string>, std::less<>> bare_;   // model → providers
  std::map<std::string, bool, std::less<>> providers_;             // name → open
  Route direct_;
};

}  // namespace ballast::gateway
