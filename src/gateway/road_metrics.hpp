// The road's figures for /metrics. Names and labels are an interface: docs/operations.md lists them.
#pragma once
#include "base/metrics.hpp"

namespace ballast::gateway {

struct RoadMetrics {
  explicit RoadMetrics(metrics::Registry& r)
      : calls(r.counters("ballast_calls_total", "Calls by route, API and outcome", {"route", "api", "outcome"})),
        duration(r.histograms("ballast_call_duration_seconds", "From arrival to settlement", {"route"})),
        first_token(r.histograms("ballast_first_token_seconds", "From arrival to the first content", {"route"})),
        attempts(r.counters("ballast_attempts_total", "Upstream attempts by outcome", {"provider", "model", "outcome"})),
        attempt_duration(r.histograms("ballast_attempt_duration_seconds", "Upstream attempts", {"provider", "model"})),
        tokens(r.counters("ballast_tokens_total", "Tokens reported by providers", {"provider", "model", "kind"})),
        incurred(r.counters("ballast_incurred_usd_total", "What providers charge", {"provider", "model"}, metrics::usd_shape)),
        cache(r.counters("ballast_cache_total", "Look-ups by state", {"state"})),
        saved(r.counter("ballast_cache_saved_usd_total", "What cache hits cost when they were made", metrics::usd_shape)),
        routing_saved(r.counter("ballast_routing_saved_usd_total", "What answers would have cost more at the dearest target of their route", metrics::usd_shape)),
        intents(r.counters("ballast_intents_total", "Calls by what a route's classifier, or the model that was asked, said of them", {"route", "label", "by"})),
        rescues(r.counters("ballast_rescues_total", "Streams saved or lost after a provider failed", {"mode", "outcome"})),
        structured(r.counters("ballast_structured_total", "Answers judged against the JSON that was asked for", {"provider", "model", "ask", "verdict"})),
        structured_failures(r.counters("ballast_structured_failures_total", "Calls that ended without the JSON that was asked for", {"provider", "model"})),
        slice_waits(r.counters("ballast_limit_slice_waits_total", "Calls that waited for the node's part of a limit", {"outcome"})),
        limits_unchecked(r.counter("ballast_limit_unchecked_total", "Calls refused because a limit could not be checked: what the node held of it is over")),
        money_waits(r.counters("ballast_budget_waits_total", "Waits of calls for the database's word, because their node's part of a budget was too small", {"outcome"})),
        malformed(r.counter("ballast_malformed_chunks_total", "Stream events skipped as unreadable")),
        in_flight(r.gauge("ballast_calls_in_flight", "Calls on the road now")) {}

  metrics::Family<metrics::Counter>& calls;
  metrics::Family<metrics::Histogram>& duration;
  metrics::Family<metrics::Histogram>& first_token;
  metrics::Family<metrics::Counter>& attempts;
  metrics::Family<metrics::Histogram>& attempt_duration;
  metrics::Family<metrics::Counter>& tokens;
  metrics::Family<metrics::Counter>& incurred;
  metrics::Family<metrics::Counter>& cache;
  metrics::Counter& saved;
  metrics::Counter& routing_saved;
  metrics::Family<metrics::Counter>& intents;                // by: classifier, model, nobody (a model was to be asked and could not be, or said nothing usable)
  metrics::Family<metrics::Counter>& rescues;
  metrics::Family<metrics::Counter>& structured;             // ask: first, again; verdict: valid, repaired, truncated, wrong
  metrics::Family<metrics::Counter>& structured_failures;
  metrics::Family<metrics::Counter>& slice_waits;            // outcome: admitted, refused
  metrics::Counter& limits_unchecked;
  metrics::Family<metrics::Counter>& money_waits;            // outcome: answered, unanswered
  metrics::Counter& malformed;
  metrics::Gauge& in_flight;
};

}  // namespace ballast::gateway
