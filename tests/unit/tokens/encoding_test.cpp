// Encodings against a reference that takes the published definitions at their word: the regular expression by PCRE2, merging the lowest rank
// again and again.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <gtest/gtest.h>
#include <pcre2.h>

#include <array>
#include <unordered_map>

#include "texts.hpp"
#include "tokens/lossy.hpp"
#include "tokens/merge.hpp"
#include "tokens/blocks.hpp"
#include "tokens/tokens.hpp"

namespace ballast::tokens {
namespace {

constexpr const char* kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kCl100k =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

class Reference {
 public:
  Reference(const Encoding& encoding, const char* pattern, std::uint32_t tokens) {
    for (std::uint32_t id = 0; id < tokens; ++id) ranks_.emplace(encoding.decode(std::array{id}).value(), id);
    int error = 0;
    PCRE2_SIZE at = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr);
    match_ = pcre2_match_data_create(4, nullptr);
  }
  ~Reference() {
    pcre2_match_data_free(match_);
    pcre2_code_free(code_);
  }
  Reference(const Reference&) = delete;
  Reference& operator=(const Reference&) = delete;

  std::vector<std::uint32_t> encode(const std::string& text) const {
    std::vector<std::uint32_t> out;
    for (std::size_t at = 0; at < text.size();) {
      const auto found = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at, 0, match_, nullptr);
      const auto* span = pcre2_get_ovector_pointer(match_);
      EXPECT_TRUE(found > 0 && span[0] == at) << text;
      if (found <= 0) break;
      piece(std::string_view(text).substr(at, span[1] - at), out);
      at = span[1];
    }
    return out;
  }

