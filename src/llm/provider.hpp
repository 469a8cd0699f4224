// Providers: where a model call goes and how it authenticates there. Pure data and pure functions; sending is net/'s.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "llm/structured.hpp"
#include "llm/types.hpp"
#include "net/http.hpp"
#include "net/url.hpp"

namespace ballast::llm {

// What the caller wants of a provider. The first four are conversations; the rest pass through.
enum class Operation : std::uint8_t { chat, responses, messages, generate, embeddings, images_generations, images_edits, count_tokens, models };
std::string_view to_string(Operation operation);
inline bool is_conversation(Operation op) { return op <= Operation::generate; }

// openai: any server that speaks OpenAI's API (OpenAI, Ollama, vLLM, llama.cpp, OpenRouter, …).
enum class ProviderKind : std::uint8_t { openai, azure, anthropic, gemini, simulator };
std::string_view to_string(ProviderKind kind);
std::optional<ProviderKind> provider_kind_from(std::string_view name);

struct Quirks {
  bool include_usage = true;             // accepts stream_options.include_usage
  bool responses = false;                // serves /responses itself; else such calls are translated to chat
  bool batch = false;                    // has its vendor's batch API
  std::string max_tokens_field;          // spelling to insert where the request has none; empty: the wire's own
  std::optional<Asking> structured;      // how its models are asked for JSON of a schema; nothing: as its kind and host are known to
};

struct ProviderTimeouts {
  Duration connect = std::chrono::seconds(3);
  Duration headers = std::chrono::seconds(60);
  Duration first_token = std::chrono::seconds(30);
  Duration idle = std::chrono::seconds(30);
  Duration total = std::chrono::seconds(600);
};

struct ProviderSpec {
  std::string name;
  ProviderKind kind = ProviderKind::openai;
  net::Url base;                         // without a trailing slash
  std::string api_version;               // azure: query; anthropic: header
  std::vector<std::pair<std::string, std::string>> headers;   // sent with every request; may hold secrets: never print a value
  Quirks quirks;
  ProviderTimeouts timeouts;
  std::vector<std::string> models;       // known to be served; for bare names
};
// OpenAI's models at OpenAI's or Azure's own servers: what they promise holds there. Elsewhere a name proves nothing.
bool is_openai(const ProviderSpec& spec);
// Why no provider may be given an extra header of this name: it is Ballast's own, the connection's, or no header name. Empty: it may.
std::string_view why_not_extra(std::string_view name);
// The usual base URL of a kind; empty where there is none.
std::string_view default_base_url(ProviderKind kind);
struct ProviderSpec;
// Adds the API's version where a base leaves it out, as Anthropic's and Google's own tools do: "/v1", "/v1beta".
void complete_base(ProviderSpec& spec);

// A request's address and head. Secrets are in `headers` and nowhere else. `base` is the spec's: borrowed.
struct UpstreamCall {
  std::string_view method = "POST";
  const net::Url* base = nullptr;        // its origin is where the request goes
  std::string target;                    // path and query, the base's path included
  net::Headers headers;
  Wire wire = Wire::openai_chat;
};
// How `spec` is asked for `operation` on behalf of a caller who speaks `caller`. caller_invalid_request if it cannot serve it.
Result<UpstreamCall> make_call(const ProviderSpec& spec, std::string_view secret, Operation operation, Wire caller, std::string_view model,
                               bool stream);

// A provider found in the environment: its usual key variable is set (and perhaps its base URL variable).
struct FoundProvider {
  ProviderSpec spec;
  std::string variable;                  // the name of the key's variable
  std::string secret;
};
using Getenv = std::function<std::optional<std::string>(std::string_view)>;
std::vector<FoundProvider> providers_from_environment(const Getenv& getenv);

}  // namespace ballast::llm
