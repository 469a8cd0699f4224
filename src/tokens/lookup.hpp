// Private to src/tokens: the tokens of one piece. Most pieces are one token, found by one look into a hash table; the others are merged.
#pragma once
#include <array>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "tokens/merge.hpp"
#include "tokens/tables.hpp"

namespace ballast::tokens {

// The token that the whole piece of n > 0 bytes at p is, or kNone: always kNone if it is longer than kInlineBytes. Reads nothing at or
// behind `end`, which is at or behind the end of the piece.
inline std::uint32_t whole_piece(const Tables& t, const char* p, std::size_t n, const char* end) {
  if (n > kInlineBytes) return kNone;
  if (n == 1) return t.single[static_cast<unsigned char>(*p)];
  std::uint64_t low = 0;
  std::uint32_t high = 0;
  if (end - p >= 12) {
    std::memcpy(&low, p, 8);
    std::memcpy(&high, p + 8, 4);
    low &= n >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * n)) - 1;
    high &= n > 8 ? (1u << (8 * (n - 8))) - 1 : 0;
  } else {
    char padded[12]{};
    std::memcpy(padded, p, n);
    std::memcpy(&low, padded, 8);
    std::memcpy(&high, padded + 8, 4);
  }
  high |= static_cast<std::uint32_t>(n) << 24;
  const std::uint64_t mask = (std::uint64_t{1} << t.head->slot_bits) - 1;
  for (auto at = slot_hash(low, high) & mask;; at = (at + 1) & mask) {
    const auto& slot = t.slots[at];
    if (slot.low == low && slot.high == high) return slot.id;
    if (slot.id == kNone) return kNone;
  }
}

// Room to merge in, kept from piece to piece.
class Scratch {
 public:
  Memory memory;

  // The tokens of a piece that is not empty; valid until the next call.
  std::span<const std::uint32_t> merge(const Tables& t, std::string_view piece) {
    std::uint32_t* room = near_.data();
    if (piece.size() > near_.size()) {
      if (far_.size() < piece.size()) far_.resize(piece.size());
      room = far_.data();
    }
    NoSteps steps;
    return {room, tokens::merge(t, piece, room, memory, steps)};
  }

 private:
  std::array<std::uint32_t, 128> near_;
  std::vector<std::uint32_t> far_;
};

}  // namespace ballast::tokens
