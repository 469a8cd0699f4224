// The two questions that the check and the run must answer alike. Private to work/.
#pragma once
#include <optional>

#include "work/flow_reads.hpp"
#include "work/taint.hpp"

namespace ballast::work {

// What the stage itself puts on its output.
std::optional<TaintKind> taint_source(const Stage& stage);
// Whether what is read becomes part of what the stage sends or gives back. Of a settle stage's effect it is `values` that counts.
bool carries(const Reading& reading);

}  // namespace ballast::work
