#include "gateway/cache.hpp"

#include <algorithm>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "gateway/parking.hpp"

namespace ballast::gateway {

namespace {

std::size_t weight_of(const CachedReply& r) {
  return sizeof(CachedReply) + 160 + r.body.size() + r.content_type.size() + r.served_by.size() + r.call_id.size();
}

struct CacheKeyHash {
  std::size_t operator()(const CacheKey& k) const { return k.hash[1]; }
};

}  // namespace

// A stored answer, in its shard's order of use.
struct ResponseCache::Entry {
  CacheKey key;
  CachedReplyPtr reply;
  std::size_t bytes = 0;
  MonoTime stored{}, fresh_until{}, kept_until{};
  Entry* newer = nullptr;
  Entry* older = nullptr;
};

// A call that waits for another's answer; lives in its coroutine's frame.
struct ResponseCache::Waiter {
  Parking* parking = nullptr;
  Duration max_age{};
  CachedReplyPtr reply;
  bool leads = false;                      // the duty was passed on to this one
};

// A key whose answer is being made.
struct ResponseCache::Flight {
  std::deque<Waiter*> followers;           // in order of arrival
};

struct alignas(64) ResponseCache::Shard {
  mutable std::mutex mutex;
  std::unordered_map<CacheKey, std::unique_ptr<Entry>, CacheKeyHash> entries;
  std::unordered_map<CacheKey, Flight, CacheKeyHash> flights;
  Entry* newest = nullptr;
  Entry* oldest = nullptr;
  std::size_t bytes = 0;
  std::uint64_t hits = 0, misses = 0, joined = 0, evicted = 0;

