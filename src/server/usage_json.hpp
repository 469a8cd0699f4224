// Usage rows as the API and the command line print them: counts exact, money in dollars with nine decimals.
#pragma once
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "records/ledger.hpp"

namespace ballast::server {

// The filters that /api/usage, /api/calls and `ballast usage` share: the name of each, and what it fills in.
struct FilterName {
  std::string_view name;
  std::string records::CallFilter::*value;
};
inline constexpr FilterName kCallFilters[] = {
    {"key", &records::CallFilter::key_id},     {"user", &records::CallFilter::user},           {"feature", &records::CallFilter::feature},
    {"team", &records::CallFilter::team},      {"route", &records::CallFilter::route},         {"operation", &records::CallFilter::operation},
    {"provider", &records::CallFilter::provider}, {"model", &records::CallFilter::model},
};
inline constexpr std::size_t kUsageRows = 1000, kMostUsageRows = 10'000, kMostUsageOffset = 100'000'000;

// "key,day": caller_invalid_request naming `field` and what there is.
Result<std::vector<records::GroupBy>> usage_groups(std::string_view by, std::string_view field);
// What /api/usage answers; `next_offset` when there may be more.
json::object usage_json(const std::vector<records::UsageRow>& rows, const records::UsageQuery& query);
json::object usage_row_json(const records::UsageRow& row, const std::vector<records::GroupBy>& by);

}  // namespace ballast::server
