#include "server/effect_json.hpp"

#include "base/config_node.hpp"
#include "base/hash.hpp"

namespace ballast::server {

json::object effect_json(const records::Effect& e) {
  const records::EffectIntent& i = e.intent;
  json::object o{{"stage", i.id.path}, {"attempt", i.id.attempt}, {"kind", to_string(i.id.kind)}, {"state", to_string(e.state)}, {"target", i.target},
                 {"arguments", to_hex(i.arguments)}, {"input", to_hex(i.id.input)}};
  if (!i.idempotency_key.empty()) o["idempotency_key"] = i.idempotency_key;
  for (const auto& [name, at] : {std::pair("intended", e.intended), {"dispatched", e.dispatched}, {"settled", e.settled}, {"undone", e.undone}})
    if (at != WallTime{}) o[name] = to_rfc3339(at);
  if (e.outcome.empty()) return o;
  auto outcome = parse_json(e.outcome);
  o["outcome"] = outcome ? std::move(*outcome) : json::value(e.outcome);
  return o;
}

json::object effects_json(work::JobId run, std::span<const records::Effect> effects, std::string_view state) {
  json::array out;
  std::size_t unknown = 0;
  for (const auto& e : effects) {
    unknown += e.state == records::EffectState::unknown;
    if (state.empty() || state == to_string(e.state)) out.push_back(effect_json(e));
  }
  return {{"id", to_string(run)}, {"effects", std::move(out)}, {"unknown", unknown}};
}

std::optional<records::EffectKind> effect_kind_from(std::string_view name) {
  using enum records::EffectKind;
  for (const auto kind : {http, settle, worker, compensation})
    if (name == to_string(kind)) return kind;
  return std::nullopt;
}

}  // namespace ballast::server
