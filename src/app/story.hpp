// The story of one call, told from its record: what `ballast explain` prints.
#pragma once
#include <string>

#include "base/json.hpp"

namespace ballast::app {

// `record` is records::to_json(CallRecord), as a document. Unknown steps are told by their facts; never fails.
std::string tell(const json::value& record);

// The same of one run, from the answer of GET /api/jobs/{id}/stages: each stage's last word, and of questions over datasets how they were answered.
std::string tell_run(const json::value& stages);

}  // namespace ballast::app
