#include "records/zones.hpp"

#include <algorithm>

#include "records/call_block.hpp"
#include "records/codec.hpp"
#include "records/rollups_row.hpp"

namespace ballast::records {

namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kBitsPerName = 10, kProbes = 5;

std::uint64_t hash_of(Name name, std::string_view text) { return stable_hash(text, 0xcbf29ce484222325ull + 0x9e3779b97f4a7c15ull * (static_cast<std::uint64_t>(name) + 1)); }

// The places of a name in a filter of so many bits (Kirsch and Mitzenmacher: two hashes make all of them).
template <class F>
bool every_bit(std::uint64_t hash, std::uint64_t bits, F f) {
  const std::uint64_t a = hash & 0xffffffff, b = (hash >> 32) | 1;
  for (std::uint64_t i = 0; i < kProbes; ++i)
    if (!f((a + i * b) % bits)) return false;
  return true;
}

struct Bounds {
  std::uint64_t least = UINT64_MAX, most = 0;
  void add(std::uint64_t n) {
    least = std::min(least, n);
    most = std::max(most, n);
  }
};
std::uint64_t cost_of(const CallRow& row) { return static_cast<std::uint64_t>(std::max<std::int64_t>(0, row.amounts.incurred_nano)); }

}  // namespace

std::string zone_of(std::string_view summary) {
  SummaryReader reader(summary);
  const auto names = reader.names();
  std::vector<bool> seen(kNames * names.size());
  std::vector<std::uint64_t> hashes;
  std::uint8_t statuses = 0, caches = 0;
  Bounds latency, cost;
  for (CallRow row; reader.next(row);) {
    statuses = static_cast<std::uint8_t>(statuses | 1u << static_cast<unsigned>(row.status));
    caches = static_cast<std::uint8_t>(caches | 1u << static_cast<unsigned>(row.cache));
    latency.add(row.amounts.latency_us);
    cost.add(cost_of(row));
    for (std::size_t n = 0; n < kNames; ++n) {
      if (row.names[n] == kNoName || seen[n * names.size() + row.names[n]]) continue;
      seen[n * names.size() + row.names[n]] = true;
      hashes.push_back(hash_of(static_cast<Name>(n), names[row.names[n]]));
    }
  }
  if (!reader.good() || !reader.tells_errors()) return {};
  const std::size_t bytes = (hashes.size() * kBitsPerName + 7) / 8 + 1;
  std::string out(3 + 4 * 10, '\0');
  ByteWriter w(out.data());
  w.byte(kVersion);
  w.byte(statuses);
  w.byte(caches);
  for (const std::uint64_t n : {latency.least, latency.most, cost.least, cost.most}) w.varint(n);
  out.resize(static_cast<std::size_t>(w.at() - out.data()));
  const std::size_t at = out.size();
  out.resize(at + bytes);
  for (const std::uint64_t hash : hashes)
    every_bit(hash, bytes * 8, [&](std::uint64_t bit) {
      out[at + bit / 8] = static_cast<char>(static_cast<unsigned char>(out[at + bit / 8]) | 1u << (bit % 8));
      return true;
    });
  return out;
}

ZoneProbe::ZoneProbe(const CallFilter& f) : filter_(f) {
  const std::pair<Name, const std::string*> texts[] = {
      {Name::key, &f.key_id}, {Name::user, &f.user}, {Name::feature, &f.feature}, {Name::team, &f.team}, {Name::route, &f.route},
      {Name::operation, &f.operation}, {Name::provider, &f.provider}, {Name::model, &f.model}, {Name::error, &f.error}};
  for (const auto& [name, text] : texts)
    if (!text->empty()) hashes_.push_back(hash_of(name, *text));
  idle_ = hashes_.empty() && !f.status && !f.cache && !f.min_cost_nano && !f.max_cost_nano && !f.min_latency_us && !f.max_latency_us;
}

bool ZoneProbe::may_match(std::string_view zone) const {
  ByteReader r(zone);
  if (r.byte() != kVersion) return true;
  const unsigned statuses = r.byte(), caches = r.byte();
  Bounds latency, cost;
  for (std::uint64_t* n : {&latency.least, &latency.most, &cost.least, &cost.most}) *n = r.varint();
  const std::string_view bits = r.rest();
  if (!r.good() || bits.empty()) return true;
  const auto positive = [](std::int64_t n) { return static_cast<std::uint64_t>(std::max<std::int64_t>(0, n)); };
  if (filter_.status && !(statuses >> static_cast<unsigned>(*filter_.status) & 1)) return false;
  if (filter_.cache && !(caches >> static_cast<unsigned>(*filter_.cache) & 1)) return false;
  if (filter_.min_cost_nano && cost.most < positive(*filter_.min_cost_nano)) return false;
  if (filter_.max_cost_nano && cost.least > positive(*filter_.max_cost_nano)) return false;
  if (filter_.min_latency_us && latency.most < *filter_.min_latency_us) return false;
  if (filter_.max_latency_us && latency.least > *filter_.max_latency_us) return false;
  return std::ranges::all_of(hashes_, [&](std::uint64_t hash) {
    return every_bit(hash, bits.size() * 8, [&](std::uint64_t bit) { return (static_cast<unsigned char>(bits[bit / 8]) >> (bit % 8) & 1) != 0; });
  });
}

}  // namespace ballast::records
