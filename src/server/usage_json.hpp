// Usage rows as the API and the command line print them: counts exact, money in dollars with nine decimals.
#pragma once
#include <vector>

#include "base/json.hpp"
#include "records/ledger.hpp"

namespace ballast::server {

json::object usage_row_json(const records::UsageRow& row, const std::vector<records::GroupBy>& by);

// "2026-11-21" or "2026-11-21T04:00:00Z" (UTC). caller_invalid_request naming `field`.
Result<WallTime> parse_rfc3339(std::string_view text, std::string_view field);

}  // namespace ballast::server
