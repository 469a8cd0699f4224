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
  HeldQuota(Quotas& all, std::string name, std::string about, const Terms& terms, const std::string& holder, std::uint64_t seq)
      : all_(all), name_(std::move(name)), about_(std::move(about)), holding_(terms, holder, seq) {}

  struct Figures {
    Nano share = 0, used = 0, level = 0;
    std::uint64_t answers = 0;
    std::optional<Holding::Left> left;                   // money: of the whole
    bool over = false;                                   // its lease: nothing is let through
    bool full = false;                                   // this node can have no more of it now, as far as is known
    bool other = false;                                  // the database has one of another kind or period under this name: nothing is ever let through
  };
  // As Holding's. False: not now; the thread asks for it at once, and who listens is told. Where `again`, the caller has waited since it was refused.
  // `then`: what it is like after it.
  bool take(Nano n, bool again = false, Figures* then = nullptr);
  bool reserve(Nano n, bool again = false, Figures* then = nullptr);
  void settle(Nano reserved, Nano actual);
  void miss(Nano n, bool again = false);
  void give_back(Nano n);
  void charge(Nano n);
  void doubt();                                          // money: something was given back of which only the database knows
  Duration away() const;                                 // since the database last answered anything, while it does not

  const std::string& name() const { return name_; }
  Figures figures() const;

 private:
  friend class Quotas;
  template <class F>
  auto change(F f);
  Figures told(const CarefulTime& now) const;            // under the lock
  Quotas& all_;
  const std::string name_, about_;
  mutable std::mutex mutex_;                             // guards what follows
  mutable Holding holding_;
  bool active_ = false;                                  // the thread looks at it
  bool made_ = false, other_ = false;
  bool forgotten_ = false;                               // the row may know less than it was told: it is told again, though nothing is wanted
  MonoTime asked_{};
  std::uint64_t answers_ = 0;
};

struct QuotasOptions {
  std::string holder;                                    // this process' boot (membership.hpp): unique for ever
  Duration gap = std::chrono::milliseconds(200);         // between transactions, at least
  Duration look = std::chrono::milliseconds(25);         // at what is due, and at the clocks
  std::size_t max_quotas = 100'000;                      // in use at once; more let nothing through
  // Money: what was spent of these quotas, by what they were said to be about, before their rows are made, in order; it is kept as it is until the transaction ends.
  // Empty: nothing was.
  std::function<Result<std::vector<Nano>>(store::Tx& tx, std::span<const std::string_view> about)> spent_before = {};
};

class Quotas {
 public:
  // `url` is that of the database, whose schema must be there (members.hpp); not asked of anything yet.
  static Result<std::unique_ptr<Quotas>> open(const std::string& url, store::Dialect dialect, const Clock& clock, QuotasOptions options);
  ~Quotas();                                             // after all that was held; as `leave`
  Quotas(const Quotas&) = delete;
  Quotas& operator=(const Quotas&) = delete;

  bool alone() const { return !database_; }
  // `heard` is told, on the thread, of each answer that came after something was refused, for as long as the result lives. Its end waits for a call under way, so
  // nothing is held then that `heard` may wait for.
  class Listening;
  std::unique_ptr<Listening> listen(std::function<void(const HeldQuota&)> heard);
  // The slice of this quota, made empty at first; the same for all who name it, while somebody keeps it. Terms that `check` refuses are refused.
  // Null: alone.
  // Terms of a version below those it has are known already, and change nothing.
  // `about`: what `spent_before` is asked for, where the name tells nobody.
  Result<std::shared_ptr<HeldQuota>> hold(const std::string& name, const Terms& terms, std::string_view about = {});
  // The database may have forgotten what it was told (a standby took over): all that is held is told again. Any thread.
  void remind();
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
  Result<void> count_spent(store::Tx& tx, std::vector<QuotaAsk>& fresh) const;
  void hear(Due& due, const QuotaAnswer& answer);
  void tell(const HeldQuota& quota);
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
  std::mutex listeners_mutex_;                           // held while they are told
  std::vector<Listening*> listeners_;
  std::atomic<std::uint64_t> transactions_{0}, asks_{0}, failed_{0};
  std::jthread thread_;
};

class Quotas::Listening {
 public:
  Listening(Quotas& all, std::function<void(const HeldQuota&)> heard);
  ~Listening();
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

 private:
  friend class Quotas;
  Quotas& all_;
  const std::function<void(const HeldQuota&)> heard_;
};

}  // namespace ballast::cluster
