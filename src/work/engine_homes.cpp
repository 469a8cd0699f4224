// Jobs that come from other nodes and go to them: adopting, giving, receiving. Between cycles, a transaction each.
#include <algorithm>

#include "base/log.hpp"
#include "work/engine_cycle.hpp"
#include "work/engine_errand.hpp"

namespace ballast::work {

namespace {

constexpr Duration kTryAgain = std::chrono::milliseconds(500);
constexpr Duration kForgetEvery = std::chrono::minutes(1);
constexpr std::size_t kKeys = 500;                       // looked at in one transaction
constexpr std::size_t kHandovers = 16;                   // received in one transaction
constexpr std::size_t kMostGiven = 1'000;                // jobs in one handover

Error ends_soon() { return {ErrorCode::internal_unavailable, "this node is shutting down; it takes nothing more", {}, true, std::chrono::seconds(2), {}, {}, {}}; }

}  // namespace

bool Engine::has_errand() const {
  const MonoTime now = home_.clock().mono();
  return !stopping_ && std::ranges::any_of(errands_, [&](const Errand* e) { return e->not_before <= now; });
}

// One transaction of the first that is due, which then stands behind the others.
Task<void> Engine::go_on_errand() {
  const MonoTime begun = home_.clock().mono();
  const auto at = std::ranges::find_if(errands_, [&](const Errand* e) { return e->not_before <= begun; });
  Errand& errand = **at;
  errands_.erase(at);
  std::int64_t number = ++cycles_;
  this->at("errand");
  bool more = errand.stage(*this);
  if (more) {
    auto written = co_await write_for_sure(number, begun, {}, [&](store::Tx& tx) -> Result<void> {
      if (auto done = errand.write(*this, tx); !done) return done;
      if (auto mine = check_epoch(tx, options_.node, epoch_, number, kept_); !mine) return mine;
      this->at("errand written");
      return {};
    });
    if (!written) {
      if (is_taken_over(written.error())) lose(written.error());
      if (!errand.insists() || lost_ || stopping_) {
        errand.end(written.error());
        co_return;
      }
      log::warn("work_errand_not_written", {{"why", written.error().message}});
      errand.not_before = home_.clock().mono() + kTryAgain;
    } else {
      this->at("errand committed");
      more = errand.written(*this);
    }
  }
  if (more) errands_.push_back(&errand);
  else home_.resume(errand.waiter);          // what has no asker has no end
}

// ---- adopting ----

struct Engine::AdoptErrand final : Errand {
  unsigned node = 0;
  std::string boot;
  bool took = false;                         // the homes are ours: what is left is to read them
  Taking taking;
  std::optional<std::uint32_t> home;
  Page page;
  Result<std::size_t> result = std::size_t{0};

  bool insists() const override { return took; }
  Result<void> write(Engine& engine, store::Tx& tx) override {
    if (!took) {
      auto taken = adopt_homes(tx, node, boot, engine.epoch_);
      if (!taken) return std::unexpected(std::move(taken.error()));
      home = *taken;
      return {};
    }
    if (taking.after.id == JobId{})
      if (auto loaded = engine.load_leases(tx, taking); !loaded) return loaded;
    auto next = engine.take_page(tx, taking, engine.options_.adopt_page);
    if (!next) return std::unexpected(std::move(next.error()));
    page = std::move(*next);
    return page.last ? engine.forget_taken(tx, taking, page) : Result<void>{};
  }
  bool written(Engine& engine) override {
    if (!took) {
      if (!home) return false;
      took = true;
      taking.number = *home;
      engine.lease_under(*home);
      return true;
    }
    engine.put_page(page, taking);
    for (Job& job : page.ended) {
      engine.feed_.notify(job.id);
      engine.tell_ended(std::make_shared<const Job>(std::move(job)));
    }
    result = taking.jobs;
    if (page.last) log::info("work_adopted", {{"node", node}, {"jobs", taking.jobs}, {"claims", taking.claims.size()}, {"home", taking.number}});
    return !page.last;
  }
  void failed(const Error& error) override { result = std::unexpected(error); }
};

Task<Result<std::size_t>> Engine::adopt(unsigned node, std::string boot) {
  if (draining_) co_return std::unexpected(ends_soon());
  AdoptErrand errand;
  errand.node = node;
  errand.boot = std::move(boot);
  co_await Errand::Sent{*this, errand};
  co_return std::move(errand.result);
}

void Engine::lease_under(std::uint32_t home) {
  leasing_ = home;
  given_ = 0;
  board_.raise(home);
}

// ---- giving ----

struct Engine::GiveErrand final : Errand {
  std::vector<JobId> jobs;
  std::uint32_t to = 0;
  std::int64_t seq = 0;
  Result<std::size_t> result = std::size_t{0};

