// Usage rows as the API and the command line print them: counts exact, money in dollars with nine decimals.
#pragma once
#include <vector>

#include "base/json.hpp"
#include "records/ledger.hpp"

namespace ballast::server {

json::object usage_row_json(const records::UsageRow& row, const std::vector<records::GroupBy>& by);

}  // namespace ballast::server
