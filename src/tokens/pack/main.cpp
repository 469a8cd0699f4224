// Packs what the tokenizers need into the blocks that the binary contains (tokens/tables.hpp); run by the build.
//
//   tokens_pack ranks FILE.tiktoken OUT      a line a token: its bytes in base64, a space, its rank
//   tokens_pack classes unicode_classes.txt OUT
//
// Refuses ranks of which a table would not tell the truth: every token must be what merging its own bytes ends with.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <span>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include "tokens/tables.hpp"

namespace ballast::tokens {
namespace {

using Words = std::unordered_map<std::string_view, std::uint32_t>;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "tokens_pack: %s\n", why.c_str());
  std::exit(1);
}

std::string from_base64(std::string_view text) {
  static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0, kept = 0;
  for (const char c : text) {
    if (c == '=') break;
    const auto value = alphabet.find(c);
    if (value == alphabet.npos) give_up("not base64: " + std::string(text));
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    if ((kept += 6) >= 8) out += static_cast<char>(bits >> (kept -= 8));
  }
  return out;
}

std::vector<std::string> read_ranks(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> tokens;
  for (std::string line; std::getline(file, line);) {
    const auto space = line.find(' ');
    if (space == line.npos || std::strtoul(line.c_str() + space, nullptr, 10) != tokens.size()) give_up("ranks must count up from 0");
    tokens.push_back(from_base64(std::string_view(line).substr(0, space)));
    if (tokens.back().empty()) give_up("an empty token");
  }
  if (tokens.size() < 256 || tokens.size() > kIdMask) give_up("cannot be read, or has too many tokens");
  return tokens;
}

// The longest other token that a token begins with.
std::uint32_t shorter_of(const Words& ids, std::string_view text) {
  for (auto n = text.size() - 1; n > 0; --n)
    if (const auto found = ids.find(text.substr(0, n)); found != ids.end()) return found->second;
  return kNone;
}

// What the last merge of a token's own bytes joins. That merging by ranks gets there at all, and by rising ranks only, is what encoding by
// known tokens relies on (merge.hpp).
Token token_of(const std::vector<std::string>& tokens, const Words& ids, std::uint32_t id) {
  const std::string_view text = tokens[id];
  if (text.size() == 1) return {id, id, kNone, 1};
  std::vector<std::size_t> cuts(text.size() + 1);
  for (std::size_t i = 0; i < cuts.size(); ++i) cuts[i] = i;
  const auto join = [&](std::size_t i) {
    const auto found = ids.find(text.substr(cuts[i], cuts[i + 2] - cuts[i]));
    return found == ids.end() ? kNone : found->second;
  };
  for (std::uint32_t before = 0; cuts.size() > 3;) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 2 < cuts.size(); ++i)
      if (join(i) < join(best)) best = i;
    const auto merged = join(best);
    if (merged == kNone || merged < before || merged >= id) give_up("token " + std::to_string(id) + " is not reached by merging its bytes");
    before = merged;
    cuts.erase(cuts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  return {ids.at(text.substr(0, cuts[1])), ids.at(text.substr(cuts[1])), shorter_of(ids, text), static_cast<std::uint32_t>(text.size())};
}

// The double array. Each node's children lie at its base XOR their byte; no two nodes share a base, so that a label alone proves a child.
class Tree {
 public:
  explicit Tree(const std::vector<std::string>& tokens) : tokens_(tokens), order_(tokens.size()) {
    for (std::uint32_t i = 0; i < order_.size(); ++i) order_[i] = i;
    std::ranges::sort(order_, [&](auto a, auto b) { return tokens_[a] < tokens_[b]; });
    grow(1024);
    base_used_[0] = true;  // what a leaf has
    struct Work {
      std::uint32_t node;
      std::size_t first, last, depth;
    };
    std::vector<Work> queue{{kNone, 0, order_.size(), 0}};
    for (std::size_t at = 0; at < queue.size(); ++at) {
      const auto work = queue[at];
      struct Child {
        unsigned char label;
        std::size_t first, last;
      };
      std::vector<Child> children;
      for (auto i = work.first; i < work.last; ++i) {
        const auto& text = tokens_[order_[i]];
        if (text.size() == work.depth) continue;  // ends in this node
        const auto label = static_cast<unsigned char>(text[work.depth]);
        if (children.empty() || children.back().label != label) children.push_back({label, i, i});
        children.back().last = i + 1;
      }
      if (children.empty()) continue;
      std::vector<unsigned char> labels;
      for (const auto& c : children) labels.push_back(c.label);
      const auto base = place(labels);
      if (work.node == kNone) root_ = base;
      else nodes_[work.node].base_label |= base << 8;
      for (const auto& c : children) {
        const auto node = base ^ c.label;
        const bool ends = tokens_[order_[c.first]].size() == work.depth + 1;
        nodes_[node] = {c.label, ends ? order_[c.first] : kNone};
        queue.push_back({node, c.first, c.last, work.depth + 1});
      }
    }
    silence_unused();
  }

