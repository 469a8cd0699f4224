// A fleet of nodes that share one quota, in simulated time: skewed load, crashes, partitions, pauses, clocks that drift, stand still and jump, messages
// that are lost, late or come twice. Beside it stand the truths that nobody in it knows: one exact bucket, the permits in use, the money spent.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "cluster/holding.hpp"

namespace ballast::test {

using cluster::Nano;

struct FleetPlan {
  std::uint64_t seed = 1;
  cluster::Terms terms;
  unsigned nodes = 200;
  double seconds = 60;
  double offered = 2;                        // of what the limit lets through
  double skew = 1;                           // Zipf's exponent over nodes; 0: all alike
  bool chaos = true;
  bool empty = false;                        // the bucket, at first
  Nano least = cluster::kUnit, most = cluster::kUnit;    // of one call
  double holds_seconds = 0.5;                // concurrency, money: a call lasts so long on average, at most the terms' linger
  double patience_seconds = 2;               // of who waits
  double lull_at = -1;                       // from here on nobody calls
};

// One bucket with the quota's terms, exactly: holds if and only if over every interval no more than it passed.
class OneBucket {
 public:
  explicit OneBucket(const cluster::Terms& t) : amount_(t.amount), period_(static_cast<__int128>(t.period_us) * 1'000) {}
  bool pass(Nano n, std::int64_t at) {
    debt_ = std::max<__int128>(0, debt_ - static_cast<__int128>(at - last_) * amount_);
    last_ = at;
    debt_ += static_cast<__int128>(n) * period_;
    return debt_ <= amount_ * period_;
  }

 private:
  const __int128 amount_, period_;
  __int128 debt_ = 0;
  std::int64_t last_ = 0;
};

class Fleet {
 public:
  explicit Fleet(const FleetPlan& plan) : plan_(plan), random_(plan.seed), quota_(cluster::new_quota(plan.terms, kEpochUs)), bucket_(plan.terms) {
    if (plan.empty) quota_.level = 0;
    double sum = 0;
    for (unsigned i = 0; i < plan.nodes; ++i) sum += weight(i);
    const double mean = static_cast<double>(plan.least + plan.most) / 2;
    double each = 0;                         // calls a second of the fleet
    if (rate()) each = plan.offered * static_cast<double>(plan.terms.amount) / mean / (static_cast<double>(plan.terms.period_us) / 1e6);
    else if (money()) each = plan.offered * static_cast<double>(plan.terms.amount) / mean / plan.seconds;
    else each = plan.offered * static_cast<double>(plan.terms.amount) / mean / plan.holds_seconds;
    for (unsigned i = 0; i < plan.nodes; ++i) {
      nodes_.push_back(std::make_unique<Node>());
      Node& n = *nodes_.back();
      n.index = i;
      n.per_second = each * weight(i) / sum;
      n.mono_ppm = static_cast<std::int64_t>(random_.below(1'001)) - 500;
      n.wall_ppm = static_cast<std::int64_t>(random_.below(1'001)) - 500;
      boot(n);
      later(random_.below(50'000'000), [this, &n] { tick(n); });
      next_call(n);
    }
    if (plan.chaos) later(next_fault(), [this] { fault(); });
  }

  void run() {
    const std::int64_t end = ns(plan_.seconds);
    while (!events_.empty() && events_.top().at <= end && !::testing::Test::HasFailure()) {
      const Event next = events_.top();
      events_.pop();
      now_ = next.at;
      next.what();
    }
    now_ = end;
  }

  // What each node got and what it asked for, since `from` seconds.
  std::vector<double> passed, offered;
  double measured_from = 0;
  std::uint64_t settled = 0, crashes = 0, partitions = 0, lost = 0, repeated = 0, jumps = 0, pauses = 0;
  Nano in_use = 0;                           // concurrency: truly; money: truly spent and held
  Nano free() const {
    Nano sum = plan_.terms.amount;
    for (const auto& s : slices_) sum -= s.share;
    return sum;
  }
  double share_of(unsigned node) const { return static_cast<double>(nodes_[node]->holding->share()) / cluster::kUnit; }
  // At `seconds`: nobody calls this node until then, or it is cut off from then on, or its process dies and stays down.
  void begins(unsigned node, double seconds) { nodes_[node]->silent_until = ns(seconds); }
  void cut(unsigned node, double seconds) { at(seconds, [this, node] { nodes_[node]->cut_until = INT64_MAX; }); }
  void kill(unsigned node, double seconds) { at(seconds, [this, node] { nodes_[node]->holding.reset(); }); }
  void at(double seconds, std::function<void()> f) { events_.push({ns(seconds), ++order_, std::move(f)}); }

 private:
  static constexpr std::int64_t kEpochUs = 1'700'000'000'000'000;
  struct Event {
    std::int64_t at;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& o) const { return std::pair(at, order) > std::pair(o.at, o.order); }
  };
  struct Call {
    Nano size;
    std::int64_t gives_up;
  };
  struct Node {
    unsigned index = 0;
    double per_second = 0;
    std::string name;
    unsigned boots = 0;
    std::unique_ptr<cluster::Holding> holding;           // none: it is down
    cluster::CarefulTime time;
    std::int64_t mono = 0, wall = 0, at = 0, mono_ppm = 0, wall_ppm = 0, stalled_until = 0;
    std::int64_t cut_until = 0, paused_until = 0, silent_until = 0;
    bool pending = false;
    std::int64_t asked = 0, sent = 0, asked_by_clock = 0;
    std::deque<Call> waiting;
    Nano spent = 0, held = 0;                            // money of this boot, truly
  };
  struct Message {                                       // an ask, which owns its text
    std::string holder;
    cluster::Ask ask;
  };

  static std::int64_t ns(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }
  bool rate() const { return plan_.terms.kind == cluster::QuotaKind::rate; }
  bool money() const { return plan_.terms.kind == cluster::QuotaKind::money; }
  double weight(unsigned i) const { return 1.0 / std::pow(i + 1, plan_.skew); }
  void later(std::uint64_t ns, std::function<void()> f) { events_.push({now_ + static_cast<std::int64_t>(ns), ++order_, std::move(f)}); }
  std::uint64_t around(double seconds) { return static_cast<std::uint64_t>(-std::log(1 - random_.uniform()) * seconds * 1e9); }
  std::uint64_t next_fault() { return around(50.0 / plan_.nodes); }

  void boot(Node& n) {
    n.name = "boot_" + std::to_string(n.index) + "_" + std::to_string(++n.boots);
    n.holding = std::make_unique<cluster::Holding>(plan_.terms, n.name);
    n.time = {};
    n.mono = static_cast<std::int64_t>(random_.below(1'000'000'000'000));
    n.wall = now_;
    n.at = now_;
    n.pending = false;
    n.spent = n.held = 0;
    n.waiting.clear();
    look(n);
  }

  // The node reads its clocks.
  void look(Node& n) {
    const std::int64_t went = now_ - n.at;
    const std::int64_t stood = std::clamp<std::int64_t>(n.stalled_until - n.at, 0, went);
    n.mono += (went - stood) + (went - stood) * n.mono_ppm / 1'000'000;
    n.wall += went + went * n.wall_ppm / 1'000'000;
    n.at = now_;
    n.time.look(MonoTime(Duration(n.mono)), WallTime(Duration(n.wall)));
  }
  bool runs(const Node& n) const { return n.holding && n.paused_until <= now_; }

  // ---- calls ----

  void next_call(Node& n) {
    later(around(1 / n.per_second), [this, &n] {
      const bool lull = (plan_.lull_at >= 0 && now_ >= ns(plan_.lull_at)) || now_ < n.silent_until;
      if (runs(n) && !lull) arrive(n);
      next_call(n);
    });
  }
  void arrive(Node& n) {
    look(n);
    const Nano size = plan_.least + static_cast<Nano>(random_.below(static_cast<std::uint64_t>(plan_.most - plan_.least) + 1)) / grain() * grain();
    count(offered, n, size);
    if (!n.waiting.empty()) n.holding->miss(size, n.time);
    else if (n.holding->take(size, n.time)) return let_in(n, size);
    if (n.waiting.size() < 20) n.waiting.push_back({size, now_ + ns(plan_.patience_seconds)});
  }
  Nano grain() const { return money() ? 1 : cluster::kUnit; }
  void count(std::vector<double>& where, const Node& n, Nano size) {
    if (where.empty()) where.resize(plan_.nodes);
    if (now_ >= ns(measured_from)) where[n.index] += static_cast<double>(size);
  }
  void serve_waiting(Node& n) {
    while (!n.waiting.empty()) {
      if (n.waiting.front().gives_up > now_) {
        if (!n.holding->take(n.waiting.front().size, n.time, true)) return;
        let_in(n, n.waiting.front().size);
      }
      n.waiting.pop_front();
    }
  }
  void let_in(Node& n, Nano size) {
    count(passed, n, size);
    if (rate()) {
      ASSERT_TRUE(bucket_.pass(size, now_)) << "more passed than one bucket lets through, at " << now_ << " ns by " << n.name << "; seed " << plan_.seed;
      return;
    }
    in_use += size;
    ASSERT_LE(in_use, plan_.terms.amount) << "above the limit at " << now_ << " ns by " << n.name << "; seed " << plan_.seed;
    if (money()) n.held += size;
    const auto most = static_cast<std::uint64_t>(plan_.terms.linger_us) * 1'000;
    const std::uint64_t lasts = money() ? around(plan_.holds_seconds) : std::min(around(plan_.holds_seconds), most);
    later(lasts, [this, &n, name = n.name, size] { end(n, name, size); });
  }
  // Money: it cost something between nothing and all of it. A call of a node that died has ended with it, at its hold.
  void end(Node& n, const std::string& name, Nano size) {
    const bool lives = n.holding && n.name == name;
    if (money()) {
      if (!lives) return;
      const Nano cost = static_cast<Nano>(random_.below(static_cast<std::uint64_t>(size) + 1));
      in_use -= size - cost;
      n.held -= size;
      n.spent += cost;
      n.holding->give_back(size - cost);
    } else {
      if (!lives) return;                    // counted off when it died
      in_use -= size;
      n.holding->give_back(size);
    }
    if (runs(n)) {
      look(n);
      serve_waiting(n);
    }
  }

  // ---- asking ----

  void tick(Node& n) {
    later(25'000'000, [this, &n] { tick(n); });
    if (!runs(n)) return;
    look(n);
    serve_waiting(n);
    if (n.pending && now_ - n.asked < 1'000'000'000) return;   // it waits for the answer, not for ever
    const auto patience = n.holding->patience(n.time);
    if (!patience || n.time.latest() - n.asked_by_clock < patience->count()) return;
    ask(n);
  }
  void ask(Node& n) {
    auto message = std::make_shared<Message>(n.name, n.holding->ask(n.time));
    n.pending = true;
    n.asked = now_;
    n.asked_by_clock = n.sent = n.time.latest();
    const auto travel = [this] { return 300'000 + around(0.001); };
    const bool cut = n.cut_until > now_;
    if (cut || (plan_.chaos && random_.chance(0.01))) {
      ++lost;
    } else {
      later(travel(), [this, &n, message] { arrive_at_row(n, message, true); });
    }
    if (plan_.chaos && random_.chance(0.02)) {           // a transaction that hung, and runs after all
      ++repeated;
      later(around(3), [this, &n, message] { arrive_at_row(n, message, random_.chance(0.5)); });
    }
  }
  // One after another, as they get the row's lock. The time of a transaction is when it began.
  void arrive_at_row(Node& n, const std::shared_ptr<Message>& message, bool answers) {
    const std::int64_t began = kEpochUs + now_ / 1'000 - row_back_us_;
    row_free_ = std::max(row_free_, now_) + 500'000;
    later(static_cast<std::uint64_t>(row_free_ - now_), [this, &n, message, began, answers] {
      message->ask.holder = message->holder;
      const auto answer = cluster::settle(quota_, slices_, plan_.terms, message->ask, began);
      ++settled;
      check_row();
      if (!answers || n.cut_until > now_ || (plan_.chaos && random_.chance(0.01))) {
        ++lost;
        return;
      }
      later(300'000 + around(plan_.chaos && random_.chance(0.01) ? 2 : 0.001), [this, &n, answer, name = message->holder] { hear(n, name, answer); });
    });
  }
  void hear(Node& n, const std::string& name, const cluster::Answer& answer) {
    if (!n.holding || n.name != name) return;
    if (n.paused_until > now_) {             // it lies in the socket
      later(static_cast<std::uint64_t>(n.paused_until - now_), [this, &n, name, answer] { hear(n, name, answer); });
      return;
    }
    look(n);
    if (!n.holding->accept(answer, n.sent, n.time)) return;
    n.pending = false;
    serve_waiting(n);
  }
  void check_row() const {
    ASSERT_GE(free(), 0) << "seed " << plan_.seed;
    ASSERT_LE(quota_.level, free()) << "seed " << plan_.seed;
  }

  // ---- faults ----

  void fault() {
    later(next_fault(), [this] { fault(); });
    Node& n = *nodes_[random_.chance(0.3) ? random_.below(5) : random_.below(plan_.nodes)];   // the busy ones more often
    if (!runs(n)) return;
    look(n);
    const auto for_a_while = [&](double seconds) { return now_ + static_cast<std::int64_t>(around(seconds)); };
    switch (random_.below(8)) {
      case 0: crash(n); break;
      case 1: ++partitions; n.cut_until = for_a_while(random_.chance(0.2) ? 60 : 3); break;
      case 2: ++pauses; n.paused_until = for_a_while(random_.chance(0.2) ? 60 : 1); break;
      case 3: {
        ++jumps;
        if (n.stalled_until < now_) n.wall += static_cast<std::int64_t>((random_.uniform() - 0.5) * 7.2e12);
        break;
      }
      case 4: ++jumps, n.mono += static_cast<std::int64_t>(around(20)); break;
      case 5: ++jumps, n.stalled_until = for_a_while(5); break;
      case 7: row_back_us_ += static_cast<std::int64_t>(around(0.2)) / 1'000; break;   // the database moved to a machine whose clock is behind
      case 6: n.silent_until = for_a_while(10); break;     // nobody calls: then a burst finds what it left
    }
    look(n);
  }
  void crash(Node& n) {
    ++crashes;
    if (money()) {                           // what was in flight ends at its hold; the journal is imported when somebody has it
      const Nano spent = n.spent + n.held;
      later(around(5), [this, name = n.name, spent] { cluster::close(slices_, name, spent); });
    } else if (!rate()) {
      in_use -= n.holding->used();           // its connections broke
    }
    n.holding.reset();
    n.cut_until = n.stalled_until = 0;
    later(around(3), [this, &n] { boot(n); });
  }

  const FleetPlan plan_;
  SeededRandom random_;
  cluster::Quota quota_;
  std::vector<cluster::Slice> slices_;
  OneBucket bucket_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::priority_queue<Event> events_;
  std::uint64_t order_ = 0;
  std::int64_t now_ = 0, row_free_ = 0, row_back_us_ = 0;
};

}  // namespace ballast::test
