#include "app/workshop.hpp"

#include <cassert>
#include <semaphore>

#include "base/log.hpp"
#include "base/random.hpp"
#include "server/job_json.hpp"
#include "work/approval_rows.hpp"
#include "work/model_call_job.hpp"
#include "work/signal_rows.hpp"
#include "work/stage_classify.hpp"
#include "work/stage_http.hpp"
#include "work/stage_model.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kSweptRows = 5'000, kSweptApprovals = 1'000;
constexpr std::size_t kSweptFiles = 4;
constexpr Duration kUnfinished = std::chrono::hours(24);  // an upload that has taken so long is none
constexpr std::uint64_t kOrphanSweeps = 12;              // looks at all that is pending: once in so many sweeps
constexpr Duration kToldWithin = std::chrono::seconds(5);

work::EngineOptions engine_options(const WorkConfig& config) {
  return {.local_leases = config.concurrency, .max_live = config.max_jobs, .retention = config.retention};
}

// Half of what this process may hold waits for one model at most, and a sixteenth of one tenant's.
work::Pace::Options pace_options(const WorkConfig& config) {
  const auto leases = static_cast<std::uint32_t>(config.concurrency);
  return {.waiting = std::max(1u, leases / 2), .waiting_of_tenant = std::max(1u, leases / 16)};
}

std::shared_ptr<const net::EgressPolicy> policy_of(const WebhookConfig& config) {
  auto policy = net::EgressPolicy::parse(config.allow, "webhooks.allow");
  assert(policy);                            // the configuration was checked
  return std::make_shared<const net::EgressPolicy>(std::move(*policy));
}

json::object shown(const work::Job& job, bool whole) { return server::job_json(job, false, whole ? server::Detail::whole : server::Detail::brief); }

void run_on(net::Loop& loop, auto make) {
  std::binary_semaphore done{0};
  loop.post([&] {
    detach([](auto& what, std::binary_semaphore& end) -> Task<void> {
      co_await what();
      end.release();
    }(make, done), [](std::exception_ptr) { std::terminate(); });
  });
  done.acquire();
}

}  // namespace

Workshop::Workshop(const Config& config, Ground ground, work::ApprovalLinks links)
    : config_(config.work), ground_(ground), policy_(policy_of(config.webhooks)),
      guarded_(ground.loops, net::ClientOptions{.tls = {.ca_file = config.ca_file}, .egress = policy_}),
      webhooks_(ground.loops.at(ground.loops.size() - 1), guarded_, ground.database, policy_, shown, {.seed = os_seed(), .deliverer = {}}), meter_(ground.metrics),
      dispatch_(ground.loops.at(0), {.timeout = config_.timeout}), engine_(ground.loops.at(0), ground.database, engine_options(config_), os_seed()),
      pace_(ground.loops.at(0), pace_options(config_)), caller_(ground.gateway, ground.loops.at(0), pace_), flows_(system_environment()),
      datasets_(ground_.loops.at(0), ground_.gateway.world().clock, ground_.gateway.world().keys), runner_(engine_, flows_),
      schedules_(engine_, flows_), batches_(engine_, config.batches.options),
      provider_batches_(ground.gateway, engine_, caller_, config.batches.provider), links_(std::move(links)),
      door_(engine_, flows_, webhooks_, schedules_, batches_, config.batches.file_bytes) {
  dispatch_.use(engine_);
  engine_.use(&meter_);
  work::add_builtin_tasks(dispatch_);
  pace_.on_held([this](const std::string& model, const std::string& tenant, std::uint32_t most) { engine_.set_pace(model, tenant, most); });
  dispatch_.set_kind(work::JobKind::call, work::call_handler(caller_, engine_, config_.timeout, config.batches.off_peak, &provider_batches_));
  dispatch_.set_kind(work::JobKind::flow, [this](work::Lease lease, CancelToken cancel) { return runner_.run(std::move(lease), cancel); },
                     [this](const work::Lease& lease) { return runner_.at_once(lease); });
  runner_.set_performer(work::StageKind::model, work::model_performer(caller_));
  runner_.set_performer(work::StageKind::http, work::http_performer(ground_.loops.at(0), guarded_));
  runner_.set_performer(work::StageKind::settle, work::settle_performer(ground_.loops.at(0), guarded_));
  runner_.set_performer(work::StageKind::query, work::query_performer(caller_, datasets_, ground_.gateway.world().clock));
  runner_.set_performer(work::StageKind::classify, work::classify_performer([this](std::string_view name) -> std::shared_ptr<const classify::Model> {
    const auto setup = ground_.gateway.setup();
    const auto found = setup->classifiers.find(name);
    return found == setup->classifiers.end() ? nullptr : found->second;
  }));
  runner_.set_undoer(work::http_undoer(ground_.loops.at(0), guarded_));
  runner_.set_recovery(work::effects_recovery());
  engine_.on_ended([this](const work::Job& job) {
    if (webhooks_.wants(job.spec)) webhooks_.poke();
    if (job.spec.origin == work::Origin::child && job.spec.parent) wakes_.spawn(wake_on_loop(job.spec.parent));
    if (job.spec.kind == work::JobKind::flow && job.state != work::JobState::done && job.spec.origin != work::Origin::rollback)
      wakes_.spawn(runner_.called_off(job.id, fmt::format("the run is {}", to_string(job.state))));
  });
}

