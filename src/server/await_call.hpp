// A call of the ledger that may still be on its way there.
#pragma once
#include "records/call_record.hpp"
#include "server/server.hpp"

namespace ballast::server {

// Waits, a few seconds at most, for the importer if the call is of the last minute. caller_not_found if the ledger has none.
Task<Result<records::CallRecord>> await_call(net::Exchange& exchange, const Parts& parts, Id id);

}  // namespace ballast::server
