// Quotas: this node's slices of the quotas it uses. Takes are local and never wait; a thread with a connection of its own asks the database for more, gives
// back, and keeps the leases: one transaction for all that is due, a few times a second at most, and none where nothing is used.
//
// What a slice holds was written before it is used. While the database is away a node goes on with what it has, rates and permits to the end of their lease.
// With SQLite there is one node: `hold` gives nothing, and the quota is wholly the caller's.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "cluster/holding.hpp"
#include "cluster/quota_rows.hpp"
#include "store/database.hpp"

namespace ballast::cluster {

class Quotas;

// One quota's slice. Every method is thread-safe; a take holds a mutex for some tens of nanoseconds.
class HeldQuota {
 public:
  HeldQuota(Quotas& all, std::string name, const Terms& terms, const std::string& holder) : all_(all), name_(std::move(name)), holding_(terms, holder) {}

  // As Holding's. False: not now; the thread asks for it at once, and `on_answer` is told. Where `again`, the caller has waited since it was refused.
  bool take(Nano n, bool again = false);
  void miss(Nano n);
  void give_back(Nano n);
  void charge(Nano n);

  const std::string& name() const { return name_; }
  struct Figures {
    Nano share = 0, used = 0, level = 0;
    std::uint64_t answers = 0;
    bool over = false;                                   // its lease: nothing is let through
    bool other = false;                                  // the database has one of another kind or period under this name: nothing is ever let through
  };
  Figures figures() const;

 private:
  friend class Quotas;
  template <class F>
  auto change(F f);
  Quotas& all_;
  const std::string name_;
  mutable std::mutex mutex_;                             // guards what follows
  mutable Holding holding_;
  bool active_ = false;                                  // the thread looks at it
  bool made_ = false, other_ = false;
  MonoTime asked_{};
  std::uint64_t answers_ = 0;
};

struct QuotasOptions {
  std::string holder;                                    // this process' boot (membership.hpp): unique for ever
  Duration gap = std::chrono::milliseconds(200);         // between transactions, at least
  Duration look = std::chrono::milliseconds(25);         // at what is due, and at the clocks
  std::size_t max_quotas = 100'000;                      // in use at once; more let nothing through
  // Called on the thread, without a lock, when an answer came after something was refused.
  std::function<void(const std::string& name)> on_answer;
};

class Quotas {
 public:
  // `url` is that of the database, whose schema must be there (members.hpp); not asked of anything yet.
  static Result<std::unique_ptr<Quotas>> open(const std::string& url, store::Dialect dialect, const Clock& clock, QuotasOptions options);
  ~Quotas();                                             // after all that was held; as `leave`
  Quotas(const Quotas&) = delete;
  Quotas& operator=(const Quotas&) = delete;

  bool alone() const { return !database_; }
  // The slice of this quota, made empty at first; the same for all who name it, while somebody keeps it. Terms that `check` refuses are refused.
  // Null: alone.
  Result<std::shared_ptr<HeldQuota>> hold(const std::string& name, const Terms& terms);
  // Gives back all that is not in use or charged, and asks no more. Blocking, two seconds at most; idempotent.
  void leave();

  struct Stats {
    std::uint64_t transactions = 0, asks = 0, failed = 0;
    std::size_t active = 0;
    Duration away{};                                     // since the last transaction that succeeded, while they fail
  };
  Stats stats() const;

 private:
  friend class HeldQuota;
  Quotas(const Clock& clock, QuotasOptions options);
  CarefulTime look();
  bool enlist(HeldQuota& quota);
  void wake();
  void run(const std::stop_token& stop);
  struct Due;
  std::vector<Due> collect(bool leaving);
  std::vector<std::shared_ptr<HeldQuota>> overdue(bool leaving);
  void rest(std::vector<std::shared_ptr<HeldQuota>> idle);
  void ask(std::vector<Due>& due);
  Result<void> make(const std::vector<Due>& due);
  void hear(Due& due, const QuotaAnswer& answer);
  void failed(const Error& why);

  const Clock& clock_;
  const QuotasOptions options_;
  std::unique_ptr<store::Database> database_;
  std::mutex time_mutex_;
  CarefulTime time_;
  mutable std::mutex mutex_;                             // guards what follows
  std::condition_variable_any wake_;
  bool hurry_ = false;
  std::unordered_map<std::string, std::weak_ptr<HeldQuota>> by_name_;
  std::vector<std::shared_ptr<HeldQuota>> active_;
  std::size_t sweep_at_ = 1'024;
  MonoTime failing_since_{};
  std::atomic<std::uint64_t> transactions_{0}, asks_{0}, failed_{0};
  std::jthread thread_;
};

}  // namespace ballast::cluster
