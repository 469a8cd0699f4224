// Membership: this process among the nodes of its installation. Joins or says why not, beats on a thread of its own, sees who lives and who is dead.
//
// On one machine with SQLite there is one node, slot 0: nothing beats and nobody else is seen.
// The beat has a connection of its own: no queue of work delays it into somebody's grave.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "cluster/members.hpp"
#include "cluster/sight.hpp"
#include "store/database.hpp"

namespace ballast::cluster {

struct MembershipOptions {
  std::string folder;                                    // of this node's own data: keeps its name and its installation's
  std::string address, version;
  Duration every = std::chrono::milliseconds(400);       // between beats
  Duration dead_after = std::chrono::seconds(2);
  Duration skew = std::chrono::seconds(5);               // of this machine's clock from the database's, at most
  std::function<std::string()> load;                     // JSON; on the membership's thread, and on others where there is one node
};

// Who left is shown for so long.
constexpr Duration kShownGone = std::chrono::hours(24);

// What a node sees of the others.
struct Picture {
  struct Seen {
    Member member;
    bool lives = true;
    Duration silent{};
  };
  std::vector<Seen> members;                             // this node's own too, by slot
  MonoTime read{};                                       // when; older than a second: the database is away, or slow
  WallTime at{};                                         // by the database's clock
};

class Membership {
 public:
  // Blocking: up to `dead_after` and a little where this name's last process may still live. Refused, naming what to do (caller_conflict, field
  // "database", "data_dir" or "clock"): the name beats elsewhere; the data belong to another installation; the clock is wrong; no slot is left.
  static Result<std::unique_ptr<Membership>> join(store::Database& database, const std::string& url, const Clock& clock, MembershipOptions options);
  // Before anything of the database is changed: refused as by `join` where this folder's node is another installation's. Blocking.
  static Result<void> belongs(store::Database& database, const std::string& folder);
  ~Membership();                                         // as `leave`
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;

  unsigned slot() const { return slot_; }
  const std::string& name() const { return name_; }
  const std::string& boot() const { return boot_; }
  const std::string& installation() const { return installation_; }

  // Called on the membership's thread, which must not be held up: the next beat waits. Set before `begin`. Never called where there is one node.
  struct Listener {
    std::function<void(const Member&)> died;             // once for each boot: it can write no more as a member. By whichever node was first
    std::function<void()> lost;                          // this node was taken for dead: its slot is gone or another's
    std::function<Result<void>(store::Tx&)> beside;      // read in the transaction of each beat that counted; may run again
    std::function<void(const Picture&)> looked;          // after it, and after the dead were said to be gone
  };
  void listen(Listener listener) { listener_ = std::move(listener); }
  void begin();                                          // to beat; what is not ready yet is `joining`
  void serve();                                          // from here on others count on it; begins where nobody has
  void drain();                                          // it ends soon, as a beat says at once: nothing should be given to it
  void leave();                                          // says that it is gone; blocking, idempotent

  std::shared_ptr<const Picture> picture() const;        // any thread
  bool lost() const { return lost_; }
  // One node, slot 0: nobody else can be there.
  bool alone() const { return alone_; }
  const MembershipOptions& options() const { return options_; }
  const Clock& clock() const { return clock_; }
  // Where its beats go; not where `alone`. For what other rows of this room are about.
  store::Database& own() const { return *own_; }

 private:
  Membership(store::Database& database, const Clock& clock, MembershipOptions options);
  Result<void> read_folder();
  Result<void> write_folder() const;
  Result<void> check_clock();
  Result<void> wait_for_silence();
  Result<void> take();
  void run(const std::stop_token& stop);
  void hurry();
  Result<void> look();
  Picture of_one() const;
  void bury(const std::vector<Member>& dead);

  store::Database& database_;                            // of the process; its own connection where there are several nodes
  std::unique_ptr<store::Database> own_;
  const Clock& clock_;
  const MembershipOptions options_;
  bool alone_ = false;
  std::string name_, boot_, installation_, kept_installation_;
  unsigned slot_ = 0;
  Listener listener_;
  std::atomic<MemberState> state_{MemberState::gone};     // until it has a slot
  std::atomic<bool> lost_{false};
  Sight sight_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  bool hurry_ = false;                                   // beat now
  WallTime joined_{};                                    // where `alone_`
  std::shared_ptr<const Picture> picture_;
  std::jthread thread_;
};

}  // namespace ballast::cluster
