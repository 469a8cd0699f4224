// How many tokens a text is for a model: exactly where its encoding is known, else an estimate that says what it rests on.
#pragma once
#include <cstdint>
#include <string_view>

#include "tokens/tokens.hpp"

namespace ballast::tokens {

struct Estimate {
  std::uint64_t tokens = 0;
  bool exact = false;
  std::string_view by;  // what it rests on: "o200k_base", "o200k_base * 1.25", "bytes / 4"; static
  bool operator==(const Estimate&) const = default;
};

// The encoding of a model of OpenAI's, or null for any other. Knows names as they come: dated ("gpt-4o-2024-08-06"), fine-tuned
// ("ft:gpt-4o-mini-2024-07-18:org::id"), Azure's ("gpt-35-turbo"), with whoever serves it before ("openai/gpt-4.1", "openrouter/openai/o3").
// Case does not matter. Thread-safe, no allocation.
const Encoding* encoding_of(std::string_view model);

// How `text` would be counted for a model; knowing the model costs nothing of the text. A factor is what the vendor's tokenizer makes of English
// text and code in relation to o200k_base, measured where the vendor publishes it (Llama, Mistral, an older Claude) and otherwise set beside
// those of its kind. Other languages differ by more: up to twice as many for Claude, and for Llama 2 and older Mistral up to three times.
struct Basis {
  const Encoding* encoding = nullptr;  // null: bytes
  double factor = 1;                   // on the encoding's count
  bool exact = false;
  std::string_view by;                 // as Estimate::by
};
Basis basis_of(std::string_view model);

// Linear in the text, at the speed of `Encoding::count`. Rounded up.
Estimate estimate(const Basis& basis, std::string_view text);
inline Estimate estimate(std::string_view model, std::string_view text) { return estimate(basis_of(model), text); }

}  // namespace ballast::tokens
