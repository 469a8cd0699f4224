#include "records/rollups_row.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>

#include "records/codec.hpp"

namespace ballast::records {

namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kNumber = 10;   // the longest varint

// The numbers of Figures after the calls, in the order of a mask's bits; then the two sketches; then what was added since. Who does not know of that
// reads the rest.
constexpr std::uint64_t Figures::* kCounts[] = {&Figures::failed, &Figures::cancelled, &Figures::cache_hits, &Figures::attempts, &Figures::attempts_failed};
constexpr std::uint64_t TokenCounts::* kTokens[] = {&TokenCounts::input,  &TokenCounts::cached,    &TokenCounts::cache_write,
                                                    &TokenCounts::output, &TokenCounts::reasoning, &TokenCounts::images};
constexpr std::int64_t Figures::* kMoney[] = {&Figures::incurred_nano, &Figures::billed_nano, &Figures::saved_nano};
constexpr unsigned kTokenBit = 5, kMoneyBit = 11, kLatencyBit = 14, kFirstTokenBit = 15, kRoutingSavedBit = 16;

template <class N>
void add_up(N& sum, N n) {   // saturating, as Figures are added
  if (__builtin_add_overflow(sum, n, &sum)) sum = std::is_signed_v<N> && n < 0 ? std::numeric_limits<N>::min() : std::numeric_limits<N>::max();
}
void add_up(std::uint64_t& sum, bool one) { add_up(sum, std::uint64_t{one}); }
void add_up(std::uint64_t& sum, std::uint32_t n) { add_up(sum, std::uint64_t{n}); }

class Writer {   // grows as it goes
 public:
  void varint(std::uint64_t n) {
    char bytes[kNumber];
    ByteWriter w(bytes);
    w.varint(n);
    out.append(bytes, w.at());
  }
  void zigzag(std::int64_t n) { varint((static_cast<std::uint64_t>(n) << 1) ^ static_cast<std::uint64_t>(n >> 63)); }
  void text(std::string_view t) {
    varint(t.size());
    out += t;
  }
  std::string out;
};

void put(Writer& w, const Sketch& sketch) {
  w.varint(sketch.buckets().size());
  std::uint16_t before = 0;
  for (const auto& [bucket, n] : sketch.buckets()) {
    w.varint(static_cast<std::uint64_t>(bucket - before));
    w.varint(n);
    before = bucket;
  }
}

void put(Writer& w, const Figures& f) {
  std::uint64_t mask = 0;
  for (unsigned i = 0; i < 5; ++i) mask |= std::uint64_t{f.*kCounts[i] != 0} << i;
  for (unsigned i = 0; i < 6; ++i) mask |= std::uint64_t{f.tokens.*kTokens[i] != 0} << (kTokenBit + i);
  for (unsigned i = 0; i < 3; ++i) mask |= std::uint64_t{f.*kMoney[i] != 0} << (kMoneyBit + i);
  mask |= std::uint64_t{f.latency.count() != 0} << kLatencyBit | std::uint64_t{f.first_token.count() != 0} << kFirstTokenBit;
  mask |= std::uint64_t{f.routing_saved_nano != 0} << kRoutingSavedBit;
  w.varint(f.calls);
  w.varint(mask);
  for (unsigned i = 0; i < 5; ++i)
    if (f.*kCounts[i]) w.varint(f.*kCounts[i]);
  for (unsigned i = 0; i < 6; ++i)
    if (f.tokens.*kTokens[i]) w.varint(f.tokens.*kTokens[i]);
  for (unsigned i = 0; i < 3; ++i)
    if (f.*kMoney[i]) w.zigzag(f.*kMoney[i]);
  if (f.latency.count()) put(w, f.latency);
  if (f.first_token.count()) put(w, f.first_token);
  if (f.routing_saved_nano) w.zigzag(f.routing_saved_nano);
}

bool read(ByteReader& r, Sketch& sketch) {
  const std::uint64_t buckets = r.varint();
  if (r.good()) sketch.reserve(buckets);
  std::uint64_t bucket = 0;
  for (std::uint64_t i = 0; i < buckets && r.good(); ++i) {
    const std::uint64_t step = r.varint(), n = r.varint();
    if (!r.good() || n == 0 || step > UINT16_MAX || !sketch.add_bucket(bucket += step, n)) return false;
  }
  return r.good();
}

void put_entries(Writer& w, const Section& section) {
  w.varint(section.size());
  Writer figures;
  for (const auto& [name, f] : section) {
    w.text(name);
    figures.out.clear();
    put(figures, f);
    w.text(figures.out);
  }
}

bool read_entries(ByteReader& r, const OnEntry& entry) {
  const std::uint64_t entries = r.varint();
  for (std::uint64_t i = 0; i < entries && r.good(); ++i) {
    const std::string_view name = r.view(), figures = r.view();
    if (r.good()) entry(name, figures);
  }
  return r.good();
}

}  // namespace

