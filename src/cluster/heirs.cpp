#include "cluster/heirs.hpp"

#include <algorithm>

namespace ballast::cluster {

Heirs::Heirs(Adopt adopt, std::uint64_t seed, Pace pace) : adopt_(std::move(adopt)), pace_(pace), random_(seed) {}

Duration Heirs::spread(Duration d) { return d + Duration(static_cast<std::int64_t>(random_.next() % static_cast<std::uint64_t>(d.count()))); }

void Heirs::died(const Member& gone, MonoTime now) {
  {
    const std::lock_guard lock(shared_->mutex);
    const auto [at, fresh] = shared_->book.try_emplace({gone.slot, gone.boot});
    if (!fresh && (at->second.asked || at->second.settled)) return;
    at->second = {.due = now + spread(pace_.again), .asked = true};
  }
  ask(gone);
}

void Heirs::look(const Picture& picture, std::string_view boot, MonoTime now) {
  std::vector<Member> due;
  {
    const std::lock_guard lock(shared_->mutex);
    std::erase_if(shared_->book, [&](const auto& entry) {
      return std::ranges::none_of(picture.members, [&](const auto& s) { return s.member.slot == entry.first.first && s.member.boot == entry.first.second; });
    });
    for (const auto& seen : picture.members) {
      if (seen.member.state != MemberState::gone || seen.member.boot == boot) continue;
      const auto [at, fresh] = shared_->book.try_emplace({seen.member.slot, seen.member.boot});
      Estate& e = at->second;
      if (fresh) e.due = now + spread(pace_.first);
      if (e.asked || e.settled || e.due > now) continue;
      e = {.due = now + spread(pace_.again), .asked = true};
      due.push_back(seen.member);
    }
  }
  for (const Member& m : due) ask(m);
}

void Heirs::ask(const Member& gone) {
  adopt_(gone, [book = std::weak_ptr(shared_), key = std::pair(gone.slot, gone.boot)](bool done) {
    const auto shared = book.lock();
    if (!shared) return;
    const std::lock_guard lock(shared->mutex);
    const auto at = shared->book.find(key);
    if (at == shared->book.end()) return;
    at->second.asked = false;
    at->second.settled = done;
  });
}

}  // namespace ballast::cluster