Result<std::unique_ptr<Workshop>> Workshop::open(const Config& config, Ground ground) {
  auto key = work::load_link_key(config.data_dir + "/approval.key");
  if (!key) return fail(std::move(key.error()));
  auto shop = std::unique_ptr<Workshop>(new Workshop(config, ground, work::ApprovalLinks(*key)));
  if (auto loaded = shop->reload(config, SystemClock().wall()); !loaded) return fail(std::move(loaded.error()));
  if (auto started = shop->engine_.start(shop->dispatch_, &shop->ends_); !started) return fail(std::move(started.error()));
  if (auto started = shop->batches_.start(); !started) return fail(std::move(started.error()));
  if (auto started = shop->webhooks_.start(); !started) return fail(std::move(started.error()));
  if (auto started = shop->schedules_.start(); !started) return fail(std::move(started.error()));
  return shop;
}

Result<void> Workshop::reload(const Config& config, WallTime now) {
  auto datasets = query::load_datasets(config.datasets, system_environment());
  if (!datasets) return fail(std::move(datasets.error()));
  work::FlowFindings found;
  work::FlowWorld world;
  world.dataset_exists = [&](std::string_view name) { return datasets->contains(name); };
  world.classifier_exists = [&](std::string_view name) { return config.classifiers.contains(std::string(name)); };
  auto flows = work::load_flows(config.flows, system_environment(), found, world);
  if (!flows) return fail(std::move(flows.error()));
  for (const auto& w : found.warnings) log::warn("flow_warning", {{"what", to_string(w)}});
  if (auto put = flows_.put(ground_.database, std::move(*flows), now); !put) return put;
  datasets_.use(std::move(*datasets));
  webhooks_.use(secret_book(config.webhooks));
  return {};
}

void Workshop::start() {
  started_ = true;
  ground_.loops.at(0).post([this] {
    engine_.open();
    schedules_.open();
    batches_.open();
    provider_batches_.open();
  });
  webhooks_.poke();
}

void Workshop::drain(Duration patience) {
  if (!std::exchange(started_, false) || !ground_.loops.running()) return;
  const MonoTime end = engine_.home().clock().mono() + patience;
  run_on(ground_.loops.at(0), [&]() -> Task<void> {
    co_await schedules_.drain();
    co_await batches_.stop();
    co_await provider_batches_.stop();
    co_await engine_.drain(patience);
    co_await wakes_.join();
  });
  run_on(ground_.loops.at(ground_.loops.size() - 1), [&] { return webhooks_.drain(std::max(end - engine_.home().clock().mono(), Duration::zero())); });
}

Task<void> Workshop::wake_on_loop(work::JobId job) {
  const auto woken = co_await engine_.wake_surely(job);
  if (!woken) log::warn("run_not_woken", {{"run", to_string(job)}, {"why", woken.error().message}});
}

// From any thread.
void Workshop::wake(work::JobId job) {
  ground_.loops.at(0).post([this, job] { wakes_.spawn(wake_on_loop(job)); });
}

void Workshop::sweep_approvals(WallTime now) {
  struct Due {
    std::vector<work::Approval> expired, escalated;
    std::vector<work::JobId> untold;
  };
  const bool orphans = sweeps_++ % kOrphanSweeps == 0;
  const auto due = ground_.database.write_now([&](store::Tx& tx) -> Result<Due> {
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

void Workshop::sweep_batches(WallTime now) {
  const auto swept = ground_.database.write_now([&](store::Tx& tx) -> Result<std::uint64_t> {
    auto files = work::sweep_files(tx, now, now - kUnfinished, kSweptFiles);
    if (!files || batches_.options().retention <= Duration::zero()) return files;
    return work::sweep_batches(tx, now - batches_.options().retention, kSweptRows);
  }, {.priority = store::Priority::low});
  if (!swept) log::warn("batches_not_swept", {{"why", swept.error().message}});
}

void Workshop::sweep(WallTime now) {
  sweep_batches(now);
  sweep_approvals(now);
  const auto write = [&](auto work) { return ground_.database.write_now(work, {.priority = store::Priority::low}); };
  const auto keys = write([&](store::Tx& tx) { return work::sweep_keys(tx, now, kSweptRows); });
  if (!keys) log::warn("job_keys_not_swept", {{"why", keys.error().message}});
  const auto signals = write([&](store::Tx& tx) { return work::sweep_signals(tx, now, kSweptRows); });
  if (!signals) log::warn("events_not_swept", {{"why", signals.error().message}});
  const auto told = write([&](store::Tx& tx) { return work::sweep_outbox(tx, now - config_.retention, kSweptRows); });
  if (!told) log::warn("webhooks_not_swept", {{"why", told.error().message}});
  const auto jobs = write([&](store::Tx& tx) { return work::sweep_jobs(tx, swept_to_, now, config_.retention, kSweptRows); });
  if (!jobs) return log::warn("jobs_not_swept", {{"why", jobs.error().message}});
  swept_to_ = jobs->next;
}

Workshop::~Workshop() { drain(Duration::zero()); }

}  // namespace ballast::app
