// Charges whose cost nobody told, as JSON: the same from the API and from the command line.
#pragma once
#include <span>

#include "base/json.hpp"
#include "records/reconcile.hpp"

namespace ballast::server {

// {"unknown": [one object for each open attempt], "next": the cursor when `limit` calls were found}.
json::object unknown_json(std::span<const records::CallRecord> calls, std::size_t limit);
// What an attempt was charged and is now, by whom and when.
json::object reconciled_json(Id call, const records::Reconciled& done);

}  // namespace ballast::server
