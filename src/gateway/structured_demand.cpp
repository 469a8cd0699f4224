// What is demanded of an answer, as the call is read: a schema of the answer, or of the arguments of calls that the caller forces.
#include "base/json.hpp"
#include "gateway/road.hpp"

namespace ballast::gateway {

namespace {

Result<void> read_own_format(const Scene& scene, const json::value& document, Asked& asked) {
  auto told = llm::read_format(scene.call.wire, document);
  if (!told) return fail(std::move(told.error()));
  if (!told->format || told->format->kind == llm::ResponseFormat::Kind::text) return {};
  auto made = scene.here.demands.get(std::move(*told->format), told->place);
  if (!made) return fail(std::move(made.error()));
  asked.demand = std::move(*made);
  return {};
}

// What of it cannot be read, or not be used, is the provider's to refuse.
void read_forced_calls(const Scene& scene, const json::value& document, Asked& asked, Trail& trail) {
  auto forced = llm::read_forced_tools(scene.call.wire, document);
  if (!forced || forced->empty()) return;
  auto made = std::make_shared<CallDemand>();
  bool any = false;
  for (auto& tool : *forced) {
    DemandPtr arguments;
    if (!tool.schema.is_null()) {
      auto compiled = scene.here.demands.get({.kind = llm::ResponseFormat::Kind::schema, .schema = std::move(tool.schema)}, "tools");
      if (compiled) arguments = std::move(*compiled);
      else trail.decision.step(scene.now(), "call_not_judged", {{"tool", tool.name}, {"why", compiled.error().message}});
    }
    any |= arguments != nullptr;
    made->tools.push_back({std::move(tool.name), std::move(arguments)});
  }
  if (any) asked.calls = std::move(made);
}

}  // namespace

Result<void> read_demand(const Scene& scene, Asked& asked, Trail& trail) {
  const auto& options = asked.route->structured;
  auto& facts = asked.facts;
  if (options.enforce == Enforce::none || facts.prefill) return {};   // the rest of an answer that the caller began is no JSON by itself
  const bool own = facts.wants_schema || (facts.wants_json && options.enforce == Enforce::json && !options.demand);
  if (own || facts.forces_tools) {
    const auto document = parse_json(scene.call.body);
    if (!document && own) return fail(document.error());
    if (own)
      if (auto ok = read_own_format(scene, *document, asked); !ok) return ok;
    if (document && facts.forces_tools) read_forced_calls(scene, *document, asked, trail);
  }
  if (!asked.demand && !asked.calls && options.demand) {
    asked.demand = options.demand;
    asked.demand_of_route = true;
  }
  if (!asked.demand) return {};
  // Where it is asked for in other words than the caller's, his own are not sent.
  const std::uint64_t counted = asked.demand_of_route ? 0 : facts.format_bytes;
  facts.text_bytes += asked.demand->asking_bytes - std::min(asked.demand->asking_bytes, counted);
  ++facts.messages;                                                   // the words may stand in a message of their own
  asked.extent = llm::extent_of(facts);
  return {};
}

llm::Asking asking_for(const Asked& asked, const Candidate& c) {
  return llm::asking_of(c.access->spec, c.target->model, asked.demand->format, asked.demand->hints,
                        {.tools = asked.facts.has_tools, .reasoning = asked.facts.wants_reasoning});
}

}  // namespace ballast::gateway
