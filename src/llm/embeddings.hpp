// OpenAI's /embeddings spoken to Gemini: `batchEmbedContents` asked, the vectors answered in OpenAI's form.
//
// What Gemini cannot say is refused with the field's name: token numbers as input. `encoding_format: base64` is made here.
// Gemini reports no tokens for embeddings; where it does not, they are estimated from the text, high rather than low, and
// the reply's usage says `"estimated": true`.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "net/transport.hpp"

namespace ballast::llm {

struct EmbeddingsAsked {
  std::string body;                      // what Gemini is sent
  std::string model;
  bool base64 = false;
  std::size_t inputs = 0;
  std::uint64_t tokens = 0;              // estimated
};
// caller_invalid_request naming the field.
Result<EmbeddingsAsked> gemini_embeddings_request(std::string_view openai_body);
// The reply in OpenAI's form. provider_bad_response if it is not what Gemini's API promises.
Result<std::string> gemini_embeddings_reply(const EmbeddingsAsked& asked, std::string_view gemini_body);
// A third of a byte count, rounded up: above what tokenizers make of text in any script but runs of digits and symbols.
std::uint64_t estimated_tokens(std::string_view text);

// Passes everything on to `inner`, but for POST …:batchEmbedContents, whose body is OpenAI's and is translated both ways.
// Refusals (status 300 and above) pass as they are. `inner` outlives it.
class GeminiTransport final : public net::Transport {
 public:
  explicit GeminiTransport(net::Transport& inner) : inner_(inner) {}
  Task<Result<std::unique_ptr<net::ClientResponse>>> send(Scheduler& loop, const net::ClientRequest& request, net::Timeouts timeouts,
                                                          CancelToken cancel) override;

 private:
  Task<Result<std::unique_ptr<net::ClientResponse>>> embed(Scheduler& loop, const net::ClientRequest& request, net::Timeouts timeouts,
                                                           CancelToken cancel);
  net::Transport& inner_;
};

}  // namespace ballast::llm
