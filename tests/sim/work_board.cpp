// Seeded chaos over the board, with a model of the database beside it: submissions, leases, every way a lease can end, wakes,
// cancellations, deadlines, expiry, stale workers, changed rules, lost transactions and crashes before and after their commit.
// A failure prints its seed; BALLAST_SIM_SEED=… replays it, BALLAST_SIM_STEPS=… makes it longer.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <ranges>
#include <unordered_map>

#include "base/random.hpp"
#include "work/board.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

void must(bool holds, const char* what, std::uint64_t seed, std::uint64_t step) {
  if (holds) return;
  std::fprintf(stderr, "%s. Replay with BALLAST_SIM_SEED=%llu (at transition %llu)\n", what, static_cast<unsigned long long>(seed),
               static_cast<unsigned long long>(step));
  std::abort();
}

// What the database holds of a job.
struct Row {
  Job job;
  Lane lane;
  Fence fence = 0;                           // of the last lease whose outcome is recorded
  MonoTime due{}, deadline = kNever;
};
struct StoredClaim {
  std::string holder;
  std::vector<JobId> jobs;
};
struct Ending {
  JobId id;
  Fence fence = 0;
  JobState state = JobState::queued;
  std::uint32_t attempt = 0;
  MonoTime due{};
};

class Chaos {
 public:
  explicit Chaos(std::uint64_t seed) : seed_(seed), random_(seed), board_(epoch_) {}

