// Prompt: how many tokens a request's prompt is, counted when, and as far as, an answer depends on it.
//
// Reads the body again, into the canonical form: for where the number decides, not for every call. The road has bounds by bytes
// (llm::RequestFacts::text_bytes), and they are enough where no window, limit or budget is near.
#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>

#include "llm/types.hpp"
#include "tokens/estimate.hpp"

namespace ballast::gateway {

// Bodies above are not looked into: the loop has other calls to serve.
inline constexpr std::uint64_t kMostCountedBytes = 1u << 20;
// Bytes of a body that no token of ordinary text stands for on average, also where each letter is written in six ("\u0436"). A prompt with more
// of them for each token there is room for is too long, and nobody counts.
inline constexpr std::uint64_t kMostBytesPerToken = 32;
// Tokens that an image is reckoned at where nobody bounds them.
inline constexpr std::uint64_t kImageTokens = 1024;
// What OpenAI's documentation counts around each message, and before the answer.
inline constexpr std::uint64_t kAroundMessage = 3, kBeforeAnswer = 3;

struct PromptCount {
  std::uint64_t tokens = 0;
  bool whole = true;                     // false: there are more, and nobody looked how many
};

// The prompt of one call, on its loop. The body is parsed at the first question and then forgotten but for its texts; a count is remembered for
// each encoding. Time: about 5 ns a byte to parse, 10 to count (`bench/tokens`), so 15 ms at most. Movable; the body is borrowed.
class Prompt {
 public:
  Prompt();                              // of no request: everything is unknown
  Prompt(llm::Wire wire, std::string_view body);
  Prompt(Prompt&&) noexcept;
  Prompt& operator=(Prompt&&) noexcept;
  ~Prompt();

  // Nothing if the body is no request of its wire, or above kMostCountedBytes. Looks no further than it must to know that there are more than
  // `limit`; a later question with a greater limit counts anew. However exact the texts, the whole is an estimate: how a vendor writes tools and
  // images into a prompt is not published.
  std::optional<PromptCount> count(const tokens::Basis& basis, std::uint64_t limit = std::numeric_limits<std::uint64_t>::max());
  // Of the messages that are one text and nothing else, how many bytes more they have than tokens: a proven bound of a prompt's tokens by its
  // bytes may be lowered by so many. Such a text stands between special tokens and is encoded by itself; all else keeps its bytes. 0 where
  // `count` would give nothing.
  std::uint64_t spared(const tokens::Encoding& encoding);

 private:
  struct Texts;
  bool read();
  llm::Wire wire_ = llm::Wire::openai_chat;
  std::string_view body_;
  std::unique_ptr<Texts> texts_;
};

}  // namespace ballast::gateway
