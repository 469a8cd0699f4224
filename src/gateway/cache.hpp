// ResponseCache: answers to requests that were asked before, exactly; and one call for many who ask the same at once.
//
// A key covers everything that can change the answer: the wire, the operation, the route, the scope (one key's own, or
// shared by all), and the body without its volatile fields (model, stream, stream_options, user, metadata and the like),
// whatever their order and white space at the top level. An answer is stored in one form and replayed in any.
//
// Concurrency: thread-safe, sharded; callers of different loops may wait for one leader, each with its own deadline and
// cancellation. Bounds: `Options::max_bytes` over bodies and keys, least recently used leaves first; an answer above
// 1/16 of it is not kept; at most `max_followers` wait per key, further ones call for themselves.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/cancel.hpp"
#include "base/clock.hpp"
#include "base/money.hpp"
#include "base/result.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"

namespace ballast::gateway {

enum class CacheScope : std::uint8_t { key, shared };

// The cache section of a route.
struct CacheOptions {
  Duration ttl{};                          // zero: no cache
  CacheScope scope = CacheScope::key;
  bool across_nodes = false;               // what one node's cache keeps serves the others (cache_shared)
};

struct CacheKey {
  std::array<std::uint64_t, 4> hash{};     // SHA-256
  friend bool operator==(const CacheKey&, const CacheKey&) = default;
};
struct CacheKeyParts {
  std::string_view wire;                   // name of the caller's API
  std::string_view operation;
  std::string_view route;
  std::string_view scope;                  // the key id, or empty for shared
  std::string_view body;                   // the JSON request
};
// nullopt: the body is not a JSON object, or asks for something that must not be answered from memory.
std::optional<CacheKey> cache_key(const CacheKeyParts& parts);

// A stored answer. `body` is a whole (non-streamed) reply in the caller's wire; a streamed replay is written from it.
struct CachedReply {
  int status = 200;
  std::string content_type;
  std::string body;
  std::string served_by;                   // provider/model that made it
  std::string call_id;                     // the call that made it
  std::uint64_t input_tokens = 0, output_tokens = 0;
  Money cost;                              // what it cost then: what a hit saves now
  WallTime stored{};
};
using CachedReplyPtr = std::shared_ptr<const CachedReply>;

class ResponseCache;

// The duty of the one who makes the call. Move-only. Without `publish` its end (or `abandon`) hands the duty to the next
// of those who wait, one at a time, so a failing answer never turns into a stampede.
class CacheLead {
 public:
  CacheLead() = default;
  CacheLead(CacheLead&& o) noexcept;
  CacheLead& operator=(CacheLead&& o) noexcept;
  ~CacheLead();
  // Stores the answer for `ttl` since it was made, which is `age` ago (and keeps it for `stale_for`, where that is longer, for degradation), and gives it to
  // all who wait and would take one of that age; of the others the next has the duty. Returns what is kept. Only where it leads.
  CachedReplyPtr publish(CachedReply reply, Duration ttl, Duration stale_for, Duration age = {});
  void abandon();
  bool leads() const { return cache_ != nullptr; }

 private:
  friend class ResponseCache;
  CacheLead(ResponseCache* cache, CacheKey key) : cache_(cache), key_(key) {}
  ResponseCache* cache_ = nullptr;
  CacheKey key_;
};

struct CacheHit {
  CachedReplyPtr reply;
  bool waited = false;                     // it was being made when this call came
};
using CacheLookup = std::variant<CacheHit, CacheLead>;

class ResponseCache {
 public:
  struct Options {
    std::size_t max_bytes = 256u << 20;
    std::size_t max_followers = 10'000;
  };
  ResponseCache(const Clock& clock, Options options);
  ResponseCache(const ResponseCache&) = delete;
  ResponseCache& operator=(const ResponseCache&) = delete;
  ~ResponseCache();                        // after every lead and waiter is gone

  // A fresh answer stored at most `max_age` ago, or null; never waits.
  CachedReplyPtr find(const CacheKey& key, Duration max_age = Duration::max());
  // A hit that was stored at most `max_age` ago, or the duty to make the answer. Waits while another makes it: provider_timeout
  // at `deadline`, caller_cancelled. A lead that does not lead (`leads()` false) calls for itself and publishes nothing.
  Task<Result<CacheLookup>> look_up(CacheKey key, Duration max_age, Scheduler& loop, MonoTime deadline, CancelToken cancel);
  // Keeps an answer that was made beside what is stored or being made (`Cache-Control: no-cache`), `age` ago. Nobody is woken by it.
  CachedReplyPtr store(const CacheKey& key, CachedReply reply, Duration ttl, Duration stale_for, Duration age = {});
  // Fresh or expired by at most `max_age` since it was stored: the degradation of a failed call.
  CachedReplyPtr find_stale(const CacheKey& key, Duration max_age);
  void clear();

  struct Stats {
    std::size_t entries = 0, bytes = 0;
    std::uint64_t hits = 0, misses = 0, joined = 0, evicted = 0;
  };
  Stats stats() const;

 private:
  friend class CacheLead;
  struct Entry;
  struct Flight;
  struct Shard;
  struct Waiter;
  static constexpr std::size_t kShards = 16;
  Shard& shard_of(const CacheKey& key) const;
  // Under its mutex:
  void keep(Shard& shard, const CacheKey& key, const CachedReplyPtr& reply, Duration ttl, Duration stale_for, Duration age);
  static void lead_next(Shard& shard, const CacheKey& key);
  void finish(const CacheKey& key, const CachedReplyPtr& reply, Duration ttl, Duration stale_for, Duration age);
  void pass_on(const CacheKey& key);

  const Clock& clock_;
  const Options options_;
  std::unique_ptr<Shard[]> shards_;
};

}  // namespace ballast::gateway
