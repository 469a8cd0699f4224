// `ballast check --production`: the checklist, as the running server judges it, or from the configuration alone.
#pragma once
#include <functional>
#include <string>
#include <variant>

#include "app/access.hpp"
#include "server/readiness.hpp"

namespace ballast::app {

struct ProductionFlags {
  AccessFlags access;
  std::string record, note;              // "load_test=2026-11-20"
};
// `configured` reads the configuration where no server answers; an int is the exit code of what was wrong with it, already told.
// Returns 1 where a line failed.
int check_production(const ProductionFlags& flags, const std::function<std::variant<server::ConfiguredFacts, int>()>& configured);
// As people read it.
std::string tell_readiness(const json::value& answer);

}  // namespace ballast::app
