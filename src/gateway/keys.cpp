#include "gateway/keys.hpp"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include <fmt/format.h>

#include "base/ids.hpp"
#include "base/random.hpp"
#include "base/text.hpp"

namespace ballast::gateway {

namespace {

struct DigestHash {
  std::size_t operator()(const KeyDigest& d) const {   // already uniform
    std::size_t h;
    std::memcpy(&h, d.data(), sizeof h);
    return h;
  }
};

std::string_view bytes_of(const KeyDigest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }

}  // namespace

KeyDigest digest_of_secret(std::string_view secret) { return sha256(secret); }

Result<MintedKey> mint_key(KeyInfo info, WallTime now) {
  if (info.name.size() > kMaxAttribution || info.team.size() > kMaxAttribution || info.user.size() > kMaxAttribution ||
      info.feature.size() > kMaxAttribution)
    return fail(ErrorCode::caller_invalid_request, fmt::format("longer than {} bytes", kMaxAttribution), "name");
  if (info.models.size() > 256) return fail(ErrorCode::caller_invalid_request, "more than 256 models", "models");
  if (info.expires && *info.expires <= now)
    return fail(ErrorCode::caller_invalid_request, "is in the past", "expires");
  if (info.id.empty()) info.id = to_string(new_id(now), "key");
  if (info.created == WallTime{}) info.created = now;
  MintedKey minted{.secret = "blst_" + secret_token(32), .stored = {.info = std::move(info)}};
  minted.stored.digest = digest_of_secret(minted.secret);
  return minted;
}

std::string_view secret_in(std::string_view authorization, std::string_view x_api_key, std::string_view api_key,
                           std::string_view x_goog_api_key) {
  const auto value = trim(authorization);
  if (istarts_with(value, "bearer ")) {
    if (const auto secret = trim(value.substr(7)); !secret.empty()) return secret;
  }
  for (const auto v : {x_api_key, api_key, x_goog_api_key})
    if (const auto secret = trim(v); !secret.empty()) return secret;
  return {};
}

StoredKey configured_key(std::string_view secret, KeyInfo info) {
  if (info.id.empty()) info.id = "config:" + info.name;
  info.configured = true;
  return {.digest = digest_of_secret(secret), .info = std::move(info)};
}

StoredKey admin_key(std::string_view secret) {
  Scopes all;
  for (const auto s : {Scope::call, Scope::usage, Scope::read, Scope::admin}) all.add(s);
  return configured_key(secret, {.id = "admin", .name = "admin", .scopes = all});
}

// A key and when it was used. Written at most once a second, so that the loops share a line they only read.
struct KeyRing::Held : KeyInfo {
  explicit Held(KeyInfo info, bool is_old = false) : KeyInfo(std::move(info)), old(is_old) {}
  void use(WallTime now) const {
    const std::int64_t second = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
    if (used.load(std::memory_order_relaxed) != second) used.store(second, std::memory_order_relaxed);
  }
  static WallTime at(std::int64_t second) { return WallTime(std::chrono::seconds(second)); }
  bool old;                                    // found by the secret before the last rotation
  mutable std::atomic<std::int64_t> used{0};   // 0: never
  mutable std::int64_t taken = 0;              // what take_uses told; guarded by the ring's mutex
};

struct KeyRing::Snapshot {
  std::unordered_map<KeyDigest, std::shared_ptr<const Held>, DigestHash> by_digest;
  std::unordered_map<std::string, KeyDigest> by_id;
  std::unordered_map<std::string, KeyDigest> old_by_id;        // of rotated keys

