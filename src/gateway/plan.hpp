// plan: which targets a call will try, in which order, and why the others are left out. Pure: the same inputs give the
// same plan, which is what makes a decision explainable and testable by tables.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/money.hpp"
#include "gateway/breakers.hpp"
#include "gateway/routes.hpp"

namespace ballast::gateway {

// What the request needs of a target.
struct Needs {
  bool tools = false;
  bool images = false;
  bool json = false;                       // structured output
  bool prefill = false;                    // ends with an assistant message to be continued
  bool stream = false;                     // for least_latency: the first token is what counts
  std::uint64_t context_tokens = 0;        // estimate of the prompt
  std::uint64_t output_tokens = 0;         // max_tokens asked, or the expected output
  std::optional<Complexity> complexity;    // declared by the caller, or what the route's classifier says
  std::string_view intent;                 // the label of the route's classifier; empty: none, or unclear
};

// What is known of one target at this moment; parallel to Route::targets. Unknown capabilities count as present: the
// provider is the judge of what we have no data about.
struct TargetView {
  bool tools = true, images = true, json = true, prefill = true;
  std::uint64_t context = 0;               // 0: unknown
  std::uint64_t max_output = 0;            // 0: unknown
  std::optional<Price> input, output;      // nullopt: unpriced
  BreakerView breaker;
  bool credential = true;                  // the provider has a usable credential
  bool affordable = true;                  // the budgets leave enough for one attempt
  bool priced_enough = true;               // false: a budget applies and the model has no price
  std::optional<bool> fits;                // whether the prompt fits `context`, counted; else Needs::context_tokens says
  std::optional<WallTime> retires;         // deprecation date
};

enum class SkipReason : std::uint8_t {
  no_tools, no_images, no_json, no_prefill, context_too_small, breaker_open, no_credential, over_budget, unpriced,
};
std::string_view to_string(SkipReason reason);

struct Skipped {
  std::uint32_t target = 0;                // index into Route::targets
  SkipReason reason{};
};

struct Plan {
  std::vector<std::uint32_t> order;        // indexes into Route::targets
  std::vector<std::uint32_t> resting;      // could serve, but their breakers rest: what a call has left when `order` fails it
  std::vector<Skipped> skipped;            // in the route's order, the resting ones among them
  std::vector<std::string> warnings;       // deprecations, as sentences
  std::optional<MonoTime> retry_at;        // nothing to try, but a breaker's cool-down will end then
};

// `random`: numbers in [0, 1), one per target, used by strategy weighted alone (fewer count as 0).
Plan make_plan(const Route& route, const Needs& needs, std::span<const TargetView> views, WallTime now,
               std::span<const double> random);

// How far a target is from what the call wants, by a strategy that goes by it (intent, complexity): who is nearer is tried first. Else 0.
int distance(const Route& route, const Needs& needs, const Target& target);

// Why there is nothing to try, as the caller's error: what the request needs and no target has (caller_invalid_request),
// budget, price, or provider_all_failed with retry_after.
Error nothing_to_try(const Route& route, const Plan& plan, MonoTime now);

// After provider_context_length at `failed`: is `candidate` worth trying? With a larger context, or when neither is known.
bool larger_context(const TargetView& failed, const TargetView& candidate);

// How long before its date a model's retirement is warned of.
inline constexpr Duration kDeprecationNotice = std::chrono::hours(24 * 90);

}  // namespace ballast::gateway