  void unlink(Entry& e) {
    (e.newer ? e.newer->older : newest) = e.older;
    (e.older ? e.older->newer : oldest) = e.newer;
    e.newer = e.older = nullptr;
  }
  void link_newest(Entry& e) {
    e.older = newest;
    (newest ? newest->newer : oldest) = &e;
    newest = &e;
  }
  void remove(Entry& e) {
    unlink(e);
    bytes -= e.bytes;
    const CacheKey key = e.key;
    entries.erase(key);
  }
  CachedReplyPtr fresh(const CacheKey& key, MonoTime now, Duration max_age) {
    const auto it = entries.find(key);
    if (it == entries.end()) return nullptr;
    Entry& e = *it->second;
    if (now >= e.fresh_until) {
      if (now >= e.kept_until) remove(e);
      return nullptr;
    }
    if (now - e.stored > max_age) return nullptr;    // young enough for others
    unlink(e);
    link_newest(e);
    return e.reply;
  }
};

ResponseCache::ResponseCache(const Clock& clock, Options options)
    : clock_(clock), options_(options), shards_(std::make_unique<Shard[]>(kShards)) {}
ResponseCache::~ResponseCache() = default;

ResponseCache::Shard& ResponseCache::shard_of(const CacheKey& key) const { return shards_[key.hash[0] % kShards]; }

CachedReplyPtr ResponseCache::find(const CacheKey& key, Duration max_age) {
  Shard& shard = shard_of(key);
  const std::lock_guard hold(shard.mutex);
  auto reply = shard.fresh(key, clock_.mono(), max_age);
  if (reply) ++shard.hits;
  return reply;
}

CachedReplyPtr ResponseCache::find_stale(const CacheKey& key, Duration max_age) {
  Shard& shard = shard_of(key);
  const MonoTime now = clock_.mono();
  const std::lock_guard hold(shard.mutex);
  const auto it = shard.entries.find(key);
  if (it == shard.entries.end() || now - it->second->stored > max_age || now >= it->second->kept_until) return nullptr;
  return it->second->reply;
}

Task<Result<CacheLookup>> ResponseCache::look_up(CacheKey key, Duration max_age, Scheduler& loop, MonoTime deadline, CancelToken cancel) {
  Shard& shard = shard_of(key);
  Waiter self;
  Parking parking(loop, deadline, cancel);
  {
    const std::lock_guard hold(shard.mutex);
    if (auto reply = shard.fresh(key, clock_.mono(), max_age)) {
      ++shard.hits;
      co_return CacheLookup(CacheHit{std::move(reply), false});
    }
    const auto flight = shard.flights.find(key);
    if (flight == shard.flights.end()) {
      ++shard.misses;
      shard.flights.emplace(key, Flight{});
      co_return CacheLookup(CacheLead(this, key));
    }
    if (flight->second.followers.size() >= options_.max_followers) {
      ++shard.misses;
      co_return CacheLookup(CacheLead{});
    }
    ++shard.joined;
    self.parking = &parking;
    self.max_age = max_age;
    flight->second.followers.push_back(&self);
  }
  const Wake wake = co_await parking;
  {
    const std::lock_guard hold(shard.mutex);
    if (!self.reply && !self.leads) std::erase(shard.flights.at(key).followers, &self);
  }
  // Decided at the same moment as it gave up: an answer is welcome all the same, and a duty must be passed on.
  if (self.reply) co_return CacheLookup(CacheHit{std::move(self.reply), true});
  if (self.leads) {
    CacheLead lead(this, key);
    if (wake == Wake::woken) co_return CacheLookup(std::move(lead));
  }
  if (wake == Wake::cancelled) co_return fail(ErrorCode::caller_cancelled, "the caller left while the same request was being answered");
  co_return fail(ErrorCode::provider_timeout, "the same request, asked before, was not answered in time");
}

void ResponseCache::keep(Shard& shard, const CacheKey& key, const CachedReplyPtr& reply, Duration ttl, Duration stale_for, Duration age) {
  const MonoTime made = clock_.mono() - age;
  const std::size_t bytes = weight_of(*reply);
  const std::size_t room = options_.max_bytes / kShards;
  if (const auto it = shard.entries.find(key); it != shard.entries.end()) shard.remove(*it->second);
  if (ttl > Duration::zero() && bytes <= room) {
    while (shard.bytes + bytes > room && shard.oldest) {
      shard.remove(*shard.oldest);
      ++shard.evicted;
    }
    auto entry = std::make_unique<Entry>(Entry{.key = key, .reply = reply, .bytes = bytes, .stored = made, .fresh_until = made + ttl,
                                               .kept_until = made + std::max(ttl, stale_for)});
    shard.link_newest(*entry);
    shard.bytes += bytes;
    shard.entries.emplace(key, std::move(entry));
  }
}

CachedReplyPtr ResponseCache::store(const CacheKey& key, CachedReply reply, Duration ttl, Duration stale_for, Duration age) {
  Shard& shard = shard_of(key);
  auto kept = std::make_shared<const CachedReply>(std::move(reply));
  const std::lock_guard hold(shard.mutex);
  keep(shard, key, kept, ttl, stale_for, age);
  return kept;
}

// The next who waits makes the call. One that gave up meanwhile sees that it leads and passes the duty on in turn.
void ResponseCache::lead_next(Shard& shard, const CacheKey& key) {
  const auto flight = shard.flights.find(key);
  auto& followers = flight->second.followers;
  if (followers.empty()) {
    shard.flights.erase(flight);
    return;
  }
  Waiter* next = followers.front();
  followers.pop_front();
  next->leads = true;
  next->parking->wake();
}

void ResponseCache::finish(const CacheKey& key, const CachedReplyPtr& reply, Duration ttl, Duration stale_for, Duration age) {
  Shard& shard = shard_of(key);
  const std::lock_guard hold(shard.mutex);
  keep(shard, key, reply, ttl, stale_for, age);
  std::erase_if(shard.flights.at(key).followers, [&](Waiter* w) {
    if (age > w->max_age) return false;
    w->reply = reply;
    w->parking->wake();
    return true;
  });
  lead_next(shard, key);
}

void ResponseCache::pass_on(const CacheKey& key) {
  Shard& shard = shard_of(key);
  const std::lock_guard hold(shard.mutex);
  lead_next(shard, key);
}

void ResponseCache::clear() {
  for (std::size_t i = 0; i < kShards; ++i) {
    Shard& shard = shards_[i];
    const std::lock_guard hold(shard.mutex);
    shard.entries.clear();
    shard.newest = shard.oldest = nullptr;
    shard.bytes = 0;
  }
}

ResponseCache::Stats ResponseCache::stats() const {
  Stats s;
  for (std::size_t i = 0; i < kShards; ++i) {
    const Shard& shard = shards_[i];
    const std::lock_guard hold(shard.mutex);
    s.entries += shard.entries.size();
    s.bytes += shard.bytes;
    s.hits += shard.hits;
    s.misses += shard.misses;
    s.joined += shard.joined;
    s.evicted += shard.evicted;
  }
  return s;
}

CacheLead::CacheLead(CacheLead&& o) noexcept : cache_(std::exchange(o.cache_, nullptr)), key_(o.key_) {}
CacheLead& CacheLead::operator=(CacheLead&& o) noexcept {
  if (this != &o) {
    abandon();
    cache_ = std::exchange(o.cache_, nullptr);
    key_ = o.key_;
  }
  return *this;
}
CacheLead::~CacheLead() { abandon(); }

CachedReplyPtr CacheLead::publish(CachedReply reply, Duration ttl, Duration stale_for, Duration age) {
  auto kept = std::make_shared<const CachedReply>(std::move(reply));
  if (auto* cache = std::exchange(cache_, nullptr)) cache->finish(key_, kept, ttl, stale_for, age);
  return kept;
}
void CacheLead::abandon() {
  if (auto* cache = std::exchange(cache_, nullptr)) cache->pass_on(key_);
}

}  // namespace ballast::gateway
