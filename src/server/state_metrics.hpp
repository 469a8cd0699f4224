// The figures that rooms keep for themselves, as gauges of /metrics: read when scraped, nothing on the road.
#pragma once
#include "base/metrics.hpp"
#include "gateway/gateway.hpp"
#include "store/database.hpp"

namespace ballast::server {

// Names are an interface: docs/operations.md lists them, and a test holds both together. `gateway` and `database` outlive the
// registry's last `expose`.
void export_state(metrics::Registry& registry, const gateway::Gateway& gateway, const store::Database& database);

}  // namespace ballast::server
