#include "app/workshop.hpp"

#include <semaphore>

#include "base/log.hpp"
#include "base/random.hpp"
#include "work/model_call_job.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kSweptRows = 5'000;

work::EngineOptions engine_options(const WorkConfig& config) {
  return {.local_leases = config.concurrency, .max_live = config.max_jobs, .retention = config.retention};
}

// Half of what this process may hold waits for one model at most, and a sixteenth of one tenant's.
work::Pace::Options pace_options(const WorkConfig& config) {
  const auto leases = static_cast<std::uint32_t>(config.concurrency);
  return {.waiting = std::max(1u, leases / 2), .waiting_of_tenant = std::max(1u, leases / 16)};
}

Task<void> drain_and_tell(work::Engine& engine, Duration patience, std::binary_semaphore& done) {
  co_await engine.drain(patience);
  done.release();
}

}  // namespace

Workshop::Workshop(const WorkConfig& config, net::LoopGroup& loops, store::Database& database, gateway::Gateway& gateway)
    : config_(config), loops_(loops), database_(database), dispatch_(loops.at(0), {.timeout = config.timeout}),
      engine_(loops.at(0), database, engine_options(config), os_seed()), pace_(loops.at(0), pace_options(config)),
      caller_(gateway, loops.at(0), pace_), door_(engine_) {
  dispatch_.use(engine_);
  work::add_builtin_tasks(dispatch_);
  pace_.on_held([this](const std::string& model, const std::string& tenant, std::uint32_t most) { engine_.set_pace(model, tenant, most); });
  dispatch_.set_kind(work::JobKind::call, work::call_handler(caller_, engine_, config.timeout));
}

Result<std::unique_ptr<Workshop>> Workshop::open(const WorkConfig& config, net::LoopGroup& loops, store::Database& database,
                                                 gateway::Gateway& gateway) {
  auto shop = std::unique_ptr<Workshop>(new Workshop(config, loops, database, gateway));
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

void Workshop::sweep(WallTime now) {
  const auto keys = database_.write_now([&](store::Tx& tx) { return work::sweep_keys(tx, now, kSweptRows); }, {.priority = store::Priority::low});
  if (!keys) log::warn("job_keys_not_swept", {{"why", keys.error().message}});
  const auto jobs = database_.write_now([&](store::Tx& tx) { return work::sweep_jobs(tx, swept_to_, now, config_.retention, kSweptRows); }, {.priority = store::Priority::low});
  if (!jobs) return log::warn("jobs_not_swept", {{"why", jobs.error().message}});
  swept_to_ = jobs->next;
}

Workshop::~Workshop() { drain(Duration::zero()); }

}  // namespace ballast::app
