// What a text is made of, private to the room: words, pairs and runs of characters, each as a 64-bit key. The keys are part of the model's
// file: a change here is a new version of it (model_data.hpp).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace ballast::classify {

// The two low bits of a key say its family; each has a weight of its own.
enum Family : std::uint8_t { words, pairs, gaps, runs };
inline constexpr std::size_t kFamilies = 4;
inline constexpr std::array<float, kFamilies> kFamilyWeight{1.0f, 1.0f, 0.5f, 1.4f};
constexpr Family family_of(std::uint64_t key) { return static_cast<Family>(key & 3); }

struct Feature {
  std::uint64_t key;
  std::uint32_t count;
};

// Buffers to extract with, used again from text to text. Not thread-safe.
class Extractor {
 public:
  // Of the first kMaxTextBytes: distinct, by ascending key; valid until the next call. Empty where there is no word. Folds ASCII, Latin,
  // Greek and Cyrillic letters to lower case; what is neither letter nor digit ends a word, and so do bytes that are not UTF-8.
  std::span<const Feature> extract(std::string_view text);

 private:
  void read_letters(std::string_view text);
  void add_word(std::size_t begin, std::size_t end);

  std::vector<char32_t> letters_;             // every word between two blanks
  std::vector<std::uint64_t> words_, keys_;
  std::vector<Feature> features_;
};

}  // namespace ballast::classify
