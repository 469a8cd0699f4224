// Which calls a request asks for, from its query; a key without scope read sees its own, whatever it asks for.
// Errors: caller_invalid_request naming the parameter and what it may be.
#pragma once
#include "gateway/principal.hpp"
#include "net/http.hpp"
#include "records/ledger.hpp"

namespace ballast::server {

// What usage may be narrowed by: time, and what kCallFilters names.
Result<records::CallFilter> usage_filter(const net::RequestHead& request, const gateway::Principal& who);
// And what a search of calls may be beyond that: status, error, cache, cost, latency.
Result<records::CallFilter> search_filter(const net::RequestHead& request, const gateway::Principal& who);

}  // namespace ballast::server
