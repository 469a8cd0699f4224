#include "watch/series.hpp"

#include <algorithm>
#include <cmath>

namespace ballast::watch {

namespace {

constexpr int kLateMinutes = 15;       // what is judged now is no part of what is usual
constexpr int kLateWhileYoung = 5;
constexpr int kYoung = 60;             // minutes known
constexpr std::size_t kFewest = 10;    // windows
constexpr double kUpperTail = 0.9;
constexpr int kAround = 4;             // slots each way that are the same time of day
constexpr double kCallsForMean = 10;

double quantile(std::vector<double>& values, double q) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

Totals totals_of(const Counts& c, std::uint64_t slow_us) {
  Totals t{.calls = static_cast<float>(c.calls), .failed = static_cast<float>(c.failed), .lookups = static_cast<float>(c.lookups), .hits = static_cast<float>(c.hits),
           .input = static_cast<float>(c.input), .output = static_cast<float>(c.output), .usd = static_cast<float>(static_cast<double>(c.incurred_nano) * 1e-9), .known = true};
  t.slow = static_cast<float>(c.latency.above(Latencies::bucket_of(slow_us)));
  return t;
}

Totals less(Totals a, const Totals& b) {
  a.calls -= b.calls, a.failed -= b.failed, a.slow -= b.slow, a.lookups -= b.lookups, a.hits -= b.hits, a.input -= b.input, a.output -= b.output, a.usd -= b.usd;
  return a;
}

}  // namespace

std::uint64_t Latencies::count() const {
  std::uint64_t n = 0;
  for (const auto c : counts_) n += c;
  return n;
}

std::size_t Latencies::bucket_at(double q) const {
  const auto rank = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(count())));
  std::uint64_t n = 0;
  for (std::size_t i = 0; i < kBuckets; ++i)
    if ((n += counts_[i]) >= std::max<std::uint64_t>(rank, 1)) return i;
  return 0;
}

std::uint64_t Latencies::above(std::size_t bucket) const {
  std::uint64_t n = 0;
  for (std::size_t i = bucket + 1; i < kBuckets; ++i) n += counts_[i];
  return n;
}

double Latencies::seconds() const {
  double sum = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) sum += static_cast<double>(counts_[i]) * static_cast<double>(upper_bound_of(i)) * 0.9e-6;
  return sum;
}

Counts& Counts::operator+=(const Counts& o) {
  calls += o.calls, failed += o.failed, cancelled += o.cancelled, lookups += o.lookups, hits += o.hits;
  input += o.input, output += o.output, incurred_nano += o.incurred_nano;
  latency += o.latency, first_token += o.first_token;
  return *this;
}

float Totals::of(Metric m) const {
  return m == Metric::calls ? calls : usd;
}

Totals& Totals::operator+=(const Totals& o) {
  calls += o.calls, failed += o.failed, slow += o.slow, lookups += o.lookups, hits += o.hits, input += o.input, output += o.output, usd += o.usd;
  known = known || o.known;
  return *this;
}

Totals& Series::place(Slot& slot, std::int64_t at) {
  if (slot.at != at) slot = {at, {}};
  return slot.totals;
}

void Series::add(std::int64_t minute, const Totals& more) {
  const std::int64_t slot = minute / kSlotMinutes, hour = minute / 60;
  place(slots_[static_cast<std::size_t>(slot % kSlots)], slot) += more;
  place(hours_[static_cast<std::size_t>(hour % kHours)], hour) += more;
}

void Series::put(std::int64_t minute, const Counts& counts) {
  if (minute < 0 || (now_ >= 0 && minute <= now_ - kMinutes)) return;
  if (minute > now_) begin(minute);
  if (first_ < 0 || minute < first_) first_ = minute;
  if (counts.calls > 0) newest_ = std::max(newest_, minute);
  if (minute > now_ - kFine) fine_[static_cast<std::size_t>(minute % kFine)] = {minute, counts};
  Totals& kept = place(minutes_[static_cast<std::size_t>(minute % kMinutes)], minute);
  const Totals now = totals_of(counts, slow_us_);
  const bool odd = kept.odd;
  add(minute, less(now, kept));
  kept = now;
  kept.odd = odd;
}