std::uint64_t stable_hash(std::string_view text, std::uint64_t seed) {
  std::uint64_t h = seed;   // FNV-1a, and a last mixing
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  h = (h ^ (h >> 32)) * 0x9e3779b97f4a7c15ull;
  return h ^ (h >> 29);
}

std::uint32_t NameNumbers::number(std::string_view text) {
  if (const auto at = numbers_.find(text); at != numbers_.end()) return at->second;
  const auto at = numbers_.emplace(text, static_cast<std::uint32_t>(texts_.size())).first;
  texts_.push_back(&at->first);
  return at->second;
}
std::optional<std::uint32_t> NameNumbers::find(std::string_view text) const {
  const auto at = numbers_.find(text);
  return at == numbers_.end() ? std::nullopt : std::optional(at->second);
}

void add_call(Figures& sum, const CallRow& row) {
  add_up(sum.calls, true);
  add_up(sum.failed, row.status == CallStatus::failed || row.status == CallStatus::unknown);
  add_up(sum.cancelled, row.status == CallStatus::cancelled);
  add_up(sum.cache_hits, is_hit(row.cache));
  add_up(sum.attempts, row.attempted);
  add_up(sum.attempts_failed, row.attempts_failed);
  for (std::size_t i = 0; i < 6; ++i) add_up(sum.tokens.*kTokens[i], row.amounts.tokens[i]);
  add_up(sum.incurred_nano, row.amounts.incurred_nano);
  add_up(sum.billed_nano, row.amounts.billed_nano);
  add_up(is_hit(row.cache) ? sum.saved_nano : sum.routing_saved_nano, row.saved_nano);
  sum.latency.add(row.amounts.latency_us);
  if (row.first_token_us) sum.first_token.add(row.first_token_us);
}

void Cells::begin(std::span<const std::string_view> names) {
  block_names_ = names;
  block_numbers_.assign(names.size(), UINT32_MAX);
}

std::uint32_t Cells::number_of(std::uint32_t name) {
  if (name == kNoName) return 0;   // ""
  std::uint32_t& number = block_numbers_[name];
  if (number == UINT32_MAX) number = names_.number(block_names_[name]);
  return number;
}

std::uint32_t Cells::number_of(std::uint32_t& known, std::string_view text) {
  if (known == 0) known = names_.number(text);
  return known;
}

void Cells::add(const CallRow& row) {
  using enum Dimension;
  static constexpr std::pair<Dimension, Name> named[] = {{key, Name::key},     {team, Name::team},           {user, Name::user},         {feature, Name::feature}, {route, Name::route},
                                                         {operation, Name::operation}, {provider, Name::provider}, {model, Name::model}, {error, Name::error}};
  CellKey at{};
  for (const auto& [d, name] : named)
    if (by_.has(d)) at[static_cast<std::size_t>(d)] = number_of(row.name(name));
  if (by_.has(status)) at[static_cast<std::size_t>(status)] = number_of(statuses_[static_cast<std::size_t>(row.status)], to_string(row.status));
  if (by_.has(cache)) at[static_cast<std::size_t>(cache)] = number_of(caches_[static_cast<std::size_t>(row.cache)], to_string(row.cache));
  add_call(cells_[at], row);
}

