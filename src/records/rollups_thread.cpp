#include "records/rollups_thread.hpp"

#include <sys/resource.h>

#include "base/log.hpp"
#include "base/thread.hpp"

namespace ballast::records {

namespace {

constexpr int kNice = 5;                      // a quarter of a core that a loop wants too
constexpr std::size_t kMinutesAtOnce = 16;    // then hours and days: of an old ledger too they are soon there

}  // namespace

RollupThread::RollupThread(store::Database& database, const Clock& clock, RollupRetention keep, RollupPace pace)
    : clock_(clock), pace_(pace), roller_(database), keep_(keep) {}

void RollupThread::start(std::function<bool()> mine) {
  mine_ = std::move(mine);
  thread_ = std::jthread([this](const std::stop_token& ended) { run(ended); });
}

void RollupThread::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void RollupThread::keep(RollupRetention keep) {
  const std::lock_guard lock(mutex_);
  keep_ = keep;
}

void RollupThread::run(const std::stop_token& ended) {
  name_this_thread("rollups");
  ::setpriority(PRIO_PROCESS, 0, kNice);      // Linux: of the calling thread
  MonoTime retired = clock_.mono();
  while (!ended.stop_requested()) {
    const bool mine = !mine_ || mine_();
    if (mine) roll(ended);
    if (mine && clock_.mono() - retired >= pace_.retire_every && !ended.stop_requested()) {
      retired = clock_.mono();
      retire();
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, ended, pace_.every, [] { return false; });
  }
}

void RollupThread::roll(const std::stop_token& ended) {
  for (;;) {
    const auto rolled = roller_.roll(clock_.wall() - pace_.grace, kMinutesAtOnce, ended);
    if (!rolled) log::warn("calls_not_rolled_up", {{"why", rolled.error().message}});
    if (!rolled || *rolled < kMinutesAtOnce || ended.stop_requested()) return;
  }
}

void RollupThread::retire() {
  RollupRetention keep;
  {
    const std::lock_guard lock(mutex_);
    keep = keep_;
  }
  if (auto retired = roller_.retire(keep, clock_.wall() - pace_.grace); !retired) log::warn("rollups_not_deleted", {{"why", retired.error().message}});
}

}  // namespace ballast::records
