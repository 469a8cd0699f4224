// Private to src/tokens and its packer: the tables of one encoding, as they lie in the binary.
//
// The packer (pack/main.cpp) writes one block an encoding at build time; the binary contains it as it is (tables.cpp), so that nothing is parsed
// or allocated at start and only the pages that are used are ever read. Numbers are little-endian, sections begin at multiples of 64 bytes.
//
// A token's id is its rank: of two merges, the lower one comes first.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ballast::tokens {

static_assert(std::endian::native == std::endian::little, "the tables are written for little-endian machines");

inline constexpr std::uint32_t kNone = 0xFFFFFFFF;
inline constexpr std::uint32_t kMagic = 0x314B5442;     // "BTK1"
inline constexpr std::uint32_t kIdBits = 18;            // both encodings have fewer than 2^18 tokens
inline constexpr std::uint32_t kIdMask = (1u << kIdBits) - 1;
inline constexpr std::size_t kInlineBytes = 11;         // the longest token that lies in its slot itself

// What merging asks of a token, side by side: a text at random asks it of tokens all over the table, and each is one line of the cache.
struct Token {
  std::uint32_t left, right;  // the two that its last merge joins; of a single byte: itself, twice
  std::uint32_t shorter;      // the longest other token that it begins with, or kNone
  std::uint32_t length;       // bytes
};

// A token of at most kInlineBytes bytes: all of it in one comparison. `low` has its first eight bytes, `high` the next three and its length.
struct Slot {
  std::uint64_t low;
  std::uint32_t high;
  std::uint32_t id;  // kNone: empty
};

// A node of the tree of all tokens: a double array. The child by byte c lies at `base ^ c`, if that one's label is c.
struct Node {
  std::uint32_t base_label;  // 24 bits base, 8 bits label
  std::uint32_t id;          // the token that ends here, or kNone
};

struct Head {
  std::uint32_t magic, size;            // of the whole block, in bytes
  std::uint32_t tokens, longest;        // the number of tokens; the bytes of the longest
  std::uint32_t slot_bits, pair_bits;   // sizes of the two hash tables, as powers of two
  std::uint32_t nodes, root;            // of the tree; `root` is the root's base
  std::uint32_t starts_at, bytes_at, tokens_at, slots_at, pairs_at, nodes_at, single_at;  // offsets of the sections
};

struct Tables {
  const Head* head;
  const std::uint32_t* starts;   // tokens + 1: where in `bytes` a token begins
  const char* bytes;             // all tokens, one behind the other
  const Token* tokens;           // by id
  const Slot* slots;             // hash table with linear probing: bytes → token
  const std::uint32_t* pairs;    // hash table with linear probing: halves → token (14 bits of the hash, then the id), kNone: empty
  const Node* nodes;
  const std::uint32_t* single;   // 256: by byte

  explicit Tables(const unsigned char* block)
      : head(reinterpret_cast<const Head*>(block)), starts(at<std::uint32_t>(head->starts_at)), bytes(at<char>(head->bytes_at)),
        tokens(at<Token>(head->tokens_at)), slots(at<Slot>(head->slots_at)),
        pairs(at<std::uint32_t>(head->pairs_at)), nodes(at<Node>(head->nodes_at)), single(at<std::uint32_t>(head->single_at)) {}

  std::uint32_t length(std::uint32_t id) const { return tokens[id].length; }
  std::string_view text(std::uint32_t id) const { return {bytes + starts[id], length(id)}; }

 private:
  template <class T>
  const T* at(std::uint32_t offset) const {
    return reinterpret_cast<const T*>(reinterpret_cast<const unsigned char*>(head) + offset);
  }
};

inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a ^ 0x9E3779B97F4A7C15) * (b ^ 0xD6E8FEB86659FD93);
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}
inline std::uint64_t slot_hash(std::uint64_t low, std::uint32_t high) { return mix(low, high); }

inline std::uint64_t pair_hash(std::uint32_t left, std::uint32_t right) {
  const std::uint64_t h = ((std::uint64_t{left} << kIdBits) | right) * 0x9E3779B97F4A7C15;
  return h ^ (h >> 32);
}
// The bits of a pair's hash that are kept beside the id, where they do not choose the slot.
inline std::uint32_t pair_tag(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 50) << kIdBits; }

// Classes of code points (Unicode 16.0), for the splitters.
enum Class : std::uint8_t { punct, upper, lower, letter, mark, number, space, newline };

inline constexpr std::size_t kClassBlock = 128;
// A block index for each kClassBlock code points, then the blocks: one byte for each code point.
inline constexpr std::size_t kClassIndex = 0x110000 / kClassBlock;

}  // namespace ballast::tokens
