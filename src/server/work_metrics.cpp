#include "server/work_metrics.hpp"

#include "work/meter.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kMostDead = 10'000;                // counted; so many are looked at by every scrape

}  // namespace

Task<void> refresh_work_metrics(Scheduler& here, WorkDoor& door) {
  const auto dead = co_await door.engine().database().read(here, [](store::Tx& tx) { return work::count_dead(tx, kMostDead); },
                                                           {.limit = std::chrono::milliseconds(1000)});
  const work::QueuesElsewhere elsewhere = door.elsewhere();
  (void)co_await on_loop(door.engine().home(), here, [&]() -> Task<bool> {
    work::Engine& engine = door.engine();
    if (auto* meter = engine.meter()) {
      const MonoTime now = engine.home().clock().mono();
      meter->publish(engine.board(), now);
      meter->publish_all(elsewhere.with(work::views_of(engine.board(), meter, now)), engine.board(), elsewhere.nodes + 1);
      if (dead) meter->publish_dead(*dead, engine.home().clock().wall());
    }
    co_return true;
  });
}

}  // namespace ballast::server
