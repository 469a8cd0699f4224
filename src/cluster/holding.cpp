#include "cluster/holding.hpp"

#include <algorithm>

namespace ballast::cluster {

namespace {

using std::chrono::milliseconds;
using Wide = __int128;
// Demand is counted over eight of these: two seconds; of money a minute. Money has no lease, so what is held ahead is what calls go on with while the
// database is away, and nobody is kept from it: it is given up as soon as another node waits for it.
constexpr std::int64_t eighth_ns(QuotaKind kind) { return kind == QuotaKind::money ? 7'500'000'000 : 250'000'000; }
constexpr unsigned kSteady = 16;                         // so many in half a second tell a rate; fewer are chance
constexpr auto kSoon = milliseconds(200), kLook = milliseconds(400), kLongest = milliseconds(2'000), kRenew = milliseconds(15'000);
constexpr std::int64_t kFullNs = 1'000'000'000;          // for so long after an answer it is believed that there is no more
constexpr auto kForEach = milliseconds(5);               // of the nodes that share a quota: its row has them one after another

Nano whole(Wide n, Nano grain) { return static_cast<Nano>(std::min<Wide>((n + grain - 1) / grain * grain, INT64_MAX / grain * grain)); }
Nano more(Nano a, Nano b) {
  Nano sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}
// A part in 1,024: more than any disciplined clock is off.
std::int64_t slack(std::int64_t ns) { return (ns + 1'023) / 1'024; }

}  // namespace

void CarefulTime::look(MonoTime mono, WallTime wall) {
  const std::int64_t by_mono = std::max<std::int64_t>(0, (mono - mono_).count()), by_wall = std::max<std::int64_t>(0, (wall - wall_).count());
  mono_ = mono;
  wall_ = wall;
  if (std::exchange(first_, false)) return;
  const std::int64_t least = std::min(by_mono, by_wall), most = std::max(by_mono, by_wall);
  earliest_ += least - slack(least);
  latest_ += most + slack(most);
}

Holding::Eighth& Holding::eighth(const CarefulTime& t) {
  const std::int64_t number = t.earliest() / eighth_ns(terms_.kind);
  Eighth& q = eighths_[static_cast<std::size_t>(number) % eighths_.size()];
  if (q.number != number) q = {.number = number, .peak = used_};
  return q;
}

void Holding::refill(const CarefulTime& t) {
  const std::int64_t passed = t.earliest() - refilled_;
  if (passed <= 0) return;                               // who looked earlier may come later
  refilled_ = t.earliest();
  if (terms_.kind != QuotaKind::rate || share_ <= 0 || over(t)) return;
  const Wide period = static_cast<Wide>(terms_.period_us) * 1'000, grown = static_cast<Wide>(share_) * passed + part_;
  part_ = grown % period;
  level_ = static_cast<Nano>(std::min<Wide>(room(), level_ + grown / period));
}

Nano Holding::level(const CarefulTime& t) {
  refill(t);
  if (over(t)) return 0;
  switch (terms_.kind) {
    case QuotaKind::rate: return level_;
    case QuotaKind::concurrency: return std::min(share_, usable_) - used_;
    case QuotaKind::money: return share_ - used_;
  }
  return 0;
}

bool Holding::take(Nano n, const CarefulTime& t, bool again) {
  if (n > terms_.amount) return false;                   // there is no use in asking
  if (level(t) < n) {
    miss(n, t, again);
    return false;
  }
  Eighth& q = eighth(t);
  if (!again) {
    q.offered = more(q.offered, n);
    ++q.calls;
  }
  if (terms_.kind == QuotaKind::rate) {
    level_ -= n;
  } else {
    used_ += n;
    q.peak = std::max(q.peak, used_);
  }
  return true;
}

void Holding::miss(Nano n, const CarefulTime& t, bool again) {
  refused_ = std::max(refused_, n);
  if (again) return;
  Eighth& q = eighth(t);
  q.offered = more(q.offered, n);
  q.refused = more(q.refused, n);
  ++q.calls;
}

bool Holding::reserve(Nano n, const CarefulTime& t, bool again) {
  if (!take(n, t, again)) return false;
  used_ += n;
  return true;
}

void Holding::settle(Nano reserved, Nano actual, const CarefulTime& t) {
  refill(t);                                             // while there was room for less
  used_ -= reserved;
  level_ = static_cast<Nano>(std::clamp<Wide>(static_cast<Wide>(level_) + reserved - actual, -INT64_MAX, room()));
}

void Holding::give_back(Nano n) {
  if (terms_.kind == QuotaKind::rate) level_ = std::min(room(), level_ + n);
  else used_ -= n;
}

void Holding::charge(Nano n) {
  if (terms_.kind == QuotaKind::rate) level_ -= n;
  else used_ += n;
}

Nano Holding::wanted(const CarefulTime& t) const {
  const std::int64_t now = t.earliest() / eighth_ns(terms_.kind);
  Wide offered = 0, lately = 0, peaks = 0, eighths = 0, refused = 0;
  unsigned calls = 0;
  for (const Eighth& q : eighths_) {
    const std::int64_t age = now - q.number;
    if (q.number < 0 || age >= static_cast<std::int64_t>(eighths_.size())) continue;
    offered += q.offered;
    if (age < 2) {
      lately += q.offered;
      calls += q.calls;
    }
    peaks += q.peak;
    ++eighths;
    refused = std::max<Wide>(refused, q.refused);
  }
  Wide want = 0;
  switch (terms_.kind) {
    case QuotaKind::rate:
      want = std::max(offered / 2, calls >= kSteady ? lately * 2 : 0) * terms_.period_us / 1'000'000;
      want = std::max<Wide>(want, more(used_, refused_));
      break;
    case QuotaKind::concurrency: want = std::max<Wide>(used_, eighths ? peaks / eighths : 0) + std::max<Wide>(refused, refused_); break;
    case QuotaKind::money: want = used_ + std::max<Wide>(offered * 2, refused_); break;
  }
  return whole(std::min<Wide>(want, terms_.kind == QuotaKind::money ? INT64_MAX : terms_.amount), terms_.kind == QuotaKind::money ? 1 : kUnit);
}

// Keeps `keep` of the share. Level goes along with it, in proportion: a debt too.
void Holding::shrink(Nano keep, Nano& back) {
  if (keep >= share_) return;
  if (terms_.kind == QuotaKind::rate) {
    back = static_cast<Nano>(static_cast<Wide>(level_) * (share_ - keep) / share_);
    back = std::max(back, level_ - (keep - used_));
    level_ -= back;
  }
  share_ = keep;
}

Ask Holding::ask(const CarefulTime& t, Mood mood) {
  refill(t);
  if (over(t)) {                                         // others may have it by now, its level too
    share_ = used_;
    level_ = std::min<Nano>(level_, 0);                  // a debt is still one
  }
  const Nano want = mood == Mood::leaving ? used_ : wanted(t);
  if (mood == Mood::leaving) refused_ = 0;
  Ask out{.holder = holder_, .seq = ++seq_, .floor = used_, .want = want};
  if (terms_.kind == QuotaKind::rate && over(t)) out.back = std::exchange(level_, 0);
  if (mood != Mood::keeping) shrink(std::max(want > used_ ? std::min(share_, target_) : 0, used_), out.back);
  if (refused_ > 0) out.least = whole(std::min(refused_, terms_.amount), terms_.kind == QuotaKind::money ? 1 : kUnit);
  out.share = share_;
  out.level = level_ + used_;                            // what is reserved takes its room
  refused_ = 0;
  asked_floor_ = out.floor;
  return out;
}

bool Holding::accept(const Answer& answer, std::int64_t sent, const CarefulTime& t) {
  if (answer.seq != seq_ || answer.stale) return false;
  refill(t);
  lease_end_ = sent + kStopsAfterNs;
  share_ = answer.share;
  if (terms_.kind == QuotaKind::rate) level_ = std::min(level_ + answer.level, room());
  full_until_ = answer.full ? t.earliest() + kFullNs : 0;
  target_ = answer.target;
  usable_ = answer.usable;
  nodes_ = std::max(1U, answer.nodes);
  if (terms_.kind == QuotaKind::money) {
    room_ = answer.left + asked_floor_;
    told_ = sent;
    doubted_ = false;
  }
  return true;
}

void Holding::set_terms(const Terms& terms) {
  if (terms.kind == QuotaKind::money && terms.amount != terms_.amount) {
    if (room_) *room_ += terms.amount - terms_.amount;
    doubted_ = true;
    if (terms.amount < terms_.amount && share_ > used_) {
      share_ = used_;                                    // what was given by the old terms is asked for anew,
      ++seq_;                                            // and an answer by them that is under way comes too late
    }
  }
  terms_ = terms;
  if (terms_.kind == QuotaKind::rate) level_ = std::min(level_, terms_.amount - used_);
  usable_ = std::min(usable_, terms_.amount);
}

std::optional<Holding::Left> Holding::left(const CarefulTime& t) const {
  if (!room_) return std::nullopt;
  return Left{*room_ - used_, doubted_ ? Duration::max() : Duration(t.latest() - told_)};
}

std::optional<Duration> Holding::patience(const CarefulTime& t) {
  const Nano want = wanted(t), low = used_;
  const Duration even = std::min<Duration>(kForEach * nodes_, kLongest);
  if (refused_ > 0 || (share_ > target_ && share_ > low)) return std::max<Duration>(kSoon, even);
  if (share_ > low || want > low) return std::max<Duration>(kLook, even);
  if (low > 0 && terms_.kind != QuotaKind::money) return kRenew;
  return std::nullopt;
}

}  // namespace ballast::cluster