void Series::learn_slot(std::int64_t slot, const Counts& counts) {
  Slot& s = slots_[static_cast<std::size_t>(slot % kSlots)];
  if (s.at >= slot) return;
  place(s, slot) = totals_of(counts, slow_us_);
  first_ = first_ < 0 ? slot * kSlotMinutes : std::min(first_, slot * kSlotMinutes);
  const std::int64_t hour = slot * kSlotMinutes / 60;
  auto& h = latency_[static_cast<std::size_t>(hour % 24)];
  if (h.at < hour) h = {hour, {}};
  if (h.at == hour) h.latency += counts.latency, h.work += totals_of(counts, slow_us_);
}

void Series::learn_hour(std::int64_t hour, const Counts& counts) {
  Slot& s = hours_[static_cast<std::size_t>(hour % kHours)];
  if (s.at >= hour) return;
  place(s, hour) = totals_of(counts, slow_us_);
}

void Series::begin(std::int64_t minute) {
  if (minute <= now_) return;
  const std::int64_t from = now_ < 0 ? minute : std::max(now_ + 1, minute - kMinutes + 1);
  for (std::int64_t m = from; m <= minute; ++m) {
    if (first_ < 0) continue;
    place(minutes_[static_cast<std::size_t>(m % kMinutes)], m).known = true;
    Totals nothing{.known = true};
    add(m, nothing);
  }
  now_ = minute;
  // Those before the first look are in the slots.
  const std::int64_t last = now_ - late() - 1;
  for (std::int64_t m = std::max(absorbed_ + 1, last - kFine); first_ >= 0 && m <= last; ++m) absorb_latency(m);
  absorbed_ = std::max(absorbed_, last);
  for (std::size_t h = 0; h < kHorizons.size(); ++h) learn_usual(h, true);
  learn_peaks();
  learn_per_call();
  learn_day();
}

void Series::absorb_latency(std::int64_t minute) {
  const Totals* kept = minute_at(minute);
  const Fine& f = fine_[static_cast<std::size_t>(std::max<std::int64_t>(minute, 0) % kFine)];
  if (!kept || kept->odd || f.at != minute) return;
  auto& h = latency_[static_cast<std::size_t>(minute / 60 % 24)];
  if (h.at != minute / 60) h = {minute / 60, {}};
  h.latency += f.counts.latency;
  h.work += totals_of(f.counts, slow_us_);
}

std::int64_t Series::late() const { return known_for() < std::chrono::minutes(kYoung) ? kLateWhileYoung : kLateMinutes; }

void Series::mark_odd() {
  for (std::int64_t m = std::max<std::int64_t>(now_ - 2, 0); m <= now_; ++m) {
    auto& minute = minutes_[static_cast<std::size_t>(m % kMinutes)];
    if (minute.at == m) minute.totals.odd = true;
    auto& slot = slots_[static_cast<std::size_t>(m / kSlotMinutes % kSlots)];
    if (slot.at == m / kSlotMinutes) slot.totals.odd = true;
  }
}

const Totals* Series::minute_at(std::int64_t m) const {
  if (m < 0) return nullptr;
  const Slot& s = minutes_[static_cast<std::size_t>(m % kMinutes)];
  return s.at == m && s.totals.known ? &s.totals : nullptr;
}

Totals Series::last(int minutes) const {
  Totals sum;
  for (std::int64_t m = now_ - minutes; m <= now_; ++m)
    if (const Totals* t = minute_at(m)) sum += *t;
  return sum;
}

Counts Series::fine(int minutes) const {
  Counts sum;
  for (std::int64_t m = std::max<std::int64_t>(now_ - minutes, 0); m <= now_; ++m)
    if (const Fine& f = fine_[static_cast<std::size_t>(m % kFine)]; f.at == m) sum += f.counts;
  return sum;
}

Totals Series::window(Duration length) const {
  const auto minutes = std::chrono::duration_cast<std::chrono::minutes>(length).count();
  if (minutes <= kMinutes - 2) return last(static_cast<int>(minutes));
  Totals sum;
  for (const Slot& s : slots_)
    if (s.at >= 0 && s.at > (now_ - minutes) / kSlotMinutes && s.at <= now_ / kSlotMinutes) sum += s.totals;
  return sum;
}

