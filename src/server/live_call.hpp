// A call as the live feed tells it: CallRow of the HTTP contract.
#pragma once
#include "base/json.hpp"
#include "records/call_record.hpp"

namespace ballast::server {

json::object live_call_json(const records::CallRecord& call);

}  // namespace ballast::server
