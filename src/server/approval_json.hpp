// Approvals as JSON, and who decides them by HTTP.
#pragma once
#include "base/json.hpp"
#include "gateway/principal.hpp"
#include "net/server.hpp"
#include "work/approval.hpp"

namespace ballast::server {

struct Parts;

json::object approval_json(const work::Approval& approval, bool whole);   // whole: with what is shown, and what it was edited to
// What the key proves: its own user and team, not what the request says of itself.
work::Decider decider_of(const gateway::Principal& who);
// Wakes the run, whose decision is durable. What fails here is made up for by the sweep.
Task<void> tell_run(net::Exchange& exchange, const Parts& parts, const work::Approval& decided);

}  // namespace ballast::server
