// Deliverer: takes what is due from the outbox and delivers it, so many at once and so many to one host, so that a host that is slow
// or dead holds up nobody else.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "base/hash.hpp"
#include "base/scheduler.hpp"
#include "base/task_group.hpp"
#include "net/transport.hpp"
#include "work/webhook_delivery.hpp"
#include "work/webhook_signature.hpp"

namespace ballast::work {

struct DelivererOptions {
  std::size_t at_once = 64;             // attempts under way
  std::size_t per_host = 4;             // of them, to one host
  std::size_t held_per_host = 128;      // rows of a host that wait in memory; above it they are put back into the outbox
  Duration connect = std::chrono::seconds(5);
  Duration total = std::chrono::seconds(20);       // an attempt, from the name to the head of the answer
  Duration poll = std::chrono::seconds(1);         // how often the outbox is asked by itself
  DeliveryRules rules;
};

// The secrets behind OutboxRow::secret_ref, the newest first.
using WebhookSecrets = std::function<Result<std::vector<WebhookSecret>>(std::string_view secret_ref)>;

// Everything on one loop. A row is attempted by one attempt at a time; rows keep no order. Delivery is at least once: what was delivered
// by a process that ended before it could settle it is delivered again, with the same id and body.
class Deliverer {
 public:
  // All borrowed until `drain` has ended. `transport` guards its addresses (net::Client with an egress policy): URLs are users'.
  Deliverer(Scheduler& loop, net::Transport& transport, OutboxStore& store, WebhookSecrets secrets, Random& random, DelivererOptions options);
  Deliverer(const Deliverer&) = delete;
  Deliverer& operator=(const Deliverer&) = delete;

  // Something may be due: also how it begins.
  void poke();
  // Takes nothing more and puts back what waits. Attempts under way may end within `patience`; then they are cut and put back. Once.
  Task<void> drain(Duration patience);

  struct Stats {
    std::uint64_t delivered = 0, retried = 0, dead = 0, put_back = 0, unsettled = 0;
    std::size_t under_way = 0, waiting = 0;
  };
  Stats stats() const;

 private:
  struct Host {
    std::size_t under_way = 0, waiting = 0;
    Duration mean = std::chrono::milliseconds(50);    // of an attempt, smoothed; at first a guess that no fast host regrets
    WallTime booked{};                             // when the last row put back may have its turn
  };
  struct Waiting { OutboxRow row; std::string host; };

  std::size_t capacity() const;
  std::size_t room() const;
  Task<void> take();
  std::optional<Waiting> keep(OutboxRow row);      // what does not fit is given back
  WallTime turn_of(Host& host) const;
  void start_ready();
  Task<void> perform(Waiting next);
  Task<Attempted> attempt(const OutboxRow& row);
  Task<void> settle(std::int64_t id, Delivery outcome);
  void forget_idle_hosts();

  Scheduler& loop_;
  net::Transport& transport_;
  OutboxStore& store_;
  WebhookSecrets secrets_;
  Random& random_;
  const DelivererOptions options_;
  std::unordered_map<std::string, Host, StringHash, std::equal_to<>> hosts_;
  std::deque<Waiting> waiting_;
  std::unordered_set<std::int64_t> ours_;          // rows waiting or under way
  std::unordered_set<std::int64_t> twice_;         // of them, handed out again meanwhile
  std::size_t under_way_ = 0;
  bool taking_ = false, again_ = false, more_ = false, starting_ = false, stopping_ = false;
  Stats stats_;
  CancelSource cut_;
  Timer poll_;
  TaskGroup tasks_{"webhooks"};
};

}  // namespace ballast::work
