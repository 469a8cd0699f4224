// What of a configuration takes effect at the next start only. Everything else is swapped by a reload.
#pragma once
#include <string>
#include <vector>

#include "app/config.hpp"

namespace ballast::app {

// The settings, as they are called in the file ("limits_http.body"), in which `wanted` differs from what was `started` with and
// which a reload cannot change.
std::vector<std::string> needs_restart(const Config& started, const Config& wanted);

}  // namespace ballast::app
