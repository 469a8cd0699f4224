// Three nodes on one database, and everything that can happen to them in any order: jobs come, are leased, settled, given away and received; processes are
// killed, taken for dead while they live, and started again; adopters come two at once and die halfway; transactions fail in every way. An oracle beside it
// keeps what each holder was told. A failure prints its seed; BALLAST_SIM_SEED=… replays it, BALLAST_SIM_STEPS=… makes it longer.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include "../support/work_nodes.hpp"
#include "base/random.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using test::word;
using Fate = test::ObedientDatabase::Fate;
using To = Commit::To;

class WorkHomesChaos : public test::WorkNodes {
 protected:
  struct Known { Fence fence = 0; int ended = 0; bool keyed = false; };
  struct Held { Lease lease; test::WorkHouse* house; };

  void prepare_all() {
    prepare = [this](unsigned, test::WorkHouse& house) {
      house.hands.say = [this](const Lease& lease) -> std::optional<Commit> {
        note(lease);
        return std::nullopt;
      };
    };
  }
  std::uint64_t below(std::uint64_t n) { return random_.below(n); }
  bool chance(double p) { return random_.chance(p); }
  template <class T>
  auto& any(T& of) { return *std::next(of.begin(), static_cast<std::ptrdiff_t>(below(of.size()))); }

