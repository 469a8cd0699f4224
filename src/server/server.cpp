#include "server/server.hpp"

#include "llm/errors.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"

namespace ballast::server {

namespace {

// The API whose words a caller of this path understands; nothing: the native ones.
std::optional<llm::Wire> api_of(const net::RequestHead& request) {
  if (request.path.starts_with("/v1beta/")) return llm::Wire::gemini;
  if (!request.path.starts_with("/v1/")) return std::nullopt;
  const bool anthropic = request.path.starts_with("/v1/messages") || !request.headers.get("anthropic-version").empty();
  return anthropic ? llm::Wire::anthropic_messages : llm::Wire::openai_chat;
}

// No route took it: the path takes other methods, or there is none.
Task<void> no_route(net::Exchange& exchange) {
  const std::string methods = methods_of(exchange.request().path);
  const int status = methods.empty() ? 404 : 405;
  const Error error = methods.empty() ? Error{ErrorCode::caller_not_found, "no such path; /openapi.json lists what there is"}
                                      : Error{ErrorCode::caller_invalid_request, "this path takes " + methods};
  const auto wire = api_of(exchange.request());
  net::Headers headers{{"content-type", wire ? "application/json" : "application/problem+json"}};
  if (!methods.empty()) headers.add("allow", methods);
  const std::string body = wire ? to_json(llm::error_object(*wire, error)) : to_json(problem_object(error, status));
  const auto sent = co_await exchange.respond(status, headers, body);
  (void)sent;                            // a caller that left wants nothing
}

}  // namespace

Api::Api(Parts parts) : parts_(std::move(parts)) {}
Api::~Api() = default;

Task<void> Api::handle(net::Exchange& exchange) {
  const bool model = co_await models_api(exchange, parts_);
  if (model) co_return;
  const bool state = co_await state_api(exchange, parts_, is_draining());
  if (state) co_return;
  const bool records = co_await records_api(exchange, parts_);
  if (records) co_return;
  const bool budgets = co_await budgets_api(exchange, parts_);
  if (budgets) co_return;
  const bool keys = co_await keys_api(exchange, parts_);
  if (keys) co_return;
  co_await no_route(exchange);
}

net::Handler::RefusalBody Api::refused(int status, std::string_view reason) {
  json::object error{{"message", reason}, {"type", "invalid_request_error"}, {"param", nullptr}, {"code", status == 413 ? "caller_too_large" : "caller_invalid_request"}};
  return {"application/json", to_json(json::value(json::object{{"error", std::move(error)}}))};
}

}  // namespace ballast::server
