// The request as one target is sent it: the caller's bytes with values spliced where both speak one wire, else translated.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "gateway/road.hpp"

namespace ballast::gateway {

struct Outgoing {
  std::string owned;                     // empty when the caller's own bytes go unchanged
  std::string_view bytes;                // what to send; borrows the call's body or `owned`
  std::string_view content_type = "application/json";
  llm::Wire wire = llm::Wire::openai_chat;
};

// `continuation`: text the caller has already been given, for the target to go on after (empty: from the start).
// `correction`: asks again for an answer that was refused.
// The task-local Outgoing must not move once made. Errors: caller_invalid_request naming the field that this target's wire cannot express.
Result<void> make_outgoing(Outgoing& out, const Scene& scene, const Asked& asked, const Candidate& candidate, llm::Wire wire,
                           std::string_view continuation, const Correction* correction);

}  // namespace ballast::gateway