  bool stage(Engine& engine) override {
    std::unordered_set<JobId> seen;
    std::erase_if(jobs, [&](JobId id) { return !engine.may_give(id) || !seen.insert(id).second; });
    if (jobs.size() > kMostGiven) jobs.resize(kMostGiven);
    if (jobs.empty() || to == engine.epoch_) return false;
    seq = engine.next_handover();
    return true;
  }
  Result<void> write(Engine&, store::Tx& tx) override { return hand_over(tx, to, seq, jobs); }
  bool written(Engine& engine) override {
    const MonoTime now = engine.home_.clock().mono();
    for (const JobId id : jobs) {
      engine.board_.remove(id, now);
      engine.take_hot(id);
    }
    result = jobs.size();
    return false;
  }
  void failed(const Error& error) override { result = std::unexpected(error); }
};

// Only what is ready: the rest has a time, or is waited for, or is in somebody's hands.
bool Engine::may_give(JobId id) const {
  const Entry* e = board_.find(id);
  return e && e->place == Entry::Place::ready && e->group == 0 && !e->settling && !waiters_.contains(id);
}

std::int64_t Engine::next_handover() { return (std::int64_t{leasing_} << 32) + ++given_; }

Task<Result<std::size_t>> Engine::give(std::vector<JobId> jobs, std::uint32_t to) {
  GiveErrand errand;
  errand.jobs = std::move(jobs);
  errand.to = to;
  co_await Errand::Sent{*this, errand};
  co_return std::move(errand.result);
}

Hunger Engine::hunger() const {
  Hunger hunger;
  if (!open_ || draining_ || lost_) return hunger;
  if (!board_.has_local_ready() && board_.leased_local() < options_.local_leases) hunger.local = static_cast<std::uint32_t>(options_.local_leases - board_.leased_local());
  for (const PullAsk* p : pulls_) {
    if (p->over || board_.has_ready_for(p->request.queues, p->request.tasks)) continue;
    const std::vector<std::string> any{""};
    const auto& tasks = p->request.tasks.empty() ? any : p->request.tasks;
    const std::size_t kinds = p->request.queues.size() * tasks.size();
    const auto most = static_cast<std::uint32_t>((p->request.most + kinds - 1) / std::max<std::size_t>(kinds, 1));
    for (const auto& queue : p->request.queues)
      for (const auto& task : tasks)
        if (hunger.pulls.size() < kMostPulls) hunger.pulls.push_back({queue, task, most});
  }
  return hunger;
}

// Somebody at this node takes jobs of the lane at this moment.
bool Engine::is_wanted_here(const Lane& lane) const {
  if (lane.task.empty()) return board_.leased_local() < options_.local_leases && !draining_;
  return std::ranges::any_of(pulls_, [&](const PullAsk* p) {
    const auto& [worker, queues, tasks, most, lease, wait] = p->request;
    return !p->over && std::ranges::find(queues, lane.queue) != queues.end() && (tasks.empty() || std::ranges::find(tasks, lane.task) != tasks.end());
  });
}

Task<std::size_t> Engine::feed_hungry(std::vector<Neighbour> neighbours) {
  std::size_t given = 0;
  if (lost_ || (!draining_ && std::ranges::all_of(neighbours, [](const Neighbour& n) { return n.hunger == Hunger{}; }))) co_return given;
  auto spare = board_.spare(kMostGiven, draining_);
  std::erase_if(spare, [&](const Board::Spare& s) { return is_wanted_here(s.lane); });
  for (Gift& gift : draining_ ? giving_.leave(spare, neighbours) : giving_.decide(spare, neighbours)) {
    const std::uint32_t to = gift.to;
    auto gone = co_await give(std::move(gift.jobs), to);
    if (gone) given += *gone;
    else if (!draining_) log::warn("work_not_given", {{"to", to}, {"why", gone.error().message}});
  }
  co_return given;
}

// ---- receiving ----

struct Engine::ReceiveErrand final : Errand {
  std::vector<LiveRow> rows;
  std::uint32_t raised = 0;                  // the home that had to be taken to lease them
  bool more = false;
  Result<std::size_t> result = std::size_t{0};

