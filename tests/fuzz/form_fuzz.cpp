// The reader of image forms. The first line is the Content-Type, the rest the body. What is accepted: its model stands where it is
// said to stand, can be renamed and is read again as the new name; its counts are within their limits and its text within the body.
#include <cstdint>
#include <memory>
#include <string_view>

#include "llm/form.hpp"
#include "require.hpp"

using namespace ballast::llm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 16) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto line = input.substr(0, input.find('\n'));
  const auto rest = input.substr(std::min(size, line.size() + 1));
  const auto exact = std::make_unique<char[]>(rest.size());   // no room behind it
  rest.copy(exact.get(), rest.size());
  const std::string_view body(exact.get(), rest.size());
  const auto ask = read_image_form(body, line);
  if (!ask) {
    require(!ask.error().field.empty() && !ask.error().message.empty());
    return 0;
  }
  require(is_form(line) && ask->n >= 1 && ask->n <= kMaxImages && ask->partial_images <= kMaxPartialImages);
  require(ask->images + ask->masks <= kMaxFormParts && ask->text_bytes < body.size() && ask->prompt_bytes <= ask->text_bytes);
  require(body.substr(ask->model_value.offset, ask->model_value.length) == ask->model);
  const auto again = read_image_form(rename_model(body, *ask, "painter\xc3\xa9"), line);
  require(again && again->model == "painter\xc3\xa9" && again->n == ask->n && again->images == ask->images && again->size == ask->size);
  return 0;
}
