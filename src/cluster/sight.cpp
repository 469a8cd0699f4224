#include "cluster/sight.hpp"

#include <algorithm>

namespace ballast::cluster {

void Sight::look(std::span<const Member> members, MonoTime now) {
  const Duration passed = looked_ && now > *looked_ && now - *looked_ <= gap_ ? now - *looked_ : Duration::zero();
  looked_ = now;
  std::map<unsigned, Seen> seen;
  for (const Member& m : members) {
    const auto before = seen_.find(m.slot);
    const bool counted = before == seen_.end() || before->second.member.boot != m.boot || before->second.member.beats != m.beats;
    seen.emplace(m.slot, Seen{m, counted ? Duration::zero() : before->second.silent + passed});
  }
  seen_ = std::move(seen);
}

std::optional<Duration> Sight::silent(unsigned slot) const {
  const auto at = seen_.find(slot);
  return at == seen_.end() ? std::nullopt : std::optional(at->second.silent);
}

bool Sight::lives(const Member& m) const {
  const auto at = seen_.find(m.slot);
  return m.state != MemberState::gone && (at == seen_.end() || at->second.silent < patience_);
}

std::vector<Member> Sight::dead() const {
  std::vector<Member> out;
  for (const auto& [slot, seen] : seen_)
    if (seen.member.state != MemberState::gone && seen.silent >= patience_) out.push_back(seen.member);
  return out;
}

std::optional<MonoTime> Sight::next_death() const {
  std::optional<MonoTime> out;
  for (const auto& [slot, seen] : seen_)
    if (seen.member.state != MemberState::gone && seen.silent < patience_) out = std::min(out.value_or(MonoTime::max()), *looked_ + (patience_ - seen.silent));
  return out;
}

}  // namespace ballast::cluster
