#include "work/signals.hpp"

#include "base/log.hpp"

namespace ballast::work {

namespace {

Task<std::vector<JobId>> find_listeners(Engine& engine, const Signal& signal, std::size_t most) {
  for (;;) {
    auto found = co_await engine.database().read(engine.home(), [&](store::Tx& tx) { return listeners(tx, signal, most); });
    if (found) co_return std::move(*found);
    const bool again = found.error().code == ErrorCode::internal_unavailable && !engine.draining();   // else the next start does it
    log::warn("runs_not_woken", {{"event", signal.name}, {"why", found.error().message}, {"again", again}});
    if (!again) co_return std::vector<JobId>{};
    co_await SleepUntil(engine.home(), engine.home().clock().mono() + kAskAgain);
  }
}

}  // namespace

Task<std::size_t> wake_listeners(Engine& engine, const Signal& signal, std::size_t most) {
  const std::vector<JobId> waiting = co_await find_listeners(engine, signal, most);
  for (const JobId id : waiting)
    if (const auto up = co_await engine.wake_surely(id); !up) log::warn("run_not_woken", {{"run", to_string(id)}, {"why", up.error().message}});
  co_return waiting.size();
}

// A run commits that it waits, then looks for the signal; here the signal is committed first, and then who waits is looked for. So one of both
// sees the other. In one transaction neither might: each would be looking while the other is not committed yet.
Task<Result<std::size_t>> send_signal(Engine& engine, const Signal& signal, WallTime until, std::size_t most) {
  auto kept = co_await engine.database().write(engine.home(), [&](store::Tx& tx) { return put_signal(tx, signal, until); });
  if (!kept) co_return fail(std::move(kept.error()));
  co_return co_await wake_listeners(engine, signal, most);
}

}  // namespace ballast::work
