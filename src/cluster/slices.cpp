#include "cluster/slices.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/hash.hpp"

namespace ballast::cluster {

namespace {

using Wide = __int128;
constexpr Nano kMost = 9'000'000'000 * kUnit;
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kSoonUs = 2'000'000;              // whoever waits has asked again
constexpr std::int64_t kTurnUs = 8'000'000;              // for so long the odd units stay where they are

Nano grain_of(QuotaKind kind) { return kind == QuotaKind::money ? 1 : kUnit; }

Nano free_of(const Quota& q, std::span<const Slice> slices) {
  Nano free = q.terms.amount;
  for (const Slice& s : slices) free -= s.share;
  return free;
}

bool fresh(const Slice& s, std::int64_t now) { return !s.closed && now - s.asked_us <= kFreshUs; }
// Money that nobody has charged, as far as was told.
Nano left_of(const Quota& q, std::span<const Slice> slices, std::int64_t now) {
  Nano left = q.terms.amount;
  for (const Slice& s : slices) left -= fresh(s, now) ? s.floor : s.share;
  return left;
}
// What one may have at most: more than the amount where others were charged too much.
Nano most_of(const Quota& q, std::span<const Slice> slices) {
  Wide most = q.terms.amount;
  for (const Slice& s : slices) most -= std::min<Nano>(s.share, 0);
  return static_cast<Nano>(std::min<Wide>(most, kMost));
}
// What of a slice is not divided anew.
Nano base_of(QuotaKind kind, const Slice& s) { return kind == QuotaKind::money ? s.floor : 0; }

void take_terms(Quota& q, const Terms& terms) {
  if (terms.version < q.terms.version) return;
  const Nano amount = terms.version == q.terms.version ? std::min(terms.amount, q.terms.amount) : terms.amount;
  const std::int64_t linger = terms.version == q.terms.version ? std::max(terms.linger_us, q.terms.linger_us) : terms.linger_us;
  q.terms = terms;
  q.terms.amount = amount;
  q.terms.linger_us = linger;
}

// The free share's bucket, as it was until now. A clock that went back has stood still.
void refill(Quota& q, Nano free, std::int64_t now) {
  if (q.terms.kind == QuotaKind::rate && free > 0 && now > q.at_us && q.level < free) {
    const Wide more = static_cast<Wide>(free) * (now - q.at_us) / q.terms.period_us;
    q.level = static_cast<Nano>(std::min<Wide>(free, q.level + more));
  }
  q.at_us = now;
}

// What each may have at least where there is not enough for all, beyond its base.
struct Division {
  bool enough = true;
  Nano even = 0;                                         // what everybody gets who wants more
  Nano odd = 0;                                          // so many grains are left over then
  Nano spare = 0;                                        // with enough: what nobody wants
  unsigned wanting = 0;
  bool idle_count = true;                                // permits that idle, and are not waited for, count as wanted where they are
  bool scarce = false;                                   // money: somebody waits for more than an even part
};

Nano want_of(const Slice& s, bool idle_counts) { return idle_counts || s.least > 0 ? s.want : std::min(s.want, s.floor); }

Division divide(const Quota& q, std::span<const Slice> slices, std::int64_t now, bool idle_counts = true) {
  const Nano grain = grain_of(q.terms.kind);
  Nano rest = q.terms.amount;
  std::vector<Nano> wants;
  wants.reserve(slices.size());
  for (const Slice& s : slices) {
    if (!fresh(s, now)) {                                // it keeps what it has, for who could tell it to give up?
      rest -= s.share;
      continue;
    }
    const Nano base = base_of(q.terms.kind, s);
    rest -= base;
    if (const Nano want = want_of(s, idle_counts); want > base) wants.push_back(want - base);
  }
  rest = std::max<Nano>(rest, 0);
  std::ranges::sort(wants);
  Division d{.wanting = static_cast<unsigned>(wants.size()), .idle_count = idle_counts};
  for (std::size_t i = 0; i < wants.size(); ++i) {
    const auto many = static_cast<Nano>(wants.size() - i);
    const Nano even = rest / many / grain * grain;
    if (wants[i] > even) {
      if (idle_counts && q.terms.kind == QuotaKind::concurrency) return divide(q, slices, now, false);
      d.enough = false;
      d.even = even;
      d.odd = (rest - even * many) / grain;
      d.scarce = q.terms.kind == QuotaKind::money && std::ranges::any_of(slices, [&](const Slice& s) { return fresh(s, now) && s.least > even; });
      return d;
    }
    rest -= wants[i];
  }
  d.spare = rest;
  return d;
}

// Whether one of the odd grains is this one's, in this turn.
bool has_odd(const Quota& q, std::span<const Slice> slices, const Slice& mine, const Division& d, std::int64_t now) {
  const auto turn = static_cast<std::uint64_t>(now / kTurnUs);
  const auto place = [&](const Slice& s) { return std::pair(fast_hash(s.holder, turn), std::string_view(s.holder)); };
  const auto before = std::ranges::count_if(slices, [&](const Slice& s) {
    return fresh(s, now) && want_of(s, d.idle_count) - base_of(q.terms.kind, s) > d.even && place(s) < place(mine);
  });
  return before < d.odd;
}

Nano target_of(const Quota& q, std::span<const Slice> slices, const Slice& mine, const Division& d, std::int64_t now) {
  const Nano grain = grain_of(q.terms.kind), base = base_of(q.terms.kind, mine), want = want_of(mine, d.idle_count) - base;
  if (want <= 0 || d.scarce) return base;
  if (d.enough) {
    const Nano room = std::min(want / 4, d.spare / static_cast<Nano>(d.wanting)) / grain * grain;
    return base + want + room;
  }
  const Nano part = want <= d.even ? want : d.even + (has_odd(q, slices, mine, d, now) ? grain : 0);
  return base + part;
}

// Too little to be of use by even division: it has its turn.
bool by_turns(const Slice& s, const Division& d) { return s.least > 0 && !d.enough && (d.scarce || d.even < s.least); }

// What is kept for those who wait and were served longer ago: for turns, and of the share for those who have less than their part.
struct Ahead {
  Nano turns = 0, all = 0;                               // at most the amount
};
Ahead ahead_of(const Quota& q, std::span<const Slice> slices, const Slice& mine, const Division& d, std::int64_t now) {
  const auto place = [](const Slice& s) { return std::pair(s.served_us, std::string_view(s.holder)); };
  Wide turns = 0, parts = 0;
  for (const Slice& s : slices) {
    if (s.least == 0 || !fresh(s, now) || place(s) >= place(mine)) continue;
    if (by_turns(s, d)) {
      turns += s.least;
    } else {
      const Nano base = base_of(q.terms.kind, s), want = want_of(s, d.idle_count) - base;
      parts += std::max<Nano>(0, base + (d.enough ? want : std::min(want, d.even)) - s.share);
    }
  }
  const auto capped = [&](Wide n) { return static_cast<Nano>(std::min<Wide>(n, q.terms.amount)); };
  return {.turns = capped(turns), .all = capped(turns + parts)};
}

// So much is there that it would be lost, or lie idle, if it were kept for those whose turn it is: whoever asks may have it.
bool plenty(const Quota& q, Nano free) {
  switch (q.terms.kind) {
    case QuotaKind::rate: {
      const auto soon = static_cast<Nano>(static_cast<Wide>(free) * kSoonUs / q.terms.period_us);
      return q.level >= std::max(free / 2, free - soon);
    }
    case QuotaKind::concurrency: return free >= q.terms.amount / 8;
    case QuotaKind::money: return false;
  }
  return false;
}

// Whoever else wants more than its part waits for it: nobody has what it does not use.
bool all_starve(const Quota& q, std::span<const Slice> slices, const Slice& mine, const Division& d, std::int64_t now) {
  return !d.enough && std::ranges::all_of(slices, [&](const Slice& s) {
    return s.least > 0 || s.holder == mine.holder || !fresh(s, now) || want_of(s, d.idle_count) - base_of(q.terms.kind, s) <= d.even;
  });
}

// Gives to `mine` what it may have now.
void give(Quota& q, std::span<const Slice> slices, Slice& mine, Nano kept, std::int64_t now, Answer& out) {
  const bool rate = q.terms.kind == QuotaKind::rate;
  const Division d = divide(q, slices, now);
  const Nano free = std::max<Nano>(0, free_of(q, slices));
  const Ahead ahead = ahead_of(q, slices, mine, d, now);
  out.nodes = d.wanting;
  Nano gain = 0;
  if (by_turns(mine, d)) {
    const Nano there = rate ? std::min(free, q.level) : free;
    if (there - ahead.turns >= mine.least || (there >= mine.least && plenty(q, free))) gain = mine.least;
    out.level = rate ? gain : 0;
    out.target = mine.floor;
    out.usable = gain > 0 ? mine.share + gain : 0;
  } else {
    out.target = target_of(q, slices, mine, d, now);
    out.usable = out.target;
    out.target = std::max(out.target, mine.floor);
    gain = std::clamp<Nano>(std::min(out.target - mine.share, free - ahead.all), 0, free);
    const Nano room = mine.share + gain - kept, there = std::max<Nano>(0, q.level - ahead.turns);
    if (rate && room > 0 && mine.least > 0) out.level = std::min(room, there);
    else if (rate && gain > 0) out.level = std::min(room, static_cast<Nano>(static_cast<Wide>(there) * gain / free));
  }
  mine.share += gain;
  out.full = !by_turns(mine, d) && mine.share >= out.target && want_of(mine, d.idle_count) > mine.share && all_starve(q, slices, mine, d, now);
  if (rate) q.level = std::min(q.level - out.level, std::max<Nano>(0, free_of(q, slices)));
  if (gain > 0) mine.served_us = now;
  if (gain > 0 || out.level > 0) mine.least = 0;
}

// What the ledger knows to be spent is never given up, whatever the holder says. Who waits for more than there is hears so, and keeps nobody waiting.
Nano settle_money(const Quota& q, std::span<const Slice> slices, Slice& mine, std::int64_t now) {
  mine.share = std::max(mine.share, mine.spent);
  const Nano left = left_of(q, slices, now);
  if (mine.least > left) {
    mine.least = 0;
    mine.want = std::min(mine.want, mine.share);
  }
  return left;
}

}  // namespace

Result<void> check(const Terms& t) {
  if (t.amount <= 0 || t.amount > kMost) return fail(ErrorCode::caller_invalid_request, "must be above zero and at most 9,000,000,000", "amount");
  if (t.kind != QuotaKind::money && t.amount % kUnit != 0) return fail(ErrorCode::caller_invalid_request, "must be whole units", "amount");
  if (t.kind == QuotaKind::rate && t.period_us <= 0) return fail(ErrorCode::caller_invalid_request, "must be above zero", "period");
  if (t.linger_us < 0) return fail(ErrorCode::caller_invalid_request, "must not be negative", "linger");
  return {};
}

Quota new_quota(const Terms& terms, std::int64_t now_us) {
  return {.terms = terms, .level = terms.kind == QuotaKind::rate ? terms.amount : 0, .at_us = now_us};
}

bool fits(const Quota& quota, const Terms& terms) { return quota.terms.kind == terms.kind && quota.terms.period_us == terms.period_us; }

Answer settle(Quota& q, std::vector<Slice>& slices, const Terms& terms, const Ask& ask, std::int64_t now, bool calm) {
  const bool rate = q.terms.kind == QuotaKind::rate;
  refill(q, free_of(q, slices), now);
  take_terms(q, terms);
  std::erase_if(slices, [&](const Slice& s) { return s.expires_us <= now && s.spent == 0; });
  Answer out{.seq = ask.seq};
  auto mine = std::ranges::find(slices, ask.holder, &Slice::holder);
  if (mine != slices.end() && (ask.seq <= mine->seq || mine->closed)) {
    out.stale = ask.seq <= mine->seq;
    return out;
  }
  Nano level = ask.back;
  if (mine == slices.end()) {
    if (slices.size() >= kMaxSlices) return out;
    slices.push_back({.holder = std::string(ask.holder)});
    mine = slices.end() - 1;
    level = std::min<Nano>(level, 0);                    // of a share it does not have
  }
  // What it says it has can be less than was written, where an answer got lost. What is in use is a fact.
  mine->share = std::max(std::min(mine->share, ask.share), ask.floor);
  mine->seq = ask.seq;
  mine->floor = ask.floor;
  mine->want = std::min(ask.want, most_of(q, slices));
  mine->least = std::min(ask.least, q.terms.amount);
  mine->asked_us = now;
  if (q.terms.kind == QuotaKind::money) out.left = settle_money(q, slices, *mine, now);
  if (rate) q.level = std::min(q.level + level, std::max<Nano>(0, free_of(q, slices)));
  if (calm && q.terms.kind == QuotaKind::money) out.target = out.usable = mine->share;
  else give(q, slices, *mine, ask.level, now, out);
  out.share = mine->share;
  mine->expires_us = q.terms.kind == QuotaKind::money && mine->share > 0 ? kNever : now + kLeaseUs + q.terms.linger_us;
  return out;
}

void close(std::vector<Slice>& slices, std::string_view holder, Nano spent) {
  const auto it = std::ranges::find(slices, holder, &Slice::holder);
  if (it == slices.end()) return;
  it->share = it->spent = spent;
  it->floor = it->want = it->least = 0;
  it->closed = true;
}

}  // namespace ballast::cluster
