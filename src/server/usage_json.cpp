#include "server/usage_json.hpp"

namespace ballast::server {

namespace {

// A number while JSON readers keep it exact, else its digits.
json::value exact(records::Int128 n) {
  if (n >= INT64_MIN && n <= INT64_MAX) return static_cast<std::int64_t>(n);
  return json::value(records::to_string(n));
}

}  // namespace

json::object usage_row_json(const records::UsageRow& row, const std::vector<records::GroupBy>& by) {
  json::object o;
  for (std::size_t i = 0; i < by.size() && i < row.group.size(); ++i) o[records::to_string(by[i])] = row.group[i];
  o["calls"] = row.calls;
  o["failed"] = row.failed;
  o["cache_hits"] = row.cache_hits;
  o["input_tokens"] = exact(row.input);
  o["cached_tokens"] = exact(row.cached);
  o["cache_write_tokens"] = exact(row.cache_write);
  o["output_tokens"] = exact(row.output);
  o["reasoning_tokens"] = exact(row.reasoning);
  o["images"] = exact(row.images);
  o["incurred_usd"] = records::nano_to_usd(row.incurred_nano);
  o["billed_usd"] = records::nano_to_usd(row.billed_nano);
  o["latency_us"] = exact(row.latency_us);
  return o;
}

}  // namespace ballast::server
