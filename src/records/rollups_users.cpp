#include "records/rollups_users.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/hash.hpp"
#include "records/codec.hpp"

namespace ballast::records {

namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kNumber = 10;   // the longest varint

constexpr std::uint64_t kUpper = ~std::uint64_t{UINT32_MAX};

}  // namespace

void UserCalls::Part::grow() {
  slots.assign(slots.empty() ? 16 : 2 * slots.size(), 0);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    std::size_t slot = entries[i].hash & (slots.size() - 1);
    while (slots[slot]) slot = (slot + 1) & (slots.size() - 1);
    slots[slot] = (entries[i].hash & kUpper) | (i + 1);
  }
}

void UserCalls::Part::add(std::string_view user, std::uint64_t calls) {
  if (2 * (entries.size() + 1) > slots.size()) grow();
  const std::uint64_t hash = fast_hash(user);
  std::size_t slot = hash & (slots.size() - 1);
  for (; slots[slot]; slot = (slot + 1) & (slots.size() - 1)) {
    if ((slots[slot] ^ hash) & kUpper) continue;
    Entry& e = entries[(slots[slot] & UINT32_MAX) - 1];
    if (name(e) != user) continue;
    if (__builtin_add_overflow(e.calls, calls, &e.calls)) e.calls = UINT64_MAX;
    return;
  }
  entries.push_back({.hash = hash, .calls = calls, .at = names.size(), .length = user.size()});
  names += user;
  slots[slot] = (hash & kUpper) | entries.size();
}

void UserCalls::add(std::string_view user, std::uint64_t calls) { parts_[shard_of(user, kMostShards)].add(user, calls); }

bool UserCalls::add(std::string_view plain) {
  ByteReader r(plain);
  if (r.byte() != kVersion) return false;
  for (Part& part : parts_) {
    const std::uint64_t users = r.varint();
    for (std::uint64_t i = 0; i < users && r.good(); ++i) {
      const std::string_view user = r.view();
      const std::uint64_t calls = r.varint();
      if (r.good()) part.add(user, calls);
    }
  }
  return r.good();
}

bool UserCalls::rename(std::string_view user, std::string_view other) {
  Part& part = parts_[shard_of(user, kMostShards)];
  const auto his = std::ranges::find_if(part.entries, [&](const Part::Entry& e) { return part.name(e) == user; });
  if (his == part.entries.end()) return false;
  const std::uint64_t calls = his->calls;
  Part without;
  for (const Part::Entry& e : part.entries)
    if (&e != &*his) without.add(part.name(e), e.calls);
  part = std::move(without);
  add(other, calls);
  return true;
}

std::string UserCalls::encode() const {
  std::size_t most = 1;
  for (const Part& part : parts_) most += kNumber + part.names.size() + part.entries.size() * 2 * kNumber;
  std::string out(most, '\0');
  ByteWriter w(out.data());
  w.byte(kVersion);
  for (const Part& part : parts_) {
    w.varint(part.entries.size());
    for (const Part::Entry& e : part.entries) {
      w.text(part.name(e));
      w.varint(e.calls);
    }
  }
  out.resize(static_cast<std::size_t>(w.at() - out.data()));
  return out;
}

std::size_t UserCalls::size() const {
  return std::accumulate(parts_.begin(), parts_.end(), std::size_t{0}, [](std::size_t n, const Part& part) { return n + part.entries.size(); });
}

std::vector<std::string> UserCalls::largest(std::size_t n) const {
  std::vector<std::pair<std::uint64_t, std::string_view>> all;
  all.reserve(size());
  for (const Part& part : parts_)
    for (const Part::Entry& e : part.entries) all.emplace_back(e.calls, part.name(e));
  n = std::min(n, all.size());
  std::ranges::partial_sort(all, all.begin() + static_cast<std::ptrdiff_t>(n),
                            [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  std::vector<std::string> out;
  for (std::size_t i = 0; i < n; ++i) out.emplace_back(all[i].second);
  return out;
}

UserCalls calls_of_users(const Section& users) {
  UserCalls out;
  for (const auto& [user, figures] : users) out.add(user, figures.calls);
  return out;
}

std::string shard_mask(std::span<const std::string> users) {
  std::string mask(2 * kMostShards, '0');
  for (const std::string& user : users)
    for (std::size_t shards = 1; shards <= kMostShards; shards *= 2) mask[shards + shard_of(user, shards) - 1] = '1';
  return mask;
}

}  // namespace ballast::records
