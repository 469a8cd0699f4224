// Node: this process among those of its installation: its membership, its duties, what it says of itself, and what it does when another dies.
//
//   join (or why not) → serve → rest (takes up nothing more) → hand_back, leave_jobs → gone
//
// With SQLite it is the only one: slot 0, no thread, no rows but the installation's name, every duty its own.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "app/config.hpp"
#include "base/metrics.hpp"
#include "cluster/duties.hpp"
#include "cluster/heirs.hpp"
#include "cluster/membership.hpp"
#include "net/loop.hpp"
#include "store/database.hpp"

namespace ballast::work {
class Engine;
}

namespace ballast::app {

// What one node at a time does.
namespace duty {
inline constexpr const char* batches = "batches";
inline constexpr const char* provider_batches = "provider_batches";
inline constexpr const char* schedules = "schedules";
inline constexpr const char* alerts = "alerts";                      // judges, and says who is owed a notice
inline constexpr const char* anchors = "anchors";                    // of the audit trail
inline constexpr const char* rollups = "rollups";
inline constexpr const char* sweeps = "sweeps";                      // what is older than it is kept
}  // namespace duty

class Node {
 public:
  // What it stands on; all outlives it.
  struct Ground {
    store::Database& database;
    metrics::Registry& metrics;
    const Clock& clock;
  };
  // Blocking. Errors of `cluster::Membership::join`. Beats from here on; not serving yet.
  static Result<std::unique_ptr<Node>> join(const Config& config, Ground ground);
  ~Node();                                   // leaves; blocking
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const cluster::Membership& membership() const { return *membership_; }
  const cluster::Duties& duties() const { return *duties_; }
  bool holds(std::string_view name) const { return duties_->holds(name); }
  // By what files of its own are called, for as long as its data folder lives, whatever its slot: "0" where it is the only one.
  std::string label() const { return membership_->alone() ? "0" : membership_->name(); }

  // What it reaches from now on until `hand_back`; all of it on the membership's thread, where nothing may wait.
  struct Life {
    work::Engine& engine;
    net::Loop& work_loop;
    std::function<void(const std::string&)> gained;                  // a duty
    cluster::Heirs::Adopt adopt;                                     // takes over what a node that is gone has left
  };
  void serve(Life life);
  void announce();                           // that it ends soon
  void rest();                               // no duty is taken and nobody inherited from any more
  void hand_back();                          // nothing runs for its duties any more
  void leave_jobs(std::uint32_t epoch);      // its engine, of this epoch, has drained: what is left there is others' to take, as its next beat says at once

  // It was taken for dead, and its jobs and duties are others', or the database has lost what it acknowledged: it can only start anew.
  bool lost() const { return lost_; }
  bool went_back() const { return went_back_; }          // the second of the two
  void on_lost(std::function<void()> tell);  // on the thread that finds it out, or at once
  void note_went_back();                     // any thread

 private:
  explicit Node(Ground ground);
  void listen();
  void lose();
  void looked(const cluster::Picture& picture);
  void count(const cluster::Picture& picture);
  std::string load_json();

  const Ground ground_;
  metrics::Family<metrics::Gauge>& nodes_;
  metrics::Gauge& in_flight_;
  struct Jobs {                              // by the engine's loop
    std::atomic<std::uint64_t> leased{0}, ready{0}, live{0};
    std::atomic<bool> asked{false};
    std::mutex mutex;
    bool left = false;
    std::string work = "{}";                 // what others must know: its epoch and hunger, who give it jobs, or that it has left; its queues, who are asked how all are
  };
  const std::shared_ptr<Jobs> jobs_ = std::make_shared<Jobs>();
  std::atomic<bool> lost_{false}, went_back_{false};
  std::mutex mutex_;                         // what follows
  std::optional<Life> life_;
  bool resting_ = true;
  std::function<void()> tell_lost_;
  std::unique_ptr<cluster::Heirs> heirs_;
  std::unique_ptr<cluster::Membership> membership_;
  std::unique_ptr<cluster::Duties> duties_;
};

}  // namespace ballast::app
