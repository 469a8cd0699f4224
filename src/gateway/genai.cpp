#include "gateway/genai.hpp"

namespace ballast::gateway {

std::optional<GenaiNames> genai_names_from(std::string_view name) {
  if (name == "newer") return GenaiNames::newer;
  if (name == "older") return GenaiNames::older;
  if (name == "both") return GenaiNames::both;
  return std::nullopt;
}

std::string_view genai_operation(std::string_view operation) {
  if (operation == "responses" || operation == "messages") return "chat";
  return operation == "generate" ? std::string_view("generate_content") : operation;
}

namespace {

struct Vendor { std::string_view host, name; };
// Servers that speak OpenAI's API under a name of their own.
constexpr Vendor kVendors[] = {{"api.openai.com", "openai"},         {"api.deepseek.com", "deepseek"}, {"api.groq.com", "groq"},
                               {"api.mistral.ai", "mistral_ai"},     {"api.x.ai", "x_ai"},             {"api.perplexity.ai", "perplexity"},
                               {"api.cohere.com", "cohere"},         {"api.cohere.ai", "cohere"},      {"api.moonshot.ai", "moonshot_ai"},
                               {"api.moonshot.cn", "moonshot_ai"}};

struct Renamed { std::string_view newer, older; };
constexpr Renamed kRenamed[] = {{"azure.ai.openai", "az.ai.openai"}, {"azure.ai.inference", "az.ai.inference"}, {"gcp.gemini", "gemini"},
                                {"gcp.vertex_ai", "vertex_ai"},      {"x_ai", "xai"}};

}  // namespace

std::string_view genai_provider(const llm::ProviderSpec& spec) {
  const std::string_view host = spec.base.origin.host;
  switch (spec.kind) {
    case llm::ProviderKind::azure: return "azure.ai.openai";
    case llm::ProviderKind::anthropic: return "anthropic";
    case llm::ProviderKind::gemini: return host.ends_with("aiplatform.googleapis.com") ? "gcp.vertex_ai" : "gcp.gemini";
    case llm::ProviderKind::simulator: return spec.name;
    case llm::ProviderKind::openai: break;
  }
  for (const auto& v : kVendors)
    if (host == v.host) return v.name;
  return host.ends_with(".openai.azure.com") ? std::string_view("azure.ai.openai") : std::string_view(spec.name);
}

std::string_view genai_system(std::string_view provider) {
  for (const auto& r : kRenamed)
    if (provider == r.newer) return r.older;
  return provider;
}

}  // namespace ballast::gateway
