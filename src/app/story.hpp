// The story of one call, told from its record: what `ballast explain` prints.
#pragma once
#include <string>

#include "base/json.hpp"

namespace ballast::app {

// `record` is records::to_json(CallRecord), as a document. Unknown steps are told by their facts; never fails.
std::string tell(const json::value& record);

}  // namespace ballast::app
