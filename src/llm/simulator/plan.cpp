// From a request to a script: pure.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/hash.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "llm/errors.hpp"
#include "llm/form.hpp"
#include "llm/simulator/answer.hpp"
#include "llm/simulator/simulator.hpp"

namespace ballast::llm {

Duration SimDelay::draw(Random& random) const {
  switch (kind) {
    case Kind::fixed:
      return low;
    case Kind::uniform:
      return low + Duration(static_cast<std::int64_t>(random.uniform() * static_cast<double>((high - low).count())));
    case Kind::lognormal: {
      // Box and Muller (1958).
      const double u = std::max(random.uniform(), 1e-12);
      const double normal = std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * random.uniform());
      return Duration(static_cast<std::int64_t>(static_cast<double>(low.count()) * std::exp(sigma * normal)));
    }
  }
  return low;
}

std::uint64_t sim_tokens(std::string_view text) { return (text.size() + 3) / 4; }

std::optional<SimRequest> sim_route(std::string_view method, std::string_view target, std::string_view body, std::string_view content_type) {
  const std::string_view path = target.substr(0, target.find('?'));
  SimRequest r{.body = body, .content_type = content_type};
  if (method == "GET" && path.ends_with("/models")) {
    r.operation = Operation::models;
    if (path.starts_with("/v1beta")) r.wire = Wire::gemini;
    return r;
  }
  if (method != "POST") return std::nullopt;
  if (path.ends_with("/chat/completions")) return r;
  if (path.ends_with("/responses")) {
    r.operation = Operation::responses;
    r.wire = Wire::openai_responses;
  } else if (path.ends_with("/messages")) {
    r.operation = Operation::messages;
    r.wire = Wire::anthropic_messages;
  } else if (path.ends_with("/messages/count_tokens")) {
    r.operation = Operation::count_tokens;
    r.wire = Wire::anthropic_messages;
  } else if (path.ends_with("/embeddings")) {
    r.operation = Operation::embeddings;
  } else if (path.ends_with("/images/generations")) {
    r.operation = Operation::images_generations;
  } else if (path.ends_with("/images/edits")) {
    r.operation = Operation::images_edits;
    if (const auto form = is_form(content_type) ? read_image_form(body, content_type) : Result<ImageAsk>(); form) r.model = form->model;
  } else if (const auto colon = path.rfind(':'); colon != std::string_view::npos && path.find("/models/") != std::string_view::npos) {
    const auto from = path.find("/models/") + 8;
    r.model = net::percent_decode(path.substr(from, colon - from), false);
    r.wire = Wire::gemini;
    const auto verb = path.substr(colon);
    r.operation = verb == ":countTokens" ? Operation::count_tokens : verb == ":batchEmbedContents" ? Operation::embeddings : Operation::generate;
    r.stream = path.substr(colon) == ":streamGenerateContent";
  } else {
    return std::nullopt;
  }
  return r;
}

namespace {

// A provider's own status and code, where our vocabulary has no finer word.
SimScript refuse_with(int status, std::string_view type, std::string_view code, std::string_view message, const SimFault& fault, Wire wire,
                      Duration latency) {
  json::object error;
  if (wire == Wire::anthropic_messages)
    error = {{"type", "error"}, {"error", {{"type", type}, {"message", message}}}};
  else if (wire == Wire::gemini)
    error = {{"error", {{"code", status}, {"message", message}, {"status", code}}}};
  else
    error = {{"error", {{"message", message}, {"type", type}, {"param", nullptr}, {"code", code}}}};
  SimHead head{.status = status, .headers = {{"content-type", "application/json"}}};
  if (fault.retry_after) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*fault.retry_after).count();
    head.headers.emplace_back("retry-after", std::to_string((ms + 999) / 1000));
    if (wire != Wire::gemini) head.headers.emplace_back("retry-after-ms", std::to_string(ms));
  }
  return {.steps = {SimWait{latency}, std::move(head), SimBytes{to_json(json::value(std::move(error)))}}};
}

bool strikes(const SimFault& f, std::uint64_t number, Duration since, Random& random) {
  if (since < f.from || since >= f.until) return false;
  if (f.first && number > *f.first) return false;
  if (f.every && number % *f.every != 0) return false;
  if (f.period > Duration::zero() && (since - f.from) % f.period >= f.period / 2) return false;
  return f.rate >= 1.0 || random.uniform() < f.rate;
}

