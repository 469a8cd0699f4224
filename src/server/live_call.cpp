#include "server/live_call.hpp"

#include "base/money.hpp"

namespace ballast::server {

json::object live_call_json(const records::CallRecord& c) {
  const auto ms = [](std::uint64_t us) { return static_cast<double>(us) / 1000; };
  const auto& t = c.usage;
  return {{"id", to_string(c.id, "call")}, {"arrived", to_rfc3339(c.arrived)}, {"key", {{"id", c.key_id}, {"name", c.key_name}}}, {"team", c.team}, {"user", c.user},
          {"feature", c.feature}, {"route", c.route}, {"requested_model", c.requested_model}, {"operation", c.operation}, {"api", c.api}, {"provider", c.provider},
          {"model", c.model}, {"served_by", c.served_by}, {"status", records::to_string(c.status)}, {"error", c.error}, {"http_status", c.http_status},
          {"cache", records::to_string(c.cache)},
          {"tokens", {{"input", t.input}, {"cached", t.cached}, {"cache_write", t.cache_write}, {"output", t.output}, {"reasoning", t.reasoning}, {"images", t.images}}},
          {"incurred_usd", to_usd({c.incurred_nano})}, {"billed_usd", to_usd({c.billed_nano})}, {"latency_ms", ms(c.latency_us)},
          {"first_token_ms", c.first_token_us ? json::value(ms(c.first_token_us)) : json::value(nullptr)}, {"attempts", c.attempts.size()}};
}

}  // namespace ballast::server
