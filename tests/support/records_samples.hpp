// Calls as tests of records need them.
#pragma once
#include <string>

#include "records/call_record.hpp"

namespace ballast::test {

inline constexpr std::int64_t kNoonMs = 1'795'262'400'000;  // 2026-11-21T12:00:00Z

// The n-th call of a test: `at_ms` apart from noon, its id unique by n.
inline Id call_id(std::uint64_t n, std::int64_t at_ms = 0) {
  return {(static_cast<std::uint64_t>(kNoonMs + at_ms) << 16) | (n & 0xffff), n + 1};
}

inline records::CallRecord sample_call(std::uint64_t n, std::int64_t at_ms = 0) {
  records::CallRecord c;
  c.id = call_id(n, at_ms);
  c.key_id = "key_01jd0000000000000000000001";
  c.key_name = "app";
  c.team = "web";
  c.user = "alice";
  c.feature = "search";
  c.route = "chat";
  c.requested_model = "chat";
  c.operation = "chat";
  c.api = "openai_chat";
  c.arrived = WallTime(std::chrono::milliseconds(kNoonMs + at_ms));
  c.cache = records::CacheState::miss;
  c.served_by = "openai/gpt-5-mini";
  c.provider = "openai";
  c.model = "gpt-5-mini";
  c.usage = {.input = 100, .cached = 20, .output = 50};
  c.incurred_nano = c.billed_nano = 125'000;
  c.latency_us = 812'000;
  c.first_token_us = 120'000;
  c.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  c.decision = R"([{"at_us":12,"step":"plan","targets":2},{"at_us":15,"step":"hold","nano":300000}])";
  c.charges = {{"key/month|key_01jd0000000000000000000001|1793491200", 125'000}};
  records::AttemptRecord a;
  a.id = call_id(n + 1'000'000, at_ms);
  a.provider = c.provider;
  a.model = c.model;
  a.credential = "openai#1";
  a.started = c.arrived;
  a.latency_us = 811'000;
  a.first_token_us = 119'000;
  a.http_status = 200;
  a.usage = c.usage;
  a.incurred_nano = c.incurred_nano;
  c.attempts = {a};
  return c;
}

inline records::CallIntent sample_intent(std::uint64_t n, std::int64_t at_ms = 0) {
  const records::CallRecord c = sample_call(n, at_ms);
  records::CallIntent i{.id = c.id, .key_id = c.key_id, .key_name = c.key_name, .team = c.team, .user = c.user, .feature = c.feature, .route = c.route,
                        .requested_model = c.requested_model, .operation = c.operation, .api = c.api, .provider = c.provider, .model = c.model,
                        .arrived = c.arrived, .trace_id = c.trace_id};
  i.charges = {{c.charges[0].window, 300'000}};
  i.hold_nano = 300'000;
  return i;
}

}  // namespace ballast::test
