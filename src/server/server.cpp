#include "server/server.hpp"

#include "server/reply.hpp"
#include "server/routes.hpp"

namespace ballast::server {

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
  co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "no such path; /openapi.json lists what there is"});
}

net::Handler::RefusalBody Api::refused(int status, std::string_view reason) {
  json::object error{{"message", reason}, {"type", "invalid_request_error"}, {"param", nullptr}, {"code", status == 413 ? "caller_too_large" : "caller_invalid_request"}};
  return {"application/json", to_json(json::value(json::object{{"error", std::move(error)}}))};
}

}  // namespace ballast::server
