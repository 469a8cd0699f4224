#include "app/workshop.hpp"

#include <semaphore>

#include "base/log.hpp"
#include "base/random.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kSweptRows = 5'000;

work::EngineOptions engine_options(const WorkConfig& config) {
  return {.local_leases = config.concurrency, .max_live = config.max_jobs, .retention = config.retention};
}

Task<void> drain_and_tell(work::Engine& engine, TaskGroup& wakes, Duration patience, std::binary_semaphore& done) {
  co_await engine.drain(patience);
  co_await wakes.join();
  done.release();
}

}  // namespace

Workshop::Workshop(const Config& config, net::LoopGroup& loops, store::Database& database, metrics::Registry& registry)
    : config_(config.work), loops_(loops), database_(database), meter_(registry), dispatch_(loops.at(0), {.timeout = config_.timeout}),
      engine_(loops.at(0), database, engine_options(config_), os_seed()), flows_(system_environment()), runner_(engine_, flows_), door_(engine_, flows_) {
  dispatch_.use(engine_);
  engine_.use(&meter_);
  work::add_builtin_tasks(dispatch_);
  dispatch_.set_kind(work::JobKind::flow, [this](work::Lease lease, CancelToken cancel) { return runner_.run(std::move(lease), cancel); });
  engine_.on_ended([this](const work::Job& job) {
    if (job.spec.origin == work::Origin::child && job.spec.parent) wakes_.spawn(wake(job.spec.parent));
  });
}

Task<void> Workshop::wake(work::JobId parent) {
  const auto woken = co_await engine_.wake(parent);
  if (!woken) log::warn("run_not_woken", {{"run", to_string(parent)}, {"why", woken.error().message}});
}

Result<void> Workshop::load_flows(const std::string& folder, WallTime now) {
  std::vector<ConfigMistake> mistakes, warnings;
  auto flows = work::load_flows(folder, system_environment(), mistakes, warnings);
  if (!flows) return fail(std::move(flows.error()));
  for (const auto& w : warnings) log::warn("flow_warning", {{"what", to_string(w)}});
  return flows_.put(database_, std::move(*flows), now);
}

Result<std::unique_ptr<Workshop>> Workshop::open(const Config& config, net::LoopGroup& loops, store::Database& database,
                                                 metrics::Registry& registry) {
  auto shop = std::unique_ptr<Workshop>(new Workshop(config, loops, database, registry));
  if (auto loaded = shop->load_flows(config.flows, SystemClock().wall()); !loaded) return fail(std::move(loaded.error()));
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
  loops_.at(0).post([&] { detach(drain_and_tell(engine_, wakes_, patience, done), [](std::exception_ptr) { std::terminate(); }); });
  done.acquire();
}

void Workshop::sweep(WallTime now) {
  const auto keys = database_.write_now([&](store::Tx& tx) { return work::sweep_keys(tx, now, kSweptRows); }, {.priority = store::Priority::low});
  if (!keys) log::warn("job_keys_not_swept", {{"why", keys.error().message}});
  const auto jobs = database_.write_now([&](store::Tx& tx) { return work::sweep_jobs(tx, swept_to_, now, config_.retention, kSweptRows); }, {.priority = store::Priority::low});
  if (!jobs) return log::warn("jobs_not_swept", {{"why", jobs.error().message}});
  swept_to_ = jobs->next;
}

Workshop::~Workshop() { drain(Duration::zero()); }

}  // namespace ballast::app
