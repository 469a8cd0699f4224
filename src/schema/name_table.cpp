#include "schema/name_table.hpp"

#include <bit>

#include "base/hash.hpp"

namespace ballast::schema {

NameTable::NameTable(std::vector<std::string_view> names) : names_(std::move(names)) {
  slots_.resize(std::bit_ceil(names_.size() * 2 + 1));
  mask_ = slots_.size() - 1;
  if (try_seeds()) return;
  of_all_ = true;
  if (!try_seeds()) fill(slots_.size());
}

bool NameTable::try_seeds() {
  constexpr int tries = 16;
  constexpr std::size_t near = 12;
  for (int i = 0; i < tries; ++i, seed_ = hash_mix(seed_ + 1, 0x5851F42D4C957F2Du))
    if (fill(near)) return true;
  return false;
}

bool NameTable::fill(std::size_t most_steps) {
  slots_.assign(slots_.size(), Slot{});
  for (std::uint32_t n = 0; n < names_.size(); ++n) {
    const Key key = key_of(names_[n]);
    std::size_t at = place(key, seed_) & mask_;
    for (std::size_t steps = 0; slots_[at].name != kNothing; at = (at + 1) & mask_)
      if (++steps > most_steps) return false;
    slots_[at] = {key, static_cast<std::uint32_t>(names_[n].size()), n};
  }
  return true;
}

std::uint64_t NameTable::hash_of_all(std::string_view name) { return fast_hash(name); }

}  // namespace ballast::schema