  void remove(const std::string& id) {
    for (auto* ids : {&by_id, &old_by_id})
      if (const auto it = ids->find(id); it != ids->end()) {
        by_digest.erase(it->second);
        ids->erase(it);
      }
  }
  Result<void> add(StoredKey key) {
    const auto holder = by_digest.find(key.digest);
    if (holder != by_digest.end() && holder->second->id != key.info.id)
      return fail(ErrorCode::caller_conflict,
                  fmt::format("keys \"{}\" and \"{}\" have the same secret", holder->second->name, key.info.name), "keys");
    const std::string id = key.info.id;
    std::int64_t used = 0, taken = 0;
    if (const auto before = by_id.find(id); before != by_id.end()) {
      used = by_digest.at(before->second)->used.load(std::memory_order_relaxed);
      taken = by_digest.at(before->second)->taken;
    }
    remove(id);
    if (key.old_until && key.old_digest != key.digest) {
      KeyInfo info = key.info;
      info.expires = std::min(info.expires.value_or(WallTime::max()), *key.old_until);
      old_by_id[id] = key.old_digest;
      by_digest[key.old_digest] = std::make_shared<const Held>(std::move(info), true);
    }
    by_id[id] = key.digest;
    const auto held = std::make_shared<const Held>(std::move(key.info));
    held->used.store(used, std::memory_order_relaxed);
    held->taken = taken;
    by_digest[key.digest] = held;
    return {};
  }
};

KeyRing::KeyRing(Options options)
    : options_(options), current_(std::make_shared<const Snapshot>()), slots_(std::max(1U, options.loops)) {}
KeyRing::~KeyRing() = default;

Result<Principal> KeyRing::authenticate(unsigned loop, std::string_view secret, WallTime now) {
  if (secret.empty())
    return fail(ErrorCode::caller_unauthenticated, "no API key: send it in the header authorization, as a bearer token, or in x-api-key",
                "authorization");
  if (loop >= slots_.size()) return fail(ErrorCode::internal_error, "event loop without a key slot");
  Slot& slot = slots_[loop];
  if (slot.version != version_.load(std::memory_order_acquire)) {
    const std::lock_guard hold(mutex_);
    slot.snapshot = current_;
    slot.version = version_.load(std::memory_order_relaxed);
  }
  const KeyDigest digest = digest_of_secret(secret);
  const auto found = slot.snapshot->by_digest.find(digest);
  if (found == slot.snapshot->by_digest.end() || !ct_equal(bytes_of(found->first), bytes_of(digest))) {
    if (options_.freshness && options_.freshness->stale()) return fail(options_.freshness->refusal("the API key is not known here and may be new", "authorization"));
    return fail(ErrorCode::caller_unauthenticated, "the API key is not valid", "authorization");
  }
  const auto& info = found->second;
  if (info->expires && *info->expires <= now)
    return fail(ErrorCode::caller_unauthenticated, "the API key expired at " + to_rfc3339(*info->expires), "authorization");
  info->use(now);
  return Principal{.key = info, .user = info->user, .feature = info->feature};
}

Result<Principal> KeyRing::principal_of(std::string_view id, WallTime now) const {
  const std::lock_guard hold(mutex_);
  const auto at = current_->by_id.find(std::string(id));
  if (at == current_->by_id.end())
    return fail(ErrorCode::caller_unauthenticated, fmt::format("the key \"{}\" that asked for this was revoked or removed: ask again with another", id), "key");
  const auto& info = current_->by_digest.at(at->second);
  if (info->expires && *info->expires <= now)
    return fail(ErrorCode::caller_unauthenticated, fmt::format("the key \"{}\" that asked for this expired at {}: ask again with another", id, to_rfc3339(*info->expires)), "key");
  info->use(now);
  return Principal{.key = info, .user = info->user, .feature = info->feature};
}

Result<Principal> KeyRing::principal_where(std::string_view id, const std::function<bool(const KeyDigest&)>& proven, WallTime now) const {
  const std::lock_guard hold(mutex_);
  const std::string name(id);
  for (const auto* ids : {&current_->by_id, &current_->old_by_id}) {
    const auto at = ids->find(name);
    if (at == ids->end() || !proven(at->second)) continue;
    const auto& info = current_->by_digest.at(at->second);
    if (info->expires && *info->expires <= now) break;
    info->use(now);
    return Principal{.key = info, .user = info->user, .feature = info->feature};
  }
  return fail(ErrorCode::caller_unauthenticated, "the key was revoked, was given another secret or has expired", "key");
}

// Copies the snapshot, edits the copy, publishes it. Changes are rare; reads are every call.
template <class F>
Result<void> KeyRing::change(F edit) {
  const std::lock_guard hold(mutex_);
  auto next = std::make_shared<Snapshot>(*current_);
  if (Result<void> done = edit(*next); !done) return done;
  if (next->by_id.size() > options_.max_keys)
    return fail(ErrorCode::internal_unavailable, fmt::format("no more than {} keys", options_.max_keys));
  current_ = std::move(next);
  version_.fetch_add(1, std::memory_order_release);
  return {};
}

Result<void> KeyRing::put(StoredKey key) {
  return change([&](Snapshot& s) { return s.add(std::move(key)); });
}

Result<void> KeyRing::update(StoredKey key) {
  return change([&](Snapshot& s) -> Result<void> {
    if (!s.by_id.contains(key.info.id)) return fail(ErrorCode::caller_not_found, fmt::format("no key \"{}\"", key.info.id), "id");
    return s.add(std::move(key));
  });
}

bool KeyRing::holds(const StoredKey& key) const {
  const std::lock_guard hold(mutex_);
  const auto it = current_->by_id.find(key.info.id);
  if (it == current_->by_id.end() || it->second != key.digest) return false;
  const auto old = current_->old_by_id.find(key.info.id);
  const bool same_old = old == current_->old_by_id.end() ? !key.old_until : key.old_until && old->second == key.old_digest;
  return same_old && static_cast<const KeyInfo&>(*current_->by_digest.at(it->second)) == key.info;
}

Result<void> KeyRing::put_all(std::vector<StoredKey> keys) {
  return change([&](Snapshot& s) -> Result<void> {
    for (auto& key : keys)
      if (auto added = s.add(std::move(key)); !added) return added;
    return {};
  });
}

Result<void> KeyRing::configure(std::vector<StoredKey> keys) {
  return change([&](Snapshot& s) -> Result<void> {
    std::vector<std::string> old;
    for (const auto& [digest, info] : s.by_digest)
      if (info->configured) old.push_back(info->id);
    for (const auto& id : old) s.remove(id);
    for (auto& key : keys) {
      key.info.configured = true;
      if (s.by_id.contains(key.info.id))
        return fail(ErrorCode::caller_invalid_request, fmt::format("two keys are named \"{}\"", key.info.name), "keys");
      if (auto added = s.add(std::move(key)); !added) return added;
    }
    return {};
  });
}

Result<void> KeyRing::revoke(std::string_view id) {
  return change([&](Snapshot& s) -> Result<void> {
    const auto it = s.by_id.find(std::string(id));
    if (it == s.by_id.end()) return fail(ErrorCode::caller_not_found, fmt::format("no key \"{}\"", id), "id");
    if (s.by_digest.at(it->second)->configured)
      return fail(ErrorCode::caller_conflict, fmt::format("key \"{}\" comes from the configuration: remove it there", id), "id");
    s.remove(std::string(id));
    return {};
  });
}

std::shared_ptr<const KeyInfo> KeyRing::find(std::string_view id) const {
  const std::lock_guard hold(mutex_);
  const auto it = current_->by_id.find(std::string(id));
  return it == current_->by_id.end() ? nullptr : current_->by_digest.at(it->second);
}

std::vector<std::shared_ptr<const KeyInfo>> KeyRing::list() const {
  std::vector<std::shared_ptr<const KeyInfo>> out;
  {
    const std::lock_guard hold(mutex_);
    for (const auto& [digest, info] : current_->by_digest)
      if (!info->old) out.push_back(info);
  }
  std::ranges::sort(out, {}, [](const auto& info) -> const std::string& { return info->id; });
  return out;
}

std::optional<WallTime> KeyRing::last_used(std::string_view id) const {
  const std::lock_guard hold(mutex_);
  const auto it = current_->by_id.find(std::string(id));
  if (it == current_->by_id.end()) return std::nullopt;
  std::int64_t second = current_->by_digest.at(it->second)->used.load(std::memory_order_relaxed);
  if (const auto old = current_->old_by_id.find(it->first); old != current_->old_by_id.end())
    second = std::max(second, current_->by_digest.at(old->second)->used.load(std::memory_order_relaxed));
  return second ? std::optional(Held::at(second)) : std::nullopt;
}

std::vector<KeyRing::Use> KeyRing::take_uses() {
  std::vector<Use> out;
  const std::lock_guard hold(mutex_);
  for (const auto& [digest, key] : current_->by_digest) {
    const std::int64_t second = key->used.load(std::memory_order_relaxed);
    if (second == key->taken) continue;
    key->taken = second;
    out.push_back({key->id, Held::at(second)});
  }
  return out;
}

std::size_t KeyRing::size() const {
  const std::lock_guard hold(mutex_);
  return current_->by_id.size();
}

}  // namespace ballast::gateway
