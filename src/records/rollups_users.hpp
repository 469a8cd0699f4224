// How many calls each user made in an hour or a day, beside the shards that have all his figures: the largest of a hundred thousand are found by
// it, and then only the shards they live in are read. For the rollups' own files.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "records/rollups_row.hpp"

namespace ballast::records {

// A value. In parts, by the hash that sorts users into shards, and kept in this order: adding up many rows works on one small table after another,
// which stays in the processor's cache.
class UserCalls {
 public:
  void add(std::string_view user, std::uint64_t calls);
  // What `encode` made, of bytes that may be anything: false when damaged.
  bool add(std::string_view plain);
  // False: there is nobody of this name.
  bool rename(std::string_view user, std::string_view other);
  std::string encode() const;
  std::size_t size() const;                                // users
  std::vector<std::string> largest(std::size_t n) const;   // the first n by calls, equal ones by name

 private:
  // Open addressing; names lie one after the other.
  struct Part {
    struct Entry {
      std::uint64_t hash = 0, calls = 0;
      std::size_t at = 0, length = 0;      // of its name
    };
    void add(std::string_view user, std::uint64_t calls);
    std::string_view name(const Entry& e) const { return std::string_view(names).substr(e.at, e.length); }
    std::vector<Entry> entries;
    std::vector<std::uint64_t> slots;      // a power of two, half of them free (0); the hash's upper half, and an entry's number and one
    std::string names;

   private:
    void grow();
  };
  std::array<Part, kMostShards> parts_;
};
UserCalls calls_of_users(const Section& users);

// Which shards these users live in, in rows of any number of shards: character `shards + shard` (from 1, as SQL's substr counts) is '1'. A row asks
// itself by it, whatever its number of shards is.
std::string shard_mask(std::span<const std::string> users);

}  // namespace ballast::records
