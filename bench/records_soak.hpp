// A long run as a busy node has it: calls are imported ten times a second, rolled up beside it, looked at by a dashboard; and what that costs.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "records/rollups.hpp"
#include "records_house.hpp"

namespace ballast::bench {

using SoakClock = std::chrono::steady_clock;
inline double soak_seconds(SoakClock::time_point begun) { return std::chrono::duration<double>(SoakClock::now() - begun).count(); }

inline std::uint64_t resident_kb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::strtoull(line.c_str() + 6, nullptr, 10);
  return 0;
}

// Seconds, each time something was done.
class Took {
 public:
  void add(double seconds) { all_.push_back(seconds); }
  std::string told() {   // milliseconds
    if (all_.empty()) return "never";
    std::ranges::sort(all_);
    const auto at = [&](double q) { return all_[static_cast<std::size_t>(q * static_cast<double>(all_.size() - 1))] * 1'000; };
    return fmt::format("p50 {:.1f} p95 {:.1f} most {:.1f} ms ({} times)", at(0.5), at(0.95), at(1), all_.size());
  }

 private:
  std::vector<double> all_;
};

class Soak {
 public:
  // Adds the calls [first, end), each at its time.
  using Add = std::function<void(std::uint64_t first, std::uint64_t end, const std::function<std::int64_t(std::uint64_t)>& time_ms)>;
  Soak(store::Database& database, std::uint64_t seconds, std::uint64_t rate, Add add)
      : database_(database), seconds_(seconds), rate_(rate), add_(std::move(add)) {}

  // 0: in time, and in the same memory; else the program ends and says why.
  int run(std::string_view kind) {
    std::vector<std::jthread> beside;
    beside.emplace_back([this](const std::stop_token& ended) { every(ended, std::chrono::seconds(1), [this] { roll(); }); });
    beside.emplace_back([this](const std::stop_token& ended) { every(ended, std::chrono::seconds(1), [this] { look(); }); });
    beside.emplace_back([this](const std::stop_token& ended) { every(ended, std::chrono::milliseconds(5), [this] { wait_for_writer(); }); });
    import();
    beside.clear();
    fmt::print("{}: {} calls in {:.0f} s, {:.2f} s late at most; {} minutes rolled\n", kind, done_, soak_seconds(begun_), late_, minutes_);
    fmt::print("  an import            {}\n  a roll of a minute   {}\n", imports_.told(), rolls_.told());
    fmt::print("  waiting to write     {}\n  … beside a roll      {}\n  an overview's charts {}\n", waits_.told(), waits_beside_roll_.told(), looks_.told());
    const auto all = [&](store::Tx& tx) { return records::range(tx, {.from = wall(0), .to = wall(0) + std::chrono::hours(2)}); };
    const auto told = must(database_.read_now(all, {.limit = std::chrono::minutes(1)}));
    if (told.total.calls != done_) stop(fmt::format("{} calls went in, {} are told of", done_, told.total.calls));
    if (late_ > 2) stop("it fell behind");
    return judge_memory();
  }

 private:
  WallTime wall(double seconds) const { return WallTime(std::chrono::milliseconds(begin_ms_ + static_cast<std::int64_t>(seconds * 1'000))); }

  template <class F>
  void every(const std::stop_token& ended, SoakClock::duration period, const F& work) {
    while (!ended.stop_requested()) {
      const auto begun = SoakClock::now();
      work();
      std::this_thread::sleep_until(begun + period);
    }
  }

  void import() {
    for (std::uint64_t tenth = 1; tenth <= seconds_ * 10; ++tenth) {
      std::this_thread::sleep_until(begun_ + std::chrono::milliseconds(100) * tenth);
      late_ = std::max(late_, soak_seconds(begun_) - static_cast<double>(tenth) / 10);
      const auto importing = SoakClock::now();
      const std::uint64_t end = tenth * rate_ / 10;
      add_(done_, end, [&](std::uint64_t i) { return begin_ms_ + static_cast<std::int64_t>(i * 1'000 / rate_); });
      done_ = end;
      imports_.add(soak_seconds(importing));
      resident_kb_.push_back(resident_kb());
      if (tenth % 600 == 0) fmt::print("  minute {}: {} MB at most\n", tenth / 600, *std::max_element(resident_kb_.end() - 600, resident_kb_.end()) / 1'024);
    }
  }

  // As the program does: a minute is given a moment for its last calls.
  void roll() {
    const auto begun = SoakClock::now();
    rolling_ = true;
    const std::size_t made = must(roller_.roll(wall(soak_seconds(begun_) - 2)));
    rolling_ = false;
    if (made > 0) rolls_.add(soak_seconds(begun));
    minutes_ += made;
  }

  // What the overview asks for, of minutes instead of hours, so that the edges lie in busy minutes as those of an hour do in a run longer than this one:
  // by minutes with its errors, its models, as much before.
  void look() {
    constexpr auto stretch = std::chrono::minutes(4);
    const WallTime now = wall(soak_seconds(begun_)), from = now - stretch;
    const auto begun = SoakClock::now();
    must(database_.read_now([&](store::Tx& tx) -> Result<std::uint64_t> {
      std::uint64_t calls = 0;
      for (const records::SeriesQuery& q : {records::SeriesQuery{.from = from, .to = now, .step = std::chrono::minutes(1), .errors = true},
                                            records::SeriesQuery{.from = from, .to = now, .by = records::Dimension::model, .groups = 5},
                                            records::SeriesQuery{.from = from - stretch, .to = from, .errors = true}}) {
        auto told = records::range(tx, q);
        if (!told) return std::unexpected(told.error());
        calls += told->total.calls;
      }
      return calls;
    }));
    looks_.add(soak_seconds(begun));
  }

  // How long whoever writes waits for whoever is writing.
  void wait_for_writer() {
    const auto begun = SoakClock::now();
    const bool rolling = rolling_;
    must(database_.write_now([](store::Tx&) -> Result<bool> { return true; }));
    (rolling || rolling_ ? waits_beside_roll_ : waits_).add(soak_seconds(begun));
  }

  // Flat: the last third's peak is not above the middle third's by more than a tenth and 8 MB.
  int judge_memory() const {
    const auto third = static_cast<std::ptrdiff_t>(resident_kb_.size() / 3);
    const std::uint64_t middle = *std::max_element(resident_kb_.begin() + third, resident_kb_.begin() + 2 * third);
    const std::uint64_t last = *std::max_element(resident_kb_.begin() + 2 * third, resident_kb_.end());
    const std::uint64_t first = *std::max_element(resident_kb_.begin(), resident_kb_.begin() + third);
    fmt::print("  resident: {} MB in the first third, {} in the second, {} in the last, at most\n", first / 1'024, middle / 1'024, last / 1'024);
    if (last > middle + middle / 10 + 8'192) stop("memory grew");
    return 0;
  }

  store::Database& database_;
  const std::uint64_t seconds_, rate_;
  const Add add_;
  records::Roller roller_{database_};
  const SoakClock::time_point begun_ = SoakClock::now();
  const std::int64_t begin_ms_ = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()).time_since_epoch().count();
  std::uint64_t done_ = 0, minutes_ = 0;
  double late_ = 0;
  std::vector<std::uint64_t> resident_kb_;   // each tenth of a second
  std::atomic<bool> rolling_ = false;
  Took imports_, rolls_, waits_, waits_beside_roll_, looks_;
};

}  // namespace ballast::bench
