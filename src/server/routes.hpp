// The families of routes. Each returns false when the path is not its own.
#pragma once
#include "server/server.hpp"

namespace ballast::server {

Task<bool> models_api(net::Exchange& exchange, const Parts& parts);
Task<bool> audit_api(net::Exchange& exchange, const Parts& parts);
Task<bool> dashboard_api(net::Exchange& exchange, const Parts& parts);
Task<bool> live_api(net::Exchange& exchange, const Parts& parts);
Task<bool> steps_api(net::Exchange& exchange, const Parts& parts);
Task<bool> overview_api(net::Exchange& exchange, const Parts& parts);
Task<bool> session_api(net::Exchange& exchange, const Parts& parts);
Task<bool> keys_api(net::Exchange& exchange, const Parts& parts);
Task<bool> records_api(net::Exchange& exchange, const Parts& parts);
Task<bool> series_api(net::Exchange& exchange, const Parts& parts);
Task<bool> messages_api(net::Exchange& exchange, const Parts& parts);
Task<bool> export_api(net::Exchange& exchange, const Parts& parts);
Task<bool> feedback_api(net::Exchange& exchange, const Parts& parts);
Task<bool> readiness_api(net::Exchange& exchange, const Parts& parts);
Task<bool> budgets_api(net::Exchange& exchange, const Parts& parts);
Task<bool> alerts_api(net::Exchange& exchange, const Parts& parts);
Task<bool> jobs_api(net::Exchange& exchange, const Parts& parts);
Task<bool> dead_api(net::Exchange& exchange, const Parts& parts);
Task<bool> approvals_api(net::Exchange& exchange, const Parts& parts);
Task<bool> approve_api(net::Exchange& exchange, const Parts& parts);
Task<bool> effects_api(net::Exchange& exchange, const Parts& parts);
Task<bool> events_api(net::Exchange& exchange, const Parts& parts);
Task<bool> flows_api(net::Exchange& exchange, const Parts& parts);
Task<bool> runs_api(net::Exchange& exchange, const Parts& parts);
Task<bool> erase_api(net::Exchange& exchange, const Parts& parts);
Task<bool> schedules_api(net::Exchange& exchange, const Parts& parts);
Task<bool> webhooks_api(net::Exchange& exchange, const Parts& parts);
Task<bool> files_api(net::Exchange& exchange, const Parts& parts);
Task<bool> batches_api(net::Exchange& exchange, const Parts& parts);
Task<bool> workers_api(net::Exchange& exchange, const Parts& parts);
Task<bool> pages_api(net::Exchange& exchange, const Parts& parts);
Task<bool> nodes_api(net::Exchange& exchange, const Parts& parts);
Task<bool> state_api(net::Exchange& exchange, const Parts& parts, bool draining);

}  // namespace ballast::server
