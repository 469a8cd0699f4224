// Step 1 of the road: who asks, for what, along which route.
#include "base/json.hpp"
#include "gateway/road.hpp"
#include "llm/form.hpp"

namespace ballast::gateway {

namespace {

// Output tokens a request is estimated at where it names no maximum.
constexpr std::uint64_t kExpectedOutput = 512;

bool speaks_chat(llm::Operation op) {
  return op == llm::Operation::chat || op == llm::Operation::responses || op == llm::Operation::messages ||
         op == llm::Operation::generate;
}

bool makes_images(llm::Operation op) { return op == llm::Operation::images_generations || op == llm::Operation::images_edits; }

// Images, asked for in JSON or as a form. A stream of them is read to its end and then passed on: `facts.stream` stays false.
Result<void> read_images(const Call& call, Asked& asked) {
  auto ask = asked.document ? llm::read_image_request(*asked.document, call.body.size()) : llm::read_image_form(call.body, call.content_type);
  if (!ask) return fail(std::move(ask.error()));
  auto& facts = asked.facts;
  facts.model = ask->model;
  facts.user = ask->user;
  facts.n = ask->n;
  facts.images = ask->images + ask->masks;
  facts.text_bytes = ask->text_bytes;
  asked.extent = llm::extent_of(*ask);
  asked.images = std::move(*ask);
  return {};
}

bool is_plain(const JsonRef& input) {
  if (input.is_string() || input.is_number()) return true;
  if (!input.is_array()) return false;
  for (std::size_t i = 0; i < input.size(); ++i)
    if (!input.item(i).is_number()) return false;
  return true;
}

// A text, a list of texts or of token numbers; what else a provider may take (an image's URL, say) is an object.
Result<void> check_input(const JsonRef& root) {
  auto input = root.at("input");
  if (!input) return fail(std::move(input.error()));
  if (input->is_number() || input->is_bool()) return fail(input->error("must be a text or a list").error());
  const auto empty = [](const JsonRef& v) { return v.is_array() && v.size() == 0; };
  if (empty(*input)) return fail(input->error("must not be empty").error());
  for (std::size_t i = 0; input->is_array() && i < input->size(); ++i)
    if (const JsonRef item = input->item(i); item.is_bool() || item.is_null() || empty(item))
      return fail(item.error("must be a text or a list of token numbers").error());
  auto dimensions = root.maybe_int("dimensions", 1, 1'000'000);
  if (!dimensions) return fail(std::move(dimensions.error()));
  return {};
}

// A text has at most a token for each byte, and a list of tokens a byte and a comma for each; of anything else (an image's URL, say)
// the request does not tell the tokens.
Result<void> read_embeddings(const Call& call, Asked& asked) {
  const JsonRef root(*asked.document);
  auto model = root.get<std::string>("model");
  if (!model) return fail(std::move(model.error()));
  if (auto ok = check_input(root); !ok) return ok;
  auto& facts = asked.facts;
  facts.model = std::move(*model);
  facts.text_bytes = call.body.size();
  if (auto user = root.maybe<std::string>("user"); user && *user) facts.user = std::move(**user);
  asked.extent = llm::extent_of(facts);
  const auto input = root.find("input");
  std::string unknown = input && (input->is_string() || input->is_array()) ? "" : "input";
  for (std::size_t i = 0; unknown.empty() && input && i < input->size(); ++i)
    if (const JsonRef item = input->item(i); !is_plain(item)) unknown = item.path();
  asked.extent.unbounded = !unknown.empty();
  asked.extent.unbounded_field = std::move(unknown);
  return {};
}

// Embeddings and images pass through; only what accounting and routing need is read.
Result<void> read_pass_through(const Call& call, Asked& asked) {
  const bool images = makes_images(call.operation);
  if (!images || !llm::is_form(call.content_type)) {
    auto parsed = parse_json(call.body);
    if (!parsed) return fail(std::move(parsed.error()));
    asked.document = std::move(*parsed);
  }
  if (auto ok = images ? read_images(call, asked) : read_embeddings(call, asked); !ok) return fail(std::move(ok.error()));
  if (asked.facts.model.empty()) return fail(ErrorCode::caller_invalid_request, "the request names no model", "model");
  return {};
}

// Limits reckon with a quarter of the bytes, and an image at what the ceiling for money does not: that is another figure.
Weight weight_of(const Asked& asked, std::uint64_t output) {
  const auto& f = asked.facts;
  const std::uint64_t prompt = f.text_bytes / 4 + f.images * kImageTokens;
  if (!asked.chat) return {.least = prompt, .prompt = prompt, .most = prompt, .output = output};
  const auto [least, most] = prompt_span(f);
  return {.least = least, .prompt = prompt, .most = most, .output = output};
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
  asked.extent = llm::extent_of(asked.facts);
  if (call.wire == llm::Wire::anthropic_messages && !asked.facts.max_tokens)
    return fail(ErrorCode::caller_invalid_request, "is required", "max_tokens");
  return {};
}

// By which keys, breakers and rules it was decided, where they are older than they may be.
[[gnu::noinline]] void tell_stale(const Scene& scene, Trail& trail) {
  if (const auto since = scene.world.freshness->stale_since()) trail.decision.step(scene.now(), "stale", {{"since", to_rfc3339(*since)}});
}

void note_stale(const Scene& scene, Trail& trail) {
  if (scene.world.freshness && scene.world.freshness->stale(scene.now())) [[unlikely]] tell_stale(scene, trail);
}

}  // namespace

Result<Principal> who_calls(const World& world, const Setup& setup, unsigned loop, const Call& call) {
  if (call.durable) return call.durable->who;
  if (call.known) return *call.known;
  if (!call.secret.empty() || setup.require_key) return world.keys.authenticate(loop, call.secret, world.clock.wall());
  static const auto nobody = std::make_shared<const KeyInfo>(KeyInfo{.id = "anonymous", .name = "anonymous"});
  return Principal{.key = nobody, .user = {}, .feature = {}};
}

Result<Asked> read_request(const Scene& scene, Trail& trail) {
  const Call& call = scene.call;
  auto who = who_calls(scene.world, scene.setup, scene.loop(), call);
  if (!who) return fail(std::move(who.error()));
  auto& r = trail.record;
  r.key_id = who->key_id();
  r.key_name = who->key_name();
  r.team = who->team();
  if (auto ok = require(*who, Scope::call); !ok) return fail(std::move(ok.error()));
  if (call.steps && call.steps->begins(r.key_id, trail.call_id)) trail.decision.tell_to(call.steps);
  note_stale(scene, trail);

  if (!call.content_encoding.empty() && call.content_encoding != "identity")
    return fail(ErrorCode::caller_invalid_request, "is not understood: send the body as it is", "content-encoding");
  if (!call.complexity.empty() && !complexity_from(call.complexity))
    return fail(ErrorCode::caller_invalid_request, "must be simple, medium or hard", "x-ballast-complexity");
  if (!call.record.empty() && call.record != "off") return fail(ErrorCode::caller_invalid_request, "can only be off", "x-ballast-record");

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

  if (auto ok = asked.chat ? read_demand(scene, asked, trail) : Result<void>(); !ok) return fail(std::move(ok.error()));

  const auto& f = asked.facts;
  const auto output = asked.images ? kImageTokens : !asked.chat ? 0 : f.max_tokens ? static_cast<std::uint64_t>(*f.max_tokens) : kExpectedOutput;
  asked.weight = weight_of(asked, output * f.n);
  if (asked.chat) asked.prompt = Prompt(call.wire, call.body);
  trail.decision.step(scene.now(), "route", {{"model", f.model}, {"route", asked.route->name}, {"key", r.key_name}, {"stream", f.stream}});
  return asked;
}

LimitSubject limit_subject(const Asked& asked) {
  return {.key = asked.who.key_id(), .user = asked.who.user, .feature = asked.who.feature, .team = asked.who.team(), .system = true};
}

BudgetSubject budget_subject(const Asked& asked) {
  return {.key = asked.who.key_id(), .user = asked.who.user, .feature = asked.who.feature, .team = asked.who.team()};
}

}  // namespace ballast::gateway
