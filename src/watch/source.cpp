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

}  // namespace

// Whoever runs without a cache has no hits, and a share of nothing that could collapse.
Counts counts_of(const records::Figures& f) {
  return {.calls = f.calls, .failed = f.failed, .cancelled = f.cancelled, .lookups = f.calls, .hits = f.cache_hits, .input = f.tokens.input, .output = f.tokens.output,
          .incurred_nano = f.incurred_nano, .latency = latencies_of(f.latency), .first_token = latencies_of(f.first_token)};
}

Result<std::vector<Minute>> read_minutes(store::Tx& tx, WallTime from, WallTime to, Duration step, std::span<const std::string> labels, std::size_t groups) {
  std::vector<Minute> out;
  const auto ask = [&](std::optional<records::Dimension> by) { return records::range(tx, {.from = from, .to = to, .step = step, .where = {}, .by = by, .groups = groups, .errors = false}); };
  auto total = ask({});
  if (!total) return fail(std::move(total.error()));
  auto errors = ask(records::Dimension::error);
  if (!errors) return fail(std::move(errors.error()));
  for (std::size_t i = 0; i < total->starts.size(); ++i) {
    Minute m{.start = total->starts[i], .samples = {}};
    if (!total->groups.empty() && total->groups[0].buckets[i].calls > 0) {
      Counts all = counts_of(total->groups[0].buckets[i]);
      for (const auto& e : errors->groups)
        if (!e.rest && is_the_callers(e.name)) all.failed -= std::min(all.failed, e.buckets[i].failed);
      m.samples.push_back({"", "", all});
    }
    out.push_back(std::move(m));
  }
  for (const std::string& label : labels) {
    const auto dimension = records::dimension_from(label);
    if (!dimension) continue;
    const auto series = ask(*dimension);
    if (!series) return fail(series.error());
    for (const auto& g : series->groups) {
      if (g.rest || g.name.empty()) continue;
      for (std::size_t i = 0; i < std::min(out.size(), g.buckets.size()); ++i)
        if (g.buckets[i].calls > 0) out[i].samples.push_back({label, g.name, counts_of(g.buckets[i])});
    }
  }
  return out;
}

}  // namespace ballast::watch