 private:
  void piece(std::string_view text, std::vector<std::uint32_t>& out) const {
    std::vector<std::string> parts;
    for (const char c : text) parts.emplace_back(1, c);
    if (ranks_.contains(std::string(text))) parts = {std::string(text)};
    while (true) {
      std::uint32_t best = kNone;
      std::size_t at = 0;
      for (std::size_t i = 0; i + 1 < parts.size(); ++i)
        if (const auto rank = ranks_.find(parts[i] + parts[i + 1]); rank != ranks_.end() && rank->second < best) best = rank->second, at = i;
      if (best == kNone) break;
      parts[at] += parts[at + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
    for (const auto& part : parts) out.push_back(ranks_.at(part));
  }

  std::unordered_map<std::string, std::uint32_t> ranks_;
  pcre2_code* code_ = nullptr;
  pcre2_match_data* match_ = nullptr;
};

std::vector<std::uint32_t> ids(const Encoding& encoding, std::string_view text) {
  std::vector<std::uint32_t> out;
  encoding.encode(text, out);
  return out;
}

void compare(const Encoding& encoding, const char* pattern, std::uint32_t tokens) {
  const Reference reference(encoding, pattern, tokens);
  SeededRandom random(20260);
  for (int i = 0; i < 4'000; ++i) {
    const auto text = test::random_text(random, 1 + random.below(24));
    const auto got = ids(encoding, text);
    ASSERT_EQ(got, reference.encode(text)) << i << ": " << text;
    ASSERT_EQ(encoding.count(text), got.size());
    ASSERT_EQ(encoding.decode(got).value(), text);
  }
  for (const auto& hostile : test::hostile_texts()) {
    const auto text = lossy_utf8(hostile.make(300, random));
    ASSERT_EQ(ids(encoding, text), reference.encode(text)) << hostile.name;
  }
}

TEST(TokensEncoding, O200kIsWhatItsDefinitionSays) { compare(Encoding::o200k_base(), kO200k, 199'998); }
TEST(TokensEncoding, Cl100kIsWhatItsDefinitionSays) { compare(Encoding::cl100k_base(), kCl100k, 100'256); }

TEST(TokensEncoding, KnownByName) {
  EXPECT_EQ(Encoding::from_name("o200k_base"), &Encoding::o200k_base());
  EXPECT_EQ(Encoding::from_name("cl100k_base"), &Encoding::cl100k_base());
  for (const auto* name : {"", "o200k", "p50k_base", "O200K_BASE"}) EXPECT_EQ(Encoding::from_name(name), nullptr);
  EXPECT_EQ(Encoding::o200k_base().longest_token(), 128u);
}

TEST(TokensEncoding, WhatIsNotUtf8CountsAsReplacementCharacters) {
  struct Row {
    std::string_view bytes, read;
  };
  const Row rows[] = {{"a\xFFz", "a\uFFFDz"}, {"\xE4\xB8", "\uFFFD"}, {"\xE4\xB8z", "\uFFFDz"}, {"\xE4\xB8\xE4\xB8\xAD", "\uFFFD中"}, {"\xC0\x80", "\uFFFD\uFFFD"},
                      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"}, {"\xF0\x9F\x98", "\uFFFD"}, {"\xF0\x9F\x98\x80", "😀"}, {"\xF5\x80", "\uFFFD\uFFFD"}, {"\xE0\x80", "\uFFFD\uFFFD"},
                      {"\xF4\x90\x80", "\uFFFD\uFFFD\uFFFD"}, {"\x80", "\uFFFD"}, {"plain", "plain"}};
  for (const auto& row : rows) {
    EXPECT_EQ(lossy_utf8(row.bytes), row.read);
    for (const auto* encoding : {&Encoding::o200k_base(), &Encoding::cl100k_base()}) {
      EXPECT_EQ(ids(*encoding, row.bytes), ids(*encoding, row.read));
      EXPECT_EQ(encoding->count(row.bytes), encoding->count(row.read));
    }
  }
}

TEST(TokensEncoding, ADecodedIdIsKnownOrNamed) {
  const auto& o200k = Encoding::o200k_base();
  EXPECT_EQ(o200k.decode(std::array{24912u, 2375u, 199999u, 200018u}).value(), "hello world<|endoftext|><|endofprompt|>");
  EXPECT_EQ(o200k.decode({}).value(), "");
  for (const std::uint32_t unknown : {199998u, 200000u, 4'000'000'000u}) {
    const auto refused = o200k.decode(std::array{24912u, unknown});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().field, "tokens[1]");
    EXPECT_EQ(refused.error().code, ErrorCode::caller_invalid_request);
  }
  EXPECT_EQ(Encoding::cl100k_base().decode(std::array{100258u}).value(), "<|fim_prefix|>");
  EXPECT_FALSE(Encoding::cl100k_base().decode(std::array{100256u}));
}

TEST(TokensEncoding, CountingStopsAboveTheLimit) {
  const auto& encoding = Encoding::o200k_base();
  EXPECT_EQ(encoding.count_until("", 0), 0u);
  EXPECT_EQ(encoding.count_until("a", 0), std::nullopt);
  SeededRandom random(3);
  for (int i = 0; i < 500; ++i) {
    const auto text = test::random_text(random, random.below(40));
    const auto n = encoding.count(text);
    const auto limit = random.below(2 * n + 2);
    EXPECT_EQ(encoding.count_until(text, limit), n <= limit ? std::optional(n) : std::nullopt);
  }
}

// Not seconds, which a busy machine stretches, but steps: a look at a byte of a known token, or at a border.
TEST(TokensEncoding, MergingIsLinearInStepsWhateverThePiece) {
  const Tables tables[] = {Tables(ballast_o200k_base), Tables(ballast_cl100k_base)};
  for (const auto& table : tables)
    for (const auto& hostile : test::hostile_texts()) {
      double per_byte[2];
      for (const int longer : {0, 1}) {
        SeededRandom random(11);
        const auto text = hostile.make(longer ? 1 << 18 : 1 << 13, random);
        std::vector<std::uint32_t> room(text.size());
        CountSteps steps;
        Memory memory;
        const auto n = merge(table, text, room.data(), memory, steps);
        std::string back;
        for (std::size_t i = 0; i < n; ++i) back += table.text(room[i]);
        ASSERT_EQ(back, text) << hostile.name;
        per_byte[longer] = static_cast<double>(steps.n) / static_cast<double>(text.size());
      }
      EXPECT_LT(per_byte[1], per_byte[0] * 1.2 + 0.1) << hostile.name;
      EXPECT_LT(per_byte[1], 25) << hostile.name;
    }
}

}  // namespace
}  // namespace ballast::tokens
