// How a taint came to a stage of a run: along what was recorded, stage by stage. The same words as the check's (taint_check), for what happened.
#pragma once
#include <string>
#include <vector>

#include "work/run_node.hpp"
#include "work/taint.hpp"

namespace ballast::work {

// The shortest way of each origin, in their order: "shape.output ← triage.output (model)". An origin that a child run brought ends at its stage.
std::vector<std::string> taint_ways(Graph& graph, const Stage& stage, const Taint& taint);

}  // namespace ballast::work
