#include "server/usage_json.hpp"

#include "base/text.hpp"

namespace ballast::server {

namespace {

// A number while JSON readers keep it exact, else its digits.
json::value exact(records::Int128 n) {
  if (n >= INT64_MIN && n <= INT64_MAX) return static_cast<std::int64_t>(n);
  return json::value(records::to_string(n));
}

}  // namespace

Result<std::vector<records::GroupBy>> usage_groups(std::string_view by, std::string_view field) {
  std::vector<records::GroupBy> out;
  if (by.empty()) return out;
  for (const auto name : split(by, ',')) {
    const auto group = records::group_by_from(trim(name));
    if (!group)
      return fail(ErrorCode::caller_invalid_request,
                  fmt::format("cannot group by \"{}\": one of key, user, feature, team, model, provider, route, operation, hour, day, status", name), std::string(field));
    out.push_back(*group);
  }
  if (out.size() > 4) return fail(ErrorCode::caller_invalid_request, "can group by four at most", std::string(field));
  return out;
}

json::object usage_json(const std::vector<records::UsageRow>& rows, const records::UsageQuery& query) {
  json::array list;
  for (const auto& row : rows) list.push_back(usage_row_json(row, query.by));
  json::object body{{"rows", std::move(list)}};
  if (rows.size() == query.limit) body["next_offset"] = query.offset + query.limit;
  return body;
}

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
