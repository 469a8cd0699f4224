// KeyRing: every key that may call, in memory, by SHA-256 of its secret.
//
// Secrets are shown once, when minted, and never stored: the database and this ring hold their hashes. Looking up a
// 256-bit random secret by its hash leaks nothing by timing; the final comparison is constant-time all the same.
//
// Concurrency: `authenticate` is called by each event loop with its own index and takes no lock unless the ring changed
// since that loop's last call. Everything else may be called from any thread and takes a mutex.
// Bounds: at most `Options::max_keys`; creating more is refused with internal_unavailable.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.hpp"
#include "gateway/freshness.hpp"
#include "gateway/principal.hpp"

namespace ballast::gateway {

using KeyDigest = Digest;

// One key as stored.
struct StoredKey {
  KeyDigest digest{};
  KeyInfo info;
  KeyDigest old_digest{};                // of the secret before the last rotation: good until
  std::optional<WallTime> old_until;     // this time; empty: there is none
};

// A freshly made key; `secret` leaves this struct once, towards its owner.
struct MintedKey {
  std::string secret;      // "blst_" + 32 random bytes, base64url without padding
  StoredKey stored;
};
// Draws the secret from the operating system's generator. `info.id` and `created` are filled in if empty.
Result<MintedKey> mint_key(KeyInfo info, WallTime now);
KeyDigest digest_of_secret(std::string_view secret);

// The secret in a request's headers, whichever API's habit it follows: `Authorization: Bearer …`, `x-api-key`, `api-key`
// (Azure), `x-goog-api-key`. Empty if none. Arguments are the header values, empty when absent.
std::string_view secret_in(std::string_view authorization, std::string_view x_api_key, std::string_view api_key,
                           std::string_view x_goog_api_key);

class KeyRing {
 public:
  struct Options {
    std::size_t max_keys = 100'000;
    unsigned loops = 64;                 // highest loop index + 1
    const Freshness* freshness = nullptr;      // of what other nodes made; outlives the ring. Null: there are no others
  };
  explicit KeyRing(Options options);
  KeyRing(const KeyRing&) = delete;
  KeyRing& operator=(const KeyRing&) = delete;
  ~KeyRing();

  // caller_unauthenticated for an absent, unknown, revoked or expired key, with one message for all but expiry. An unknown one while what the ring knows is
  // stale may be new: Freshness::refusal.
  Result<Principal> authenticate(unsigned loop, std::string_view secret, WallTime now);

  // Who a job of this key asks as: as `authenticate`, by the key's id. Takes a mutex: not for a call over HTTP.
  Result<Principal> principal_of(std::string_view id, WallTime now) const;

  // Of the key `id`, by whichever of its secrets `proven` says yes to (the present one, or that before the last rotation while it is good): who
  // has proved one of them earlier, and did not keep it. Takes a mutex. caller_unauthenticated once none of them is good any more.
  Result<Principal> principal_where(std::string_view id, const std::function<bool(const KeyDigest&)>& proven, WallTime now) const;

  // Adds or replaces (by id). A digest already held by another id is caller_conflict.
  Result<void> put(StoredKey key);
  // Replaces one that is here: one that was revoked meanwhile stays revoked (caller_not_found). Its last use is kept.
  Result<void> update(StoredKey key);
  // Is this key held just so: the same secrets, the same rights?
  bool holds(const StoredKey& key) const;
  // All at once, one new snapshot: the database's keys at start. Keys already here stay; same ids are replaced.
  Result<void> put_all(std::vector<StoredKey> keys);
  // Replaces every configured key (and the admin key) by these: start and reload. Database keys stay.
  Result<void> configure(std::vector<StoredKey> keys);
  // caller_not_found, or caller_conflict for a configured key. In effect on every loop from its next call.
  Result<void> revoke(std::string_view id);

  std::shared_ptr<const KeyInfo> find(std::string_view id) const;
  std::vector<std::shared_ptr<const KeyInfo>> list() const;      // sorted by id
  std::size_t size() const;

  // When a key last called through this ring, to the second; nothing if it has not since the process began.
  std::optional<WallTime> last_used(std::string_view id) const;
  // The keys used since this was asked before, and when: for a batch to the database.
  struct Use { std::string id; WallTime at; };
  std::vector<Use> take_uses();

 private:
  struct Held;
  struct Snapshot;
  struct alignas(64) Slot {
    std::uint64_t version = 0;
    std::shared_ptr<const Snapshot> snapshot;
  };
  template <class F>
  Result<void> change(F edit);

  const Options options_;
  mutable std::mutex mutex_;
  std::atomic<std::uint64_t> version_{1};
  std::shared_ptr<const Snapshot> current_;                      // guarded by mutex_
  std::vector<Slot> slots_;                                      // slot i is touched by loop i alone
};

// A configured secret as a stored key: id "config:NAME" (or "admin" with every scope).
StoredKey configured_key(std::string_view secret, KeyInfo info);
StoredKey admin_key(std::string_view secret);

}  // namespace ballast::gateway