  void run(std::uint64_t transitions) {
    for (std::uint64_t checked = 0; steps_ < transitions;) {
      cycle(true);
      if (steps_ - checked < 1'500) continue;
      checked = steps_;
      compare();
    }
    finish();
  }
  std::uint64_t crashes = 0, undone = 0, refused = 0, expired = 0, dead = 0, done = 0, cancelled = 0;

 private:
  struct Cycle {
    std::vector<Row> jobs;
    std::vector<Ending> endings;
    std::vector<Claim> claims;
    std::vector<Fence> ended;
  };
  struct Holder {                            // what somebody who was given a lease believes
    JobId job;
    Fence fence = 0;
    bool local = false;
  };

  void check(bool holds, const char* what) const { must(holds, what, seed_, steps_); }
  bool chance(double p) { return random_.chance(p); }
  std::uint64_t below(std::uint64_t n) { return random_.below(n); }
  static std::string queue_name(std::uint64_t n) { return "q" + std::to_string(n); }
  Lane lane_of(const Job& job) const { return {job.spec.queue, job.spec.name}; }

  // ---- what is asked ----

  void submit(Cycle& cycle) {
    Row row;
    Job& job = row.job;
    job.id = JobId{++last_id_};
    job.spec.queue = queue_name(below(4));
    job.spec.name = chance(0.5) ? "" : chance(0.5) ? "x" : "y";
    job.spec.tenant = chance(0.6) ? "flood" : "t" + std::to_string(below(6));
    job.spec.priority = static_cast<std::uint8_t>(below(12));
    job.spec.max_attempts = 1 + static_cast<std::uint32_t>(below(4));
    if (chance(0.3)) job.spec.concurrency_key = "k" + std::to_string(below(5)), job.spec.concurrency = 1 + static_cast<std::uint32_t>(below(3));
    row.lane = lane_of(job);
    row.due = now_ + (chance(0.2) ? below(3'000) : 0) * 1ms;
    if (chance(0.1)) row.deadline = now_ + 1ms + below(20'000) * 1ms;
    check(board_.add(job, row.lane, now_, row.due, row.deadline), "a new job is new");
    cycle.jobs.push_back(std::move(row));
  }

  Ending ending(const Entry& e, JobState state, std::uint32_t attempt, MonoTime due = {}) const {
    return {e.id, e.place == Entry::Place::leased ? e.fence : 0, state, attempt, due};
  }
  Ending failure(const Entry& e, MonoTime due) const {
    const bool over = e.attempt + 1 >= e.max_attempts;
    return ending(e, over ? JobState::dead : JobState::queued, e.attempt + 1, due);
  }

  // A holder says something; it is believed exactly while its lease is the job's, and nobody else decides.
  void speak(Cycle& cycle, std::size_t which) {
    const Holder holder = holders_[which];
    const auto lease = leases_.find(holder.job);
    const bool holds = lease != leases_.end() && lease->second == holder.fence;
    const bool heard = board_.held(holder.job, holder.fence).has_value();
    const Entry* known = board_.find(holder.job);
    check(heard == (holds && !known->settling), "a fence is believed exactly while its lease is live");
    if (!heard) {
      ++refused;
      if (!holds) holders_[which] = holders_.back(), holders_.pop_back();
      return;
    }
    if (!holder.local && chance(0.3)) {
      check(board_.extend(holder.job, holder.fence, now_ + 1s + below(5'000) * 1ms).has_value(), "a live lease goes on");
      return;
    }
    const Entry& e = **board_.hold(holder.job);
    const double what = random_.uniform();
    if (what < 0.5) cycle.endings.push_back(ending(e, JobState::done, e.attempt));
    else if (what < 0.7) cycle.endings.push_back(failure(e, now_ + below(2'000) * 1ms));
    else if (what < 0.75) cycle.endings.push_back(ending(e, JobState::dead, e.attempt));
    else if (what < 0.87) cycle.endings.push_back(ending(e, JobState::queued, e.attempt, now_ + below(500) * 1ms));
    else cycle.endings.push_back(ending(e, JobState::waiting, 0, chance(0.5) ? kNever : MonoTime(now_ + below(500) * 1ms)));
  }

  JobId some_job() { return rows_.empty() ? JobId{} : std::next(rows_.begin(), static_cast<std::ptrdiff_t>(below(std::min<std::size_t>(rows_.size(), 60))))->first; }

  void cancel(Cycle& cycle) {
    if (const auto e = board_.hold(some_job())) cycle.endings.push_back(ending(**e, JobState::cancelled, (*e)->attempt));
  }
  void wake(Cycle& cycle) {
    const JobId id = some_job();
    if (!board_.wake(id)) return;
    if (const auto e = board_.hold(id)) cycle.endings.push_back(ending(**e, JobState::queued, (*e)->attempt, now_));
  }
  void change_rules() {
    QueueRules rules;
    if (chance(0.5)) rules.concurrency = 1 + static_cast<std::uint32_t>(below(20));
    if (chance(0.5)) rules.per_tenant = 1 + static_cast<std::uint32_t>(below(5));
    rules.paused = chance(0.2);
    const std::string queue = queue_name(below(4));
    rules_[queue] = rules;
    board_.set_rules(queue, rules);
  }

  // ---- a commit cycle ----

  void pass_time() {
    const double how = random_.uniform();
    now_ += how < 0.9 ? Duration(below(20) * 1ms) : how < 0.999 ? Duration(below(3'000) * 1ms) : Duration(below(3'600) * 1s);
  }

  void stage_asks(Cycle& cycle, bool submissions) {
    for (auto n = below(8); n-- > 0 && submissions && rows_.size() + cycle.jobs.size() < 300;) submit(cycle);
    for (auto n = below(10); n-- > 0 && !holders_.empty();) speak(cycle, below(holders_.size()));
    if (chance(0.15)) cancel(cycle);
    for (auto n = below(3); n-- > 0;) wake(cycle);
    if (submissions && chance(0.02)) change_rules();
  }

  void stage_time(Cycle& cycle) {
    for (const JobId id : board_.past_deadline(now_, 50))
      if (const auto e = board_.hold(id)) cycle.endings.push_back(ending(**e, JobState::dead, (*e)->attempt));
    for (const JobId id : board_.expired_leases(now_, 50))
      if (const auto e = board_.hold(id)) ++expired, cycle.endings.push_back(failure(**e, now_));
  }

  void stage_leases(Cycle& cycle) {
    const bool all = chance(0.1);
    static const std::vector<std::string> kTasks[] = {{}, {"x"}, {"y", "x"}};
    for (std::uint64_t worker = 0; worker < 3; ++worker) {
      std::vector<std::string> queues;
      for (std::uint64_t q = 0; q < 4; ++q)
        if (all || chance(0.6)) queues.push_back(queue_name(q));
      const auto& tasks = all ? kTasks[0] : kTasks[below(3)];
      auto claim = board_.lease_for("w" + std::to_string(worker), queues, tasks, all ? 1'000 : below(4), now_, now_ + 100ms + below(5'000) * 1ms);
      if (!claim.jobs.empty()) cycle.claims.push_back(std::move(claim));
    }
    auto claim = board_.lease_local(all ? 1'000 : below(6), now_);
    if (!claim.jobs.empty()) cycle.claims.push_back(std::move(claim));
    if (all) nothing_is_passed_over(cycle);
  }

  void cycle(bool submissions) {
    pass_time();
    Cycle cycle;
    cycle.ended = std::exchange(ended_, {});
    board_.tick(now_);
    stage_asks(cycle, submissions);
    stage_time(cycle);
    stage_leases(cycle);
    steps_ += cycle.jobs.size() + cycle.endings.size();
    for (const Claim& c : cycle.claims) steps_ += c.jobs.size();
    const double fate = submissions ? random_.uniform() : 1;
    if (fate < 0.001) return crash();                    // nothing of it was written
    if (fate < 0.03) return undo(cycle);
    std::vector<JobId> lost;                             // their key was another's
    for (const Row& row : cycle.jobs)
      if (chance(0.02)) lost.push_back(row.job.id);
    store(cycle, lost);
    if (fate < 0.031) return crash();                    // it was written, and nobody was told
    apply(cycle, lost);
  }

  // The database: refuses what is not conditional on the truth.
  void store(const Cycle& cycle, const std::vector<JobId>& lost) {
    for (const Row& row : cycle.jobs) {
      if (std::ranges::find(lost, row.job.id) != lost.end()) continue;
      rows_.emplace(row.job.id, row);
      ++accepted_;
    }
    for (const Ending& e : cycle.endings) {
      const auto at = rows_.find(e.id);
      check(at != rows_.end(), "what ended does not end again");
      Row& row = at->second;
      check(e.fence == 0 || row.fence < e.fence, "an outcome is recorded once");
      const auto lease = leases_.find(e.id);
      check((lease == leases_.end() ? 0 : lease->second) == e.fence, "who decides holds the lease, or nobody does");
      if (e.fence) row.fence = e.fence, leases_.erase(lease);
      row.job.state = e.state;
      row.job.attempt = e.attempt;
      row.due = e.due;
      check(e.attempt <= row.job.spec.max_attempts, "attempts never exceed their maximum");
      if (terminal(e.state)) end(at);
    }
    for (const Claim& c : cycle.claims) {
      StoredClaim& stored = claims_[c.fence];
      stored.holder = c.holder;
      for (const JobId id : c.jobs) {
        if (std::ranges::find(lost, id) != lost.end()) continue;
        stored.jobs.push_back(id);
        check(rows_.contains(id), "who is leased is live");
        check(leases_.emplace(id, c.fence).second, "a job has one live lease at most");
        check(c.fence > std::exchange(last_fence_[id], c.fence), "a job's fences strictly increase");
      }
    }
    for (const Fence f : cycle.ended) claims_.erase(f);
  }

  void end(std::map<JobId, Row>::iterator at) {
    const JobState state = at->second.job.state;
    ++(state == JobState::done ? done : state == JobState::dead ? dead : cancelled);
    last_fence_.erase(at->first);
    rows_.erase(at);
    ++terminal_;
  }

  void undo(Cycle& cycle) {
    ++undone;
    for (const Claim& c : cycle.claims | std::views::reverse)
      for (const JobId id : c.jobs | std::views::reverse) board_.unlease(id, now_);
    for (const Row& row : cycle.jobs) board_.remove(row.job.id, now_);
    for (const Ending& e : cycle.endings | std::views::reverse) board_.let_go(e.id);
    ended_ = cycle.ended;
    (void)board_.take_ended_claims();
  }

  void apply(const Cycle& cycle, const std::vector<JobId>& lost) {
    for (const JobId id : lost) board_.remove(id, now_);
    for (const Ending& e : cycle.endings) {
      if (terminal(e.state)) board_.remove(e.id, now_);
      else if (e.state == JobState::waiting) board_.park(e.id, e.attempt, e.due, now_);
      else board_.requeue(e.id, e.attempt, e.due, now_);
    }
    ended_ = board_.take_ended_claims();
    for (const Claim& c : cycle.claims)
      for (const JobId id : c.jobs)
        if (board_.find(id)) holders_.push_back({id, c.fence, c.holder.empty()});
  }

  // The process is gone, and starts again as Engine::recover does.
  void crash() {
    ++crashes;
    board_ = Board(++epoch_);
    ended_.clear();
    std::erase_if(holders_, [](const Holder& h) { return h.local; });
    for (const auto& [name, rules] : rules_) board_.set_rules(name, rules);
    for (auto at = rows_.begin(); at != rows_.end();) {
      auto& [id, row] = *at;
      const auto lease = leases_.find(id);
      const StoredClaim* claim = lease == leases_.end() ? nullptr : &claims_.at(lease->second);
      const auto here = at++;
      if (claim && claim->holder.empty()) {
        row.fence = lease->second;
        leases_.erase(lease);
        row.due = now_;
        if (++row.job.attempt >= row.job.spec.max_attempts) {
          row.job.state = JobState::dead;
          end(here);
          continue;
        }
      }
      check(board_.add(row.job, row.lane, now_, row.due, row.deadline), "a row is on the board once");
      if (claim && !claim->holder.empty()) board_.restore_lease(id, leases_.at(id), claim->holder, now_ + 2s);
    }
    std::erase_if(claims_, [&](const auto& item) {
      return std::ranges::none_of(item.second.jobs, [&](JobId id) { const auto l = leases_.find(id); return l != leases_.end() && l->second == item.first; });
    });
  }

  // ---- what must hold ----

  // After everybody asked for everything: who is still ready is held back by something.
  void nothing_is_passed_over(const Cycle& cycle) const {
    std::map<std::string, std::uint32_t> queues;
    std::map<std::pair<std::string, std::uint32_t>, std::uint32_t> shares;
    const auto each = [&](auto&& f) {
      for (const auto& [id, row] : rows_) f(row, *board_.find(id));
      for (const Row& row : cycle.jobs) f(row, *board_.find(row.job.id));
    };
    each([&](const Row& row, const Entry& e) {
      if (e.place == Entry::Place::leased) ++queues[row.lane.queue], ++shares[{row.lane.queue, e.tenant}];
    });
    each([&](const Row& row, const Entry& e) {
      if (e.place != Entry::Place::ready || e.settling) return;
      const QueueRules rules = board_.rules(row.lane.queue);
      const bool full = rules.paused || (rules.concurrency && queues[row.lane.queue] >= rules.concurrency) ||
                        (rules.per_tenant && shares[{row.lane.queue, e.tenant}] >= rules.per_tenant);
      check(full, "a ready job that nothing holds back was passed over");
    });
  }

  // Between cycles memory is what the database says.
  void compare() {
    board_.audit(now_);
    check(accepted_ == rows_.size() + terminal_, "accepted = live + terminal");
    check(board_.size() == rows_.size(), "every live job is on the board, and no other");
    for (const auto& [id, row] : rows_) {
      const Entry* e = board_.find(id);
      check(e != nullptr, "a live job is on the board");
      const auto lease = leases_.find(id);
      check((e->place == Entry::Place::leased) == (lease != leases_.end()), "memory and database agree who is leased");
      check(lease == leases_.end() || lease->second == e->fence, "under the same fence");
      check(e->attempt == row.job.attempt, "memory and database agree on attempts");
      check(e->place != Entry::Place::waiting || row.job.state == JobState::waiting, "who waits waits in the database too");
      check(!e->settling, "between cycles nobody decides");
    }
    for (const auto& [id, fence] : leases_) check(claims_.contains(fence), "a lease's claim is stored");
  }

  // Without limits, submissions and accidents, everything comes to an end.
  void finish() {
    for (std::uint64_t q = 0; q < 4; ++q) rules_[queue_name(q)] = {}, board_.set_rules(queue_name(q), {});
    for (int i = 0; i < 20'000 && !rows_.empty(); ++i) {
      cycle(false);
      for (const auto& [id, row] : rows_)
        if (const Entry* e = board_.find(id); e->place == Entry::Place::waiting && board_.wake(id)) {
          (void)board_.hold(id);
          board_.requeue(id, e->attempt, now_, now_);
          rows_.at(id).job.state = JobState::queued;
        }
    }
    check(rows_.empty(), "every runnable job eventually ends");
    check(board_.size() == 0 && leases_.empty() && board_.leased_local() == 0, "nothing is left behind");
    compare();
  }

  const std::uint64_t seed_;
  SeededRandom random_;
  std::uint32_t epoch_ = 1;
  Board board_;
  MonoTime now_{1h};
  std::int64_t last_id_ = 0;
  std::uint64_t steps_ = 0, accepted_ = 0, terminal_ = 0;
  std::vector<Holder> holders_;
  std::vector<Fence> ended_;
  std::map<std::string, QueueRules> rules_;
  // The database.
  std::map<JobId, Row> rows_;
  std::map<Fence, StoredClaim> claims_;
  std::unordered_map<JobId, Fence> leases_, last_fence_;
};

TEST(WorkBoardSim, ChaosLosesNothingAndRepeatsNothing) {
  const std::uint64_t seed = from_environment("BALLAST_SIM_SEED", os_seed()), steps = from_environment("BALLAST_SIM_STEPS", 300'000);
  SCOPED_TRACE("BALLAST_SIM_SEED=" + std::to_string(seed));
  Chaos chaos(seed);
  chaos.run(steps);
  std::printf("seed %llu: %llu done, %llu dead, %llu cancelled; %llu crashes, %llu transactions undone, %llu leases expired, %llu stale words refused\n",
              static_cast<unsigned long long>(seed), static_cast<unsigned long long>(chaos.done), static_cast<unsigned long long>(chaos.dead),
              static_cast<unsigned long long>(chaos.cancelled), static_cast<unsigned long long>(chaos.crashes), static_cast<unsigned long long>(chaos.undone),
              static_cast<unsigned long long>(chaos.expired), static_cast<unsigned long long>(chaos.refused));
  for (const std::uint64_t happened : {chaos.done, chaos.dead, chaos.cancelled, chaos.crashes, chaos.undone, chaos.expired, chaos.refused})
    EXPECT_GT(happened, 10u) << "the chaos is too tame";
}

// Every seed is another story; these have been told before.
TEST(WorkBoardSim, StoriesThatWereToldBefore) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) Chaos(seed).run(5'000);
}

}  // namespace
}  // namespace ballast::work
