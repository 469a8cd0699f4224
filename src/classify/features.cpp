#include "classify/features.hpp"

#include <algorithm>

#include "classify/classify.hpp"

namespace ballast::classify {

namespace {

constexpr std::size_t kShortest = 2, kLongest = 5;          // runs of characters
constexpr std::uint64_t kBasis = 0xcbf29ce484222325, kPrime = 0x100000001b3;   // FNV-1a, over code points
constexpr std::uint64_t kBegin = 0x9e3779b97f4a7c15, kEnd = 0xc2b2ae3d27d4eb4f;  // stand for the ends of the text

constexpr std::uint64_t step(std::uint64_t hash, std::uint64_t value) { return (hash ^ value) * kPrime; }

// splitmix64's finish, so that every bit of the key depends on every bit before; then the family.
constexpr std::uint64_t finish(std::uint64_t h, Family family) {
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9;
  h = (h ^ (h >> 27)) * 0x94d049bb133111eb;
  h ^= h >> 31;
  return (h & ~std::uint64_t{3}) | family;
}

constexpr std::uint64_t pair_key(std::uint64_t a, std::uint64_t b, Family family) { return finish(a * 0xff51afd7ed558ccd + (b ^ (b >> 29)), family); }

// Simple case folding where it is an offset; a letter of another script stands for itself.
constexpr char32_t fold(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
  if (c >= 0xC0 && c <= 0xDE && c != 0xD7) return c + 32;
  if ((c >= 0x100 && c <= 0x137) || (c >= 0x14A && c <= 0x177)) return c | 1;
  if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E)) return c + (c & 1);
  if (c >= 0x391 && c <= 0x3A9) return c + 32;
  if (c == 0x3C2) return 0x3C3;                                                    // the final sigma is a sigma
  if (c >= 0x410 && c <= 0x42F) return c + 32;
  if (c >= 0x400 && c <= 0x40F) return c + 80;
  return c;
}

constexpr bool is_word(char32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
  const bool mark = c < 0xC0 ? c != 0xAA && c != 0xB5 && c != 0xBA : c == 0xD7 || c == 0xF7;
  return !mark && !(c >= 0x2000 && c <= 0x206F) && !(c >= 0x3000 && c <= 0x3003) && !(c >= 0x3008 && c <= 0x301F) && !(c >= 0xFF01 && c <= 0xFF0F) &&
         !(c >= 0xFF1A && c <= 0xFF20) && c != 0xFEFF && c != 0xFFFD;
}

// The code point at `at`, which moves behind it; U+FFFD and one byte on where there is none.
char32_t next_letter(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at++);
  if (first < 0x80) return first;
  const unsigned more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC2 ? 1 : 0;
  if (more == 0 || first > 0xF4 || at + more > text.size()) return 0xFFFD;
  char32_t c = first & (0x3Fu >> more);
  for (unsigned i = 0; i < more; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0xFFFD;
    c = (c << 6) | (byte(at + i) & 0x3F);
  }
  at += more;
  return c;
}

}  // namespace

void Extractor::add_word(std::size_t begin, std::size_t end) {
  std::uint64_t word = kBasis;
  for (std::size_t i = begin; i < end; ++i) word = step(word, letters_[i]);
  words_.push_back(word);
  keys_.push_back(finish(word, words));
  for (std::size_t from = begin - 1; from + kShortest <= end + 1; ++from) {        // the blank on either side is part of a run
    std::uint64_t run = kBasis;
    const std::size_t last = std::min(from + kLongest, end + 1);
    for (std::size_t i = from; i < last; ++i) {
      run = step(run, letters_[i]);
      if (i + 1 >= from + kShortest) keys_.push_back(finish(run, runs));
    }
  }
}

void Extractor::read_letters(std::string_view text) {
  letters_.assign(1, U' ');
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = fold(next_letter(text, at));
    if (is_word(c)) letters_.push_back(c);
    else if (letters_.back() != U' ') letters_.push_back(U' ');
  }
  if (letters_.back() != U' ') letters_.push_back(U' ');
}

std::span<const Feature> Extractor::extract(std::string_view text) {
  keys_.clear();
  features_.clear();
  words_.assign(1, kBegin);
  read_letters(text.substr(0, kMaxTextBytes));
  for (std::size_t begin = 1, i = 1; i < letters_.size(); ++i)
    if (letters_[i] == U' ') {
      add_word(begin, i);
      begin = i + 1;
    }
  if (words_.size() == 1) return {};
  words_.push_back(kEnd);
  for (std::size_t i = 0; i + 1 < words_.size(); ++i) keys_.push_back(pair_key(words_[i], words_[i + 1], pairs));
  for (std::size_t i = 0; i + 2 < words_.size(); ++i) keys_.push_back(pair_key(words_[i], words_[i + 2], gaps));
  std::ranges::sort(keys_);
  for (const auto key : keys_)
    if (!features_.empty() && features_.back().key == key) ++features_.back().count;
    else features_.push_back({key, 1});
  return features_;
}

}  // namespace ballast::classify
