#include "tokens/estimate.hpp"

#include <algorithm>
#include <cmath>

#include "base/text.hpp"

namespace ballast::tokens {

namespace {

constexpr std::uint64_t kBytesPerToken = 4;

// A family of OpenAI's: its name, then the end or something that begins another word ("gpt-4-0613", but not "gpt-4o").
struct Family {
  std::string_view name;
  bool o200k;
};
constexpr Family kFamilies[] = {
    {"gpt-4o", true}, {"chatgpt-4o", true}, {"gpt-4.1", true}, {"gpt-4.5", true}, {"gpt-5", true}, {"o1", true}, {"o3", true}, {"o4", true},
    {"gpt-oss", true}, {"codex-mini", true}, {"gpt-4", false}, {"gpt-3.5", false}, {"gpt-35", false}, {"text-embedding-3", false},
    {"text-embedding-ada-002", false}, {"davinci-002", false}, {"babbage-002", false},
};

// Others, by a part of their name; the first that fits. `by` is spelled out so that it needs no memory.
struct Vendor {
  std::string_view part;
  double factor;
  std::string_view by;
};
constexpr Vendor kVendors[] = {
    {"claude", 1.25, "o200k_base * 1.25"},  {"gemini", 1.10, "o200k_base * 1.10"},   {"gemma", 1.10, "o200k_base * 1.10"},
    {"llama-2", 1.30, "o200k_base * 1.30"}, {"llama2", 1.30, "o200k_base * 1.30"},   {"codellama", 1.30, "o200k_base * 1.30"},
    {"llama", 1.05, "o200k_base * 1.05"},   {"mistral", 1.30, "o200k_base * 1.30"},  {"mixtral", 1.30, "o200k_base * 1.30"},
    {"codestral", 1.30, "o200k_base * 1.30"}, {"ministral", 1.30, "o200k_base * 1.30"}, {"magistral", 1.30, "o200k_base * 1.30"},
    {"deepseek", 1.10, "o200k_base * 1.10"}, {"qwen", 1.10, "o200k_base * 1.10"},    {"qwq", 1.10, "o200k_base * 1.10"},
    {"command", 1.15, "o200k_base * 1.15"}, {"grok", 1.10, "o200k_base * 1.10"},     {"phi", 1.10, "o200k_base * 1.10"},
    {"nova", 1.20, "o200k_base * 1.20"},    {"gpt-", 1.00, "o200k_base * 1.00"},
};

bool begins_family(std::string_view name, std::string_view family) {
  if (!istarts_with(name, family)) return false;
  return name.size() == family.size() || std::string_view("-.:@").contains(name[family.size()]);
}

bool icontains(std::string_view text, std::string_view part) {
  return std::ranges::search(text, part, [](char a, char b) { return to_lower_ascii(a) == b; }).begin() != text.end();
}

// Without who serves it and without "ft:".
std::string_view bare(std::string_view model) {
  if (const auto slash = model.rfind('/'); slash != model.npos) model.remove_prefix(slash + 1);
  if (istarts_with(model, "ft:")) model.remove_prefix(3);
  return model;
}

}  // namespace

const Encoding* encoding_of(std::string_view model) {
  const auto name = bare(model);
  for (const auto& family : kFamilies)
    if (begins_family(name, family.name)) return family.o200k ? &Encoding::o200k_base() : &Encoding::cl100k_base();
  return nullptr;
}

Basis basis_of(std::string_view model) {
  if (const auto* encoding = encoding_of(model)) return {encoding, 1, true, encoding->name()};
  for (const auto& vendor : kVendors)
    if (icontains(bare(model), vendor.part)) return {&Encoding::o200k_base(), vendor.factor, false, vendor.by};
  return {nullptr, 1, false, "bytes / 4"};
}

Estimate estimate(const Basis& basis, std::string_view text) {
  if (!basis.encoding) return {(text.size() + kBytesPerToken - 1) / kBytesPerToken, false, basis.by};
  const std::uint64_t n = basis.encoding->count(text);
  if (basis.exact) return {n, true, basis.by};
  return {static_cast<std::uint64_t>(std::ceil(static_cast<double>(n) * basis.factor)), false, basis.by};
}

}  // namespace ballast::tokens
