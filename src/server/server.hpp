// The HTTP face of Ballast: routes, thin. Each API family has a file; what they do lives in the rooms below.
//
//   models_api     /v1/chat/completions, /v1/responses, /v1/messages, /v1/embeddings, /v1/images/*, /v1beta/models/*
//   keys_api       /api/keys                 admin
//   records_api    /api/usage, /api/decisions/{id}, /api/calls
//   messages_api   /api/calls/{id}/messages
//   export_api     /api/calls/export, /api/export/user
//   budgets_api    /api/budgets/unknown, /api/budgets/reconcile
//   feedback_api   /api/feedback
//   readiness_api  /api/readiness
//   jobs_api       /api/jobs, /api/queues
//   events_api     /api/jobs/{id}/events
//   flows_api      /api/flows, /api/jobs/{id}/stages
//   dead_api       /api/dead, /api/jobs/{id}/redrive
//   approvals_api  /api/approvals
//   approve_api    /approve/{token}         approval links: no key, the link is one
//   workers_api    /api/workers/*
//   webhooks_api   /api/webhooks
//   alerts_api     /api/alerts
//   pages          /pages/NAME/             static files that the configuration names
//   session_api    /api/session             signing in to the dashboard
//   audit_api      /api/audit, /api/config
//   live_api       /api/live
//   steps_api      /api/steps
//   overview_api   /api/overview, /api/money
//   dashboard_api  /, /assets/*, the page's own addresses
//   nodes_api      /api/nodes
//   state_api      /api/breakers, /api/budgets, /api/providers, /metrics, /healthz, /readyz, /openapi.json
//
// Native routes answer errors as RFC 9457 problem details; the models' routes in their own API's shape.
// Thread-safe: one Api serves every loop.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/gateway.hpp"
#include "net/server.hpp"
#include "store/database.hpp"

namespace ballast::cluster {
class Membership;                                // membership.hpp
class Duties;                                    // duties.hpp
}

namespace ballast::watch {
class Watcher;                                   // watcher.hpp
}

namespace ballast::work {
class ApprovalLinks;                             // approval_links.hpp
}

namespace ballast::server {

class WorkDoor;                                  // work_door.hpp
class Pages;                                     // pages.hpp
class RefusedKeys;                               // refused_keys.hpp
class Sessions;                                  // sessions.hpp
class ConfiguredNow;                             // readiness.hpp
class Dashboard;                                 // dashboard.hpp
class ShownConfig;                               // shown_config.hpp
class Live;                                      // live.hpp
class Steps;                                     // steps.hpp

// Borrowed; all of it outlives the Api.
struct Parts {
  gateway::Gateway& gateway;
  store::Database& database;
  metrics::Registry& metrics;
  const Clock& clock;
  std::string version;
  WorkDoor* work = nullptr;                      // null only in tests of other routes
  const work::ApprovalLinks* links = nullptr;    // null: none are made or taken
  const Pages* pages = nullptr;                  // null: none are served
  Sessions* sessions = nullptr;                  // null: nobody signs in, cookies say nothing
  const Dashboard* dashboard = nullptr;          // null: there is no page
  const ShownConfig* config = nullptr;           // null: it is not shown
  Live* live = nullptr;                          // null: nobody follows
  Steps* steps = nullptr;                        // null: nobody follows a call of his
  bool tls = false;                              // this server speaks it: cookies are for it alone
  const ConfiguredNow* configured = nullptr;     // null only in tests of other routes
  watch::Watcher* watcher = nullptr;             // null: nothing is watched
  const cluster::Membership* members = nullptr;  // both null only in tests of other routes
  const cluster::Duties* duties = nullptr;
  RefusedKeys* refused = nullptr;                // null: keys that are none are not counted
};

class Api final : public net::Handler {
 public:
  explicit Api(Parts parts);
  ~Api() override;
  Task<void> handle(net::Exchange& exchange) override;
  RefusalBody refused(int status, std::string_view reason, std::string_view path) override;
  // From now on /readyz says no, so that balancers send nothing new; calls go on.
  void draining(bool yes) { draining_.store(yes); }
  bool is_draining() const { return draining_.load(); }
  const Parts& parts() const { return parts_; }

 private:
  Parts parts_;
  std::atomic<bool> draining_{false};
};

// The document at /openapi.json.
std::string openapi_document(std::string_view version);
// What that document says a path takes, as an Allow header does: "GET, POST"; empty: there is no such path.
std::string methods_of(std::string_view path);

}  // namespace ballast::server
