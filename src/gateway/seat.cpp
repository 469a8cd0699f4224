// Room in the limits: drawn before a durable call, taken when a call is admitted, and waited for where this node has too small a part of it.
#include "gateway/road.hpp"

namespace ballast::gateway {

namespace {

constexpr std::size_t kPlacesForSlices = 1'024;                // of calls of one bucket that wait for the database

}  // namespace

std::expected<Admission, Refusal> admit_seated(const Scene& scene, const Asked& asked, const Target* target, Trail& trail) {
  if (DurableCall* durable = scene.call.durable) {
    const Limits& limits = *scene.setup.limits;
    Admission drawn = target ? durable->seat.take_target(&limits, target->name) : durable->seat.take_caller(&limits);
    if (drawn.holds_anything()) return drawn;
  }
  return admit_counted(scene, asked, target, trail);
}

Task<void> wait_for_slice(const Scene& scene, const Asked& asked, const Target* target, MonoTime until, CancelToken gone,
                          std::expected<Admission, Refusal>& admitted, Trail& trail) {
  const MonoTime since = scene.now();
  const LimitSubject subject = target ? LimitSubject{.provider = target->provider, .model = target->name} : limit_subject(asked);
  admitted = co_await scene.setup.queue->admit(subject, asked.weight.tokens(), asked.who.key_id(), {.wait = until - since, .depth = kPlacesForSlices, .for_slice = true},
                                               scene.sink.loop(), gone);
  trail.decision.step(scene.now(), "slice_waited", {{"us", (scene.now() - since).count() / 1000}, {"of", target ? std::string_view(target->name) : "its caller"},
                                                    {"admitted", admitted.has_value()}});
  scene.metrics.slice_waits.with({admitted ? "admitted" : "refused"}).add();
}

std::optional<Gateway::BatchTarget> find_batch_target(const Scene& scene) {
  Trail unread({}, scene.now(), scene.world.clock.wall(), scene.call);
  const auto asked = read_request(scene, unread);
  if (!asked || asked->route->targets.empty()) return std::nullopt;
  const Target& target = asked->route->targets.front();
  const auto access = scene.setup.providers.find(target.provider);
  if (access == scene.setup.providers.end()) return std::nullopt;
  const auto api = llm::batch_api_of(access->second.spec, scene.call.operation, scene.call.wire);
  const std::string_view names[] = {target.name};
  if (!api || scene.setup.budgets->applies(budget_subject(*asked), names)) return std::nullopt;
  return Gateway::BatchTarget{target.provider, target.model, *api};
}

std::expected<Seat, Refusal> draw_seat(const Scene& scene) {
  Trail unread({}, scene.now(), scene.world.clock.wall(), scene.call);
  const auto asked = read_request(scene, unread);
  if (!asked) return Seat{};
  auto caller = admit_counted(scene, *asked, nullptr, unread);
  if (!caller) return std::unexpected(std::move(caller.error()));
  std::optional<Refusal> soonest;
  for (const Target& target : asked->route->targets) {
    auto room = admit_counted(scene, *asked, &target, unread);
    if (room) return Seat(scene.setup.limits, std::move(*caller), target.name, std::move(*room));
    const Refusal& full = room.error();
    if (!soonest || (!full.never && (soonest->never || full.retry_at < soonest->retry_at))) soonest = std::move(room.error());
  }
  caller->refund();
  if (!soonest) return Seat{};
  return std::unexpected(std::move(*soonest));
}

}  // namespace ballast::gateway
