// What the configuration says of readiness (server/readiness.hpp).
#pragma once
#include <span>

#include "app/config.hpp"
#include "app/wiring.hpp"
#include "server/readiness.hpp"
#include "work/flow.hpp"

namespace ballast::app {

server::ConfiguredFacts configured_facts(const Config& config, const Wired& wired, std::span<const work::FlowPtr> flows);

}  // namespace ballast::app
