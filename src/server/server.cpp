#include "server/server.hpp"

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
  net::Headers headers{{"content-type", wire ? "application/json" : "application/problem+json"}};
  if (!methods.empty()) headers.put("allow", methods);
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
  co_await acquaint(exchange, parts_);
  const bool session = co_await session_api(exchange, parts_);
  if (session) co_return;
  const bool state = co_await state_api(exchange, parts_, is_draining());
  if (state) co_return;
  const bool records = co_await records_api(exchange, parts_);
  if (records) co_return;
  const bool series = co_await series_api(exchange, parts_);
  if (series) co_return;
  const bool messages = co_await messages_api(exchange, parts_);
  if (messages) co_return;
  const bool exported = co_await export_api(exchange, parts_);
  if (exported) co_return;
  const bool feedback = co_await feedback_api(exchange, parts_);
  if (feedback) co_return;
  const bool readiness = co_await readiness_api(exchange, parts_);
  if (readiness) co_return;
  const bool overview = co_await overview_api(exchange, parts_);
  if (overview) co_return;
  const bool live = co_await live_api(exchange, parts_);
  if (live) co_return;
  const bool audit = co_await audit_api(exchange, parts_);
  if (audit) co_return;
  const bool budgets = co_await budgets_api(exchange, parts_);
  if (budgets) co_return;
  const bool alerts = co_await alerts_api(exchange, parts_);
  if (alerts) co_return;
  if (parts_.work) {
    const bool workers = co_await workers_api(exchange, parts_);
    if (workers) co_return;
    const bool events = co_await events_api(exchange, parts_);
    if (events) co_return;
    const bool runs = co_await runs_api(exchange, parts_);
    if (runs) co_return;
    const bool flows = co_await flows_api(exchange, parts_);
    if (flows) co_return;
    const bool effects = co_await effects_api(exchange, parts_);
    if (effects) co_return;
    const bool dead = co_await dead_api(exchange, parts_);
    if (dead) co_return;
    const bool jobs = co_await jobs_api(exchange, parts_);
    if (jobs) co_return;
    const bool schedules = co_await schedules_api(exchange, parts_);
    if (schedules) co_return;
    const bool files = co_await files_api(exchange, parts_);
    if (files) co_return;
    const bool batches = co_await batches_api(exchange, parts_);
    if (batches) co_return;
    const bool erasure = co_await erase_api(exchange, parts_);
    if (erasure) co_return;
    const bool webhooks = co_await webhooks_api(exchange, parts_);
    if (webhooks) co_return;
    const bool approvals = co_await approvals_api(exchange, parts_);
    if (approvals) co_return;
    const bool links = co_await approve_api(exchange, parts_);
    if (links) co_return;
  }
  const bool keys = co_await keys_api(exchange, parts_);
  if (keys) co_return;
  const bool pages = co_await pages_api(exchange, parts_);
  if (pages) co_return;
  const bool dashboard = co_await dashboard_api(exchange, parts_);
  if (dashboard) co_return;
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
