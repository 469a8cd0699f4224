// The figures that rooms keep for themselves, as gauges of /metrics: read when scraped, nothing on the road.
#pragma once
#include "base/metrics.hpp"
#include "cluster/quota.hpp"
#include "gateway/gateway.hpp"
#include "store/database.hpp"

namespace ballast::server {

// Names are an interface: docs/operations.md lists them, and a test holds both together. `gateway` and `database` outlive the
// registry's last `expose`.
void export_state(metrics::Registry& registry, const gateway::Gateway& gateway, const store::Database& database);
// `quotas`, as above, null where there is one node: then all are 0.
void export_quotas(metrics::Registry& registry, const cluster::Quotas* quotas);

}  // namespace ballast::server
