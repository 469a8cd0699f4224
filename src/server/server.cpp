#include "server/server.hpp"

#include <span>

#include "llm/errors.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"

namespace ballast::server {

namespace {

// The API whose words a caller of this path understands; nothing: the native ones.
std::optional<llm::Wire> api_of(std::string_view path, bool says_anthropic = false) {
  if (path.starts_with("/v1beta/")) return llm::Wire::gemini;
  if (!path.starts_with("/v1/")) return std::nullopt;
  const bool anthropic = says_anthropic || path.starts_with("/v1/messages");
  return anthropic ? llm::Wire::anthropic_messages : llm::Wire::openai_chat;
}

// No route took it: the path takes other methods, or there is none.
Task<void> no_route(net::Exchange& exchange) {
  const std::string methods = methods_of(exchange.request().path);
  const int status = methods.empty() ? 404 : 405;
  const Error error = methods.empty() ? Error{ErrorCode::caller_not_found, "no such path; /openapi.json lists what there is"}
                                      : Error{ErrorCode::caller_invalid_request, "this path takes " + methods};
  const auto wire = api_of(exchange.request().path, exchange.request().headers.has("anthropic-version"));
  net::Headers headers{{"content-type", wire ? "application/json" : "application/problem+json"}, {"cache-control", "no-store"}, {"x-content-type-options", "nosniff"}};
  if (!methods.empty()) headers.put("allow", methods);
  const std::string body = wire ? to_json(llm::error_object(*wire, error)) : to_json(problem_object(error, status));
  const auto sent = co_await exchange.respond(status, headers, body);
  (void)sent;                            // a caller that left wants nothing
}

// Each says whether it has answered; a path is of one of them.
using Room = Task<bool> (*)(net::Exchange&, const Parts&);
constexpr Room kRooms[] = {
    nodes_api, records_api, series_api, messages_api, export_api, feedback_api, readiness_api, overview_api, live_api, steps_api, audit_api,
    budgets_api, alerts_api, keys_api, pages_api, dashboard_api};
constexpr Room kWorkRooms[] = {
    workers_api, events_api, runs_api, flows_api, effects_api, dead_api, jobs_api, schedules_api, files_api, batches_api, erase_api, webhooks_api,
    approvals_api, approve_api};

}  // namespace

Api::Api(Parts parts) : parts_(std::move(parts)) {}
Api::~Api() = default;

Task<void> Api::handle(net::Exchange& exchange) {
  const bool model = co_await models_api(exchange, parts_);
  if (model) co_return;
  co_await acquaint(exchange, parts_);
  const bool session = co_await session_api(exchange, parts_);
  if (session) co_return;
  const bool state = co_await state_api(exchange, parts_, is_draining());
  if (state) co_return;
  for (const Room room : parts_.work ? std::span<const Room>(kWorkRooms) : std::span<const Room>()) {
    const bool answered = co_await room(exchange, parts_);
    if (answered) co_return;
  }
  for (const Room room : kRooms) {
    const bool answered = co_await room(exchange, parts_);
    if (answered) co_return;
  }
  co_await no_route(exchange);
}

// Before any route was asked. An unknown path is a native one, but for a caller whose first line was not understood: OpenAI's words.
net::Handler::RefusalBody Api::refused(int status, std::string_view reason, std::string_view path) {
  const ErrorCode code = status == 413 || status == 431 || status == 414 ? ErrorCode::caller_too_large
                         : status == 408                                 ? ErrorCode::caller_timeout
                         : status >= 500                                 ? ErrorCode::internal_error
                                                                         : ErrorCode::caller_invalid_request;
  const Error error{code, std::string(reason)};
  const auto wire = path.empty() ? std::optional(llm::Wire::openai_chat) : api_of(path);
  if (wire) return {"application/json", to_json(llm::error_object(*wire, error))};
  return {"application/problem+json", to_json(problem_object(error, status))};
}

}  // namespace ballast::server
