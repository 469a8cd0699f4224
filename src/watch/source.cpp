#include "watch/source.hpp"

#include <algorithm>

#include "base/metrics.hpp"

namespace ballast::watch {

namespace {

Latencies latencies_of(const records::Sketch& sketch) {
  Latencies out;
  for (const auto& [bucket, count] : sketch.buckets()) out.add(metrics::Histogram::lower_bound_of(bucket), static_cast<std::uint32_t>(std::min<std::uint64_t>(count, UINT32_MAX)));
  return out;
}

bool is_the_callers(std::string_view error) { return error.starts_with("caller_") || error.starts_with("policy_"); }

// A call whose route has no cache, that asked for none, or that repeats one by its idempotency key, looked nothing up.
constexpr std::string_view kNoLookup[] = {"none", "bypass", "replay"};
bool looked_up(std::string_view cache) { return std::ranges::find(kNoLookup, cache) == std::end(kNoLookup); }

// These calls of the label's value asked the cache nothing.
void take_out(Minute& minute, std::string_view label, std::string_view value, const records::Figures& without) {
  const auto sample = std::ranges::find_if(minute.samples, [&](const Sample& s) { return s.label == label && s.value == value; });
  if (sample == minute.samples.end()) return;
  sample->counts.lookups -= std::min(sample->counts.lookups, without.calls);
  sample->counts.hits -= std::min(sample->counts.hits, without.cache_hits);
}

}  // namespace

// All calls count as look-ups: a share of hits of them still falls when the cache no longer answers.
Counts counts_of(const records::Figures& f) {
  return {.calls = f.calls, .failed = f.failed, .cancelled = f.cancelled, .lookups = f.calls, .hits = f.cache_hits, .input = f.tokens.input, .output = f.tokens.output,
          .incurred_nano = f.incurred_nano, .latency = latencies_of(f.latency), .first_token = latencies_of(f.first_token)};
}

Result<std::vector<Minute>> read_minutes(store::Tx& tx, WallTime from, WallTime to, Duration step, const Wanted& wanted, std::size_t groups) {
  using Where = std::vector<std::pair<records::Dimension, std::string>>;
  std::vector<Minute> out;
  const auto ask = [&](std::optional<records::Dimension> by, Where where = {}) {
    return records::range(tx, {.from = from, .to = to, .step = step, .where = std::move(where), .by = by, .groups = groups, .errors = false});
  };
  auto total = ask({});
  if (!total) return fail(std::move(total.error()));
  auto errors = ask(records::Dimension::error);
  if (!errors) return fail(std::move(errors.error()));
  auto caches = ask(records::Dimension::cache);
  if (!caches) return fail(std::move(caches.error()));
  for (std::size_t i = 0; i < total->starts.size(); ++i) {
    Minute m{.start = total->starts[i], .samples = {}};
    if (!total->groups.empty() && total->groups[0].buckets[i].calls > 0) {
      Counts all = counts_of(total->groups[0].buckets[i]);
      for (const auto& e : errors->groups)
        if (!e.rest && is_the_callers(e.name)) all.failed -= std::min(all.failed, e.buckets[i].failed);
      all.lookups = all.hits = 0;
      for (const auto& c : caches->groups)
        if (!c.rest && looked_up(c.name)) all.lookups += c.buckets[i].calls, all.hits += c.buckets[i].cache_hits;
      m.samples.push_back({"", "", all});
    }
    out.push_back(std::move(m));
  }
  for (const std::string& label : wanted.labels) {
    const auto dimension = records::dimension_from(label);
    if (!dimension) continue;
    const auto series = ask(*dimension);
    if (!series) return fail(series.error());
    for (const auto& g : series->groups) {
      if (g.rest || g.name.empty()) continue;
      for (std::size_t i = 0; i < std::min(out.size(), g.buckets.size()); ++i)
        if (g.buckets[i].calls > 0) out[i].samples.push_back({label, g.name, counts_of(g.buckets[i])});
    }
    if (dimension == records::Dimension::user || std::ranges::find(wanted.looked_up, label) == wanted.looked_up.end()) continue;
    for (const std::string_view cache : kNoLookup) {
      const auto without = ask(*dimension, {{records::Dimension::cache, std::string(cache)}});
      if (!without) return fail(without.error());
      for (const auto& g : without->groups)
        for (std::size_t i = 0; !g.rest && i < std::min(out.size(), g.buckets.size()); ++i) take_out(out[i], label, g.name, g.buckets[i]);
    }
  }
  return out;
}

}  // namespace ballast::watch
