#include "llm/provider.hpp"

#include <algorithm>
#include <array>
#include <span>

#include <fmt/format.h>

#include "base/text.hpp"

namespace ballast::llm {

std::string_view to_string(Operation operation) {
  static constexpr std::array<std::string_view, 9> names{"chat", "responses", "messages", "generate", "embeddings",
                                                         "images.generations", "images.edits", "count_tokens", "models"};
  return names[static_cast<std::size_t>(operation)];
}

bool is_openai(const ProviderSpec& spec) {
  return spec.kind == ProviderKind::azure || (spec.kind == ProviderKind::openai && spec.base.origin.host == "api.openai.com");
}

std::string_view to_string(ProviderKind kind) {
  static constexpr std::array<std::string_view, 5> names{"openai", "azure", "anthropic", "gemini", "simulator"};
  return names[static_cast<std::size_t>(kind)];
}

std::optional<ProviderKind> provider_kind_from(std::string_view name) {
  for (int i = 0; i < 5; ++i)
    if (to_string(static_cast<ProviderKind>(i)) == name) return static_cast<ProviderKind>(i);
  return std::nullopt;
}

std::string_view default_base_url(ProviderKind kind) {
  switch (kind) {
    case ProviderKind::openai: return "https://api.openai.com/v1";
    case ProviderKind::anthropic: return "https://api.anthropic.com/v1";
    case ProviderKind::gemini: return "https://generativelanguage.googleapis.com/v1beta";
    case ProviderKind::simulator: return "http://simulator/v1";
    case ProviderKind::azure: return {};
  }
  return {};
}

void complete_base(ProviderSpec& spec) {
  auto& path = spec.base.target;
  if (spec.kind == ProviderKind::anthropic && !path.ends_with("/v1")) path += "/v1";
  if (spec.kind == ProviderKind::gemini && path.empty()) path = "/v1beta";
}

std::string_view why_not_extra(std::string_view name) {
  static constexpr std::string_view connection[] = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
                                                    "proxy-authorization", "proxy-authenticate", "host", "content-length", "expect"};
  static constexpr std::string_view own[] = {"authorization", "x-api-key", "api-key", "x-goog-api-key", "anthropic-version", "content-type",
                                             "content-encoding", "accept", "accept-encoding", "traceparent", "tracestate", "idempotency-key", "date"};
  const auto among = [&](std::span<const std::string_view> names) {
    return std::ranges::any_of(names, [&](std::string_view n) { return iequals(n, name); });
  };
  if (among(connection)) return "belongs to the connection, not to the request";
  if (among(own)) return "is set by Ballast itself";
  return net::Headers().add(name, "x") ? std::string_view() : "is no header name";
}