  // Somebody has the job now: nobody had it later.
  void note(const Lease& lease) {
    Known& job = jobs_[lease.job->id];
    EXPECT_GT(lease.fence, job.fence) << to_string(lease.job->id);
    EXPECT_EQ(job.ended, 0) << to_string(lease.job->id) << " had ended";
    job.fence = lease.fence;
    ++leases_;
  }
  std::optional<unsigned> somebody() {
    std::vector<unsigned> living;
    for (unsigned n = 0; n < kNodes; ++n)
      if (runs(n)) living.push_back(n);
    return living.empty() ? std::nullopt : std::optional(any(living));
  }
  std::optional<unsigned> a_dead_one() {
    std::vector<unsigned> dead;
    for (unsigned n = 0; n < kNodes; ++n)
      if (!runs(n) && !boot(n).empty()) dead.push_back(n);
    return dead.empty() ? std::nullopt : std::optional(any(dead));
  }
  void submit(test::WorkHouse& house) {
    std::vector<Submission> bulk;
    for (auto n = below(3) + 1; n-- > 0;) {
      bulk.push_back({.spec = {.name = chance(0.5) ? "ext" : "here", .tenant = chance(0.5) ? "a" : "b", .max_attempts = chance(0.2) ? 2u : 1'000u}, .input = "x"});
      if (chance(0.3)) bulk.back().spec.concurrency_key = "k" + std::to_string(below(2)), bulk.back().spec.concurrency = 1;
      if (chance(0.2)) bulk.back().delay = Duration(below(3'000) * 1ms);
    }
    const auto results = house.submit(bulk);
    for (std::size_t i = 0; i < results.size(); ++i)
      if (results[i]) jobs_[results[i]->id].keyed = !bulk[i].spec.concurrency_key.empty();
  }
  void pull(test::WorkHouse& house) {
    for (Lease& lease : house.pull(below(3) + 1, 10s)) {
      note(lease);
      outside_.push_back(std::move(lease));
      if (outside_.size() > 40) outside_.erase(outside_.begin());
    }
  }
  void say(test::WorkHouse& house, const Lease& lease) {
    const To to = std::array{To::done, To::done, To::failed, To::snoozed, To::waiting, To::running}[below(6)];
    Commit last = word(to, "out");
    if (to == To::waiting) last.delay = Duration(below(4'000) * 1ms);
    if (to == To::failed) last.delay = Duration(below(500) * 1ms);
    const Fence newest = jobs_[lease.job->id].fence;
    const auto settled = house.commit(lease, std::move(last));
    if (!settled || to == To::running) return;           // which writes nothing, and so asks nobody
    EXPECT_EQ(lease.fence, newest) << "somebody else had it since";
    if (terminal(settled->state) && !settled->running) EXPECT_EQ(++jobs_[lease.job->id].ended, 1) << to_string(lease.job->id);
  }
  void fail_sometimes(test::WorkHouse& house) {
    std::vector<Fate> fates{Fate::away, Fate::full, Fate::broken, Fate::lost_after};
    if (!sqlite()) fates.insert(fates.end(), {Fate::unknown_written, Fate::unknown_lost});
    for (auto n = below(4); n-- > 0;) house.database.next.push_back(chance(0.5) ? any(fates) : Fate::fine);
  }
  // Two at once, sometimes; and sometimes one dies in the middle of it.
  void adopt_somebody() {
    const auto dead = a_dead_one();
    const auto by = somebody();
    if (!dead || !by) return;
    const auto second = somebody();
    if (chance(0.3) && *second != *by) node(*by).database.during = [this, dead, second] { (void)adopted(*second, *dead); };
    if (chance(0.3)) {
      TaskGroup tasks("adopting");
      const auto adopting = [&]() -> Task<void> { (void)co_await node(*by).engine().adopt(*dead, boot(*dead)); };
      int left = static_cast<int>(below(5));
      at = [&](unsigned n, std::string_view point) {
        if (n == *by && point == "errand" && left-- == 0) node(*by).database.otherwise = Fate::away;
      };
      tasks.spawn(adopting());
      node(*by).settle();
      at = {};
      kill(*by);
      return;
    }
    if (adopted(*by, *dead) > 0) ++adoptions_;
    node(*by).database.during = {};
  }
  void kill(unsigned n) {
    std::erase_if(zombies_, [&](const auto& z) { return z.second == n; });
    stop(n);
  }
  void give_some() {
    const auto from = somebody(), to = somebody();
    if (!from || *from == *to || jobs_.empty()) return;
    std::vector<JobId> some;
    for (int i = 0; i < 30; ++i)
      if (const JobId id = any(jobs_).first; node(*from).engine().owns(id)) some.push_back(id);
    if (const auto given = give(*from, std::move(some), epoch(*to)); given) gifts_ += *given;
  }
  void step() {
    const auto n = somebody();
    const std::uint64_t what = below(100);
    if (n && chance(0.1)) fail_sometimes(node(*n));
    if (!n || what < 6) {
      if (const auto dead = a_dead_one()) start(*dead);
    } else if (what < 25) {
      submit(node(*n));
    } else if (what < 40) {
      pull(node(*n));
    } else if (what < 60) {
      if (!outside_.empty()) say(node(*n), any(outside_));
    } else if (what < 72) {
      if (auto& kept = node(*n).hands.kept; !kept.empty()) say(node(*n), Lease(any(kept)));
    } else if (what < 74) {
      if (!zombies_.empty())
        if (auto& z = any(zombies_); !z.first->hands.kept.empty()) say(*z.first, Lease(any(z.first->hands.kept)));
    } else if (what < 77) {
      kill(*n);
    } else if (what < 79 && zombies_.size() < 2 && std::ranges::none_of(zombies_, [&](const auto& z) { return z.second == *n; })) {
      zombies_.emplace_back(abandon(*n), *n);
    } else if (what < 85) {
      adopt_somebody();
    } else if (what < 90) {
      give_some();
    } else if (what < 95) {
      (void)received(*n);
    } else {
      pass(Duration(below(1'500) * 1ms));
    }
  }
  // No job is on two boards of which both may write, and each is where the database says.
  void check() {
    std::map<JobId, unsigned> where;
    std::map<std::string, int> keys;
    for (unsigned n = 0; n < kNodes; ++n) {
      if (!runs(n)) continue;
      node(n).audit();
      for (const auto& [id, known] : jobs_) {
        if (!node(n).engine().owns(id)) continue;
        EXPECT_TRUE(where.emplace(id, n).second) << to_string(id) << " is on two boards";
        const auto at = owner(id);
        ASSERT_TRUE(at) << to_string(id) << " is not live";
        EXPECT_EQ(at->epoch, epoch(n)) << to_string(id);
        if (!known.keyed || !node(n).engine().running(id)) continue;
        const Job job = node(n).job(id);
        ++keys[job.spec.concurrency_key + " of " + job.spec.name];
      }
    }
    for (const auto& [key, held] : keys) EXPECT_EQ(held, 1) << key;
    check_none_is_lost(where);
  }
  // What is live is on its owner's board, or handed over to him.
  void check_none_is_lost(const std::map<JobId, unsigned>& where) {
    for (const auto& [id, known] : jobs_) {
      if (where.contains(id)) continue;
      const auto at = owner(id);
      if (!at || at->epoch == 0 || !runs(at->node) || epoch(at->node) != at->epoch) continue;
      const auto handed = *database().read_now([&](store::Tx& tx) { return load_handovers(tx, at->epoch, 1'000); });
      EXPECT_TRUE(std::ranges::any_of(handed, [&](const Handover& h) { return std::ranges::find(h.jobs, id) != h.jobs.end(); }))
          << to_string(id) << " is live, and on no board: node " << at->node << ", epoch " << at->epoch;
    }
  }
  // Everything heals: each job comes to its end, once.
  void finish() {
    at = {};
    for (auto& [house, slot] : zombies_) house->database.otherwise = Fate::away;
    zombies_.clear();
    for (unsigned n = 0; n < kNodes; ++n) {
      if (runs(n)) node(n).database.next.clear();
      else start(n);
    }
    for (int round = 0; round < 400 && count("SELECT COUNT(*) FROM jobs WHERE live = 1") > 0; ++round) {
      for (unsigned n = 0; n < kNodes; ++n) {
        ASSERT_GE(received(n), 0);
        for (const Lease& lease : node(n).pull(1'000)) {
          note(lease);
          EXPECT_TRUE(node(n).commit(lease, word(To::done)));
          EXPECT_EQ(++jobs_[lease.job->id].ended, 1);
        }
        for (const Lease& lease : std::exchange(node(n).hands.kept, {}))
          if (node(n).commit(lease, word(To::done))) EXPECT_EQ(++jobs_[lease.job->id].ended, 1);
      }
      check();
      pass(1s);
    }
    EXPECT_EQ(count("SELECT COUNT(*) FROM jobs WHERE live = 1"), 0);
    EXPECT_EQ(count("SELECT COUNT(*) FROM handovers"), 0);
    EXPECT_EQ(count("SELECT COUNT(*) FROM jobs"), static_cast<std::int64_t>(jobs_.size()));
    EXPECT_EQ(count("SELECT COUNT(*) FROM (SELECT DISTINCT job, fence FROM job_attempts) AS a"), count("SELECT COUNT(*) FROM job_attempts")) << "an attempt was counted twice";
    EXPECT_EQ(count("SELECT COUNT(*) FROM jobs WHERE state = 2 AND attempt <> (SELECT COUNT(*) FROM job_attempts a WHERE a.job = jobs.id AND a.n <= jobs.attempt)"), 0);
    for (const auto& [id, known] : jobs_) {
      const Job job = node(0).job(id);
      EXPECT_TRUE(terminal(job.state)) << to_string(id);
      EXPECT_EQ(job.state == JobState::done, known.ended == 1 && job.state != JobState::dead) << to_string(id) << " " << known.ended;
    }
  }

  SeededRandom random_{1};
  std::map<JobId, Known> jobs_;
  std::vector<Lease> outside_;
  std::vector<std::pair<std::unique_ptr<test::WorkHouse>, unsigned>> zombies_;
  std::size_t leases_ = 0, gifts_ = 0;
  int adoptions_ = 0;
};

TEST_P(WorkHomesChaos, EveryJobEndsOnceWhateverHappensToTheNodes) {
  const char *given = std::getenv("BALLAST_SIM_SEED"), *longer = std::getenv("BALLAST_SIM_STEPS");
  const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : os_seed();
  SCOPED_TRACE("BALLAST_SIM_SEED=" + std::to_string(seed));
  random_ = SeededRandom(seed);
  prepare_all();
  leases = 4;
  for (unsigned n = 0; n < kNodes; ++n) start(n);
  const std::uint64_t steps = longer ? std::strtoull(longer, nullptr, 10) : 600;
  for (std::uint64_t i = 0; i < steps && !HasFailure(); ++i) {
    step();
    if (i % 10 == 0) check();
  }
  finish();
  std::printf("%zu jobs, %zu leases, %d adoptions, %zu given\n", jobs_.size(), leases_, adoptions_, gifts_);
}

BALLAST_ON_BOTH_DATABASES(WorkHomesChaos);

}  // namespace
}  // namespace ballast::work
