#include "app/workshop.hpp"

#include <semaphore>

#include "base/log.hpp"
#include "base/random.hpp"
#include "work/approval_rows.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kSweptRows = 5'000, kSweptApprovals = 1'000;
constexpr std::uint64_t kOrphanSweeps = 12;              // looks at all that is pending: once in so many sweeps
constexpr Duration kToldWithin = std::chrono::seconds(5);

work::EngineOptions engine_options(const WorkConfig& config) {
  return {.local_leases = config.concurrency, .max_live = config.max_jobs, .retention = config.retention};
}

Task<void> drain_and_tell(work::Engine& engine, Duration patience, std::binary_semaphore& done) {
  co_await engine.drain(patience);
  done.release();
}

}  // namespace

Workshop::Workshop(const WorkConfig& config, net::LoopGroup& loops, store::Database& database)
    : config_(config), loops_(loops), database_(database), dispatch_(loops.at(0), {.timeout = config.timeout}),
      engine_(loops.at(0), database, engine_options(config), os_seed()), door_(engine_) {
  dispatch_.use(engine_);
  work::add_builtin_tasks(dispatch_);
}

Result<std::unique_ptr<Workshop>> Workshop::open(const WorkConfig& config, const std::string& data_dir, net::LoopGroup& loops, store::Database& database) {
  auto shop = std::unique_ptr<Workshop>(new Workshop(config, loops, database));
  const auto key = work::load_link_key(data_dir + "/approval.key");
  if (!key) return fail(key.error());
  shop->links_.emplace(*key);
  if (auto started = shop->engine_.start(shop->dispatch_); !started) return fail(std::move(started.error()));
  return shop;
}

void Workshop::start() {
  started_ = true;
  loops_.at(0).post([this] { engine_.open(); });
}

void Workshop::drain(Duration patience) {
  if (!std::exchange(started_, false) || !loops_.running()) return;
  std::binary_semaphore done{0};
  loops_.at(0).post([&] { detach(drain_and_tell(engine_, patience, done), [](std::exception_ptr) { std::terminate(); }); });
  done.acquire();
}

// The engine is asked on its loop, and by nobody who waits: a run that is not woken is found again by the next sweep.
void Workshop::wake(work::JobId job) {
  loops_.at(0).post([this, job] {
    detach([](work::Engine& engine, work::JobId id) -> Task<void> {
      const auto woken = co_await engine.wake(id);
      if (!woken) log::warn("run_not_woken", {{"job", to_string(id)}, {"why", woken.error().message}});
    }(engine_, job), [](std::exception_ptr) { std::terminate(); });
  });
}

void Workshop::sweep_approvals(WallTime now) {
  struct Due {
    std::vector<work::Approval> expired, escalated;
    std::vector<work::JobId> untold;
  };
  const bool orphans = sweeps_++ % kOrphanSweeps == 0;
  const auto due = database_.write_now([&](store::Tx& tx) -> Result<Due> {
    auto expired = work::expire_due(tx, now, kSweptApprovals);
    if (!expired) return fail(std::move(expired.error()));
    auto escalated = work::escalate_due(tx, now, kSweptApprovals);
    if (!escalated) return fail(std::move(escalated.error()));
    if (orphans)
      if (auto withdrawn = work::withdraw_orphans(tx, now, kSweptApprovals); !withdrawn) return fail(std::move(withdrawn.error()));
    auto untold = work::undelivered(tx, now - kToldWithin, kSweptApprovals);
    if (!untold) return fail(std::move(untold.error()));
    return Due{std::move(*expired), std::move(*escalated), std::move(*untold)};
  }, {.priority = store::Priority::low});
  if (!due) return log::warn("approvals_not_swept", {{"why", due.error().message}});
  for (const auto& a : due->escalated) log::info("approval_escalated", {{"id", to_string(a.id)}, {"to", a.ask.escalate ? a.ask.escalate->to : std::string()}});
  for (const auto& a : due->expired) {
    log::info("approval_expired", {{"id", to_string(a.id)}});
    wake(a.id.job);
  }
  for (const auto job : due->untold) wake(job);
}

void Workshop::sweep(WallTime now) {
  sweep_approvals(now);
  const auto keys = database_.write_now([&](store::Tx& tx) { return work::sweep_keys(tx, now, kSweptRows); }, {.priority = store::Priority::low});
  if (!keys) log::warn("job_keys_not_swept", {{"why", keys.error().message}});
  const auto jobs = database_.write_now([&](store::Tx& tx) { return work::sweep_jobs(tx, swept_to_, now, config_.retention, kSweptRows); }, {.priority = store::Priority::low});
  if (!jobs) return log::warn("jobs_not_swept", {{"why", jobs.error().message}});
  swept_to_ = jobs->next;
}

Workshop::~Workshop() { drain(Duration::zero()); }

}  // namespace ballast::app
