// When a budget's slice is too small (budgets.hpp): the wait for the database's word.
#include "gateway/road.hpp"
#include "gateway/slice_wait.hpp"

namespace ballast::gateway {

namespace {

constexpr Duration kBreath = std::chrono::milliseconds(2);

}  // namespace

// What is known already is tried at once, but for a breath: others try too.
Task<bool> wait_for_money(const Scene& scene, const Shortage& lacking, MonoTime until, Trail& trail, Error& refusal) {
  Scheduler& here = scene.sink.loop();
  const MonoTime since = scene.now();
  bool told = since < until;
  if (told && is_final(lacking)) co_await SleepUntil(here, since + kBreath);
  else if (told) told = co_await answered(*lacking.slice, lacking.seen, here, until, scene.sink.gone());
  if (!told) tell_why(lacking, refusal);
  scene.metrics.money_waits.with({told ? "answered" : "unanswered"}).add();
  trail.decision.step(scene.now(), "waited_for_money", {{"us", (scene.now() - since).count() / 1000}, {"answered", told}});
  if (!told) trail.decision.step(scene.now(), "budget_refused", {{"ceiling_nano", lacking.wanted.nano}, {"why", refusal.message}});
  co_return told;
}

}  // namespace ballast::gateway