  std::span<const Node> nodes() const { return nodes_; }
  std::uint32_t root() const { return root_; }

 private:
  void grow(std::size_t size) {
    nodes_.resize(size, {0, kNone});
    used_.resize(size);
    base_used_.resize(size);
  }

  std::uint32_t place(const std::vector<unsigned char>& labels) {
    while (used_[first_free_]) {
      if (++first_free_ == used_.size()) grow(used_.size() * 2);
    }
    std::size_t tried = 0;
    for (auto slot = first_free_;; ++slot) {
      if (slot + 256 >= used_.size()) grow(used_.size() * 2);
      if (used_[slot]) continue;
      // Holes that nothing fits are left behind: packing would try them again for each node otherwise.
      if (++tried == 64 && labels.size() < 4 && slot > first_free_ + 2048) first_free_ = slot - 2048;
      const auto base = static_cast<std::uint32_t>(slot) ^ labels[0];
      if (base_used_[base] || std::ranges::any_of(labels, [&](auto c) { return used_[base ^ c]; })) continue;
      base_used_[base] = true;
      for (const auto c : labels) used_[base ^ c] = true;
      if (base >= 1u << 24) give_up("the tree is too large");
      return base;
    }
  }

  // A slot that is nobody's has a label by which no node would take it for its child.
  void silence_unused() {
    auto size = used_.size();
    while (size > 0 && !used_[size - 1]) --size;
    size = (size + 255) / 256 * 256;
    nodes_.resize(size, {0, kNone});
    for (std::size_t slot = 0; slot < size; ++slot) {
      if (slot < used_.size() && used_[slot]) continue;
      std::uint32_t label = 0;
      while (label < 256 && (slot ^ label) != 0 && base_used_[slot ^ label]) ++label;
      if ((slot ^ label) == 0) ++label;
      if (label >= 256 || base_used_[slot ^ label]) give_up("a slot of the tree cannot be silenced");
      nodes_[slot].base_label = label;
    }
  }

  const std::vector<std::string>& tokens_;
  std::vector<std::uint32_t> order_;
  std::vector<Node> nodes_;
  std::vector<bool> used_, base_used_;
  std::size_t first_free_ = 1;
  std::uint32_t root_ = 0;
};

std::vector<Slot> slots_of(const std::vector<std::string>& tokens, std::uint32_t bits) {
  std::vector<Slot> slots(std::size_t{1} << bits, {0, 0, kNone});
  for (std::uint32_t id = 0; id < tokens.size(); ++id) {
    const auto& text = tokens[id];
    if (text.size() > kInlineBytes) continue;
    char padded[12]{};
    std::memcpy(padded, text.data(), text.size());
    Slot slot{0, 0, id};
    std::memcpy(&slot.low, padded, 8);
    std::memcpy(&slot.high, padded + 8, 3);
    slot.high |= static_cast<std::uint32_t>(text.size()) << 24;
    auto at = slot_hash(slot.low, slot.high) & (slots.size() - 1);
    while (slots[at].id != kNone) at = (at + 1) & (slots.size() - 1);
    slots[at] = slot;
  }
  return slots;
}

std::vector<std::uint32_t> pairs_of(const std::vector<Token>& known, std::uint32_t bits) {
  std::vector<std::uint32_t> pairs(std::size_t{1} << bits, kNone);
  for (std::uint32_t id = 0; id < known.size(); ++id) {
    if (known[id].left == id) continue;
    const auto hash = pair_hash(known[id].left, known[id].right);
    auto at = hash & (pairs.size() - 1);
    while (pairs[at] != kNone) at = (at + 1) & (pairs.size() - 1);
    pairs[at] = pair_tag(hash) | id;
  }
  return pairs;
}

// The block under construction.
class Block {
 public:
  Block() : bytes_(sizeof(Head)) {}

  template <class T>
  std::uint32_t add(std::span<const T> values) {
    bytes_.resize((bytes_.size() + 63) / 64 * 64);
    const auto at = bytes_.size();
    const auto* raw = reinterpret_cast<const char*>(values.data());
    bytes_.insert(bytes_.end(), raw, raw + values.size_bytes());
    return static_cast<std::uint32_t>(at);
  }

