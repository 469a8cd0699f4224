#include "server/reply.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "llm/errors.hpp"
#include "net/url.hpp"
#include "server/refused_keys.hpp"

namespace ballast::server {

static Task<void> reply_with(net::Exchange& exchange, int status, net::Headers headers, std::string_view body) {
  for (const auto& [name, value] : {std::pair("cache-control", "no-store"), std::pair("x-content-type-options", "nosniff")}) headers.add(name, value);
  const auto sent = co_await exchange.respond(status, headers, body);
  if (!sent) log::debug("caller_left", {{"path", exchange.request().path}});
}

Task<void> reply_text(net::Exchange& exchange, int status, std::string_view type, std::string_view body) {
  net::Headers headers;
  headers.add("content-type", type);
  co_await reply_with(exchange, status, std::move(headers), body);
}

Task<void> reply_json(net::Exchange& exchange, int status, json::value body) {
  const std::string text = to_json(body);
  co_await reply_text(exchange, status, "application/json", text);
}

// Seconds. The database is away, or there is no room: nobody knows for how long.
constexpr std::string_view kSoon = "5";

int problem_status(ErrorCode code) { return llm::http_status(code, llm::Wire::openai_chat); }

json::object problem_object(const Error& error, int status) {
  json::object body{{"type", "about:blank"}, {"title", net::reason_phrase(status)}, {"status", status},
                    {"detail", log::redact(error.message)}, {"code", to_string(error.code)}};
  if (!error.field.empty()) body["field"] = error.field;
  return body;
}

Task<void> reply_problem(net::Exchange& exchange, const Error& error) {
  const int status = problem_status(error.code);
  const std::string text = to_json(problem_object(error, status));
  net::Headers headers;
  headers.add("content-type", "application/problem+json");
  if (error.retry_after) headers.add("retry-after", std::to_string(std::chrono::ceil<std::chrono::seconds>(*error.retry_after).count()));
  else if (status == 503) headers.add("retry-after", kSoon);
  co_await reply_with(exchange, status, std::move(headers), text);
}

Task<void> reply_openai_error(net::Exchange& exchange, const Error& error) {
  const auto told = llm::write_error(llm::Wire::openai_chat, error);
  net::Headers headers;
  for (const auto& [name, value] : told.headers) headers.add(name, value);
  if (told.status == 503 && !error.retry_after) headers.add("retry-after", kSoon);
  const auto sent = co_await exchange.respond(told.status, headers, told.body);
  if (!sent) log::debug("caller_left", {{"path", exchange.request().path}});
}

Task<void> reply_openai_list(net::Exchange& exchange, json::array data, bool has_more) {
  json::object body{{"object", "list"}, {"has_more", has_more}, {"first_id", nullptr}, {"last_id", nullptr}};
  if (!data.empty()) {
    body["first_id"] = data.front().at("id");
    body["last_id"] = data.back().at("id");
  }
  body["data"] = std::move(data);
  co_await reply_json(exchange, 200, std::move(body));
}

std::string all_of(const net::Headers& headers, std::string_view name) {
  std::string all;
  for (const auto& [field, value] : headers)
    if (net::same_field_name(field, name)) all.append(all.empty() ? "" : ",").append(value);
  return all;
}

std::string_view secret_of(const net::RequestHead& request) {
  const auto& h = request.headers;
  return gateway::secret_in(h.get("authorization"), h.get("x-api-key"), h.get("api-key"), h.get("x-goog-api-key"));
}

// Who may read everything may look where callers see their own; it lets nobody call.
static bool looks(const net::RequestHead& request, const gateway::Principal& who, gateway::Scope scope) {
  const bool own = scope == gateway::Scope::call || scope == gateway::Scope::usage;
  return own && request.method == "GET" && request.path.starts_with("/api/") && who.key->scopes.has(gateway::Scope::read);
}

void note_refused(const net::Exchange& exchange, const Parts& parts, const Error& why) {
  if (parts.refused && why.code == ErrorCode::caller_unauthenticated && !secret_of(exchange.request()).empty())
    parts.refused->note(RefusedKeys::Where::header, exchange.peer(), parts.clock.wall());
}

// What is done in memory, on this node: it helps in the very incident in which nothing else can be done.
static constexpr std::string_view kDoneInMemory[] = {"/api/breakers/reset", "/api/budgets/trust"};

// A change of an administrator is made upon what he sees, which is what this node knows.
static bool must_be_fresh(const net::RequestHead& request, gateway::Scope scope) {
  return scope == gateway::Scope::admin && request.method != "GET" && request.method != "HEAD" &&
         std::ranges::find(kDoneInMemory, request.path) == std::end(kDoneInMemory);
}

Result<gateway::Principal> require_scope(net::Exchange& exchange, const Parts& parts, gateway::Scope scope) {
  const auto token = parts.sessions ? session_token(exchange.request(), parts) : std::string_view();
  auto who = token.empty() ? parts.gateway.authenticate(exchange.loop().index(), secret_of(exchange.request())) : require_session(exchange.request(), parts, token);
  if (!who && token.empty()) note_refused(exchange, parts, who.error());
  if (!who) return who;
  if (looks(exchange.request(), *who, scope)) return who;
  if (auto ok = gateway::require(*who, scope); !ok) return fail(std::move(ok.error()));
  if (const auto* freshness = parts.gateway.world().freshness; freshness && freshness->stale() && must_be_fresh(exchange.request(), scope))
    return fail(freshness->refusal("nothing is changed upon what may be out of date", ""));
  return who;
}

std::string query(const net::RequestHead& request, std::string_view name) {
  std::string value;
  net::query_value(request.query, name, value);
  return value;
}

Result<std::size_t> query_count(const net::RequestHead& request, std::string_view name, std::size_t fallback, std::size_t least, std::size_t most) {
  const std::string text = query(request, name);
  if (text.empty()) return fallback;
  const auto n = parse_int<std::size_t>(text);
  if (!n || *n < least || *n > most)
    return fail(ErrorCode::caller_invalid_request, fmt::format("must be a whole number from {} to {}", least, most), std::string(name));
  return *n;
}

}  // namespace ballast::server
