#include "work/packed_ids.hpp"

namespace ballast::work {

std::string pack_ids(std::span<const JobId> ids) {
  std::string out;
  out.reserve(ids.size() * 2 + 8);
  std::int64_t last = 0;
  for (const JobId id : ids) {
    const std::int64_t step = id.value - last;
    last = id.value;
    for (std::uint64_t v = (static_cast<std::uint64_t>(step) << 1) ^ static_cast<std::uint64_t>(step >> 63);; v >>= 7) {
      out += static_cast<char>(v < 0x80 ? v : (v & 0x7f) | 0x80);
      if (v < 0x80) break;
    }
  }
  return out;
}

std::vector<JobId> unpack_ids(std::string_view packed) {
  std::vector<JobId> ids;
  std::int64_t last = 0;
  std::uint64_t v = 0;
  unsigned shift = 0;
  for (const char c : packed) {
    const auto b = static_cast<std::uint8_t>(c);
    if (shift < 64) v |= static_cast<std::uint64_t>(b & 0x7f) << shift;
    shift += 7;
    if (b & 0x80) continue;
    last += static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);
    ids.push_back(JobId{last});
    v = 0;
    shift = 0;
  }
  return ids;
}

}  // namespace ballast::work
