// Step 1 of the road: who asks, for what, along which route.
#include "base/json.hpp"
#include "gateway/road.hpp"

namespace ballast::gateway {

namespace {

// Output tokens a request is estimated at where it names no maximum.
constexpr std::uint64_t kExpectedOutput = 512;
// Tokens an image is estimated at, for limits (the ceiling for money is another figure).
constexpr std::uint64_t kExpectedImage = 1024;

bool speaks_chat(llm::Operation op) {
  return op == llm::Operation::chat || op == llm::Operation::responses || op == llm::Operation::messages ||
         op == llm::Operation::generate;
}

// The `name="field"` part of a multipart form, for image edits.
std::string multipart_field(std::string_view body, std::string_view field) {
  const std::string mark = "name=\"" + std::string(field) + "\"";
  const auto at = body.find(mark);
  if (at == std::string_view::npos) return {};
  const auto begin = body.find("\r\n\r\n", at);
  if (begin == std::string_view::npos) return {};
  const auto end = body.find("\r\n--", begin + 4);
  return end == std::string_view::npos ? std::string() : std::string(body.substr(begin + 4, end - begin - 4));
}

// Embeddings and images pass through; only what accounting and routing need is read.
Result<void> read_pass_through(const Call& call, Asked& asked) {
  auto& facts = asked.facts;
  facts.text_bytes = call.body.size();
  if (call.content_type.starts_with("multipart/")) {
    facts.model = multipart_field(call.body, "model");
    facts.text_bytes = multipart_field(call.body, "prompt").size();
    facts.images = 1;
  } else {
    auto parsed = parse_json(call.body);
    if (!parsed) return fail(std::move(parsed.error()));
    const JsonRef root(*parsed);
    auto model = root.get<std::string>("model");
    if (!model) return fail(std::move(model.error()));
    facts.model = std::move(*model);
    if (auto user = root.maybe<std::string>("user"); user && *user) facts.user = std::move(**user);
    auto n = root.maybe_int("n", 1, 128);
    if (!n) return fail(std::move(n.error()));
    if (*n) facts.n = static_cast<std::uint32_t>(**n);
    if (auto s = root.maybe<bool>("stream"); s && *s) facts.stream = **s;
    asked.document = std::move(*parsed);
  }
  if (facts.model.empty()) return fail(ErrorCode::caller_invalid_request, "the request names no model", "model");
  return {};
}

Result<void> read_facts(const Scene& scene, Asked& asked) {
  const Call& call = scene.call;
  asked.chat = speaks_chat(call.operation);
  if (!asked.chat) return read_pass_through(call, asked);
  auto facts = scene.here.facts.request(call.wire, call.body);
  if (!facts) return fail(std::move(facts.error()));
  asked.facts = std::move(*facts);
  if (!call.path_model.empty()) asked.facts.model = call.path_model;
  if (call.path_stream) asked.facts.stream = true;
  if (call.wire == llm::Wire::anthropic_messages && !asked.facts.max_tokens)
    return fail(ErrorCode::caller_invalid_request, "max_tokens: is required", "max_tokens");
  return {};
}

}  // namespace

Result<Asked> read_request(const Scene& scene, Trail& trail) {
  const Call& call = scene.call;
  auto who = scene.world.keys.authenticate(scene.loop(), call.secret, scene.world.clock.wall());
  if (!who) return fail(std::move(who.error()));
  auto& r = trail.record;
  r.key_id = who->key_id();
  r.key_name = who->key_name();
  r.team = who->team();
  if (auto ok = require(*who, Scope::call); !ok) return fail(std::move(ok.error()));

  Asked asked{.who = std::move(*who)};
  if (auto ok = read_facts(scene, asked); !ok) return fail(std::move(ok.error()));
  attribute(asked.who, {.header_user = call.user, .header_feature = call.feature, .body_user = asked.facts.user,
                        .metadata_feature = asked.facts.feature});
  r.user = asked.who.user;
  r.feature = asked.who.feature;
  r.requested_model = asked.facts.model;

  auto route = scene.setup.routes->resolve(asked.facts.model);
  if (!route) return fail(std::move(route.error()));
  asked.route = std::move(*route);
  if (!asked.route->direct) r.route = asked.route->name;
  if (auto ok = require_model(asked.who, asked.facts.model, asked.route->name); !ok) return fail(std::move(ok.error()));

  const auto& f = asked.facts;
  const auto output = f.max_tokens ? static_cast<std::uint64_t>(*f.max_tokens) : kExpectedOutput;
  asked.token_estimate = f.text_bytes / 4 + f.images * kExpectedImage + (asked.chat ? output * f.n : 0);
  trail.decision.step(scene.now(), "route", {{"model", f.model}, {"route", asked.route->name}, {"key", r.key_name}, {"stream", f.stream}});
  return asked;
}

LimitSubject limit_subject(const Asked& asked) {
  return {.key = asked.who.key_id(), .user = asked.who.user, .feature = asked.who.feature, .team = asked.who.team(), .system = true};
}

}  // namespace ballast::gateway