  void write(Head head, const char* path) {
    bytes_.resize((bytes_.size() + 63) / 64 * 64);
    head.size = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &head, sizeof head);
    std::ofstream out(path, std::ios::binary);
    if (!out.write(bytes_.data(), static_cast<std::streamsize>(bytes_.size())).flush()) give_up(std::string(path) + ": cannot be written");
  }

 private:
  std::vector<char> bytes_;
};

std::uint32_t bits_for(std::size_t entries, double load) {
  return static_cast<std::uint32_t>(std::bit_width(static_cast<std::size_t>(static_cast<double>(entries) / load)));
}

void pack_ranks(const char* from, const char* to) {
  const auto tokens = read_ranks(from);
  Words ids;
  for (std::uint32_t id = 0; id < tokens.size(); ++id)
    if (!ids.emplace(tokens[id], id).second) give_up("token " + std::to_string(id) + " stands there twice");
  std::vector<std::uint32_t> starts{0}, single(256, kNone);
  std::vector<Token> known;
  std::string bytes;
  std::size_t longest = 0, in_slots = 0;
  for (std::uint32_t id = 0; id < tokens.size(); ++id) {
    const std::string_view text = tokens[id];
    bytes += text;
    starts.push_back(static_cast<std::uint32_t>(bytes.size()));
    known.push_back(token_of(tokens, ids, id));
    longest = std::max(longest, text.size());
    in_slots += text.size() <= kInlineBytes;
    if (text.size() == 1) single[static_cast<unsigned char>(text[0])] = id;
  }
  if (std::ranges::find(single, kNone) != single.end()) give_up("a byte has no token");
  const Tree tree(tokens);
  Head head{.magic = kMagic, .size = 0, .tokens = static_cast<std::uint32_t>(tokens.size()), .longest = static_cast<std::uint32_t>(longest),
            .slot_bits = bits_for(in_slots, 0.75), .pair_bits = bits_for(tokens.size(), 0.75), .nodes = static_cast<std::uint32_t>(tree.nodes().size()),
            .root = tree.root(), .starts_at = 0, .bytes_at = 0, .tokens_at = 0, .slots_at = 0, .pairs_at = 0, .nodes_at = 0, .single_at = 0};
  Block block;
  head.starts_at = block.add<std::uint32_t>(starts);
  head.bytes_at = block.add<char>(bytes);
  head.tokens_at = block.add<Token>(known);
  head.slots_at = block.add<Slot>(slots_of(tokens, head.slot_bits));
  head.pairs_at = block.add<std::uint32_t>(pairs_of(known, head.pair_bits));
  head.nodes_at = block.add<Node>(tree.nodes());
  head.single_at = block.add<std::uint32_t>(single);
  block.write(head, to);
}

void pack_classes(const char* from, const char* to) {
  static constexpr std::string_view names = "pUlomnsr";  // in the order of Class
  std::ifstream file(from);
  std::stringstream all;
  all << file.rdbuf();
  std::string classes;
  std::size_t length = 0;
  for (const char c : all.str()) {
    if (c == '\n') continue;
    if (c >= '0' && c <= '9') {
      length = length * 10 + static_cast<std::size_t>(c - '0');
      continue;
    }
    const auto kind = names.find(c);
    if (kind == names.npos || length > 0x110000) give_up(std::string(from) + ": unknown class");
    classes.append(std::max<std::size_t>(length, 1), static_cast<char>(kind));
    length = 0;
  }
  if (classes.size() != 0x110000) give_up(std::string(from) + ": not as many code points as there are");
  std::map<std::string, std::size_t> known;
  std::string index, blocks;
  for (std::size_t at = 0; at < classes.size(); at += kClassBlock) {
    const auto block = classes.substr(at, kClassBlock);
    const auto [found, added] = known.emplace(block, known.size());
    if (added) blocks += block;
    index += static_cast<char>(found->second);
  }
  if (known.size() > 256) give_up("too many blocks of classes");
  std::ofstream out(to, std::ios::binary);
  if (!(out << index << blocks).flush()) give_up(std::string(to) + ": cannot be written");
}

}  // namespace
}  // namespace ballast::tokens

int main(int argc, char** argv) {
  const std::string_view what = argc == 4 ? argv[1] : "";
  if (what == "ranks") ballast::tokens::pack_ranks(argv[2], argv[3]);
  else if (what == "classes") ballast::tokens::pack_classes(argv[2], argv[3]);
  else ballast::tokens::give_up("usage: tokens_pack ranks|classes FROM TO");
}