// Faults that come instead of an answer.
std::optional<SimScript> instead_of_answer(const SimFault& f, Wire wire, Duration latency, bool has_prefill) {
  using K = SimFaultKind;
  switch (f.kind) {
    case K::http_429: return refuse_with(429, "rate_limit_error", "rate_limit_exceeded", "Rate limit reached", f, wire, latency);
    case K::http_429_billing: return refuse_with(429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota", f, wire, latency);
    case K::http_401: return refuse_with(401, "authentication_error", "invalid_api_key", "Incorrect API key provided", f, wire, latency);
    case K::http_500: return refuse_with(500, "api_error", "INTERNAL", "The server had an error", f, wire, latency);
    case K::http_502: return refuse_with(502, "api_error", "bad_gateway", "Bad gateway", f, wire, latency);
    case K::http_503: return refuse_with(503, "overloaded_error", "UNAVAILABLE", "The engine is overloaded", f, wire, latency);
    case K::http_504: return refuse_with(504, "timeout_error", "gateway_timeout", "Gateway timeout", f, wire, latency);
    case K::http_529: return refuse_with(529, "overloaded_error", "overloaded", "Overloaded", f, wire, latency);
    case K::context_length:
      return refuse_with(400, "invalid_request_error", "context_length_exceeded", "This model's maximum context length is exceeded: prompt is too long", f, wire, latency);
    case K::content_filter:
      return refuse_with(400, "invalid_request_error", "content_filter", "The response was filtered due to the content management policy", f, wire, latency);
    case K::prefill_rejected:
      if (!has_prefill) return std::nullopt;
      return refuse_with(400, "invalid_request_error", "invalid_request", "This model does not support assistant message prefill", f, wire, latency);
    case K::reset: return SimScript{.steps = {SimWait{latency}, SimReset{}}};
    case K::silence: return SimScript{.steps = {SimSilence{}}};
    default: return std::nullopt;
  }
}

SimScript whole(const SimRequest& request, const SimModel& model, const SimDraft& draft, const SimFault* fault, Duration latency, Random& random) {
  SimScript script{.model = model.name};
  const double seconds = model.tokens_per_second > 0 ? static_cast<double>(draft.usage.output) / model.tokens_per_second : 0;
  script.steps.push_back(SimWait{latency + model.ttft.draw(random) + Duration(static_cast<std::int64_t>(seconds * 1e9))});
  auto document = write_reply(request.wire, draft.reply);
  if (document) repeat_request(request.wire, *document, request.body);
  const std::string body = document ? to_json(json::value(*document)) : std::string("{}");
  SimHead head{.headers = {{"content-type", "application/json"}}};
  if (fault && fault->kind == SimFaultKind::malformed_chunk) {
    script.steps.insert(script.steps.end(), {head, SimBytes{body.substr(0, body.size() / 2)}});
  } else if (fault && (fault->kind == SimFaultKind::cut || fault->kind == SimFaultKind::wrong_content_length)) {
    head.stream = true;                  // a body that begins and breaks off
    script.steps.insert(script.steps.end(), {head, SimBytes{body.substr(0, body.size() / 2)}, SimReset{}});
  } else if (fault && fault->kind == SimFaultKind::stall) {
    head.stream = true;
    script.steps.insert(script.steps.end(), {head, SimBytes{body.substr(0, body.size() / 2)}, SimSilence{}});
  } else {
    script.steps.insert(script.steps.end(), {head, SimBytes{body}});
  }
  return script;
}

// One step of a stream that is under a fault after `sent` tokens. True: the stream ends here.
bool break_stream(const SimFault& f, StreamEncoder& encoder, std::vector<SimStep>& steps) {
  switch (f.kind) {
    case SimFaultKind::cut:
    case SimFaultKind::wrong_content_length:
      steps.push_back(SimReset{});
      return true;
    case SimFaultKind::stall:
      steps.push_back(SimSilence{});
      return true;
    case SimFaultKind::error_in_stream: {
      std::string out;
      encoder.error(Error{ErrorCode::provider_overloaded, "Overloaded"}, out);
      steps.push_back(SimBytes{std::move(out)});
      return true;
    }
    case SimFaultKind::malformed_chunk:
      steps.push_back(SimBytes{"data: {\"choices\":[{\"del\n\n"});
      return false;
    default:
      return false;
  }
}

SimScript streamed(const SimRequest& request, const SimModel& model, const SimDraft& draft, const SimFault* fault, Duration latency, Random& random) {
  SimScript script{.model = model.name};
  auto& steps = script.steps;
  steps.push_back(SimWait{latency});
  steps.push_back(SimHead{.headers = {{"content-type", "text/event-stream"}}, .stream = true});
  steps.push_back(SimWait{fault && fault->kind == SimFaultKind::slow_first_token ? fault->delay : model.ttft.draw(random)});
  const Duration gap(model.tokens_per_second > 0 ? static_cast<std::int64_t>(1e9 / model.tokens_per_second) : 0);
  StreamEncoder encoder(request.wire, {.include_usage = draft.include_usage, .request = request.body, .usage_estimate = draft.usage});
  std::uint64_t tokens = 0;
  std::string out;
  for (const auto& event : draft.events) {
    const bool content = std::holds_alternative<TextDelta>(event) || std::holds_alternative<ToolArgsDelta>(event);
    if (content && fault && tokens == fault->after_tokens && break_stream(*fault, encoder, steps)) return script;
    encoder.push(event, out);
    if (content && tokens++ > 0 && gap > Duration::zero()) steps.push_back(SimWait{gap});
    if (!out.empty()) steps.push_back(SimBytes{std::exchange(out, {})});
  }
  encoder.finish(out);
  if (fault && fault->kind == SimFaultKind::missing_terminator)
    for (const std::string_view terminator : {"data: [DONE]", "event: message_stop"})
      if (const auto done = out.find(terminator); done != std::string::npos) out.resize(done);
  if (!out.empty()) steps.push_back(SimBytes{std::move(out)});
  return script;
}

SimScript converse(const SimRequest& request, const SimConfig& config, std::uint64_t number, Duration since, std::int64_t now, Random& random) {
  const auto document = parse_json(request.body);
  auto chat = document ? parse_request(request.wire, *document) : Result<ChatRequest>(fail(document.error()));
  if (!chat) return refuse(request.wire, chat.error());
  if (!request.model.empty()) chat->model = request.model;
  if (request.stream) chat->stream = true;
  const auto found = config.models.find(chat->model);
  if (found == config.models.end())
    return refuse(request.wire, Error{ErrorCode::caller_not_found, "The model `" + chat->model + "` does not exist", "model"});
  const SimModel& model = found->second;
  const Duration latency = model.latency.draw(random);
  const bool prefill = !chat->messages.empty() && chat->messages.back().role == Role::assistant;

  const SimFault* fault = nullptr;
  for (const auto& f : model.faults) {
    if (!strikes(f, number, since, random)) continue;
    if (auto script = instead_of_answer(f, request.wire, latency, prefill)) return std::move(*script);
    if (f.kind == SimFaultKind::prefill_rejected) continue;
    fault = &f;
    break;
  }
  if (prefill && !model.prefill)
    return refuse(request.wire, Error{ErrorCode::caller_invalid_request, "This model does not support assistant message prefill", "messages"}, latency);

  const bool lies = fault && fault->kind >= SimFaultKind::json_fenced;
  SimDraft draft = draft_answer(*chat, model, lies ? fault : nullptr, now, random);
  if (draft.usage.input() > model.context)
    return *instead_of_answer({.kind = SimFaultKind::context_length}, request.wire, latency, prefill);
  if (fault && fault->kind == SimFaultKind::over_report_usage) draft.report(draft.usage.output * 1000 + 1'000'000);
  SimScript script = chat->stream ? streamed(request, model, draft, fault, latency, random) : whole(request, model, draft, fault, latency, random);
  script.input_tokens = draft.usage.input();
  script.output_tokens = draft.usage.output;
  return script;
}

SimScript count(const SimRequest& request) {
  const std::uint64_t tokens = sim_tokens(request.body);
  json::object body;
  if (request.wire == Wire::gemini)
    body["totalTokens"] = tokens;
  else
    body["input_tokens"] = tokens;
  return {.steps = {SimHead{.headers = {{"content-type", "application/json"}}}, SimBytes{to_json(json::value(std::move(body)))}}};
}

}  // namespace

