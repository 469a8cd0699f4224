// The names that OpenTelemetry's conventions for generative AI give to what a call is and costs, the older and the newer ones
// (https://github.com/open-telemetry/semantic-conventions-genai), and the conventions' own metrics. docs/telemetry.md has the table.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/metrics.hpp"
#include "llm/provider.hpp"

namespace ballast::gateway {

// newer: version 1.37 and later. older: up to 1.36, and what 1.26 had besides. both: the attributes of either, once where they agree.
enum class GenaiNames : std::uint8_t { newer, older, both };
std::optional<GenaiNames> genai_names_from(std::string_view name);
inline bool says_newer(GenaiNames n) { return n != GenaiNames::older; }
inline bool says_older(GenaiNames n) { return n != GenaiNames::newer; }

// "chat" for chat, responses and messages; "generate_content" for Gemini's own; what the conventions have no word for stays as it is.
std::string_view genai_operation(std::string_view operation);
// The conventions' name of who serves `spec`: "openai", "azure.ai.openai", "gcp.gemini". A server they do not know keeps the name that
// the configuration gives it. Borrowed from `spec` or for ever.
std::string_view genai_provider(const llm::ProviderSpec& spec);
// What gen_ai.system calls the provider that gen_ai.provider.name calls `provider`.
std::string_view genai_system(std::string_view provider);

// The conventions' histograms, for an exporter; the road records in them. Thread-safe. Labels, in order: operation, provider (as
// `genai_provider`), model, server ("host:port"), and the one named. At most 300 series each; the rest are "other".
struct GenaiMetrics {
  static constexpr std::size_t most = 300;
  metrics::Family<metrics::Histogram> operation{5, most};      // ns of an attempt, whatever came of it; error: its code or empty
  metrics::Family<metrics::Histogram> first_chunk{5, most};    // ns from an attempt's start to its first content, of streamed calls; error
  metrics::Family<metrics::Histogram> tokens{5, most};         // of an attempt; type: "input" or "output"
  metrics::Family<metrics::Histogram> server_first_token{4, most};   // ns from the call's arrival to its first content; of calls that were answered
};

}  // namespace ballast::gateway
