// RefusedKeys: how many keys were sent that are none, by address, so that somebody who tries many is seen.
//
// It is told of failures alone and slows nobody: a good key costs nothing more, and is let in whoever shares its address. To answer the others late, or
// with 429, would keep nobody from trying: who guesses wants to know of the one that is let in. What keeps keys from being found is their length
// (docs/operations.md).
// Thread-safe. Bounded: 4,096 addresses a minute by name; beyond that the count of all together goes on.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/metrics.hpp"
#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::server {

class RefusedKeys {
 public:
  struct Options {
    std::size_t burst = 100;                         // from one address in a minute: somebody tries, or something has an old key
    std::size_t told = 5;                            // addresses named of a burst, those with the most first
  };
  RefusedKeys(metrics::Registry& metrics, Options options);

  enum class Where : std::uint8_t { header, sign_in };
  // `peer` as the connection has it, "192.0.2.7:5000".
  void note(Where where, std::string_view peer, WallTime now);

  struct Burst {
    WallTime minute{};
    std::size_t refused = 0, addresses = 0;          // in all
    std::vector<std::pair<std::string, std::size_t>> most;
  };
  // What the last minute that is over was, if an address had a burst in it; each once.
  std::optional<Burst> take(WallTime now);

 private:
  void turn(std::int64_t minute);
  const Options options_;
  metrics::Counter& by_header_;
  metrics::Counter& by_sign_in_;
  std::mutex mutex_;
  std::int64_t minute_ = 0;
  std::size_t all_ = 0;
  std::map<std::string, std::size_t, std::less<>> of_;   // of this minute
  std::optional<Burst> over_;
};

// Has bursts told in the audit trail, one entry a minute at most. Blocking: not for a loop.
Result<void> tell_bursts(RefusedKeys& refused, store::Database& database, WallTime now);

}  // namespace ballast::server
