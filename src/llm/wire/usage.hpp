// Token counts as each wire reports them, brought to the disjoint form of `Usage`. Two readers (documents and the fast
// reader) feed the same table, so that they cannot disagree.
#pragma once
#include <cstdint>
#include <string_view>

#include "llm/types.hpp"

namespace ballast::llm {

class UsageCounts {
 public:
  // One number of the usage object: `parent` is the member that holds it ("prompt_tokens_details"), or empty at the top.
  // Gemini's per-modality lists arrive as (list name, modality). Unknown ones are ignored.
  void count(Wire wire, std::string_view parent, std::string_view key, std::uint64_t value);
  // The tier the reply says it was served at, wherever its wire says so.
  void served_at(std::string_view tier) { tier_ = service_tier_from(tier); }
  bool any() const { return any_; }
  Usage usage(Wire wire) const;

  // Anthropic: message_delta's counts replace message_start's, absent ones stay.
 private:
  void count_openai(std::string_view parent, std::string_view key, std::uint64_t value);
  void count_anthropic(std::string_view parent, std::string_view key, std::uint64_t value);
  void count_gemini(std::string_view parent, std::string_view key, std::uint64_t value);

  bool any_ = false;
  ServiceTier tier_ = ServiceTier::standard;
  std::uint64_t input_ = 0, output_ = 0, total_ = 0, cached_ = 0, written_ = 0, written_5m_ = 0, written_1h_ = 0;
  std::uint64_t reasoning_ = 0, audio_in_ = 0, audio_out_ = 0, image_in_ = 0, image_out_ = 0, tool_input_ = 0, searches_ = 0;
};

// Is this member of a reply, or of its usage, the name of its service tier?
bool names_tier(std::string_view key);
// Adds every number of a usage document, and the tier if it is in there.
void count_all(UsageCounts& counts, Wire wire, const json::value& usage);
// OpenAI names the tier beside the usage: of a reply, a chunk or a response.
void count_tier(UsageCounts& counts, const json::value& reply);
// The usage object of the wire. Gemini: usageMetadata.
json::object write_usage(Wire wire, const Usage& usage);

}  // namespace ballast::llm
