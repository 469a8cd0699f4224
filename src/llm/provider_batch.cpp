#include "llm/provider_batch.hpp"

#include <fmt/format.h>

#include "base/json.hpp"
#include "base/text.hpp"

namespace ballast::llm {

namespace {

constexpr JsonLimits kReply{.max_bytes = 64u << 20, .max_depth = 256};
constexpr std::string_view kTag = "ballast";
constexpr std::string_view kBoundary = "ballast-batch-b7f5d0c1e2a34968";

// With the provider's head, at `path` below its base.
Result<BatchAsk> ask_at(const ProviderSpec& spec, std::string_view secret, BatchApi api, std::string_view method, std::string_view path) {
  const Wire wire = api == BatchApi::openai ? Wire::openai_chat : Wire::anthropic_messages;
  auto call = make_call(spec, secret, Operation::models, wire, {}, false);
  if (!call) return fail(std::move(call.error()));
  call->method = method;
  call->target = spec.base.target + std::string(path);
  return BatchAsk{.call = std::move(*call), .content_type = {}, .body = {}};
}

std::string path_of(BatchApi api, std::string_view batch) { return (api == BatchApi::openai ? "/batches/" : "/messages/batches/") + net::percent_encode(batch); }

std::string_view endpoint_of(Operation operation) {
  switch (operation) {
    case Operation::embeddings: return "/v1/embeddings";
    case Operation::responses: return "/v1/responses";
    default: return "/v1/chat/completions";
  }
}

std::string text_in(const JsonRef& at, std::string_view name) {
  const auto found = at.find(name);
  return found && found->is_string() ? std::string(found->value().get_string()) : std::string();
}

BatchResult openai_result(const JsonRef& line) {
  BatchResult r{.id = text_in(line, "custom_id"), .status = 0, .body = {}};
  const auto response = line.find("response");
  if (!response || !response->is_object()) return r;
  if (const auto body = response->find("body")) r.body = to_json(body->value());
  if (const auto status = response->maybe_int("status_code", 100, 599); status && *status) r.status = static_cast<int>(**status);
  return r;
}

BatchResult anthropic_result(const JsonRef& line) {
  BatchResult r{.id = text_in(line, "custom_id"), .status = 0, .body = {}};
  const auto result = line.find("result");
  if (!result || !result->is_object()) return r;
  if (const auto message = result->find("message"); message && text_in(*result, "type") == "succeeded") {
    r.status = 200;
    r.body = to_json(message->value());
  } else if (const auto error = result->find("error"); error && error->is_object()) {
    const auto inner = error->find("error");
    const std::string type = inner ? text_in(*inner, "type") : std::string();
    r.status = type == "invalid_request_error" ? 400 : type == "rate_limit_error" ? 429 : 500;
    r.body = to_json(error->value());
  }
  return r;
}

}  // namespace

std::optional<BatchApi> batch_api_of(const ProviderSpec& spec, Operation operation, Wire caller) {
  if (!spec.quirks.batch) return std::nullopt;
  const bool simulator = spec.kind == ProviderKind::simulator;
  if ((spec.kind == ProviderKind::anthropic || simulator) && caller == Wire::anthropic_messages && operation == Operation::messages) return BatchApi::anthropic;
  if (spec.kind != ProviderKind::openai && !simulator) return std::nullopt;
  const bool chat = caller == Wire::openai_chat && (operation == Operation::chat || operation == Operation::embeddings);
  const bool responses = caller == Wire::openai_responses && operation == Operation::responses && (spec.quirks.responses || simulator);
  return chat || responses ? std::optional(BatchApi::openai) : std::nullopt;
}

std::optional<std::string> batch_body(std::string_view body, std::string_view model) {
  auto document = parse_json(body, kReply);
  if (!document || !document->is_object()) return std::nullopt;
  auto& object = document->get_object();
  object["model"] = model;
  object.erase("stream");
  object.erase("stream_options");
  return to_json(*document);
}

Result<BatchAsk> ask_upload(const ProviderSpec& spec, std::string_view secret, Operation operation, const std::vector<BatchItem>& items, std::string_view tag) {
  auto ask = ask_at(spec, secret, BatchApi::openai, "POST", "/files");
  if (!ask) return ask;
  ask->content_type = fmt::format("multipart/form-data; boundary={}", kBoundary);
  ask->body = fmt::format("--{0}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--{0}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{1}.jsonl\"\r\n"
                          "Content-Type: application/jsonl\r\n\r\n", kBoundary, tag);
  for (const BatchItem& item : items)
    ask->body += fmt::format(R"({{"custom_id":"{}","method":"POST","url":"{}","body":{}}})", item.id, endpoint_of(operation), item.body) + "\n";
  ask->body += fmt::format("\r\n--{}--\r\n", kBoundary);
  return ask;
}

Result<BatchAsk> ask_create(const ProviderSpec& spec, std::string_view secret, Operation operation, std::string_view file, std::string_view tag) {
  auto ask = ask_at(spec, secret, BatchApi::openai, "POST", "/batches");
  if (!ask) return ask;
  ask->content_type = "application/json";
  ask->body = to_json(json::object{{"input_file_id", file}, {"endpoint", endpoint_of(operation)}, {"completion_window", "24h"}, {"metadata", {{kTag, tag}}}});
  return ask;
}

Result<BatchAsk> ask_create(const ProviderSpec& spec, std::string_view secret, const std::vector<BatchItem>& items) {
  auto ask = ask_at(spec, secret, BatchApi::anthropic, "POST", "/messages/batches");
  if (!ask) return ask;
  ask->content_type = "application/json";
  ask->body = R"({"requests":[)";
  for (const BatchItem& item : items) ask->body += fmt::format(R"({}{{"custom_id":"{}","params":{}}})", &item == &items.front() ? "" : ",", item.id, item.body);
  ask->body += "]}";
  return ask;
}

Result<BatchAsk> ask_status(const ProviderSpec& spec, std::string_view secret, BatchApi api, std::string_view batch) {
  return ask_at(spec, secret, api, "GET", path_of(api, batch));
}

Result<BatchAsk> ask_cancel(const ProviderSpec& spec, std::string_view secret, BatchApi api, std::string_view batch) {
  return ask_at(spec, secret, api, "POST", path_of(api, batch) + "/cancel");
}

Result<BatchAsk> ask_recent(const ProviderSpec& spec, std::string_view secret) { return ask_at(spec, secret, BatchApi::openai, "GET", "/batches?limit=100"); }

Result<BatchAsk> ask_results(const ProviderSpec& spec, std::string_view secret, BatchApi api, std::string_view batch, std::string_view file) {
  return ask_at(spec, secret, api, "GET", api == BatchApi::openai ? fmt::format("/files/{}/content", net::percent_encode(file)) : path_of(api, batch) + "/results");
}

Result<std::string> read_created(std::string_view body) {
  const auto document = parse_json(body, kReply);
  std::string id = document ? text_in(JsonRef(*document), "id") : std::string();
  if (id.empty()) return fail(ErrorCode::provider_bad_response, "the provider did not say what it had created");
  return id;
}

Result<std::optional<std::string>> read_recent(std::string_view body, std::string_view tag) {
  const auto document = parse_json(body, kReply);
  if (!document) return fail(ErrorCode::provider_bad_response, "the provider's list of batches cannot be read");
  const auto data = JsonRef(*document).find("data");
  for (std::size_t i = 0; data && i < data->size(); ++i) {
    const JsonRef batch = data->item(i);
    const auto metadata = batch.find("metadata");
    if (metadata && metadata->is_object() && text_in(*metadata, kTag) == tag) return std::optional(text_in(batch, "id"));
  }
  return std::optional<std::string>{};
}

Result<BatchProgress> read_progress(BatchApi api, std::string_view body) {
  const auto document = parse_json(body, kReply);
  if (!document || !document->is_object()) return fail(ErrorCode::provider_bad_response, "the provider's batch cannot be read");
  const JsonRef at(*document);
  BatchProgress p;
  if (api == BatchApi::anthropic) {
    p.ended = text_in(at, "processing_status") == "ended";
    return p;
  }
  const std::string status = text_in(at, "status");
  p.ended = status == "completed" || status == "failed" || status == "expired" || status == "cancelled";
  for (const auto name : {"output_file_id", "error_file_id"})
    if (std::string file = text_in(at, name); !file.empty()) p.files.push_back(std::move(file));
  if (status == "failed") p.why = "the provider refused the batch";
  const auto errors = at.find("errors");
  const auto data = errors && errors->is_object() ? errors->find("data") : std::nullopt;
  if (status == "failed" && data && data->size() > 0) p.why = text_in(data->item(0), "message");
  return p;
}

std::vector<BatchResult> read_results(BatchApi api, std::string_view jsonl) {
  std::vector<BatchResult> out;
  while (!jsonl.empty()) {
    const auto line = trim(take_until(jsonl, '\n'));
    const auto document = line.empty() ? Result<json::value>(json::value()) : parse_json(line, kReply);
    if (!document || !document->is_object()) continue;
    out.push_back(api == BatchApi::openai ? openai_result(JsonRef(*document)) : anthropic_result(JsonRef(*document)));
  }
  return out;
}

}  // namespace ballast::llm