void Cells::merge(const Cells& other, bool subtract) {
  std::vector<std::uint32_t> numbers(other.names_.size());
  for (std::uint32_t i = 0; i < numbers.size(); ++i) numbers[i] = names_.number(other.names_.text(i));
  for (const auto& [key, figures] : other.cells_) {
    CellKey here;
    for (std::size_t i = 0; i < key.size(); ++i) here[i] = numbers[key[i]];
    Figures& sum = cells_[here];
    if (!subtract) sum += figures;
    else if ((sum -= figures).calls == 0) cells_.erase(here);
  }
}

void Cells::add_up(Dimension d, Section& out) const {
  std::vector<Figures*> sums(names_.size());
  for (const auto& [key, figures] : cells_) {
    Figures*& sum = sums[key[static_cast<std::size_t>(d)]];
    if (!sum) sum = &out[text(key, d)];
    *sum += figures;
  }
}

std::uint64_t Rollup::calls() const {
  const auto total = sums[kTotal].find("");
  return total == sums[kTotal].end() ? 0 : total->second.calls;
}

Rollup& Rollup::operator+=(const Rollup& o) {
  for (std::size_t i = 0; i < kSections; ++i)
    for (const auto& [name, figures] : o.sums[i]) sums[i][name] += figures;
  if (!cells || !o.cells) cells.reset();
  else cells->add(*o.cells);
  if (cells && cells->size() > kMostCells) cells.reset();
  return *this;
}

Rollup& Rollup::operator-=(const Rollup& o) {
  for (std::size_t i = 0; i < kSections; ++i)
    for (const auto& [name, figures] : o.sums[i])
      if ((sums[i][name] -= figures).calls == 0) sums[i].erase(name);
  if (!cells || !o.cells) cells.reset();
  else cells->subtract(*o.cells);
  return *this;
}

void RollupMaker::begin(std::span<const std::string_view> names) {
  names_ = names;
  cells_.begin(names);
  block_users_.assign(names.size(), nullptr);
}

void RollupMaker::add(const CallRow& row) {
  cells_.add(row);
  Figures*& user = block_users_[row.name(Name::user)];
  if (!user) user = &users_[std::string(names_[row.name(Name::user)])];
  add_call(*user, row);
}

Rollup RollupMaker::take() {
  Rollup out;
  for (std::size_t d = 0; d < kDimensions; ++d)
    if (static_cast<Dimension>(d) != Dimension::user) cells_.add_up(static_cast<Dimension>(d), out.sums[d]);
  for (const auto& [status, figures] : out.sums[static_cast<std::size_t>(Dimension::status)]) out.sums[kTotal][""] += figures;
  out.sums[static_cast<std::size_t>(Dimension::user)] = std::exchange(users_, {});
  if (cells_.size() <= kMostCells) out.cells = std::move(cells_);
  else out.cells.reset();
  cells_ = Cells();
  block_users_.clear();
  return out;
}

std::string encode_section(const Section& section) {
  Writer w;
  w.out.push_back(static_cast<char>(kVersion));
  put_entries(w, section);
  return std::move(w.out);
}

std::string encode_sums(const Rollup& rollup) {
  Writer w, section;
  w.out.push_back(static_cast<char>(kVersion));
  // The whole first, then each dimension behind its length.
  for (std::size_t n = 0; n < kSections; ++n) {
    const std::size_t at = (n + kTotal) % kSections;
    if (at == static_cast<std::size_t>(Dimension::user)) continue;
    section.out.clear();
    put_entries(section, rollup.sums[at]);
    w.varint(at);
    w.text(section.out);
  }
  return std::move(w.out);
}

std::string encode_cells(const Cells& cells) {
  Writer w, figures;
  w.out.push_back(static_cast<char>(kVersion));
  w.varint(cells.names().size());
  for (std::uint32_t i = 0; i < cells.names().size(); ++i) w.text(cells.names().text(i));
  w.varint(cells.size());
  for (const auto& [key, f] : cells.all()) {
    for (const std::uint32_t n : key) w.varint(n);
    figures.out.clear();
    put(figures, f);
    w.text(figures.out);
  }
  return std::move(w.out);
}

bool read_section(std::string_view plain, const OnEntry& entry) {
  ByteReader r(plain);
  return r.byte() == kVersion && read_entries(r, entry);
}

