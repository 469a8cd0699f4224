#include "work/batch.hpp"

#include <algorithm>
#include <array>

#include <fmt/ranges.h>

#include "base/text.hpp"
#include "llm/errors.hpp"

namespace ballast::work {

namespace {

constexpr std::string_view kStates[] = {"validating", "in_progress", "finalizing", "cancelling", "completed", "failed", "expired", "cancelled"};
constexpr std::string_view kPrefix = "batch_";

struct Endpoint {
  std::string_view path, operation;
};
constexpr std::array<Endpoint, 4> kEndpoints{{{"/v1/chat/completions", "chat.completions"}, {"/v1/responses", "responses"}, {"/v1/embeddings", "embeddings"}, {"/v1/messages", "messages"}}};

std::uint64_t number(const JsonRef& at, std::string_view name) {
  const auto found = at.find(name);
  const auto n = found ? found->as<std::int64_t>() : Result<std::int64_t>(0);
  return n && *n > 0 ? static_cast<std::uint64_t>(*n) : 0;
}

// Of {"usage": {…, "details": {"name": n}}}, by the first of the names there is.
std::uint64_t detail(const JsonRef& usage, std::initializer_list<std::string_view> groups, std::string_view name) {
  for (const auto group : groups)
    if (const auto found = usage.find(group); found && found->is_object()) return number(*found, name);
  return 0;
}

// The times with their names in storage.
auto times_of(auto& b) {
  return std::array{std::pair("in_progress", &b.in_progress), std::pair("finalizing", &b.finalizing), std::pair("completed", &b.completed), std::pair("failed", &b.failed),
                    std::pair("expired", &b.expired), std::pair("cancelling", &b.cancelling), std::pair("cancelled", &b.cancelled)};
}

json::object mistake_object(const BatchMistake& m) { return {{"code", m.code}, {"message", m.message}, {"param", m.param}, {"line", m.line}}; }

std::string text_in(const JsonRef& at, std::string_view name) {
  const auto found = at.find(name);
  return found && found->is_string() ? std::string(found->value().get_string()) : std::string();
}

Error error_of(std::string_view packed) {
  const json::value document(error_json(packed));
  const JsonRef at(document);
  return {.code = error_code_from(text_in(at, "code")).value_or(ErrorCode::internal_error), .message = text_in(at, "message"), .field = text_in(at, "field")};
}

std::string digits_of(JobId id) { return to_string(id).substr(4); }

json::object head_of(JobId id, std::string_view custom_id) { return {{"id", "batch_req_" + digits_of(id)}, {"custom_id", custom_id}}; }

std::string error_line(JobId id, std::string_view custom_id, std::string_view code, std::string_view message) {
  json::object o = head_of(id, custom_id);
  o["response"] = nullptr;
  o["error"] = json::object{{"code", code}, {"message", message}};
  return to_json(o);
}

}  // namespace

std::string_view to_string(BatchState state) { return kStates[static_cast<std::size_t>(state)]; }

std::string batch_id(JobId id) { return std::string(kPrefix) + digits_of(id); }

std::optional<JobId> parse_batch_id(std::string_view text) {
  if (!text.starts_with(kPrefix)) return std::nullopt;
  return parse_job_id("job_" + std::string(text.substr(kPrefix.size())));
}

const CallShape* shape_of_endpoint(std::string_view endpoint) {
  const auto at = std::ranges::find(kEndpoints, endpoint, &Endpoint::path);
  return at == kEndpoints.end() ? nullptr : call_shape(at->operation);
}

std::string batch_endpoints() {
  std::vector<std::string_view> paths;
  for (const auto& e : kEndpoints) paths.push_back(e.path);
  return fmt::format("{}", fmt::join(paths, ", "));
}

void BatchUsage::add(const json::value& reply) {
  const auto usage = JsonRef(reply).find("usage");
  if (!usage || !usage->is_object()) return;
  const std::uint64_t anthropic_cached = number(*usage, "cache_read_input_tokens"), written = number(*usage, "cache_creation_input_tokens");
  input += number(*usage, "prompt_tokens") + number(*usage, "input_tokens") + anthropic_cached + written;
  output += number(*usage, "completion_tokens") + number(*usage, "output_tokens");
  cached += anthropic_cached + detail(*usage, {"prompt_tokens_details", "input_tokens_details"}, "cached_tokens");
  reasoning += detail(*usage, {"completion_tokens_details", "output_tokens_details"}, "reasoning_tokens");
}

std::string pack_batch(const Batch& b) {
  json::object o{{"window", b.window}, {"metadata", b.metadata}, {"user", b.user}, {"feature", b.feature}, {"output", b.output.value}, {"errors", b.errors.value},
                 {"total", b.counts.total}, {"done", b.counts.completed}, {"bad", b.counts.failed}};
  for (const auto& [name, at] : times_of(b))
    if (*at != WallTime{}) o[name] = unix_us(*at);
  if (b.usage) o["usage"] = json::array{b.usage->input, b.usage->cached, b.usage->output, b.usage->reasoning};
  json::array mistakes;
  for (const auto& m : b.mistakes) mistakes.push_back(mistake_object(m));
  if (!mistakes.empty()) o["mistakes"] = std::move(mistakes);
  return to_json(o);
}

Result<void> unpack_batch(std::string_view packed, Batch& b) {
  const auto document = parse_json(packed, {.max_bytes = packed.size() + 1, .max_depth = 16});
  if (!document) return fail(ErrorCode::internal_error, "a stored batch cannot be read: " + document.error().message);
  const JsonRef at(*document);
  b.window = text_in(at, "window");
  b.user = text_in(at, "user");
  b.feature = text_in(at, "feature");
  if (const auto metadata = at.find("metadata"); metadata && metadata->is_object()) b.metadata = metadata->value().get_object();
  b.output = JobId{static_cast<std::int64_t>(number(at, "output"))};
  b.errors = JobId{static_cast<std::int64_t>(number(at, "errors"))};
  b.counts = {number(at, "total"), number(at, "done"), number(at, "bad")};
  for (const auto& [name, into] : times_of(b))
    if (at.find(name)) *into = from_unix_us(static_cast<std::int64_t>(number(at, name)));
  if (const auto usage = at.find("usage"); usage && usage->size() == 4) {
    const auto n = [&](std::size_t i) { return static_cast<std::uint64_t>(usage->item(i).as<std::int64_t>().value_or(0)); };
    b.usage = BatchUsage{n(0), n(1), n(2), n(3)};
  }
  if (const auto mistakes = at.find("mistakes"))
    for (std::size_t i = 0; i < mistakes->size(); ++i) {
      const JsonRef m = mistakes->item(i);
      b.mistakes.push_back({text_in(m, "code"), text_in(m, "message"), text_in(m, "param"), number(m, "line")});
    }
  return {};
}

std::expected<BatchLine, BatchMistake> read_batch_line(std::string_view text, std::string_view endpoint, std::uint64_t line) {
  const auto wrong = [line](std::string code, std::string message, std::string param) {
    return std::unexpected(BatchMistake{std::move(code), std::move(message), std::move(param), line});
  };
  const auto document = parse_json(text, {.max_bytes = kMostLine, .max_depth = 256});
  if (!document || !document->is_object()) return wrong("invalid_json_line", "This line is not parseable as valid JSON.", "");
  const JsonRef at(*document);
  BatchLine out{.custom_id = text_in(at, "custom_id"), .model = {}, .body = {}};
  if (out.custom_id.empty()) return wrong("missing_required_parameter", "custom_id is required: a string that is unique in the file.", "custom_id");
  if (out.custom_id.size() > kMaxCustomId) return wrong("invalid_value", fmt::format("custom_id must be at most {} bytes.", kMaxCustomId), "custom_id");
  if (out.custom_id.find('\0') != std::string::npos) return wrong("invalid_value", "custom_id must not contain NUL.", "custom_id");
  if (text_in(at, "method") != "POST") return wrong("invalid_method", "method must be POST.", "method");
  if (const std::string url = text_in(at, "url"); url != endpoint)
    return wrong("url_mismatch", fmt::format("The url \"{}\" is not the batch's endpoint, {}.", utf8_prefix(url, 200), endpoint), "url");
  const auto body = at.find("body");
  if (!body || !body->is_object()) return wrong("missing_required_parameter", "body is required: the request, as its endpoint has it.", "body");
  out.model = model_of(body->value());
  if (out.model.empty()) return wrong("missing_required_parameter", fmt::format("body.model is required: a name of at most {} bytes.", kMaxName), "body.model");
  out.body = to_json(body->value());
  return out;
}

void LineCutter::push(std::string_view piece) { piece_ = piece; }

std::optional<LineCutter::Line> LineCutter::next() {
  for (;;) {
    const auto end = piece_.find('\n');
    if (end == std::string_view::npos && !ended_) {
      rest_ += piece_.substr(0, kMostLine + 1 - std::min(rest_.size(), kMostLine + 1));
      piece_ = {};
    }
    if (end == std::string_view::npos && (!ended_ || (piece_.empty() && rest_.empty()))) return std::nullopt;
    std::string_view text = piece_.substr(0, end);
    piece_.remove_prefix(end == std::string_view::npos ? piece_.size() : end + 1);
    ++number_;
    if (!rest_.empty()) {
      line_ = std::exchange(rest_, {});
      line_ += text;
      text = line_;
    }
    const bool too_long = text.size() > kMostLine;
    text = trim(text.substr(0, kMostLine));
    if (!text.empty()) return Line{text, number_, too_long};
  }
}

BatchAnswer answer_of_none(Unmade why, JobId id, std::string_view custom_id) {
  switch (why) {
    case Unmade::cancelled: return {error_line(id, custom_id, "batch_cancelled", "This request was cancelled before it was answered."), false, false};
    case Unmade::late: return {error_line(id, custom_id, "batch_expired", "This request could not be executed before the completion window expired."), false, true};
    case Unmade::lost: break;
  }
  return {error_line(id, custom_id, "batch_request_lost", "The request was removed before it was answered."), false, false};
}

BatchAnswer answer_of(const Job& job, std::string_view custom_id, BatchUsage& usage) {
  if (job.state == JobState::cancelled) return answer_of_none(Unmade::cancelled, job.id, custom_id);
  const Error error = job.state == JobState::done ? Error{} : error_of(job.error);
  if (error.code == ErrorCode::caller_timeout && error.field == "deadline") return answer_of_none(Unmade::late, job.id, custom_id);
  const auto respond = [&](int status, json::value body) {
    json::object o = head_of(job.id, custom_id);
    o["response"] = json::object{{"status_code", status}, {"request_id", "req_" + digits_of(job.id)}, {"body", std::move(body)}};
    o["error"] = nullptr;
    return BatchAnswer{to_json(o), status == 200, false};
  };
  const CallShape* shape = call_shape(job.spec.name);
  const llm::Wire wire = shape ? shape->wire : llm::Wire::openai_chat;
  if (job.state != JobState::done) return respond(llm::http_status(error.code, wire), llm::error_object(wire, error));
  auto body = parse_json(job.output, {.max_bytes = job.output.size() + 1, .max_depth = 512});
  if (!body) return respond(502, llm::error_object(wire, Error{ErrorCode::provider_bad_response, "the answer cannot be read"}));
  usage.add(*body);
  return respond(200, std::move(*body));
}

}  // namespace ballast::work
