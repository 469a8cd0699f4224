#include "gateway/routing_saved.hpp"

#include <algorithm>

#include <boost/container/small_vector.hpp>

#include "gateway/road.hpp"

namespace ballast::gateway {

std::optional<Dearest> dearest_of(const llm::Usage& usage, std::span<const llm::ModelInfo* const> choice) {
  if (choice.size() < 2 || std::ranges::find(choice, nullptr) != choice.end()) return std::nullopt;
  Dearest dearest{0, llm::cost(usage, *choice[0])};
  for (std::size_t i = 1; i < choice.size(); ++i)
    if (const Money cost = llm::cost(usage, *choice[i]); cost > dearest.cost) dearest = {i, cost};
  return dearest;
}

// Those that the plan set out for: what rested, or could not have answered, was no choice.
void note_routing_saved(const Scene& scene, const Asked& asked, const Planned& plan, const Answer& answer, Trail& trail) {
  const std::size_t likely = plan.warm() ? plan.admitted : plan.candidates.size();
  const bool told = answer.usage && (!asked.images || answer.usage->total() > 0);   // else what is billed is a bound, not a price
  if (likely < 2 || !told) return;
  boost::container::small_vector<const llm::ModelInfo*, 8> choice;
  for (std::size_t i = 0; i < likely; ++i) choice.push_back(is_priced(asked, plan.candidates[i]) ? plan.candidates[i].info.get() : nullptr);
  const auto dearest = dearest_of(*answer.usage, choice);
  auto& r = trail.record;
  if (!dearest || dearest->cost <= Money{r.billed_nano}) return;
  r.saved_nano = (dearest->cost - Money{r.billed_nano}).nano;
  scene.metrics.routing_saved.add(static_cast<std::uint64_t>(r.saved_nano));
  trail.decision.step(scene.now(), "routing_saved", {{"saved_nano", r.saved_nano}, {"than", plan.candidates[dearest->at].target->name}, {"would_cost_nano", dearest->cost.nano}});
}

}  // namespace ballast::gateway
