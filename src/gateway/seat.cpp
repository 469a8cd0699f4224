// Room in the limits: drawn before a durable call, taken when it is admitted.
#include "gateway/road.hpp"

namespace ballast::gateway {

std::expected<Admission, Refusal> admit_seated(const Scene& scene, const Asked& asked, const Target* target, Trail& trail) {
  if (DurableCall* durable = scene.call.durable) {
    const Limits& limits = *scene.setup.limits;
    Admission drawn = target ? durable->seat.take_target(&limits, target->name) : durable->seat.take_caller(&limits);
    if (drawn.holds_anything()) return drawn;
  }
  return admit_counted(scene, asked, target, trail);
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