namespace {

// The models by name, as each API lists them.
SimScript list_models(const SimRequest& request, const SimConfig& config) {
  json::array data;
  for (const auto& [name, model] : config.models) {
    if (request.wire == Wire::gemini)
      data.push_back(json::object{{"name", "models/" + name}, {"inputTokenLimit", model.context}});
    else
      data.push_back(json::object{{"id", name}, {"object", "model"}, {"created", 0}, {"owned_by", "simulator"}});
  }
  json::object body;
  if (request.wire == Wire::gemini)
    body["models"] = std::move(data);
  else
    body = {{"object", "list"}, {"data", std::move(data)}};
  return {.steps = {SimHead{.headers = {{"content-type", "application/json"}}}, SimBytes{to_json(json::value(std::move(body)))}}};
}

// Embeddings and images: the faults that come instead of an answer, then the answer.
SimScript pass_through(const SimRequest& request, const SimConfig& config, std::uint64_t number, Duration since, std::int64_t now, Random& random) {
  const auto found = config.models.find(request.model);
  Duration latency{};
  if (found != config.models.end()) {
    latency = found->second.latency.draw(random);
    for (const auto& f : found->second.faults)
      if (strikes(f, number, since, random))
        if (auto script = instead_of_answer(f, request.wire, latency, false)) return std::move(*script);
  }
  SimScript script = draft_pass_through(request, config, now);
  script.steps.insert(script.steps.begin(), SimWait{latency});
  return script;
}

}  // namespace

SimScript plan(const SimRequest& request, const SimConfig& config, std::uint64_t number, Duration since, std::int64_t now, Random& random) {
  if (is_conversation(request.operation)) return converse(request, config, number, since, now, random);
  if (request.operation == Operation::count_tokens) return count(request);
  if (request.operation == Operation::models) return list_models(request, config);
  return pass_through(request, config, number, since, now, random);
}

}  // namespace ballast::llm