  Result<void> write(Engine& engine, store::Tx& tx) override {
    rows.clear();
    raised = 0;
    auto handovers = load_handovers(tx, engine.epoch_, kHandovers);
    if (!handovers) return std::unexpected(std::move(handovers.error()));
    more = handovers->size() == kHandovers;
    for (const Handover& h : *handovers) {
      auto live = load_live_of(tx, h.jobs, engine.epoch_);
      if (!live) return std::unexpected(std::move(live.error()));
      std::ranges::move(*live, std::back_inserter(rows));
    }
    if (std::ranges::any_of(rows, [&](const LiveRow& r) { return static_cast<std::uint32_t>(r.fence >> 32) >= engine.leasing_; })) {
      const auto home = raise_home(tx, engine.epoch_);
      if (!home) return std::unexpected(home.error());
      raised = *home;
    }
    return delete_handovers(tx, engine.epoch_, *handovers);
  }
  bool written(Engine& engine) override {
    if (raised) engine.lease_under(raised);
    const MonoTime now = engine.home_.clock().mono();
    for (LiveRow& row : rows) {
      if (row.job.state == JobState::waiting) row.job.due = {};      // its wait was over, or it finds out itself
      if (!engine.put_on_board(row.job, JobState::queued, now)) continue;
      engine.board_.had_before(row.job.id);
      engine.feed_.notify(row.job.id);
      ++*result;
    }
    return more;
  }
  void failed(const Error& error) override {
    if (*result == 0) result = std::unexpected(error);     // else: what came, came
  }
};

Task<Result<std::size_t>> Engine::receive() {
  if (draining_) co_return std::unexpected(ends_soon());
  ReceiveErrand errand;
  co_await Errand::Sent{*this, errand};
  co_return std::move(errand.result);
}


// ---- concurrency keys ----

// Each minute through all keys that this node decides about: those of which it has no job are anybody's again. A page is read, and then what of it nobody uses is
// forgotten, so that no cycle lies between the look at the board and the deletion.
struct Engine::KeyErrand final : Errand {
  bool reading = true;
  KeyPlace after;
  std::vector<KeyPlace> keys;

  bool insists() const override { return true; }
  bool stage(Engine& engine) override {
    if (!reading) std::erase_if(keys, [&](const KeyPlace& k) { return engine.board_.knows_key(k.queue, k.key); });
    return true;
  }
  Result<void> write(Engine& engine, store::Tx& tx) override {
    if (!reading) return forget_keys(tx, engine.epoch_, keys);
    auto page = load_keys(tx, engine.epoch_, after, kKeys);
    if (!page) return std::unexpected(std::move(page.error()));
    keys = std::move(*page);
    return {};
  }
  bool written(Engine& engine) override {
    if (reading) more_ = keys.size() == kKeys, after = more_ ? keys.back() : KeyPlace{};
    reading = !reading || keys.empty();
    if (reading && !more_) not_before = engine.home_.clock().mono() + kForgetEvery;
    return true;
  }
  void failed(const Error&) override {}

 private:
  bool more_ = false;
};

void Engine::begin_errands() {
  if (!options_.shared) return;
  keys_ = std::make_unique<KeyErrand>();
  keys_->not_before = home_.clock().mono() + kForgetEvery;
  errands_.push_back(keys_.get());
}

}  // namespace ballast::work
