// From a text's features to a vector of length one, private to the room: counts damped by their logarithm, weighted by rarity, each family
// scaled to its own weight. What the model does not know counts in the lengths, so that a text that is mostly unknown has small scores.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "classify/features.hpp"

namespace ballast::classify {

// A feature that has a row of weights.
struct Entry {
  std::uint32_t row;
  std::uint32_t count;
};

using FamilySums = std::array<float, kFamilies>;

constexpr float kRarityPower = 0.7f;
inline float damped(std::uint32_t count) { return count == 1 ? 1.0f : 1.0f + std::log(static_cast<float>(count)); }
// Of a feature that `found` of `examples` examples have.
inline float rarity(std::size_t examples, std::size_t found) {
  return std::pow(std::log((1.0f + static_cast<float>(examples)) / (1.0f + static_cast<float>(found))) + 1.0f, kRarityPower);
}
// How rare a feature is taken to be that the model does not know.
inline float unknown_rarity(std::size_t examples) { return rarity(examples, 1); }

struct Vector {
  std::vector<std::uint32_t> rows;
  std::vector<float> values;
  float known = 0;                           // share of the squared length that the model knows: 0 to 1
};

// `keys` and `rarities` are by row; a rarity of 0 makes a row unknown. `unknown`: the squared damped counts of features without a row, by family.
inline void weigh(std::span<const Entry> entries, const FamilySums& unknown, std::span<const std::uint64_t> keys, std::span<const float> rarities,
                  float unknown_weight, Vector& out) {
  FamilySums squares;
  for (std::size_t f = 0; f < kFamilies; ++f) squares[f] = unknown[f] * unknown_weight * unknown_weight;
  out.rows.clear();
  out.values.clear();
  for (const auto& e : entries) {
    const float known = rarities[e.row], value = damped(e.count) * (known > 0 ? known : unknown_weight);
    squares[family_of(keys[e.row])] += value * value;
    if (known <= 0) continue;
    out.rows.push_back(e.row);
    out.values.push_back(value);
  }
  FamilySums scale{};
  float whole = 0;
  for (std::size_t f = 0; f < kFamilies; ++f)
    if (squares[f] > 0) whole += kFamilyWeight[f] * kFamilyWeight[f];
  for (std::size_t f = 0; f < kFamilies; ++f)
    if (squares[f] > 0) scale[f] = kFamilyWeight[f] / std::sqrt(squares[f] * whole);
  out.known = 0;
  for (std::size_t i = 0; i < out.rows.size(); ++i) {
    out.values[i] *= scale[family_of(keys[out.rows[i]])];
    out.known += out.values[i] * out.values[i];
  }
}

}  // namespace ballast::classify