namespace {

// Room for what a call's head usually holds: ours here, then the content type and a trace.
constexpr std::size_t kUsualHead = 384, kUsualFields = 6;

// At `path` below the provider's base.
UpstreamCall call_to(const ProviderSpec& spec, Wire wire, std::string_view path, std::string_view rest = {}) {
  UpstreamCall call{.base = &spec.base, .wire = wire};
  const auto& below = spec.base.target;
  call.target.reserve(below.size() + path.size() + rest.size());
  call.target.append(below).append(path).append(rest);
  call.headers.reserve(kUsualHead, kUsualFields + spec.headers.size());
  for (const auto& [name, value] : spec.headers) call.headers.add(name, value);
  return call;
}

void bearer(net::Headers& headers, std::string_view secret) {
  constexpr std::string_view scheme = "Bearer ";
  if (secret.empty()) return;
  fmt::basic_memory_buffer<char, 256> value;
  value.append(scheme);
  value.append(secret);
  headers.put("authorization", {value.data(), value.size()});
}

Wire openai_wire(Wire caller, bool serves_responses) {
  return caller == Wire::openai_responses && serves_responses ? Wire::openai_responses : Wire::openai_chat;
}

std::unexpected<Error> cannot(const ProviderSpec& spec, Operation operation) {
  return fail(ErrorCode::caller_invalid_request, "provider " + spec.name + " does not serve " + std::string(to_string(operation)), "model");
}

// The path of an OpenAI-shaped API below its base; empty: not served.
std::string_view openai_path(Operation operation, Wire wire) {
  switch (operation) {
    case Operation::embeddings: return "/embeddings";
    case Operation::images_generations: return "/images/generations";
    case Operation::images_edits: return "/images/edits";
    case Operation::models: return "/models";
    case Operation::count_tokens: return {};
    default: return wire == Wire::openai_responses ? "/responses" : "/chat/completions";
  }
}

Result<UpstreamCall> openai_call(const ProviderSpec& spec, std::string_view secret, Operation operation, Wire caller, bool serves_responses) {
  const Wire wire = openai_wire(caller, serves_responses);
  const auto path = openai_path(operation, wire);
  if (path.empty()) return cannot(spec, operation);
  auto call = call_to(spec, wire, path);
  if (operation == Operation::models) call.method = "GET";
  bearer(call.headers, secret);
  return call;
}

Result<UpstreamCall> azure_call(const ProviderSpec& spec, std::string_view secret, Operation operation, Wire caller, std::string_view model) {
  const Wire wire = openai_wire(caller, spec.quirks.responses);
  const auto path = openai_path(operation, wire);
  if (path.empty() || operation == Operation::models) return cannot(spec, operation);
  auto call = call_to(spec, wire, "/openai/deployments/", net::percent_encode(model));
  call.target += path;
  call.target += "?api-version=";
  call.target += spec.api_version.empty() ? std::string_view("2024-10-21") : std::string_view(spec.api_version);
  if (!secret.empty()) call.headers.put("api-key", secret);
  return call;
}

Result<UpstreamCall> anthropic_call(const ProviderSpec& spec, std::string_view secret, Operation operation) {
  const std::string_view path = operation == Operation::models         ? "/models"
                                : operation == Operation::count_tokens ? "/messages/count_tokens"
                                : is_conversation(operation)           ? "/messages"
                                                                       : "";
  if (path.empty()) return cannot(spec, operation);
  auto call = call_to(spec, Wire::anthropic_messages, path);
  if (operation == Operation::models) call.method = "GET";
  if (!secret.empty()) call.headers.put("x-api-key", secret);
  call.headers.put("anthropic-version", spec.api_version.empty() ? std::string_view("2023-06-01") : std::string_view(spec.api_version));
  return call;
}

// What follows the model in the path; empty: not served.
std::string_view gemini_action(Operation operation, bool stream) {
  if (is_conversation(operation)) return stream ? ":streamGenerateContent?alt=sse" : ":generateContent";
  if (operation == Operation::count_tokens) return ":countTokens";
  if (operation == Operation::embeddings) return ":batchEmbedContents";       // GeminiTransport translates the body
  return {};
}

// The key goes into a header, never into the URL: URLs reach logs.
Result<UpstreamCall> gemini_call(const ProviderSpec& spec, std::string_view secret, Operation operation, std::string_view model, bool stream) {
  const bool list = operation == Operation::models;
  const auto action = gemini_action(operation, stream);
  if (!list && action.empty()) return cannot(spec, operation);
  auto call = list ? call_to(spec, Wire::gemini, "/models") : call_to(spec, Wire::gemini, "/models/", net::percent_encode(model));
  if (list) call.method = "GET";
  call.target += action;
  if (!secret.empty()) call.headers.put("x-goog-api-key", secret);
  return call;
}

// The simulator speaks whatever the caller speaks.
Result<UpstreamCall> simulator_call(const ProviderSpec& spec, std::string_view secret, Operation operation, Wire caller, std::string_view model,
                                    bool stream) {
  switch (caller) {
    case Wire::anthropic_messages: return anthropic_call(spec, secret, operation);
    case Wire::gemini: return gemini_call(spec, secret, operation, model, stream);
    default: return openai_call(spec, secret, operation, caller, true);
  }
}

}  // namespace

Result<UpstreamCall> make_call(const ProviderSpec& spec, std::string_view secret, Operation operation, Wire caller, std::string_view model,
                               bool stream) {
  switch (spec.kind) {
    case ProviderKind::openai: return openai_call(spec, secret, operation, caller, spec.quirks.responses);
    case ProviderKind::azure: return azure_call(spec, secret, operation, caller, model);
    case ProviderKind::anthropic: return anthropic_call(spec, secret, operation);
    case ProviderKind::gemini: return gemini_call(spec, secret, operation, model, stream);
    case ProviderKind::simulator: return simulator_call(spec, secret, operation, caller, model, stream);
  }
  return cannot(spec, operation);
}

std::vector<FoundProvider> providers_from_environment(const Getenv& getenv) {
  struct Usual {
    std::string_view name;
    ProviderKind kind;
    const char* key;
    const char* base;
  };
  static constexpr Usual usual[] = {{"openai", ProviderKind::openai, "OPENAI_API_KEY", "OPENAI_BASE_URL"},
                                    {"anthropic", ProviderKind::anthropic, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"},
                                    {"gemini", ProviderKind::gemini, "GEMINI_API_KEY", "GEMINI_BASE_URL"}};
  std::vector<FoundProvider> found;
  for (const auto& u : usual) {
    auto key = getenv(u.key);
    if (!key || key->empty()) continue;
    const auto base = getenv(u.base);
    auto url = net::parse_url(base && !base->empty() ? std::string_view(*base) : default_base_url(u.kind), u.base);
    if (!url) continue;
    FoundProvider p{.spec = {.name = std::string(u.name), .kind = u.kind, .base = std::move(*url)}, .variable = u.key, .secret = std::move(*key)};
    p.spec.quirks.responses = u.kind == ProviderKind::openai;
    while (p.spec.base.target.ends_with('/')) p.spec.base.target.pop_back();
    complete_base(p.spec);
    found.push_back(std::move(p));
  }
  return found;
}

}  // namespace ballast::llm
