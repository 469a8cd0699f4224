#include "gateway/plan.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

namespace ballast::gateway {

namespace {

using Order = std::vector<std::uint32_t>;

std::optional<SkipReason> why_not(const Needs& needs, const TargetView& v) {
  if (needs.tools && !v.tools) return SkipReason::no_tools;
  if (needs.images && !v.images) return SkipReason::no_images;
  if (needs.json && !v.json) return SkipReason::no_json;
  if (needs.prefill && !v.prefill) return SkipReason::no_prefill;
  if (v.context != 0 && !v.fits.value_or(needs.context_tokens <= v.context)) return SkipReason::context_too_small;
  if (!v.priced_enough) return SkipReason::unpriced;
  if (!v.affordable) return SkipReason::over_budget;
  if (!v.credential) return SkipReason::no_credential;
  if (!v.breaker.admits) return SkipReason::breaker_open;
  return std::nullopt;
}

// Sorts by `rank`, equals staying in the route's order.
template <class F>
void order_by(Order& order, F rank) {
  std::ranges::sort(order, {}, [&](std::uint32_t i) { return std::pair(rank(i), i); });
}

// A random permutation in which each next target is drawn in proportion to its weight (Efraimidis and Spirakis, 2006:
// sort by u^(1/w)); a weight of 0 comes last.
void shuffle_by_weight(Order& order, const Route& route, std::span<const double> random) {
  order_by(order, [&](std::uint32_t i) {
    const double u = i < random.size() ? random[i] : 0.0;
    const auto w = route.targets[i].weight;
    return w == 0 ? std::numeric_limits<double>::infinity() : -std::log1p(-u) / static_cast<double>(w);
  });
}

// What the call would cost: nano-dollars, scaled by a million; unpriced is dearest.
unsigned __int128 expected_cost(const Needs& needs, const TargetView& v) {
  if (!v.input || !v.output) return ~static_cast<unsigned __int128>(0);
  const auto out = needs.output_tokens != 0 ? needs.output_tokens : std::max<std::uint64_t>(needs.context_tokens / 4, 256);
  return static_cast<unsigned __int128>(std::max<std::uint64_t>(needs.context_tokens, 1)) * static_cast<std::uint64_t>(v.input->nano_per_million) +
         static_cast<unsigned __int128>(out) * static_cast<std::uint64_t>(v.output->nano_per_million);
}

// Targets meant for the declared class first, then the next harder ones, then the easier; without a class they serve any.
int distance(std::optional<Complexity> wanted, std::optional<Complexity> meant) {
  if (!wanted || !meant) return wanted ? 1 : 0;
  const int d = static_cast<int>(*meant) - static_cast<int>(*wanted);
  return d >= 0 ? 2 * d : 10 - d;
}

// Targets meant for the label first, then those that are for anything, then those meant for another.
int distance(std::string_view wanted, const std::vector<std::string>& meant) {
  if (meant.empty()) return 1;
  return std::ranges::find(meant, wanted) != meant.end() ? 0 : 2;
}

}  // namespace

int distance(const Route& route, const Needs& needs, const Target& target) {
  if (route.strategy == Strategy::complexity) return distance(needs.complexity, target.complexity);
  return route.strategy == Strategy::intent ? distance(needs.intent, target.intents) : 0;
}

namespace {

void arrange(Order& order, const Route& route, const Needs& needs, std::span<const TargetView> views, std::span<const double> random) {
  switch (route.strategy) {
    case Strategy::ordered: break;
    case Strategy::weighted: shuffle_by_weight(order, route, random); break;
    case Strategy::least_latency:            // the untried first: else they would never be tried
      order_by(order, [&](std::uint32_t i) {
        const auto& b = views[i].breaker;
        return (needs.stream && b.first_token ? b.first_token : b.latency).value_or(Duration::zero());
      });
      break;
    case Strategy::cheapest: order_by(order, [&](std::uint32_t i) { return expected_cost(needs, views[i]); }); break;
    case Strategy::complexity:
    case Strategy::intent: order_by(order, [&](std::uint32_t i) { return distance(route, needs, route.targets[i]); }); break;
    case Strategy::context:                  // the smallest window that holds it; unknown ones last
      order_by(order, [&](std::uint32_t i) { return views[i].context == 0 ? UINT64_MAX : views[i].context; });
      break;
  }
}

std::string date_of(WallTime t) { return to_rfc3339(t).substr(0, 10); }

void warn_of_retirement(Plan& plan, const Target& target, const TargetView& v, WallTime now) {
  if (!v.retires || *v.retires - now > kDeprecationNotice) return;
  plan.warnings.push_back(*v.retires <= now ? fmt::format("{} was retired on {}", target.name, date_of(*v.retires))
                                            : fmt::format("{} will be retired on {}", target.name, date_of(*v.retires)));
}

}  // namespace

std::string_view to_string(SkipReason reason) {
  switch (reason) {
    case SkipReason::no_tools: return "no_tools";
    case SkipReason::no_images: return "no_images";
    case SkipReason::no_json: return "no_json";
    case SkipReason::no_prefill: return "no_prefill";
    case SkipReason::context_too_small: return "context_too_small";
    case SkipReason::breaker_open: return "breaker_open";
    case SkipReason::no_credential: return "no_credential";
    case SkipReason::over_budget: return "over_budget";
    case SkipReason::unpriced: return "unpriced";
  }
  return "unknown";
}

Plan make_plan(const Route& route, const Needs& needs, std::span<const TargetView> views, WallTime now, std::span<const double> random) {
  assert(views.size() == route.targets.size());
  Plan plan;
  for (std::uint32_t i = 0; i < views.size(); ++i) {
    const auto reason = why_not(needs, views[i]);
    if (!reason) {
      plan.order.push_back(i);
      warn_of_retirement(plan, route.targets[i], views[i], now);
      continue;
    }
    plan.skipped.push_back({i, *reason});
    if (*reason != SkipReason::breaker_open) continue;
    plan.resting.push_back(i);
    if (!plan.retry_at || views[i].breaker.retry_at < *plan.retry_at) plan.retry_at = views[i].breaker.retry_at;
  }
  if (!plan.order.empty()) plan.retry_at.reset();
  arrange(plan.order, route, needs, views, random);
  arrange(plan.resting, route, needs, views, random);
  return plan;
}

// The reason nearest to an answer decides: a breaker will close, a budget will turn; what the request needs will not change.
Error nothing_to_try(const Route& route, const Plan& plan, MonoTime now) {
  const auto any = [&](SkipReason r) { return std::ranges::any_of(plan.skipped, [&](const Skipped& s) { return s.reason == r; }); };
  const auto rejected = [&](std::string what, std::string field) {
    return Error{.code = ErrorCode::caller_invalid_request, .message = fmt::format("no target of \"{}\" {}", route.name, what), .field = std::move(field)};
  };
  if (any(SkipReason::breaker_open) || any(SkipReason::no_credential)) {
    Error e{.code = ErrorCode::provider_all_failed, .message = fmt::format("no target of \"{}\" is available now", route.name), .retryable = true};
    const Duration wait = plan.retry_at && *plan.retry_at > now ? *plan.retry_at - now : Duration(std::chrono::seconds(1));
    e.retry_after = std::chrono::ceil<std::chrono::milliseconds>(wait);
    return e;
  }
  if (any(SkipReason::over_budget))
    return {.code = ErrorCode::policy_budget_exceeded, .message = fmt::format("the budget leaves too little for any target of \"{}\"", route.name)};
  if (any(SkipReason::unpriced))
    return {.code = ErrorCode::policy_unpriced_model,
            .message = fmt::format("a budget applies and no target of \"{}\" has a price: set one under `models` in ballast.yaml", route.name),
            .field = "model"};
  if (any(SkipReason::context_too_small))
    return {.code = ErrorCode::provider_context_length, .message = fmt::format("the prompt does not fit any target of \"{}\"", route.name), .field = "messages"};
  if (any(SkipReason::no_tools)) return rejected("can call tools", "tools");
  if (any(SkipReason::no_images)) return rejected("reads images", "messages");
  if (any(SkipReason::no_json)) return rejected("gives structured output", "response_format");
  if (any(SkipReason::no_prefill)) return rejected("continues an assistant message", "messages");
  return {.code = ErrorCode::provider_all_failed, .message = fmt::format("\"{}\" has no targets", route.name)};
}

bool larger_context(const TargetView& failed, const TargetView& candidate) {
  return candidate.context == 0 ? failed.context == 0 : candidate.context > failed.context;
}

}  // namespace ballast::gateway