// Sums over all windows as long as the horizon that ended before what is judged now.
void Series::learn_usual(std::size_t horizon, bool skip_odd) {
  Usual& u = usual_[horizon];
  u = {};
  const int length = kHorizons[horizon];
  const std::int64_t known = first_ < 0 ? 0 : now_ - first_;
  const std::int64_t last = now_ - 1 - late(), oldest = std::max(first_ + 1, now_ - kMinutes + 1);
  std::array<std::vector<double>, kMetrics> sums;
  std::array<double, kMetrics> steps{};
  std::size_t pairs = 0;
  Totals sum;
  int run = 0;
  for (std::int64_t m = oldest; first_ >= 0 && m <= last; ++m) {
    const Totals* t = minute_at(m);
    if (!t || (skip_odd && t->odd)) { run = 0, sum = {}; continue; }
    sum += *t;
    ++run;
    if (run > length) sum = less(sum, *minute_at(m - length));
    if (run >= length)
      for (std::size_t i = 0; i < kMetrics; ++i) sums[i].push_back(std::max(0.0, static_cast<double>(sum.of(static_cast<Metric>(i)))) / length);
    if (run < 2) continue;
    const Totals* before = minute_at(m - 1);
    ++pairs;
    for (std::size_t i = 0; i < kMetrics; ++i) {
      const double d = t->of(static_cast<Metric>(i)) - before->of(static_cast<Metric>(i));
      steps[i] += d * d / 2;
    }
  }
  if (skip_odd && sums[0].size() < kFewest) return learn_usual(horizon, false);
  u.known = sums[0].size() >= std::min<std::size_t>(kFewest, 8) && known >= static_cast<std::int64_t>(kFewest);
  const double before = seasonal(Metric::calls);
  u.young = known < kYoung && before <= 0;
  for (std::size_t i = 0; i < kMetrics; ++i) {
    u.high[i] = std::max(quantile(sums[i], kUpperTail), seasonal(static_cast<Metric>(i)));
    u.noise[i] = pairs ? steps[i] / static_cast<double>(pairs) : 0;
  }
}

// The most of five minutes about this time of the days before, or of an hour of the weeks before; per minute.
double Series::seasonal(Metric metric) const {
  double most = 0;
  const std::int64_t now = now_ / kSlotMinutes, day = 24 * 60 / kSlotMinutes;
  for (std::int64_t back = day; back + kAround < kSlots; back += day)
    for (std::int64_t at = now - back - kAround; at <= now - back + kAround; ++at) {
      if (at < 0) continue;
      const Slot& s = slots_[static_cast<std::size_t>(at % kSlots)];
      if (s.at == at && !s.totals.odd) most = std::max(most, static_cast<double>(s.totals.of(metric)) / kSlotMinutes);
    }
  const std::int64_t hour = now_ / 60, week = 7 * 24;
  for (std::int64_t back = week; back < kHours; back += week)
    for (std::int64_t at = hour - back - 1; at <= hour - back + 1; ++at) {
      if (at < 0) continue;
      const Slot& s = hours_[static_cast<std::size_t>(at % kHours)];
      if (s.at == at) most = std::max(most, static_cast<double>(s.totals.of(metric)) / 60);
    }
  return most;
}

void Series::learn_peaks() {
  constexpr std::int64_t kLastHour = 60 / kSlotMinutes;
  const std::int64_t slot = now_ / kSlotMinutes;
  std::array<double, kMetrics> five{}, fifteen{};
  for (std::int64_t at = std::max<std::int64_t>(slot - kSlots + 1, 2); at < slot - kLastHour; ++at)
    for (std::size_t i = 0; i < kMetrics; ++i) {
      double sum = 0;
      for (std::int64_t part = at; part > at - 3; --part) {
        const Slot& s = slots_[static_cast<std::size_t>(part % kSlots)];
        if (s.at == part) sum += s.totals.of(static_cast<Metric>(i));
        if (part == at) five[i] = std::max(five[i], sum);
      }
      fifteen[i] = std::max(fifteen[i], sum);
    }
  for (std::size_t h = 0; h < kHorizons.size(); ++h) usual_[h].peak = kHorizons[h] > kSlotMinutes ? fifteen : five;
}

