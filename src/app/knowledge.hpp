// Knowledge: what the nodes of an installation tell each other, brought into this one's memory: keys and sessions that changed elsewhere, and
// targets that another node has stopped calling (cluster/topics, cluster/resting).
//
// A thread looks twice a second: a short read, and a longer one of what has changed. While the database is away what is known stays in force; `gateway::Freshness`
// says how old it is, and once that is too old the process says so (log, /readyz, metrics, decision records). With SQLite there is one node and nothing to learn.
#pragma once
#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/metrics.hpp"
#include "cluster/resting.hpp"
#include "cluster/topics.hpp"
#include "gateway/breakers.hpp"
#include "gateway/freshness.hpp"
#include "store/database.hpp"

namespace ballast::app {

class Knowledge {
 public:
  struct Options {
    Duration every = std::chrono::milliseconds(500);
    unsigned slot = 0;                                   // this node's
  };
  // What is to be read anew, called on the thread. False: it could not be, and is tried at the next look.
  using Learn = std::function<bool()>;
  // Its metrics; `freshness` null: there are no others.
  static void count(metrics::Registry& metrics, const gateway::Freshness* freshness);
  // Borrowed, all of it outlives this.
  Knowledge(store::Database& database, gateway::Breakers& breakers, gateway::Freshness& freshness, const Clock& clock, metrics::Registry& metrics, Options options);
  ~Knowledge() { stop(); }
  Knowledge(const Knowledge&) = delete;
  Knowledge& operator=(const Knowledge&) = delete;

  void on(cluster::Topic topic, Learn learn) { learn_[static_cast<std::size_t>(topic)] = std::move(learn); }      // before `start`
  void start();
  void stop();                                           // idempotent
  // One look: what this node has to tell, and what there is to learn. False: the database did not answer. By the thread, or by a test without one.
  bool look();

  // Says in the log that what is known has become stale, or is fresh again, once each. Any thread, now and then: a look may hang with the database.
  void tell_age();

 private:
  struct Known {
    std::uint64_t changes = 0, resets = 0;
    bool closed = true;
  };
  struct Told {
    std::vector<cluster::RestingNews> put;
    std::vector<std::pair<std::string, std::string>> drop;
    std::map<std::string, Known> known;                  // once it is written
  };
  void run(const std::stop_token& stop);
  Told news() const;
  bool tell();
  bool learn(const cluster::TopicNumbers& numbers);
  bool learn_resting();
  void hear();
  void absorb(const cluster::RestingNews& of, std::optional<std::uint64_t> changes, bool closed);

  store::Database& database_;
  gateway::Breakers& breakers_;
  gateway::Freshness& freshness_;
  const Clock& clock_;
  const Options options_;
  std::array<Learn, cluster::kTopics> learn_;
  cluster::TopicNumbers numbers_{};                      // of the thread alone, as what follows
  struct Heard {
    cluster::RestingNews news;
    MonoTime at{}, until{};                              // on this node's clock
  };
  std::vector<Heard> heard_;
  std::map<std::string, Known> known_;                   // of the breakers, by "provider/model"
  unsigned looks_ = 0;
  std::uint64_t reconnects_ = 0;                         // seen
  std::atomic<bool> said_stale_{false};
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

}  // namespace ballast::app
