// A rollup in memory and as it is kept: what the calls of a stretch of time add up to. For the rollups' own files.
//
// Kept in three forms, each for its questions: `sums` has for each dimension its values, one by one, and the whole; `cells` has every
// combination of values but users; `users` has the users alone, in shards, since they may be a hundred thousand. Each is one packed blob.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.hpp"
#include "records/call_block.hpp"
#include "records/rollups.hpp"

namespace ballast::records {

inline constexpr std::size_t kMostCells = 20'000;        // of a row; above it only sums and users are kept, and two dimensions are read from what is below
inline constexpr std::size_t kUsersInShard = 512, kMostShards = 256;
inline constexpr std::size_t kMostRow = std::size_t{256} << 20;   // a row's plain bytes
inline constexpr std::size_t kTotal = kDimensions;       // the section of sums that has the whole, under ""
inline constexpr std::size_t kSections = kDimensions + 1;

// Stable across releases: what is stored was sorted by it.
std::uint64_t stable_hash(std::string_view text, std::uint64_t seed = 0xcbf29ce484222325ull);

// Texts, each with a number.
class NameNumbers {
 public:
  NameNumbers() = default;
  NameNumbers(NameNumbers&&) = default;              // its numbers point into it
  NameNumbers& operator=(NameNumbers&&) = default;
  std::uint32_t number(std::string_view text);
  std::optional<std::uint32_t> find(std::string_view text) const;
  const std::string& text(std::uint32_t number) const { return *texts_[number]; }
  std::size_t size() const { return texts_.size(); }

 private:
  std::unordered_map<std::string, std::uint32_t, StringHash, std::equal_to<>> numbers_;
  std::vector<const std::string*> texts_;
};

// One number for each dimension; 0 of those that are not told apart.
using CellKey = std::array<std::uint32_t, kDimensions>;
struct CellHash {
  std::size_t operator()(const CellKey& k) const {
    std::uint64_t h = 0;
    for (std::size_t i = 0; i + 1 < k.size(); i += 2) h = hash_mix(h ^ k[i], (std::uint64_t{k[i + 1]} << 32) ^ 0x9e3779b97f4a7c15ull);
    return hash_mix(h ^ k.back(), 0x9e3779b97f4a7c15ull);
  }
};
using Section = std::unordered_map<std::string, Figures, StringHash, std::equal_to<>>;

// A call of a block as Figures.
void add_call(Figures& sum, const CallRow& row);

class DimensionSet {
 public:
  constexpr DimensionSet() = default;
  constexpr DimensionSet with(Dimension d) const { return DimensionSet(bits_ | 1u << static_cast<unsigned>(d)); }
  constexpr bool has(Dimension d) const { return bits_ >> static_cast<unsigned>(d) & 1; }
  static constexpr DimensionSet all_but_users() { return DimensionSet(((1u << kDimensions) - 1) & ~(1u << static_cast<unsigned>(Dimension::user))); }

 private:
  constexpr explicit DimensionSet(unsigned bits) : bits_(bits) {}
  unsigned bits_ = 0;
};

class Cells {
 public:
  // Calls are told apart by these; the fewer, the quicker (0.3 µs a call by all, 0.1 by one).
  explicit Cells(DimensionSet by = DimensionSet::all_but_users()) : by_(by) { (void)names_.number(""); }
  // To be told each block's names before its calls.
  void begin(std::span<const std::string_view> names);
  void add(const CallRow& row);
  void add(const Cells& other) { merge(other, false); }
  void subtract(const Cells& other) { merge(other, true); }
  // One dimension's values over all cells.
  void add_up(Dimension d, Section& out) const;
  const std::string& text(const CellKey& key, Dimension d) const { return names_.text(key[static_cast<std::size_t>(d)]); }
  std::size_t size() const { return cells_.size(); }
  const std::unordered_map<CellKey, Figures, CellHash>& all() const { return cells_; }
  void put(const CellKey& key, Figures figures) { cells_[key] += figures; }
  NameNumbers& names() { return names_; }
  const NameNumbers& names() const { return names_; }

 private:
  void merge(const Cells& other, bool subtract);
  std::uint32_t number_of(std::uint32_t name);
  std::uint32_t number_of(std::uint32_t& known, std::string_view text);
  DimensionSet by_;
  NameNumbers names_;
  std::array<std::uint32_t, 4> statuses_{};          // their numbers; 0: not met yet
  std::array<std::uint32_t, 8> caches_{};
  std::unordered_map<CellKey, Figures, CellHash> cells_;
  std::span<const std::string_view> block_names_;
  std::vector<std::uint32_t> block_numbers_;
};

struct Rollup {
  std::array<Section, kSections> sums;     // the user's too
  std::optional<Cells> cells = Cells();    // nothing: too many
  std::uint64_t calls() const;
  Rollup& operator+=(const Rollup& o);
  Rollup& operator-=(const Rollup& o);     // what is zero then is no longer named
};

// Adds up calls of blocks. Memory: about 400 bytes for each user, 700 for each combination of other values.
class RollupMaker {
 public:
  void begin(std::span<const std::string_view> names);
  void add(const CallRow& row);
  Rollup take();

 private:
  std::span<const std::string_view> names_;
  Cells cells_;
  Section users_;
  std::vector<Figures*> block_users_;      // by number of name, as they are met
};

// ---- as kept ----
std::string encode_sums(const Rollup& rollup);                   // all sections but the user's
std::string encode_cells(const Cells& cells);
std::string encode_section(const Section& section);              // a shard of users
// Plain forms read back, from bytes that may be anything: false when damaged.
using OnEntry = std::function<void(std::string_view name, std::string_view figures)>;
bool read_section(std::string_view plain, const OnEntry& entry);
bool read_sums(std::string_view plain, std::size_t section, const OnEntry& entry);   // one section; the others are skipped
using OnCell = std::function<void(const CellKey& key, std::string_view figures)>;    // numbers of the names given to `begin`
bool read_cells(std::string_view plain, const std::function<void(std::vector<std::string_view>&&)>& names, const OnCell& cell);
// The figures of an entry; its calls alone are the first number.
std::uint64_t calls_of(std::string_view figures);
std::int64_t incurred_of(std::string_view figures);              // without what follows it, whole or not
bool add_figures(Figures& sum, std::string_view figures);
bool decode_sums(std::string_view plain, Rollup& into);
bool decode_section(std::string_view plain, Section& into);
bool decode_cells(std::string_view plain, Cells& into);
std::size_t shards_for(std::size_t users);
std::size_t shard_of(std::string_view user, std::size_t shards);

}  // namespace ballast::records
