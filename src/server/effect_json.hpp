// Effects of a run as the API and the command line show them.
#pragma once
#include <optional>
#include <span>
#include <string_view>

#include "base/json.hpp"
#include "records/effects.hpp"
#include "work/job.hpp"

namespace ballast::server {

json::object effect_json(const records::Effect& effect);
// {id, effects, unknown}: those in `state` (empty: all) in the order they were intended; `unknown` counts those that a person has to look into.
json::object effects_json(work::JobId run, std::span<const records::Effect> effects, std::string_view state);
std::optional<records::EffectKind> effect_kind_from(std::string_view name);

}  // namespace ballast::server
