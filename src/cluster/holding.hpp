// Holding: a node's side of one slice: takes from it, says what it has use for, gives up what it should. Pure; one at a time (the owner locks).
//
// What it lets through never depends on one clock being right: see CarefulTime. Takes cost a few additions and no system call.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.hpp"
#include "cluster/slices.hpp"

namespace ballast::cluster {

// Two counts of nanoseconds between which true time passes, from a monotonic and a wall clock. `earliest` is never ahead of it and `latest` never behind,
// while at each look one of the two clocks is right to 900 parts in a million: the other may stand still (a machine that slept) or jump either way.
class CarefulTime {
 public:
  void look(MonoTime mono, WallTime wall);
  std::int64_t earliest() const { return earliest_; }    // by which buckets refill
  std::int64_t latest() const { return latest_; }        // by which leases end
  MonoTime looked() const { return mono_; }

 private:
  MonoTime mono_{};
  WallTime wall_{};
  bool first_ = true;
  std::int64_t earliest_ = 0, latest_ = 0;
};

class Holding {
 public:
  // `seq`: what its asks count on from: above all that a Holding of this holder and quota has asked before.
  Holding(const Terms& terms, std::string holder, std::uint64_t seq = 0) : terms_(terms), holder_(std::move(holder)), seq_(seq) {}

  // True: `n` is this call's (money: charged). False: the slice has not so much now, or the whole quota is less (then nothing is
  // asked for). `again`: it was refused before and has waited since.
  bool take(Nano n, const CarefulTime& t, bool again = false);
  // A rate's: as `take`, for a call whose `n` is an estimate. It is in use until `settle`: meanwhile no time refills it and no other node has it.
  bool reserve(Nano n, const CarefulTime& t, bool again = false);
  // Of what was reserved: it came to `actual`, which may be more.
  void settle(Nano reserved, Nano actual, const CarefulTime& t);
  // A call that was not tried, since others wait before it or something else stands in its way: wanted all the same.
  void miss(Nano n, const CarefulTime& t, bool again = false);
  // Of what was taken: never used (rate), ended (concurrency), cost less (money).
  void give_back(Nano n);
  // More than was taken (rate, money): booked as it is.
  void charge(Nano n);

  // The next ask. Gives up first what should go, so that nothing is used that the ask no longer counts. Valid until the next change.
  enum class Mood : std::uint8_t {
    usual,
    keeping,                                             // the last ask went unheard: what is given up now may be missed for long
    leaving,                                             // gives up everything that is not in use, or charged
  };
  Ask ask(const CarefulTime& t, Mood mood = Mood::usual);
  // False: an answer to an ask before the last, not taken. `sent`: `latest` when the ask was made.
  bool accept(const Answer& answer, std::int64_t sent, const CarefulTime& t);

  // How long after the last ask the next should be; nothing: there is no need of one.
  std::optional<Duration> patience(const CarefulTime& t);
  // A lease that is over: nothing is let through until an ask is answered. Money has none.
  bool over(const CarefulTime& t) const { return terms_.kind != QuotaKind::money && t.latest() >= lease_end_; }
  bool hungry() const { return refused_ > 0; }           // it refused since the last ask
  // There is no more to be had for now: it is the whole quota, or its fair part of one that others wait for.
  bool full(const CarefulTime& t) const { return !over(t) && (share_ >= terms_.amount || t.earliest() < full_until_); }

  const Terms& terms() const { return terms_; }
  void set_terms(const Terms& terms);                    // of the same kind and period; less is less at once, of money as far as it idles
  Nano share() const { return share_; }
  Nano used() const { return used_; }
  Nano level(const CarefulTime& t);                      // that could be taken now
  // Money: what the whole has left, by the last answer and what was taken here since. Nothing: nobody has said. `age`: since that was asked, or `Duration::max()`
  // where it is known to be another by now.
  struct Left {
    Nano nano = 0;
    Duration age{};
  };
  std::optional<Left> left(const CarefulTime& t) const;
  void doubt() { doubted_ = true; }                      // that it is so still

 private:
  // What was wanted of late, by eighths of the time that is looked back to (eighth_ns).
  struct Eighth {
    std::int64_t number = -1;
    Nano offered = 0, refused = 0, peak = 0;
    unsigned calls = 0;
  };
  Eighth& eighth(const CarefulTime& t);
  void refill(const CarefulTime& t);
  Nano wanted(const CarefulTime& t) const;
  Nano room() const { return std::min(share_, terms_.amount) - used_; }                  // rate: for level
  void shrink(Nano keep, Nano& back);

  Terms terms_;
  std::string holder_;
  std::uint64_t seq_;
  Nano share_ = 0, target_ = 0, usable_ = 0, level_ = 0, used_ = 0, refused_ = 0;        // used: rate: reserved
  std::int64_t lease_end_ = 0, refilled_ = 0, full_until_ = 0;
  std::optional<Nano> room_;                             // money: that this node could have charged in all, when it asked last and was answered
  Nano asked_floor_ = 0;
  std::int64_t told_ = 0;                                // when that was asked
  bool doubted_ = false;
  __int128 part_ = 0;                                    // of a nano-unit of level, times the period
  unsigned nodes_ = 1;
  std::array<Eighth, 8> eighths_{};
};

}  // namespace ballast::cluster
