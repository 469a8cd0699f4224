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

Task<std::size_t> wake_listeners(Door& door, const Signal& signal, std::size_t most) {
  const std::vector<JobId> waiting = co_await find_listeners(door.engine(), signal, most);
  if (const auto up = co_await door.wake_surely(waiting); !up) log::warn("runs_not_woken", {{"event", signal.name}, {"why", up.error().message}});
  co_return waiting.size();
}

// A run commits that it waits, then looks for the signal; here the signal is committed first, and then who waits is looked for. So one of both
// sees the other. In one transaction neither might: each would be looking while the other is not committed yet.
Task<Result<std::size_t>> send_signal(Door& door, const Signal& signal, WallTime until, std::size_t most) {
  Engine& engine = door.engine();
  std::vector<AskRow> row;                   // with several nodes: should this one die before all are woken, another goes on
  if (door.shared()) row.push_back({.seq = signal.id, .kind = AskKind::signal, .job = {}, .owner = 0, .asker = {}, .body = pack_signal(signal, most), .payload = {}, .asked = {}});
  auto kept = co_await engine.database().write(engine.home(), [&](store::Tx& tx) -> Result<void> {
    if (auto put = put_signal(tx, signal, until); !put || row.empty()) return put;
    return insert_asks(tx, row);
  });
  if (!kept) co_return fail(std::move(kept.error()));
  const std::size_t woken = co_await wake_listeners(door, signal, most);
  if (row.empty() || engine.draining()) co_return woken;
  const std::vector<JobId> done{signal.id};
  const auto gone = co_await engine.database().write(engine.home(), [&](store::Tx& tx) { return delete_asks(tx, done); });
  if (!gone) log::warn("signal_not_cleared", {{"event", signal.name}, {"why", gone.error().message}});     // some node wakes them once more
  co_return woken;
}

}  // namespace ballast::work
