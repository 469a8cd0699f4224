// Series: what is kept of one label's calls to tell what is usual: minutes of the last hours, five-minute sums of three days, hours of four
// weeks. Fixed size (about 120 KB), whatever comes. Not thread-safe; no clock.
//
// What is usual is read from sums as long as the one that is judged: the upper tail of the last hours, and what the same time of day had
// (the days before, and the same day of the week of the weeks before, as far as there are any). A rise must be above both, so that a morning that
// comes every day is none, nor is growth that began an hour ago. Minutes of an alert that fires are left out of both ("odd").
// And it must be above the peak of three days, odd or not: what comes in bursts is told of once.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "watch/minute.hpp"

namespace ballast::watch {

enum class Metric : std::uint8_t { calls, usd };
inline constexpr std::size_t kMetrics = 2;
inline constexpr std::array<int, 4> kHorizons = {1, 2, 5, 15};   // whole minutes, with the one that is under way beside them

// Of one minute or of five, as floats: what a day of them costs in memory matters, their seventh digit does not.
struct Totals {
  float calls = 0, failed = 0, slow = 0, lookups = 0, hits = 0, input = 0, output = 0, usd = 0;
  bool known = false, odd = false;
  float of(Metric m) const;
  Totals& operator+=(const Totals& o);
};

// What is usual for a horizon, per minute of it.
struct Usual {
  bool known = false;              // ten minutes were seen
  bool young = true;               // but less than an hour, and nothing of the days before: judge with more patience
  std::array<double, kMetrics> high{};       // the upper tail of sums
  std::array<double, kMetrics> noise{};      // variance of a minute's sum around its neighbours'
  std::array<double, kMetrics> peak{};       // the largest sum of five minutes (for fifteen: of those) of three days but the last hour
  double per_call = 0, per_call_high = 0;    // input tokens a call: the median of windows, and the highest
};

class Series {
 public:
  static constexpr int kFine = 32, kMinutes = 180, kSlots = 864, kHours = 672, kSlotMinutes = 5;
  explicit Series(std::uint64_t slow_us) : slow_us_(slow_us) {}

  // All that is known of the minute (since 1970), in place of what was known before. A minute older than kFine behind the newest goes only
  // into the longer sums.
  void put(std::int64_t minute, const Counts& counts);
  // Five minutes, or an hour, of before this process began; never over what was put.
  void learn_slot(std::int64_t slot, const Counts& counts);
  void learn_hour(std::int64_t hour, const Counts& counts);
  // `minute` has begun: those before `minute - 1` that nothing was said of were empty; the usual is computed anew.
  void begin(std::int64_t minute);
  void mark_odd();                           // the minute under way, and the two before

  // Of the last `minutes` whole minutes and the one under way.
  Totals last(int minutes) const;
  Counts fine(int minutes) const;
  Totals window(Duration length) const;      // as far as anything is known
  Duration known_for() const { return std::chrono::minutes(first_ < 0 ? 0 : now_ - first_); }
  const Usual& usual(std::size_t horizon) const { return usual_[horizon]; }
  // Of the last day but for its last minutes (fifteen; five while less than an hour is known) and what was odd: how long calls took, and the same calls' sums.
  const Latencies& usual_latency() const { return day_; }
  Totals usual_work() const { return day_work_; }
  Totals usual_day() const { return usual_day_; }   // about the same, of whole slots, with what came in late
  std::int64_t quiet_minutes() const;        // whole minutes without a call, up to two minutes ago
  std::int64_t longest_gap() const;          // before that, in minutes, of the last three days
  double hours_before_quiet() const;         // the fewest calls of an hour of the six before the silence; negative: less is known
  double hour_a_day_before() const;          // the fewest calls of an hour about this time, on the days before; negative: none are known
  std::int64_t newest() const { return newest_; }

 private:
  struct Slot { std::int64_t at = -1; Totals totals; };
  const Totals* minute_at(std::int64_t m) const;
  static Totals& place(Slot& slot, std::int64_t at);
  void add(std::int64_t minute, const Totals& more);
  std::int64_t late() const;                 // minutes that are no part of what is usual
  void absorb_latency(std::int64_t minute);
  double seasonal(Metric m) const;
  void learn_usual(std::size_t horizon, bool skip_odd);
  void learn_peaks();
  void learn_per_call();
  void learn_day();

  const std::uint64_t slow_us_;
  std::int64_t now_ = -1, first_ = -1, newest_ = -1;   // the minute under way; the first known; the last with a call
  struct Fine { std::int64_t at = -1; Counts counts; };
  std::array<Fine, kFine> fine_{};
  std::array<Slot, kMinutes> minutes_{};
  std::vector<Slot> slots_ = std::vector<Slot>(kSlots);
  std::vector<Slot> hours_ = std::vector<Slot>(kHours);
  struct HourLatency { std::int64_t at = -1; Latencies latency; Totals work; };
  std::array<HourLatency, 24> latency_{};    // of the last day
  std::int64_t absorbed_ = -1;               // the last minute that went into them
  Latencies day_;
  Totals day_work_;
  Totals usual_day_;
  std::array<Usual, kHorizons.size()> usual_{};
};

}  // namespace ballast::watch
