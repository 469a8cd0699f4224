// The proof of a set of flows, before any of them runs: what `ballast check` says of flows/*.yaml. Each flow by itself has been
// proved by its reader already (names, circles, what an expression can see); this looks at what stages mean to each other.
//
// Errors:   a flow that does not exist, or of another version; a model, dataset or classifier that does not exist; flows that call each other in a circle; a stage that can never run;
//           a wait, an approval or a child without an end; an effect that is repeated though it must not be; a destructive effect that
//           nothing undoes and that does not say so; an approval that nobody can grant, or that is passed by; a member or a type that
//           a schema rules out; taint at a settle stage (taint.hpp).
// Warnings: a map without a limit; reading a stage that may have been skipped; a member that its schema does not mention; retries that
//           outlast the run; what a tainted value decides; an approval that only an administrator could grant.
// Notes:    what cannot be known here.
#pragma once
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "work/flow.hpp"

namespace ballast::work {

enum class Grant : std::uint8_t { nobody, administrator, yes };
// What the flows will run among; a null function answers yes.
struct FlowWorld {
  // Has somebody who may approve been asked, if this one is asked: "user:anna"; empty: anybody at all. `signature`: a user's own alone will do.
  std::function<Grant(std::string_view assignee, bool signature)> can_approve;
  bool knows_all_keys = true;                                   // else its `nobody` may be mistaken
  std::function<bool(std::string_view route)> route_exists;     // a route, alias or model of the gateway
  std::function<bool(std::string_view dataset)> dataset_exists;
  std::function<bool(std::string_view classifier)> classifier_exists;
};

struct FlowFindings {
  std::vector<ConfigMistake> errors, warnings, notes;          // in the order of files and lines, without repetition
};
FlowFindings check_flows(std::span<const FlowPtr> flows, const FlowWorld& world = {});

}  // namespace ballast::work
