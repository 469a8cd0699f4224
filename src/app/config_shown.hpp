// The configuration as GET /api/config shows it: chosen member by member, so that what nobody thought of is not shown.
#pragma once
#include "app/config.hpp"
#include "base/json.hpp"

namespace ballast::app {

// Never a secret: no keys of providers or callers, no headers, no passwords of URLs, no queries of them.
json::object shown_config(const Config& config);

}  // namespace ballast::app
