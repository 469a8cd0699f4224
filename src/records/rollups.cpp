#include "records/rollups.hpp"

#include <algorithm>
#include <cmath>

#include "base/metrics.hpp"

namespace ballast::records {

namespace {

using metrics::Histogram;

void add_up(std::uint64_t& sum, std::uint64_t n) {
  if (__builtin_add_overflow(sum, n, &sum)) sum = UINT64_MAX;
}
void add_up(std::int64_t& sum, std::int64_t n) {
  if (__builtin_add_overflow(sum, n, &sum)) sum = n > 0 ? INT64_MAX : INT64_MIN;
}
void take_off(std::uint64_t& sum, std::uint64_t n) { sum = sum > n ? sum - n : 0; }
void take_off(std::int64_t& sum, std::int64_t n) {
  if (__builtin_sub_overflow(sum, n, &sum)) sum = n > 0 ? INT64_MIN : INT64_MAX;
}

}  // namespace

void Sketch::add(std::uint64_t value, std::uint64_t times) {
  if (times == 0) return;
  const auto bucket = static_cast<std::uint16_t>(Histogram::bucket_of(value));
  const auto at = std::lower_bound(buckets_.begin(), buckets_.end(), bucket, [](const auto& b, std::uint16_t n) { return b.first < n; });
  if (at != buckets_.end() && at->first == bucket) at->second += times;
  else buckets_.insert(at, {bucket, times});
  count_ += times;
}

// In two walks side by side: what both have is added up, then the others are moved in from behind.
void Sketch::add(const Sketch& other) {
  count_ += other.count_;
  std::size_t at = 0, fresh = 0;
  for (const auto& [bucket, n] : other.buckets_) {
    while (at < buckets_.size() && buckets_[at].first < bucket) ++at;
    if (at < buckets_.size() && buckets_[at].first == bucket) buckets_[at].second += n;
    else ++fresh;
  }
  std::size_t mine = buckets_.size(), theirs = other.buckets_.size();
  buckets_.resize(mine + fresh);
  for (std::size_t to = buckets_.size(); to > mine;) {
    const auto& next = other.buckets_[theirs - 1];
    if (mine > 0 && buckets_[mine - 1].first >= next.first) {
      if (buckets_[mine - 1].first == next.first) --theirs;
      buckets_[--to] = buckets_[--mine];
    } else {
      buckets_[--to] = next;
      --theirs;
    }
  }
}

void Sketch::reserve(std::size_t buckets) { buckets_.reserve(std::min(buckets, Histogram::bucket_count)); }

bool Sketch::add_bucket(std::uint64_t bucket, std::uint64_t times) {
  if (bucket >= Histogram::bucket_count || (!buckets_.empty() && bucket <= buckets_.back().first)) return false;
  buckets_.emplace_back(static_cast<std::uint16_t>(bucket), times);
  count_ += times;
  return true;
}

void Sketch::subtract(const Sketch& other) {
  for (const auto& [bucket, n] : other.buckets_) {
    const auto at = std::lower_bound(buckets_.begin(), buckets_.end(), bucket, [](const auto& b, std::uint16_t wanted) { return b.first < wanted; });
    if (at == buckets_.end() || at->first != bucket) continue;
    const std::uint64_t gone = std::min(n, at->second);
    count_ -= gone;
    if ((at->second -= gone) == 0) buckets_.erase(at);
  }
}

std::uint64_t Sketch::quantile(double q) const {
  if (count_ == 0) return 0;
  const auto rank = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (const auto& [bucket, n] : buckets_) {
    seen += n;
    if (seen < rank) continue;
    const std::uint64_t low = Histogram::lower_bound_of(bucket);
    return low + (bucket + 1u < Histogram::bucket_count ? (Histogram::lower_bound_of(bucket + 1u) - low) / 2 : 0);
  }
  return Histogram::lower_bound_of(buckets_.back().first);
}

std::uint64_t Sketch::at_most(std::uint64_t value) const {
  std::uint64_t n = 0;
  for (const auto& [bucket, times] : buckets_)
    if (bucket + 1u < Histogram::bucket_count && Histogram::lower_bound_of(bucket + 1u) - 1 <= value) n += times;
  return n;
}

std::string_view to_string(Dimension d) {
  constexpr std::string_view names[kDimensions] = {"key", "team", "user", "feature", "route", "operation", "provider", "model", "status", "error", "cache"};
  return names[static_cast<std::size_t>(d)];
}
std::optional<Dimension> dimension_from(std::string_view name) {
  for (std::size_t i = 0; i < kDimensions; ++i)
    if (to_string(static_cast<Dimension>(i)) == name) return static_cast<Dimension>(i);
  return std::nullopt;
}

Figures& Figures::operator+=(const Figures& o) {
  for (const auto member : {&Figures::calls, &Figures::failed, &Figures::cancelled, &Figures::cache_hits, &Figures::attempts, &Figures::attempts_failed})
    add_up(this->*member, o.*member);
  for (const auto member : {&TokenCounts::input, &TokenCounts::cached, &TokenCounts::cache_write, &TokenCounts::output, &TokenCounts::reasoning, &TokenCounts::images})
    add_up(tokens.*member, o.tokens.*member);
  for (const auto member : {&Figures::incurred_nano, &Figures::billed_nano, &Figures::saved_nano, &Figures::routing_saved_nano}) add_up(this->*member, o.*member);
  latency.add(o.latency);
  first_token.add(o.first_token);
  return *this;
}

Figures& Figures::operator-=(const Figures& o) {
  for (const auto member : {&Figures::calls, &Figures::failed, &Figures::cancelled, &Figures::cache_hits, &Figures::attempts, &Figures::attempts_failed})
    take_off(this->*member, o.*member);
  for (const auto member : {&TokenCounts::input, &TokenCounts::cached, &TokenCounts::cache_write, &TokenCounts::output, &TokenCounts::reasoning, &TokenCounts::images})
    take_off(tokens.*member, o.tokens.*member);
  for (const auto member : {&Figures::incurred_nano, &Figures::billed_nano, &Figures::saved_nano, &Figures::routing_saved_nano}) take_off(this->*member, o.*member);
  latency.subtract(o.latency);
  first_token.subtract(o.first_token);
  return *this;
}

}  // namespace ballast::records
