// Private to src/tokens: what byte-pair encoding makes of one piece, in time linear in its bytes.
//
// Byte-pair encoding joins the two neighbours whose token has the lowest rank, again and again. Instead of doing so, take the longest known
// token at a place, and let it stand if the merges would leave the border between it and the token before; else try the next shorter token
// there, and where none fits, go back one token. A place from which it was necessary to go back is never entered again, so each is left at most
// once. Whether a border stands is decided by the two tokens beside it alone: undo their last merges, the later first, and see whether a token
// across the border would have come before. (The method of the Rust crate `bpe`, by its description in GitHub's "So many tokens, so little
// time", 2024.) That every token is what merging its own bytes ends with, by rising ranks, is checked when the tables are packed.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tokens/tables.hpp"

namespace ballast::tokens {

// Counts steps in tests; costs nothing otherwise.
struct NoSteps {
  void operator++() {}
};
struct CountSteps {
  std::uint64_t n = 0;
  void operator++() { ++n; }
};

// The token that (left, right) merge to, or kNone.
inline std::uint32_t joined(const Tables& t, std::uint32_t left, std::uint32_t right) {
  const auto hash = pair_hash(left, right);
  const auto tag = pair_tag(hash);
  const std::uint64_t mask = (std::uint64_t{1} << t.head->pair_bits) - 1;
  for (auto at = hash & mask;; at = (at + 1) & mask) {
    const auto entry = t.pairs[at];
    if (entry == kNone) return kNone;
    if ((entry & ~kIdMask) != tag) continue;
    const auto& token = t.tokens[entry & kIdMask];
    if (token.left == left && token.right == right) return entry & kIdMask;
  }
}

// Whether byte-pair encoding leaves the border between two neighbours as it is.
template <class Steps>
bool border_stands(const Tables& t, std::uint32_t left, std::uint32_t right, Steps& steps) {
  // Tokens at or above `limit` can no longer form across the border: one of the two beside it had been merged by then.
  for (std::uint32_t limit = kNone;;) {
    ++steps;
    if (const auto across = joined(t, left, right); across < limit) return false;
    const auto undo_left = [&] {
      limit = left;
      left = t.tokens[left].right;
      return left != limit;
    };
    const auto undo_right = [&] {
      limit = right + 1;  // of two equal merges the left one comes first
      right = t.tokens[right].left;
      return right + 1 != limit;
    };
    if (left > right ? !(undo_left() || undo_right()) : !(undo_right() || undo_left())) return true;
  }
}

// What was found out before, of long tokens. Of some signs tokens of nearly every length are known ("-" up to 112 of them), and in a run of them
// nearly every one leads into a blind alley: a token after which no token fits, which takes as many looks at borders to find out. What it holds
// is true of the encoding, so it serves any number of pieces.
class Memory {
 public:
  static constexpr std::uint32_t kLongToken = 8;  // bytes; of shorter ones too many come to be worth it

  template <class Steps>
  bool stands(const Tables& t, std::uint32_t left, std::uint32_t right, Steps& steps) {
    if (t.length(left) < kLongToken && t.length(right) < kLongToken) return border_stands(t, left, right, steps);
    auto& entry = entry_of(borders_, left, right);
    if (const auto key = key_of(left, right); entry >> 1 != key) entry = key << 1 | (border_stands(t, left, right, steps) ? 1 : 0);
    return entry & 1;
  }

  // That nothing follows `token` where `longest` is the longest token.
  bool blind(std::uint32_t token, std::uint32_t longest) const {
    return !blind_.empty() && blind_[place(token, longest)] == key_of(token, longest);
  }
  void add_blind(std::uint32_t token, std::uint32_t longest) { entry_of(blind_, token, longest) = key_of(token, longest); }

 private:
  static constexpr std::size_t kEntries = 1024;
  using Entries = std::vector<std::uint64_t>;  // on first use; 0: nothing
  static std::uint64_t key_of(std::uint32_t a, std::uint32_t b) { return (std::uint64_t{a} << kIdBits | b) + 1; }
  static std::size_t place(std::uint32_t a, std::uint32_t b) { return pair_hash(a, b) >> 20 & (kEntries - 1); }
  static std::uint64_t& entry_of(Entries& entries, std::uint32_t a, std::uint32_t b) {
    if (entries.empty()) entries.resize(kEntries);
    return entries[place(a, b)];
  }
  Entries borders_, blind_;
};

// The longest token that `text` begins with. Never empty-handed: every byte is a token.
template <class Steps>
std::uint32_t longest_token(const Tables& t, std::string_view text, Steps& steps) {
  std::uint32_t found = kNone, base = t.head->root;
  for (const char byte : text) {
    ++steps;
    const auto label = static_cast<unsigned char>(byte);
    const auto& node = t.nodes[base ^ label];
    if ((node.base_label & 0xFF) != label) break;
    base = node.base_label >> 8;
    if (node.id != kNone) found = node.id;
    if (base == 0) break;
  }
  return found;
}

// Where merging may not begin again, a bit for each byte of the piece; on the stack while that is short.
class Closed {
 public:
  explicit Closed(std::size_t bytes) {
    const auto words = bytes / 64 + 1;
    if (words > near_.size()) far_ = std::make_unique<std::uint64_t[]>(words);
    else std::fill_n(near_.begin(), words, 0);
    bits_ = far_ ? far_.get() : near_.data();
  }
  bool has(std::size_t at) const { return bits_[at / 64] >> (at % 64) & 1; }
  void add(std::size_t at) { bits_[at / 64] |= std::uint64_t{1} << (at % 64); }

 private:
  std::array<std::uint64_t, 8> near_;
  std::unique_ptr<std::uint64_t[]> far_;
  std::uint64_t* bits_;
};

// Writes the tokens of a piece of at least one byte to `out`, which has room for as many as there are bytes; returns how many. With a token
// before the piece: those that follow it, or 0 if there is no way on from it.
template <class Steps>
std::size_t merge(const Tables& t, std::string_view piece, std::uint32_t* out, Memory& memory, Steps& steps, std::uint32_t before = kNone) {
  Closed closed(piece.size());
  std::size_t n = 0, at = 0;
  auto token = longest_token(t, piece, steps), longest = token;
  bool none_fitted = true;  // here, by the borders alone
  while (at < piece.size()) {
    const auto left = n > 0 ? out[n - 1] : before;
    if (token == kNone) {  // nothing fits here: go back, and try the next one there
      if (n == 0) return 0;
      if (none_fitted) memory.add_blind(left, longest);
      none_fitted = false;
      closed.add(at);
      at -= t.length(left);
      --n;
      // One that was the same again was the first to be tried.
      token = n > 0 && out[n - 1] == left ? longest_token(t, piece.substr(at), steps) : t.tokens[left].shorter;
      continue;
    }
    const auto to = at + t.length(token);
    const bool fits = left == kNone || ((none_fitted || !closed.has(to)) && memory.stands(t, left, token, steps));
    none_fitted &= !fits;
    if (!fits || closed.has(to)) {
      token = t.tokens[token].shorter;
      continue;
    }
    out[n++] = token;
    at = to;
    if (at == piece.size()) break;
    // In a long run the same token comes again: then the way that was hard to find the first time is found at once.
    if (n > 1 && token == left && piece.substr(at).starts_with(t.text(token)) && memory.stands(t, token, token, steps)) {
      none_fitted = false;
      continue;
    }
    longest = longest_token(t, piece.substr(at), steps);
    none_fitted = true;
    token = memory.blind(out[n - 1], longest) ? kNone : longest;
  }
  return n;
}

}  // namespace ballast::tokens
