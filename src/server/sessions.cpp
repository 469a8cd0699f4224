#include "server/sessions.hpp"

#include <algorithm>
#include <cstring>

#include "base/random.hpp"
#include "base/text.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kTokenSize = 43;                   // 32 bytes as base64url
constexpr std::size_t kMostAddresses = 4096;

std::string_view bytes_of(const Digest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }
Digest proof_of(std::string_view token, const gateway::KeyDigest& key) { return hmac_sha256(token, bytes_of(key)); }
std::int64_t minute_of(WallTime t) { return std::chrono::floor<std::chrono::minutes>(t).time_since_epoch().count(); }
Error ended() { return {ErrorCode::caller_unauthenticated, "the session has ended: sign in again", "cookie"}; }

}  // namespace

std::size_t Sessions::DigestHash::operator()(const Digest& d) const {
  std::size_t h;                                         // a digest is as random as a hash can be
  std::memcpy(&h, d.data(), sizeof h);
  return h;
}

WallTime Sessions::end_of(const records::SessionRow& row) const { return std::min(row.expires, row.seen + options_.idle); }

Sessions::Opened Sessions::make(const gateway::KeyInfo& key, std::string_view secret, WallTime now) const {
  Opened made{.token = secret_token(), .row = {}};
  const WallTime last = now + options_.life;
  made.row = {.digest = sha256(made.token), .key_id = key.id, .proof = proof_of(made.token, gateway::digest_of_secret(secret)), .created = now,
              .expires = std::min(last, key.expires.value_or(last)), .seen = now};
  return made;
}

Result<void> Sessions::put(const records::SessionRow& row) {
  const std::lock_guard hold(mutex_);
  std::size_t of_key = 0;
  auto oldest = entries_.end();
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->second.row.key_id != row.key_id) continue;
    ++of_key;
    if (oldest == entries_.end() || it->second.row.seen < oldest->second.row.seen) oldest = it;
  }
  if (of_key >= options_.most_of_a_key) entries_.erase(oldest);
  if (entries_.size() >= options_.most) return fail(ErrorCode::internal_unavailable, fmt::format("no more than {} sessions at a time", options_.most));
  entries_[row.digest] = {.row = row, .fresh = true};
  return {};
}

Result<Sessions::Held> Sessions::find(std::string_view token, WallTime now, bool looking) {
  const Digest digest = sha256(token);
  const std::lock_guard hold(mutex_);
  const auto at = entries_.find(digest);
  if (at == entries_.end()) return fail(ended());
  Entry& e = at->second;
  auto who = end_of(e.row) > now ? keys_.principal_where(e.row.key_id, [&](const auto& key) { return ct_equal(bytes_of(proof_of(token, key)), bytes_of(e.row.proof)); }, now)
                                 : Result<gateway::Principal>(fail(ended()));
  if (!who) {
    entries_.erase(at);
    return fail(ended());
  }
  if (!looking) {
    e.row.seen = std::max(e.row.seen, now);
    e.used = true;
  }
  return Held{.who = std::move(*who), .expires = end_of(e.row), .digest = digest};
}

bool Sessions::knows(std::string_view token) const {
  const Digest digest = sha256(token);
  const std::lock_guard hold(mutex_);
  return entries_.contains(digest);
}

void Sessions::drop(const Digest& digest) {
  const std::lock_guard hold(mutex_);
  entries_.erase(digest);
  if (looking_) dropped_.insert(digest);
}

bool Sessions::may_ask(WallTime now) {
  const std::int64_t second = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
  const std::lock_guard hold(mutex_);
  if (second != asked_second_) asked_ = 0;
  asked_second_ = second;
  return ++asked_ <= options_.asked_a_second;
}

void Sessions::look() {
  const std::lock_guard hold(mutex_);
  for (auto& [digest, e] : entries_) e.fresh = false;
  dropped_.clear();
  looking_ = true;
}

void Sessions::follow(const std::vector<records::SessionRow>& rows) {
  const std::lock_guard hold(mutex_);
  std::unordered_map<Digest, Entry, DigestHash> next;
  for (const auto& row : rows) {
    if (dropped_.contains(row.digest)) continue;
    Entry& e = next[row.digest] = {.row = row};
    if (const auto here = entries_.find(row.digest); here != entries_.end()) e = here->second;
    e.row.seen = std::max(e.row.seen, row.seen);
  }
  for (const auto& [digest, e] : entries_)
    if (e.fresh) next.emplace(digest, e);
  entries_ = std::move(next);
  dropped_.clear();
  looking_ = false;
}

std::vector<records::SessionUse> Sessions::take_uses() {
  const std::lock_guard hold(mutex_);
  std::vector<records::SessionUse> out;
  for (auto& [digest, e] : entries_)
    if (std::exchange(e.used, false)) out.push_back({digest, e.row.seen});
  return out;
}

std::size_t Sessions::size() const {
  const std::lock_guard hold(mutex_);
  return entries_.size();
}

Result<void> Sessions::may_try(std::string_view address, WallTime now) {
  const std::int64_t minute = minute_of(now);
  const std::lock_guard hold(mutex_);
  const auto above = [&](std::string_view of, std::size_t most) {
    const auto at = failures_.find(of);
    return at != failures_.end() && at->second.number == minute && at->second.count >= most;
  };
  if (!above(address, options_.failures) && !above("", 10 * options_.failures)) return {};
  Error error{ErrorCode::policy_rate_limited, "too many keys were refused: wait a minute", "key"};
  error.retryable = true;
  error.retry_after = std::chrono::ceil<std::chrono::milliseconds>(WallTime(std::chrono::minutes(minute + 1)) - now);
  return fail(std::move(error));
}

void Sessions::failed(std::string_view address, WallTime now) {
  const std::int64_t minute = minute_of(now);
  const std::lock_guard hold(mutex_);
  if (failures_.size() >= kMostAddresses) std::erase_if(failures_, [&](const auto& f) { return f.second.number != minute; });
  for (const std::string_view of : {address, std::string_view()}) {
    auto at = failures_.find(of);
    if (at == failures_.end() && failures_.size() > kMostAddresses) continue;            // the count of all together goes on
    if (at == failures_.end()) at = failures_.emplace(of, Minute{}).first;
    if (at->second.number != minute) at->second = {minute, 0};
    ++at->second.count;
  }
}

std::string csrf_of(std::string_view token) {
  const Digest d = hmac_sha256(token, "ballast csrf");
  return to_base64url(bytes_of(d));
}

std::string_view session_token_in(std::string_view cookies, bool secure) {
  const std::string_view wanted = secure ? kSecureSessionCookie : kSessionCookie;
  for (const auto one : split(cookies, ';')) {
    const std::string_view pair = trim(one);
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != wanted) continue;
    const std::string_view token = pair.substr(equals + 1);
    return token.size() == kTokenSize ? token : std::string_view();
  }
  return {};
}

std::string address_of(std::string_view peer) {
  if (!peer.starts_with('[')) return std::string(peer.substr(0, peer.rfind(':')));
  const std::string_view address = peer.substr(1, peer.find(']') - 1);
  constexpr std::string_view mapped = "::ffff:";                  // an IPv4 caller of a socket for both
  if (address.starts_with(mapped) && address.contains('.')) return std::string(address.substr(mapped.size()));
  std::size_t end = 0;
  for (int groups = 0; groups < 4 && end < address.size() && address.substr(end, 2) != "::"; ++groups) end = std::min(address.find(':', end + 1), address.size());
  return end ? std::string(address.substr(0, end)) : "::";
}

}  // namespace ballast::server
