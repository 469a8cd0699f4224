// The models' own APIs: OpenAI's, Anthropic's and Gemini's routes onto the call road.
#include "llm/errors.hpp"
#include "net/url.hpp"
#include "server/exchange_sink.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/steps.hpp"

namespace ballast::server {

namespace {

struct Route {
  std::string_view path;
  llm::Wire wire;
  llm::Operation operation;
};

constexpr Route kRoutes[] = {
    {"/v1/chat/completions", llm::Wire::openai_chat, llm::Operation::chat},
    {"/v1/responses", llm::Wire::openai_responses, llm::Operation::responses},
    {"/v1/messages", llm::Wire::anthropic_messages, llm::Operation::messages},
    {"/v1/messages/count_tokens", llm::Wire::anthropic_messages, llm::Operation::count_tokens},
    {"/v1/embeddings", llm::Wire::openai_chat, llm::Operation::embeddings},
    {"/v1/images/generations", llm::Wire::openai_chat, llm::Operation::images_generations},
    {"/v1/images/edits", llm::Wire::openai_chat, llm::Operation::images_edits},
};

gateway::CacheControl cache_control_of(const net::Headers& headers) {
  if (headers.count("cache-control") < 2) return gateway::cache_control_from(headers.get("cache-control"));
  return gateway::cache_control_from(all_of(headers, "cache-control"));
}

gateway::Call call_of(const net::Exchange& exchange, llm::Wire wire, llm::Operation operation) {
  const auto& h = exchange.request().headers;
  return {.wire = wire, .operation = operation, .body = exchange.body(), .content_type = h.get("content-type"),
          .secret = secret_of(exchange.request()), .user = h.get("x-ballast-user"), .feature = h.get("x-ballast-feature"),
          .complexity = h.get("x-ballast-complexity"), .record = h.get("x-ballast-record"), .cache = cache_control_of(h), .idempotency_key = h.get("idempotency-key"),
          .traceparent = h.get("traceparent"), .tracestate = h.get("tracestate"), .content_encoding = h.get("content-encoding"),
          .anthropic_beta = h.get("anthropic-beta")};
}

// Nobody, but for a call whose maker follows it.
std::unique_ptr<StepsOfCall> steps_of(const net::Exchange& exchange, const Parts& parts) {
  if (!parts.steps || parts.steps->followers() == 0) return nullptr;
  const std::string_view name = exchange.request().headers.get("x-ballast-steps");
  return name.empty() ? nullptr : parts.steps->of(name);
}

// Calls to the gateway, in the caller's own words; the key was looked at on its road.
Task<bool> call_with(net::Exchange& exchange, const Parts& parts, gateway::Call call) {
  const auto steps = steps_of(exchange, parts);
  call.steps = steps.get();
  ExchangeSink sink(exchange);
  if (call.operation == llm::Operation::count_tokens)
    co_await parts.gateway.count_tokens(call, sink);
  else
    co_await parts.gateway.serve(call, sink);
  if (sink.status() != 401) co_return true;
  const auto who = parts.gateway.authenticate(exchange.loop().index(), call.secret);
  if (!who) note_refused(exchange, parts, who.error());
  co_return true;
}

// From a page of the dashboard: the session says who calls.
Task<bool> serve_page(net::Exchange& exchange, const Parts& parts, llm::Wire wire, llm::Operation operation) {
  co_await acquaint(exchange, parts);
  const auto who = require_session(exchange.request(), parts, session_token(exchange.request(), parts));
  ExchangeSink sink(exchange);
  if (!who) {
    const auto told = llm::write_error(wire, who.error());
    co_await reply_text(exchange, told.status, "application/json", told.body);
    co_return true;
  }
  gateway::Call call = call_of(exchange, wire, operation);
  call.known = &*who;
  const auto steps = steps_of(exchange, parts);
  call.steps = steps.get();
  if (operation == llm::Operation::count_tokens)
    co_await parts.gateway.count_tokens(call, sink);
  else
    co_await parts.gateway.serve(call, sink);
  co_return true;
}

// Without a key, from a page of another site: a browser sends that without asking first, and where no key is needed it would spend.
bool from_another_site(const net::RequestHead& request) {
  const std::string_view from = request.headers.get("sec-fetch-site");
  return (from == "cross-site" || from == "same-site") && secret_of(request).empty();
}

Task<bool> refuse_site(net::Exchange& exchange, llm::Wire wire) {
  const auto told = llm::write_error(wire, Error{ErrorCode::caller_forbidden, "a page of another site calls with a key, or not at all", "sec-fetch-site"});
  co_await reply_text(exchange, told.status, "application/json", told.body);
  co_return true;
}

Task<bool> serve(net::Exchange& exchange, const Parts& parts, llm::Wire wire, llm::Operation operation) {
  return call_with(exchange, parts, call_of(exchange, wire, operation));
}

// /v1beta/models/MODEL:generateContent
Task<bool> gemini(net::Exchange& exchange, const Parts& parts) {
  const std::string_view path = exchange.request().path;
  constexpr std::string_view prefix = "/v1beta/models/";
  if (!path.starts_with(prefix)) co_return false;
  const auto colon = path.rfind(':');
  if (colon == std::string_view::npos || exchange.request().method != "POST") co_return false;
  const std::string model = net::percent_decode(path.substr(prefix.size(), colon - prefix.size()), false);
  const std::string_view action = path.substr(colon + 1);
  if (action != "generateContent" && action != "streamGenerateContent" && action != "countTokens") co_return false;
  if (from_another_site(exchange.request())) co_return co_await refuse_site(exchange, llm::Wire::gemini);
  gateway::Call call = call_of(exchange, llm::Wire::gemini, action == "countTokens" ? llm::Operation::count_tokens : llm::Operation::generate);
  call.path_model = model;
  call.path_stream = action == "streamGenerateContent";
  co_return co_await call_with(exchange, parts, std::move(call));
}

json::object model_entry(const gateway::RouteTable::Name& name) {
  json::object entry{{"id", name.name}, {"object", "model"}, {"type", "model"}, {"display_name", name.name},
                     {"created", 1'700'000'000}, {"created_at", "2023-11-14T22:13:20Z"}, {"owned_by", name.kind == "model" ? name.name.substr(0, name.name.find('/')) : "ballast"}};
  if (!name.leads_to.empty()) entry["leads_to"] = name.leads_to;
  return entry;
}

// Both OpenAI's and Anthropic's lists: their fields do not collide.
Task<bool> list_models(net::Exchange& exchange, const Parts& parts) {
  co_await acquaint(exchange, parts);
  const auto who = require_scope(exchange, parts, gateway::Scope::call);
  if (!who) {
    const auto told = llm::write_error(llm::Wire::openai_chat, who.error());
    co_await reply_text(exchange, told.status, "application/json", told.body);
    co_return true;
  }
  json::array data;
  const std::string_view path = exchange.request().path;
  constexpr std::string_view prefix = "/v1/models/";
  const std::string wanted = path.starts_with(prefix) ? net::percent_decode(path.substr(prefix.size()), false) : std::string();
  for (const auto& name : parts.gateway.setup()->routes->names()) {
    if (!gateway::require_model(*who, name.name, name.leads_to.empty() ? name.name : name.leads_to)) continue;
    if (wanted.empty()) data.push_back(model_entry(name));
    if (wanted.empty() || name.name != wanted) continue;
    co_await reply_json(exchange, 200, model_entry(name));
    co_return true;
  }
  if (!wanted.empty()) {
    const auto told = llm::write_error(llm::Wire::openai_chat, Error{ErrorCode::caller_not_found, "the model " + wanted + " does not exist", "model"});
    co_await reply_text(exchange, told.status, "application/json", told.body);
    co_return true;
  }
  json::object body{{"object", "list"}, {"served_by", "ballast"}, {"has_more", false}, {"first_id", nullptr}, {"last_id", nullptr}};
  if (!data.empty()) {
    body["first_id"] = data.front().at("id");
    body["last_id"] = data.back().at("id");
  }
  body["data"] = std::move(data);
  co_await reply_json(exchange, 200, std::move(body));
  co_return true;
}

}  // namespace

// No coroutine itself: a stream would hold its frame.
Task<bool> models_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  for (const Route& route : kRoutes) {
    if (request.path != route.path || request.method != "POST") continue;
    if (from_another_site(request)) return refuse_site(exchange, route.wire);
    const bool page = parts.sessions && secret_of(request).empty() && !session_token(request, parts).empty();
    return page ? serve_page(exchange, parts, route.wire, route.operation) : serve(exchange, parts, route.wire, route.operation);
  }
  if (request.method == "GET" && (request.path == "/v1/models" || request.path.starts_with("/v1/models/")))
    return list_models(exchange, parts);
  return gemini(exchange, parts);
}

}  // namespace ballast::server
