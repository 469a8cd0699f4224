// Texts to encode: of random parts that meet every branch of the splitters, and long ones that mean harm.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.hpp"

namespace ballast::tokens::test {

inline void append_utf8(std::string& out, std::uint32_t code) {
  const auto byte = [&](std::uint32_t b) { out += static_cast<char>(b); };
  if (code < 0x80) return byte(code);
  if (code < 0x800) byte(0xC0 | code >> 6);
  else if (code < 0x10000) byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 0x3F));
  else byte(0xF0 | code >> 18), byte(0x80 | (code >> 12 & 0x3F)), byte(0x80 | (code >> 6 & 0x3F));
  byte(0x80 | (code & 0x3F));
}

// Words, capitals, contractions, marks, numbers of several scripts, signs, spaces of every kind, line ends.
inline std::string random_text(Random& random, std::size_t parts) {
  static constexpr std::string_view words[] = {
      "the", "The", "THE", "x", "A", "hello", "World", "iPhone", "ABCdef", "abcDEF", "international", "'s", "'S", "'ll", "'Ve", "'re", "'t", "'", "''", "'x",
      " ", "  ", "    ", "\t", "\n", "\r\n", "\n\n", " \n ", "\u00A0", "\u3000", "\u0085", "\u2028", "1", "23", "4567", "٣٤", "½", "Ⅷ", "²",
      ".", ",", "!", "//", "/", "--", "====", "(", ")", "{\"", "\":", "<|endoftext|>", "#", "_", "$", "€", "→", "😀", "👍🏽", "👩‍💻",
      "é", "É", "e\u0301", "\u0301", "\u0301\u0300", "ß", "ſ", "'ſ", "\u212A", "ǅ", "ʰ", "ª", "中", "中文", "日本語", "ひらがな", "한국어", "مرحبا", "हिन्दी",
      "привет", "ПРИВЕТ", "Ελλάδα", "ไทย", "\u200B", "\uFEFF", "\uFFFD", "\u0000", "\u0007", "𝒳", "𝐀𝐛", "aA", "Aa", "ӐӑӐ"};
  std::string out;
  for (std::size_t i = 0; i < parts; ++i) {
    const auto kind = random.below(12);
    if (kind == 0) {
      for (auto n = 1 + random.below(12); n > 0; --n) out += static_cast<char>("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"[random.below(36)]);
    } else if (kind == 1) {
      for (auto n = 1 + random.below(4); n > 0; --n) out += static_cast<char>(random.below(128));
    } else if (kind == 2) {
      const auto& word = words[random.below(std::size(words))];
      for (auto n = 1 + random.below(5); n > 0; --n) out += word;
    } else {
      out += words[random.below(std::size(words))];
    }
  }
  return out;
}

// Each makes about `bytes` bytes of one kind of harm.
struct Hostile {
  const char* name;
  std::function<std::string(std::size_t bytes, Random&)> make;
};

inline const std::vector<Hostile>& hostile_texts() {
  const auto repeated = [](std::string_view part) {
    return [part](std::size_t bytes, Random&) {
      std::string out;
      while (out.size() < bytes) out += part;
      return out;
    };
  };
  const auto drawn = [](std::string_view from) {
    return [from](std::size_t bytes, Random& random) {
      std::string out;
      while (out.size() < bytes) out += from[random.below(from.size())];
      return out;
    };
  };
  static const std::vector<Hostile> all = {
      {"one letter", repeated("a")}, {"one capital", repeated("A")}, {"spaces", repeated(" ")}, {"newlines", repeated("\n")}, {"carriage returns", repeated("\r\n")},
      {"tabs and spaces", drawn(" \t")}, {"every space", drawn(" \t\n\r")}, {"one sign", repeated("!")}, {"quotes", repeated("'")}, {"slashes", repeated("/")}, {"hyphens", repeated("-")}, {"equal signs", repeated("=")},
      {"signs", drawn("!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~")}, {"sign, then newlines", [](std::size_t n, Random&) { return "!" + std::string(n, '\n'); }},
      {"newline, then spaces", [](std::size_t n, Random&) { return "\n" + std::string(n, ' '); }},
      {"digits", drawn("0123456789")}, {"letters", drawn("abcdefghijklmnopqrstuvwxyz")}, {"either case", drawn("abcdefABCDEF")}, {"alternating case", repeated("aA")},
      {"base64", drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}, {"pairs", repeated("ab")}, {"marks", repeated("\u0301\u0300")},
      {"ideographs", [](std::size_t n, Random& random) {
         std::string out;
         while (out.size() < n) append_utf8(out, static_cast<std::uint32_t>(0x4E00 + random.below(0x5000)));
         return out;
       }},
      {"code points", [](std::size_t n, Random& random) {
         std::string out;
         while (out.size() < n) {
           const auto code = static_cast<std::uint32_t>(random.below(0x30000));
           if (code < 0xD800 || code > 0xDFFF) append_utf8(out, code);
         }
         return out;
       }},
      {"emoji", repeated("👩‍💻🇩🇪👍🏽")}, {"ideographs, then capitals", [](std::size_t n, Random&) { return "中中" + std::string(n, 'A'); }},
      {"ideographs among capitals", repeated("中ABC")}, {"one character, no UTF-8", repeated("\xFF")}, {"half characters", repeated("\xE4\xB8")},
  };
  return all;
}

}  // namespace ballast::tokens::test
