// What calls add up to by a bare loop, for tests of rollups to be held against; and calls in which everything that adds up differs.
#pragma once
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "records/rollups.hpp"
#include "records_samples.hpp"

namespace ballast::test {

using records::CacheState, records::CallRecord, records::CallStatus, records::Dimension, records::Figures, records::Series, records::SeriesGroup, records::SeriesQuery;

inline Figures figures_of(const CallRecord& c) {
  Figures f{.calls = 1,
            .failed = c.status == CallStatus::failed || c.status == CallStatus::unknown,
            .cancelled = c.status == CallStatus::cancelled,
            .cache_hits = is_hit(c.cache),
            .attempts = c.attempts.size(),
            .attempts_failed = static_cast<std::uint64_t>(std::ranges::count_if(c.attempts, [](const records::AttemptRecord& a) { return a.outcome != "ok"; })),
            .tokens = c.usage,
            .incurred_nano = c.incurred_nano,
            .billed_nano = c.billed_nano,
            .saved_nano = is_hit(c.cache) ? c.saved_nano : 0,
            .routing_saved_nano = is_hit(c.cache) ? 0 : c.saved_nano};
  f.latency.add(c.latency_us);
  if (c.first_token_us) f.first_token.add(c.first_token_us);
  return f;
}
inline std::string value_of(const CallRecord& c, Dimension d) {
  switch (d) {
    case Dimension::key: return c.key_id;
    case Dimension::team: return c.team;
    case Dimension::user: return c.user;
    case Dimension::feature: return c.feature;
    case Dimension::route: return c.route;
    case Dimension::operation: return c.operation;
    case Dimension::provider: return c.provider;
    case Dimension::model: return c.model;
    case Dimension::status: return std::string(to_string(c.status));
    case Dimension::error: return c.error;
    case Dimension::cache: return std::string(to_string(c.cache));
  }
  return "";
}

// The series against a loop over the calls.
inline void expect_exact(const Result<Series>& series, const SeriesQuery& q, const std::vector<CallRecord>& calls, std::string_view told) {
  ASSERT_TRUE(series) << told << ": " << describe(series.error());
  std::map<std::string, std::map<std::size_t, Figures>> groups;
  Figures total;
  for (const CallRecord& c : calls) {
    const WallTime t = WallTime(std::chrono::milliseconds(c.id.unix_ms()));
    if (t < q.from || t >= q.to || !std::ranges::all_of(q.where, [&](const auto& w) { return value_of(c, w.first) == w.second; })) continue;
    std::size_t bucket = 0;
    while (bucket + 1 < series->starts.size() && series->starts[bucket + 1] <= t) ++bucket;
    groups[q.by ? value_of(c, *q.by) : ""][bucket] += figures_of(c);
    total += figures_of(c);
  }
  EXPECT_TRUE(series->total == total) << told << ": " << series->total.calls << " calls for " << total.calls << ", " << series->total.incurred_nano << " for " << total.incurred_nano;
  Figures rest, rest_told;
  std::size_t named = 0;
  // Whoever is named has no less than who is not; users are found by their calls.
  const bool by_spend = q.rank == records::Rank::spend && q.by != Dimension::user;
  const auto weight = [&](const Figures& f) { return by_spend ? static_cast<std::uint64_t>(f.incurred_nano) : f.calls; };
  std::uint64_t least = UINT64_MAX;
  for (const SeriesGroup& g : series->groups) {
    if (g.rest) rest_told = g.total;
    else if (g.total.calls) ++named;
    if (!g.rest) EXPECT_LE(weight(g.total), least) << told << ": largest first";
    if (!g.rest) least = weight(g.total);
    for (std::size_t i = 0; !g.rest && i < g.buckets.size(); ++i)
      EXPECT_TRUE(g.buckets[i] == groups[g.name][i]) << told << " " << g.name << " " << i << ": " << g.buckets[i].calls << " for " << groups[g.name][i].calls;
    if (!g.rest) groups.erase(g.name);
  }
  for (const auto& [name, buckets] : groups) {
    Figures one;
    for (const auto& [bucket, f] : buckets) one += f;
    EXPECT_LE(weight(one), least) << told << ": " << name;
    rest += one;
  }
  EXPECT_TRUE(rest == rest_told) << told;
  EXPECT_LE(named, q.groups);
}

inline CallRecord random_call(std::uint64_t n, SeededRandom& random, std::int64_t from_ms, std::int64_t to_ms) {
  CallRecord c = sample_call(n, from_ms + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(to_ms - from_ms))));
  c.key_id = fmt::format("key_{}", random.below(3));
  c.user = random.below(4) ? fmt::format("user-{}", random.below(30)) : "";
  c.feature = random.below(2) ? "search" : "chat";
  c.model = random.below(2) ? "gpt-5-mini" : "haiku";
  c.latency_us = 1'000 + random.below(5'000'000);
  c.incurred_nano = static_cast<std::int64_t>(random.below(1'000'000));
  c.charges.clear();
  c.status = static_cast<CallStatus>(random.below(3));
  if (c.status == CallStatus::failed) c.error = random.below(2) ? "provider_overloaded" : "provider_timeout";
  c.cache = static_cast<CacheState>(random.below(8));
  c.saved_nano = is_hit(c.cache) ? 1'000 : random.below(2) ? static_cast<std::int64_t>(random.below(100'000)) : 0;
  if (is_hit(c.cache)) c.attempts.clear();
  if (!c.attempts.empty()) {
    c.attempts[0].model = c.model;
    c.attempts[0].incurred_nano = c.incurred_nano;
    if (random.below(3) == 0) c.attempts[0].cost = records::Cost::unknown;
    if (random.below(5) == 0) c.attempts.push_back(c.attempts[0]), c.attempts[0].outcome = "provider_error", c.attempts[1].n = 1;
  }
  return c;
}

}  // namespace ballast::test