bool read_sums(std::string_view plain, std::size_t section, const OnEntry& entry) {
  ByteReader r(plain);
  if (r.byte() != kVersion) return false;
  while (r.more()) {
    const std::uint64_t at = r.varint();
    const std::string_view bytes = r.view();
    if (!r.good()) return false;
    if (at != section) continue;
    ByteReader entries(bytes);
    return read_entries(entries, entry);
  }
  return r.good();
}

bool read_cells(std::string_view plain, const std::function<void(std::vector<std::string_view>&&)>& names, const OnCell& cell) {
  ByteReader r(plain);
  if (r.byte() != kVersion) return false;
  std::vector<std::string_view> texts;
  const std::uint64_t count = r.varint();
  for (std::uint64_t i = 0; i < count && r.good(); ++i) texts.push_back(r.view());
  if (!r.good()) return false;
  const std::size_t known = texts.size();
  names(std::move(texts));
  const std::uint64_t cells = r.varint();
  for (std::uint64_t i = 0; i < cells && r.good(); ++i) {
    CellKey key;
    for (std::uint32_t& n : key) {
      const std::uint64_t number = r.varint();
      if (number >= known) return false;
      n = static_cast<std::uint32_t>(number);
    }
    const std::string_view figures = r.view();
    if (r.good()) cell(key, figures);
  }
  return r.good();
}

std::uint64_t calls_of(std::string_view figures) { return ByteReader(figures).varint(); }

namespace {

// All but the sketches and what follows them; the mask.
std::uint64_t read_counts(ByteReader& r, Figures& f) {
  f.calls = r.varint();
  const std::uint64_t mask = r.varint();
  for (unsigned i = 0; i < 5; ++i)
    if (mask >> i & 1) f.*kCounts[i] = r.varint();
  for (unsigned i = 0; i < 6; ++i)
    if (mask >> (kTokenBit + i) & 1) f.tokens.*kTokens[i] = r.varint();
  for (unsigned i = 0; i < 3; ++i)
    if (mask >> (kMoneyBit + i) & 1) f.*kMoney[i] = r.zigzag();
  return mask;
}

}  // namespace

std::int64_t incurred_of(std::string_view figures) {
  ByteReader r(figures);
  Figures f;
  read_counts(r, f);
  return f.incurred_nano;
}

bool add_figures(Figures& sum, std::string_view figures) {
  ByteReader r(figures);
  Figures f;
  const std::uint64_t mask = read_counts(r, f);
  const bool good = !(mask >> kLatencyBit & 1) || read(r, f.latency);
  if (!good || ((mask >> kFirstTokenBit & 1) && !read(r, f.first_token))) return false;
  if (mask >> kRoutingSavedBit & 1) f.routing_saved_nano = r.zigzag();
  if (!r.good()) return false;
  if (sum.calls == 0) sum = std::move(f);
  else sum += f;
  return true;
}

bool decode_section(std::string_view plain, Section& into) {
  bool good = true;
  return read_section(plain, [&](std::string_view name, std::string_view figures) { good = add_figures(into[std::string(name)], figures) && good; }) && good;
}

bool decode_sums(std::string_view plain, Rollup& into) {
  bool good = true;
  for (std::size_t at = 0; at < kSections && good; ++at)
    good = read_sums(plain, at, [&](std::string_view name, std::string_view figures) { good = add_figures(into.sums[at][std::string(name)], figures) && good; }) && good;
  return good;
}

bool decode_cells(std::string_view plain, Cells& into) {
  bool good = true;
  std::vector<std::uint32_t> numbers;
  const auto names = [&](std::vector<std::string_view>&& texts) {
    for (const std::string_view t : texts) numbers.push_back(into.names().number(t));
  };
  const auto cell = [&](const CellKey& key, std::string_view figures) {
    CellKey here;
    for (std::size_t i = 0; i < key.size(); ++i) here[i] = numbers[key[i]];
    Figures f;
    good = add_figures(f, figures) && good;
    into.put(here, std::move(f));
  };
  return read_cells(plain, names, cell) && good;
}

std::size_t shards_for(std::size_t users) { return std::min(kMostShards, std::bit_ceil(std::max<std::size_t>(1, users / kUsersInShard))); }
std::size_t shard_of(std::string_view user, std::size_t shards) { return stable_hash(user) & (shards - 1); }

}  // namespace ballast::records