// Input tokens a call: of windows of the last hours, and of five minutes of the last days.
void Series::learn_per_call() {
  std::vector<double> days;
  const std::int64_t slot = now_ / kSlotMinutes;
  for (const Slot& s : slots_)
    if (s.at >= 0 && s.at > slot - kSlots && s.at < slot - 3 && s.totals.calls >= kCallsForMean && !s.totals.odd) days.push_back(s.totals.input / s.totals.calls);
  const double far = quantile(days, 1);
  for (std::size_t h = 0; h < kHorizons.size(); ++h) {
    std::vector<double> near;
    double calls = 0, input = 0;
    int run = 0;
    const std::int64_t last = now_ - 1 - late();
    for (std::int64_t m = last - kMinutes + kLateMinutes + 2; m <= last; ++m) {
      const Totals* t = minute_at(m);
      if (!t || t->odd) { run = 0, calls = input = 0; continue; }
      calls += t->calls, input += t->input;
      if (++run > kHorizons[h]) {
        const Totals* gone = minute_at(m - kHorizons[h]);
        calls -= gone->calls, input -= gone->input;
      }
      if (run >= kHorizons[h] && calls >= kCallsForMean) near.push_back(input / calls);
    }
    usual_[h].per_call_high = std::max(far, quantile(near, 1));
    usual_[h].per_call = near.size() >= 5 ? quantile(near, 0.5) : days.size() >= 5 ? quantile(days, 0.5) : 0;
  }
}

void Series::learn_day() {
  usual_day_ = {};
  const std::int64_t slot = now_ / kSlotMinutes, last = (now_ - late()) / kSlotMinutes;
  for (std::int64_t at = std::max<std::int64_t>(slot - 24 * 60 / kSlotMinutes, 0); at < last; ++at)
    if (const Slot& s = slots_[static_cast<std::size_t>(at % kSlots)]; s.at == at && !s.totals.odd) usual_day_ += s.totals;
  day_ = {}, day_work_ = {};
  for (const auto& h : latency_)
    if (h.at > now_ / 60 - 24 && h.at >= 0) day_ += h.latency, day_work_ += h.work;
}

std::int64_t Series::quiet_minutes() const { return newest_ < 0 ? 0 : std::max<std::int64_t>(0, now_ - newest_ - 1); }

std::int64_t Series::longest_gap() const {
  std::int64_t longest = 0, run = 0;
  const std::int64_t slot = newest_ / kSlotMinutes;
  for (std::int64_t at = std::max<std::int64_t>(slot - kSlots + 1, 0); at <= slot; ++at) {
    const Slot& s = slots_[static_cast<std::size_t>(at % kSlots)];
    const bool empty = s.at == at && s.totals.known && s.totals.calls < 0.5f;
    run = empty ? run + kSlotMinutes : 0;
    longest = std::max(longest, run);
  }
  return longest;
}

double Series::hours_before_quiet() const {
  double least = -1;
  for (std::int64_t at = newest_ / 60 - 6; at < newest_ / 60; ++at) {
    const Slot& s = hours_[static_cast<std::size_t>(std::max<std::int64_t>(at, 0) % kHours)];
    if (s.at != at || !s.totals.known) return -1;
    least = least < 0 ? s.totals.calls : std::min(least, static_cast<double>(s.totals.calls));
  }
  return least;
}

double Series::hour_a_day_before() const {
  double least = -1;
  const std::int64_t hour = now_ / 60;
  for (std::int64_t back = 24; back < kHours; back += 24) {
    if (back > 48 && back % (7 * 24) != 0) continue;
    for (std::int64_t at = hour - back; at <= hour - back + 1; ++at) {
      const Slot& s = hours_[static_cast<std::size_t>(std::max<std::int64_t>(at, 0) % kHours)];
      if (s.at == at && s.totals.known) least = least < 0 ? s.totals.calls : std::min(least, static_cast<double>(s.totals.calls));
    }
  }
  return least;
}

}  // namespace ballast::watch
