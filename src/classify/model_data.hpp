// What a model consists of, private to the room, and its file.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "classify/kernels.hpp"
#include "classify/weigh.hpp"

namespace ballast::classify {

// How far inside the scope a text lies: its best margin, and how much of it is known.
constexpr float kKnownWeight = 0.5f;
inline float support_of(float best, float known) { return best + kKnownWeight * known; }

// Where keys have their rows: open addressing by a key's upper bits.
class KeyTable {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  // False: so many keys fall on the same places that finding one would take long; only a file made for that has such keys.
  bool build(std::span<const std::uint64_t> keys);
  // The row of `key` among the keys it was built of, or kNone.
  std::uint32_t row_of(std::span<const std::uint64_t> keys, std::uint64_t key) const {
    for (std::size_t at = key >> shift_;; at = (at + 1) & (places_.size() - 1)) {
      const std::uint32_t row = places_[at];
      if (row == kNone || keys[row] == key) return row;
    }
  }
  std::size_t size() const { return places_.size(); }

 private:
  std::vector<std::uint32_t> places_;        // a power of two, at most half full
  unsigned shift_ = 0;                       // 64 less its logarithm
};

struct ModelData {
  std::vector<std::string> labels;           // sorted
  std::string out_of_scope_label;
  double false_refusals = 0.05;
  float temperature = 1;                     // margins divided by it are logits
  float unknown_weight = 1;                  // rarity of what is not known
  std::vector<float> supports;               // of held-out in-scope examples, quantiles at equal steps, ascending; two at least
  std::vector<std::uint64_t> keys;           // by row, ascending
  std::vector<float> rarities;               // by row, above 0
  std::vector<float> scales;                 // by row: a weight is its byte times this
  std::vector<float> bias;                   // by label, padded to the stride
  std::vector<std::int8_t> weights;          // rows × stride
  // Made of these.
  KeyTable table;
  std::string digest;

  std::size_t stride() const { return stride_of(labels.size()); }
};

// Where `support` stands among the quantiles: 0 below all of them, 1 above.
double typicality_of(std::span<const float> quantiles, float support);

// The file without its head: what the digest is of.
std::string write_payload(const ModelData& data);
std::string hex_digest(std::string_view payload);

}  // namespace ballast::classify
