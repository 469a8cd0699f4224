// Images made and edited: what a request asks for, what it can cost at most, and what a reply says it cost. Pure; any thread.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/result.hpp"
#include "llm/facts.hpp"
#include "llm/prices.hpp"

namespace ballast::llm {

inline constexpr std::int64_t kMaxImages = 10;          // that one call makes: OpenAI's own limit
inline constexpr std::int64_t kMaxPartialImages = 3;    // of a stream, for each image

// A request for images, from JSON or from a form (`form.hpp`). Only what accounting and routing need is read and validated.
struct ImageAsk {
  std::string model, user, size, quality;  // empty: not said, but for a form's model, which must be
  std::uint32_t n = 1;                   // 1 … kMaxImages
  std::uint32_t partial_images = 0;      // 0 … kMaxPartialImages
  bool stream = false;
  std::uint32_t images = 0;              // to be edited; files of unknown purpose count as well
  std::uint32_t masks = 0;
  std::uint64_t prompt_bytes = 0;
  std::uint64_t text_bytes = 0;          // of all that may be read as text, the prompt included: bounds its tokens
  std::string remote;                    // the field of an image that is named, not sent: nobody here knows its size
  ByteRange model_value;                 // form: where the name stands in the body
};

// From a JSON body. Errors: caller_invalid_request naming the field. `body_bytes`: its size as sent.
Result<ImageAsk> read_image_request(const json::value& document, std::size_t body_bytes);

// What bounds its cost: text by its bytes, an image by kMaxImageTokens, all of it once for each image made.
Extent extent_of(const ImageAsk& ask);

// Tokens out at most for each image made, its partial images included; 0 where tokens out cost nothing. From the configuration's
// `image_tokens`; else the vendor's table for the size and quality asked for (an unknown or unnamed one: the dearest); else the
// model's longest answer. Error: policy_unbounded_cost naming the model, where nothing bounds them.
Result<std::uint64_t> image_output_bound(const ImageAsk& ask, const ModelInfo& model);

// A reply of images, or of a stream of them (text/event-stream) read to its end.
struct ImageReply {
  Usage usage;                           // images counted; tokens where the provider told them: `told()`
  bool ended = true;                     // false: a stream that broke off or ended with an error
  bool told() const { return usage.total() > 0; }
};
ImageReply read_image_reply(std::string_view body);
// Usage as replies of images and embeddings spell it; zero where there is none.
Usage read_told_usage(const JsonRef& reply);

// What a reply without a count of tokens cost at most: exact where images alone are priced. nullopt: by tokens, so nobody knows.
std::optional<Money> untold_cost(const ImageAsk& ask, std::uint64_t images, const ModelInfo& model);

}  // namespace ballast::llm
