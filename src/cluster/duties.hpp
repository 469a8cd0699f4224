// Duties: what one node at a time does for all of them. Schedules fire on one node, sweeps run on one; when it dies another takes its duties over.
//
// A duty is a row: who holds it (a boot) and a fence that rises with every holder. It is taken where its holder has handed it back, has left or was
// said to be gone, by the node that has the fewest; who has two more than another hands some back, now and then, so that they are spread. A duty that
// nobody took for a second is taken by anybody.
//
// Whether a node holds a duty is known in two strengths. `holds` is in memory, and false once this node has not been able to look for as long as makes
// a node dead: enough for what does no harm twice. `check` asks in the transaction itself and keeps the row until its end: what it lets through
// was committed by the holder.
//
// With one node (SQLite) all duties are held, always, and there are no rows.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "cluster/membership.hpp"
#include "store/database.hpp"

namespace ballast::cluster {

struct Duty {
  std::string name;
  std::string holder;                                    // a boot; empty: nobody
  unsigned slot = 0;                                     // the holder's
  std::int64_t fence = 0;
  WallTime since{};                                      // by the database's clock
  friend bool operator==(const Duty&, const Duty&) = default;
};

Result<std::vector<Duty>> load_duties(store::Tx& tx);    // by name
// False: it is not as `was` says any more, its holder is a member that is not gone, or `boot` is none. One that has no row has no holder and fence 0.
Result<bool> take_duty(store::Tx& tx, const Duty& was, unsigned slot, std::string_view boot);
Result<bool> release_duty(store::Tx& tx, std::string_view name, std::string_view boot);

// What this node does about the duties, by what it sees. Pure.
struct DutyMoves {
  std::vector<Duty> take;                                // as they stand
  std::vector<std::string> give;                         // what is above its fair part, at least one where another has two fewer
};
// `names`: all that there are. `overdue`: whether nobody has held it for so long that it does not matter whose turn it is. `settled`: nothing has moved for a
// while, so some may be handed back.
DutyMoves decide(std::span<const Duty> rows, std::span<const std::string> names, const Picture& picture, std::string_view boot,
                 const std::function<bool(std::string_view)>& overdue, bool settled);

class Duties {
 public:
  // Called on the membership's thread; must not hold it up.
  struct Listener {
    std::function<void(const std::string&)> gained, lost;
  };
  struct Pace {
    Duration overdue = std::chrono::seconds(1), settled = std::chrono::seconds(2);
  };
  // `membership` outlives it.
  Duties(Membership& membership, std::vector<std::string> names, Listener listener, Pace pace);
  Duties(Membership& membership, std::vector<std::string> names, Listener listener) : Duties(membership, std::move(names), std::move(listener), Pace()) {}

  // To be called by the membership's listener: `beside`, `looked`, `lost`.
  Result<void> read(store::Tx& tx);
  void act(const Picture& picture);
  void forget();                                         // none is held any more
  // What this process did for them has ended: others may. Takes no more. Blocking.
  void hand_back();

  bool holds(std::string_view name) const;               // any thread
  // In a transaction of any connection to the database; on any thread. internal_unavailable, field "duty": another node has it.
  Result<void> check(store::Tx& tx, std::string_view name) const;
  std::vector<Duty> seen() const;                        // at the last look; any thread
  const std::vector<std::string>& names() const { return names_; }

 private:
  struct Held {
    bool held = false;
    std::int64_t fence = 0;
  };
  bool fresh() const;                                    // under mutex_
  void note(const std::vector<Duty>& rows, MonoTime now);
  void take(const Duty& was);
  void give(const std::string& name);

  Membership& membership_;
  const std::vector<std::string> names_;                 // sorted
  const Listener listener_;
  const Pace pace_;
  // Of the membership's thread alone:
  std::vector<Duty> read_rows_;
  MonoTime reading_{};
  std::map<std::string, MonoTime, std::less<>> free_since_;
  MonoTime moved_{};
  mutable std::mutex mutex_;                             // what follows
  std::map<std::string, Held, std::less<>> held_;
  std::vector<Duty> rows_;
  MonoTime looked_{};                                    // before the last look that counted
  bool ending_ = false;
};

}  // namespace ballast::cluster
