// Steps 4 and 5 of the road: which targets, in which order, at what cost at most; and the money held for the dearest.
#include <algorithm>

#include <boost/container/small_vector.hpp>

#include "base/json.hpp"
#include "gateway/road.hpp"

namespace ballast::gateway {

namespace {

// Output a model is bounded at where neither the request nor the table names a maximum.
constexpr std::uint64_t kUnknownMaxOutput = 128 * 1024;
// Does a question before it take more than an eighth of an answer's tokens?
constexpr bool crowds(std::uint64_t left_beside_it, std::uint64_t without_it) { return left_beside_it * 8 < without_it * 7; }

// Bytes of the longest text of a call for embeddings, four for each token that is given by its number: each has the window for itself.
std::uint64_t longest_input(const json::value& document) {
  const auto input = JsonRef(document).find("input");
  if (!input) return 0;
  const auto bytes = [](const JsonRef& v) -> std::uint64_t {
    if (const auto* text = v.value().if_string()) return text->size();
    return v.is_array() ? v.size() * 4 : 0;
  };
  std::uint64_t most = bytes(*input);
  const bool of_numbers = input->is_array() && input->size() > 0 && input->item(0).is_number();
  if (!input->is_array() || of_numbers) return most;
  most = 0;
  for (std::size_t i = 0; i < input->size(); ++i) most = std::max(most, bytes(input->item(i)));
  return most;
}

Needs needs_of(const Scene& scene, const Asked& asked) {
  const auto& f = asked.facts;
  const bool embeds = asked.document && !asked.images;
  Needs needs{.tools = f.has_tools, .images = asked.chat && f.images > 0, .json = f.wants_schema && !asked.demand, .prefill = f.prefill, .stream = f.stream,
              .context_tokens = (embeds ? longest_input(*asked.document) : f.text_bytes) / 4, .output_tokens = static_cast<std::uint64_t>(f.max_tokens.value_or(512))};
  needs.complexity = complexity_from(scene.call.complexity);
  return needs;
}

// Tokens out at most, for each of the answers or images asked for: the request's word, else the model's. Embeddings are numbers.
Result<std::uint64_t> output_bound(const Asked& asked, const llm::ModelInfo& m) {
  if (asked.images) return llm::image_output_bound(*asked.images, m);
  if (!asked.chat) return 0;
  const auto& f = asked.facts;
  const std::uint64_t known = m.max_output ? m.max_output : kUnknownMaxOutput;
  return f.max_tokens ? std::min<std::uint64_t>(static_cast<std::uint64_t>(*f.max_tokens), std::max<std::uint64_t>(known, 1)) : known;
}

struct Bound {
  Money ceiling;
  bool crowded = false;
  std::optional<std::int64_t> max_tokens;
  std::optional<Error> refusal;
};

// The proven ceiling of one attempt on `c`, with max_tokens clamped to what the budgets leave beside `room`. Where the bytes' ceiling does not
// fit that, the prompt is counted; a model that once cost more than was proven has lost that trust.
Bound bound(const Scene& scene, const Asked& asked, Candidate& c, bool budgeted, Money room, Trail& trail) {
  Bound b;
  const auto told = output_bound(asked, *c.info);
  auto full = told ? llm::ceiling(asked.extent, *c.info, *told) : Result<Money>(fail(told.error()));
  if (!full) {
    if (budgeted) b.refusal = std::move(full.error());
    return b;
  }
  const std::uint64_t most = *told;
  b.ceiling = *full;
  if (!budgeted) return b;
  Money prudent = scene.setup.budgets->prudent(c.target->name, *full);
  if (asked.chat && !asked.facts.max_tokens) b.max_tokens = static_cast<std::int64_t>(most);   // what is proven must be told
  const auto left = scene.setup.budgets->remaining(budget_subject(asked), c.target->name);
  if (!left || prudent + room <= *left) return b;
  const bool trusted = prudent == *full;
  const Money free = std::max(Money{}, *left - room);
  if (trusted) c.spared_bytes = spare_bytes(scene, asked, c, free, trail);
  const llm::Extent extent = extent_of(asked, {}, c);
  if (c.spared_bytes > 0) {
    b.ceiling = prudent = *llm::ceiling(extent, *c.info, most);
    if (prudent + room <= *left) return b;
  }
  const auto within = [&](Money money) { return asked.chat && trusted ? llm::max_output_within(money, extent, *c.info) : std::nullopt; };
  const auto fits = within(free);
  b.crowded = room > Money{} && crowds(fits.value_or(0), std::min(within(*left).value_or(0), most));
  if (!fits) {
    b.refusal = scene.setup.budgets->too_little(budget_subject(asked), c.target->name, prudent);
    b.refusal->message += "; a shorter prompt or a smaller limit of its answer may fit";
    return b;
  }
  b.max_tokens = static_cast<std::int64_t>(std::min(*fits, most));
  b.ceiling = *llm::ceiling(extent, *c.info, static_cast<std::uint64_t>(*b.max_tokens));
  return b;
}

TargetView view_of(const Candidate& c) {
  TargetView v{.breaker = c.breaker->view(), .credential = c.access->credentials->available()};
  if (!c.info) return v;
  const auto& m = *c.info;
  v.tools = m.tools;
  v.images = m.images;
  v.json = m.json;
  v.prefill = m.prefill;
  v.context = m.context;
  v.max_output = m.max_output;
  v.retires = m.retires;
  if (m.priced) {
    v.input = m.price.input;
    v.output = m.price.output;
  }
  return v;
}

// Filled in where it stands.
void describe_target(const Scene& scene, const Asked& asked, Candidate& c, bool budgeted, Money room, WallTime now, std::optional<Error>& refusal, Trail& trail) {
  const Target& target = *c.target;
  const auto access = scene.setup.providers.find(target.provider);
  c.access = &access->second;
  c.breaker = &scene.world.breakers.of(target.provider, target.model);
  c.info = scene.here.prices.find(scene.setup.prices, target.provider, llm::to_string(c.access->spec.kind), target.model, now);
  c.view = view_of(c);
  const bool priced = is_priced(asked, c);
  c.view.priced_enough = priced || !budgeted;
  if (!priced) {
    if (budgeted)
      refusal = Error{ErrorCode::policy_unpriced_model, "a budget applies and " + target.name + " has no price: add one under models in the configuration", "model"};
    return;
  }
  auto b = bound(scene, asked, c, budgeted, room, trail);
  c.ceiling = b.ceiling;
  c.max_tokens = b.max_tokens;
  c.crowded = b.crowded;
  if (b.refusal) {
    c.view.affordable = false;
    refusal = std::move(b.refusal);
  }
}

void tell_plan(const Scene& scene, const Route& route, const Plan& plan, Trail& trail) {
  std::string several;
  std::string_view order;
  for (const auto i : plan.order) {
    if (i == plan.order.front()) {
      order = route.targets[i].name;
      continue;
    }
    if (several.empty()) several = order;
    several += ' ';
    several += route.targets[i].name;
    order = several;
  }
  trail.decision.step(scene.now(), "plan", {{"strategy", to_string(route.strategy)}, {"order", order}});
  for (const auto& s : plan.skipped) trail.decision.step(scene.now(), "skipped", {{"target", route.targets[s.target].name}, {"why", to_string(s.reason)}});
  for (const auto& w : plan.warnings) {
    trail.decision.step(scene.now(), "warning", {{"text", w}});
    if (!trail.warning.empty()) trail.warning += "; ";
    trail.warning += w;
  }
}

// All targets of the route, with what the budgets leave them beside `room`.
std::vector<Candidate> describe_targets(const Scene& scene, const Asked& asked, bool budgeted, Money room, WallTime now, std::optional<Error>& refusal, Trail& trail) {
  std::vector<Candidate> all;
  all.reserve(asked.route->targets.size());
  for (const auto& target : asked.route->targets)
    describe_target(scene, asked, all.emplace_back(Candidate{.target = &target}), budgeted, room, now, refusal, trail);
  return all;
}

bool room_for_all(const std::vector<Candidate>& all) {
  return std::ranges::all_of(all, [](const Candidate& c) { return c.view.affordable && !c.crowded; });
}

}  // namespace

bool is_priced(const Asked& asked, const Candidate& c) { return c.info && (c.info->priced || (asked.images && c.info->per_image)); }

bool price_question(const Scene& scene, Question& question, Trail& trail) {
  const std::string_view names[] = {question.candidate.target->name};
  std::optional<Error> refusal;
  question.budgeted = scene.setup.budgets->applies(budget_subject(question.asked), names);
  describe_target(scene, question.asked, question.candidate, question.budgeted, {}, scene.world.clock.wall(), refusal, trail);
  question.ceiling = scene.setup.budgets->prudent(question.candidate.target->name, question.candidate.ceiling);
  return !refusal && !question.candidate.max_tokens;         // set: less than it needs
}

void go_by(const Route& route, const Needs& needs, Planned& plan) {
  const auto end = plan.candidates.begin() + static_cast<std::ptrdiff_t>(plan.admitted);
  std::ranges::sort(plan.candidates.begin(), end, {}, [&](const Candidate& c) { return std::pair(distance(route, needs, *c.target), c.target); });
}

Result<Planned> make_candidates(const Scene& scene, const Asked& asked, Trail& trail) {
  const Route& route = *asked.route;
  Planned planned;
  boost::container::small_vector<std::string_view, 8> names;
  for (const auto& t : route.targets) names.push_back(t.name);
  planned.budgeted = scene.setup.budgets->applies(budget_subject(asked), names);

  Needs needs = needs_of(scene, asked);
  if (route.intents) planned.question = classify_call(scene, asked, needs, trail);
  std::optional<Error> refusal;
  const WallTime now = scene.world.clock.wall();
  auto all = describe_targets(scene, asked, planned.budgeted, planned.question ? planned.question->ceiling : Money{}, now, refusal, trail);
  if (planned.question && !room_for_all(all)) {
    forgo_question(scene, asked, planned, "the budget does not do for both", trail);
    refusal.reset();
    all = describe_targets(scene, asked, planned.budgeted, {}, now, refusal, trail);
  }
  boost::container::small_vector<TargetView, 4> views;
  std::vector<double> chance;
  for (const Candidate& c : all) {
    views.push_back(c.view);
    if (route.strategy == Strategy::weighted) chance.push_back(scene.here.random.uniform());
  }
  fit_by_tokens(scene, asked, all, views, trail);
  const Plan plan = make_plan(route, needs, views, now, chance);
  tell_plan(scene, route, plan, trail);
  if (plan.order.empty() && plan.resting.empty()) {
    const bool money = refusal && std::all_of(plan.skipped.begin(), plan.skipped.end(), [](const Skipped& s) {
      return s.reason == SkipReason::over_budget || s.reason == SkipReason::unpriced;
    });
    return fail(money ? std::move(*refusal) : nothing_to_try(route, plan, scene.now()));
  }
  planned.admitted = plan.order.size();
  if (planned.question && planned.admitted < 2) forgo_question(scene, asked, planned, "there is no choice", trail);
  if (all.size() == 1) {
    planned.candidates = std::move(all);
    return planned;
  }
  planned.candidates.reserve(plan.order.size() + plan.resting.size());
  for (const auto i : plan.order) planned.candidates.push_back(std::move(all[i]));
  for (const auto i : plan.resting) planned.candidates.push_back(std::move(all[i]));
  return planned;
}

llm::Extent extent_of(const Asked& asked, const Planned& planned, const Candidate& c) {
  llm::Extent extent = asked.extent;
  extent.text_bytes += planned.added_bytes - c.spared_bytes;
  return extent;
}

void raise_ceilings(const Asked& asked, Planned& planned, std::uint64_t bytes) {
  planned.added_bytes = bytes + 2 * llm::kFramingTokens;      // a turn of the model's, and one of the caller's
  for (Candidate& c : planned.candidates) {
    if (!c.info) continue;
    const auto bound = c.max_tokens ? Result<std::uint64_t>(static_cast<std::uint64_t>(*c.max_tokens)) : output_bound(asked, *c.info);
    const auto ceiling = bound ? llm::ceiling(extent_of(asked, planned, c), *c.info, *bound) : Result<Money>(fail(bound.error()));
    if (ceiling) c.ceiling = *ceiling;
  }
}

// Held for the dearest that the call sets out for; an attempt at a dearer one that rested holds the difference for itself.
Result<void> hold_money(const Scene& scene, const Asked& asked, Planned& planned, Trail& trail, Shortage& lacking, bool again) {
  if (!planned.budgeted && !(planned.question && planned.question->budgeted)) return {};
  const std::size_t likely = planned.warm() ? planned.admitted : planned.candidates.size();
  for (std::size_t i = 0; i < likely; ++i) {
    const Candidate& c = planned.candidates[i];
    planned.ceiling = std::max(planned.ceiling, scene.setup.budgets->prudent(c.target->name, c.ceiling));
  }
  const Money asking = planned.question ? planned.question->ceiling : Money{};
  auto hold = scene.setup.budgets->hold(budget_subject(asked), trail.call_id, planned.ceiling + asking, &lacking, again);
  if (!hold && planned.question && !lacking.slice) {           // others have spent meanwhile
    forgo_question(scene, asked, planned, "the budget does not do for both", trail);
    hold = scene.setup.budgets->hold(budget_subject(asked), trail.call_id, planned.ceiling, &lacking, again);
  }
  if (!hold) {
    if (!lacking.slice) trail.decision.step(scene.now(), "budget_refused", {{"ceiling_nano", planned.ceiling.nano}, {"why", hold.error().message}});
    return fail(std::move(hold.error()));
  }
  planned.hold = std::move(*hold);
  trail.decision.step(scene.now(), "held", {{"ceiling_nano", planned.hold.ceiling().nano}});
  return {};
}

}  // namespace ballast::gateway
