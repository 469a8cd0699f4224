// Models and examples from outside. The input is a model's payload: once as it is, once behind a head whose size and checksum fit, which is
// what a hostile hand would make; then the same bytes as each format of examples. What loads answers within its bounds.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/hash.hpp"
#include "classify/classify.hpp"
#include "classify/examples.hpp"
#include "require.hpp"

using namespace ballast;

namespace {

void ask(const Result<classify::Model>& model, std::string_view text) {
  if (!model) return require(!model.error().message.empty());
  for (const auto asked : {text, std::string_view("where is my red card"), std::string_view()}) {
    const auto v = model->classify(asked);
    require(v.confidence >= 0 && v.confidence <= 1 && v.typicality >= 0 && v.typicality <= 1 && v.runners < model->labels().size());
  }
  require(classify::Model::load(model->to_bytes()).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 16) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  ask(classify::Model::load(input), input);
  const std::uint64_t length = size;
  const Digest digest = sha256(input);
  std::string whole("BLSTINT\x01", 8);
  whole.append(reinterpret_cast<const char*>(&length), sizeof length);
  whole.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  ask(classify::Model::load(whole.append(input)), input);
  for (const auto format : {classify::Format::tsv, classify::Format::csv, classify::Format::jsonl}) {
    const auto read = classify::read_examples(input, format, "input");
    if (!read) require(read.error().field.starts_with("input:"));
    else
      for (const auto& e : *read) require(!e.text.empty() && !e.label.empty());
  }
  return 0;
}
