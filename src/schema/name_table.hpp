// A fixed set of names, found by one multiplication and two comparisons of words; of names longer than 16 bytes all is compared, once they
// are likely to be the same. Private to schema/.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace ballast::schema {

class NameTable {
 public:
  static constexpr std::uint32_t kNothing = ~std::uint32_t{0};

  NameTable() = default;
  // `names` are distinct and outlive the table. Seeds are tried until no name is far from its place, and then keys of all of a name instead
  // of parts of it, so that no choice of names makes looking up slow.
  explicit NameTable(std::vector<std::string_view> names);

  // The position of `name` among the names, or kNothing.
  [[gnu::always_inline]] std::uint32_t find(std::string_view name) const {
    const Key key = key_of(name);
    for (std::size_t at = place(key, seed_) & mask_;; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.name == kNothing) return kNothing;
      if (slot.key.first == key.first && slot.key.last == key.last && slot.length == name.size() &&
          (name.size() <= 16 || names_[slot.name] == name))
        return slot.name;
    }
  }
  bool empty() const { return names_.empty(); }
  const std::vector<std::string_view>& names() const { return names_; }

 private:
  // Up to 16 bytes, a length and its key are a name.
  struct Key {
    std::uint64_t first, last;
  };
  struct Slot {
    Key key{};
    std::uint32_t length = 0, name = kNothing;
  };

  template <class Word>
  static std::uint64_t load(const char* at) {
    Word word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  [[gnu::always_inline]] Key key_of(std::string_view name) const {
    const char* p = name.data();
    const std::size_t n = name.size();
    if (n >= 8) {
      const Key ends{load<std::uint64_t>(p), load<std::uint64_t>(p + n - 8)};
      return n <= 16    ? ends
             : !of_all_ ? Key{ends.first, ends.last ^ load<std::uint64_t>(p + n / 2 - 4) * 0x9E3779B97F4A7C15u}
                        : Key{ends.first, hash_of_all(name)};
    }
    if (n >= 4) return {load<std::uint32_t>(p) | load<std::uint32_t>(p + n - 4) << 32, 0};
    if (n == 0) return {0, 0};
    return {load<std::uint8_t>(p) | load<std::uint8_t>(p + n / 2) << 8 | load<std::uint8_t>(p + n - 1) << 16, 0};
  }
  static std::uint64_t hash_of_all(std::string_view name);
  static std::size_t place(Key key, std::uint64_t seed) {
    const auto product =
        static_cast<unsigned __int128>(key.first ^ 0xA0761D6478BD642Fu ^ seed) * (key.last ^ 0xE7037ED1A0B428DBu);
    return static_cast<std::size_t>(product >> 64) ^ static_cast<std::size_t>(product);
  }
  bool try_seeds();
  bool fill(std::size_t most_steps);

  std::vector<std::string_view> names_;
  std::vector<Slot> slots_ = std::vector<Slot>(1);  // open addressing, at most half full
  std::size_t mask_ = 0;
  std::uint64_t seed_ = 0;
  bool of_all_ = false;  // keys of long names
};

}  // namespace ballast::schema
