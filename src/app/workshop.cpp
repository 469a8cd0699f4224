#include "app/workshop.hpp"

#include <cassert>
#include <semaphore>

#include "base/log.hpp"
#include "base/random.hpp"
#include "server/job_json.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kSweptRows = 5'000;

work::EngineOptions engine_options(const WorkConfig& config) {
  return {.local_leases = config.concurrency, .max_live = config.max_jobs, .retention = config.retention};
}

std::shared_ptr<const net::EgressPolicy> policy_of(const WebhookConfig& config) {
  auto policy = net::EgressPolicy::parse(config.allow, "webhooks.allow");
  assert(policy);                            // the configuration was checked
  return std::make_shared<const net::EgressPolicy>(std::move(*policy));
}

json::object shown(const work::Job& job, bool whole) { return server::job_json(job, false, whole ? server::Detail::whole : server::Detail::brief); }

Task<void> drain_and_tell(auto& part, Duration patience, std::binary_semaphore& done) {
  co_await part.drain(patience);
  done.release();
}

void drain_on(net::Loop& loop, auto& part, Duration patience) {
  std::binary_semaphore done{0};
  loop.post([&] { detach(drain_and_tell(part, patience, done), [](std::exception_ptr) { std::terminate(); }); });
  done.acquire();
}

}  // namespace

Workshop::Workshop(const Config& config, net::LoopGroup& loops, store::Database& database)
    : config_(config.work), loops_(loops), database_(database), policy_(policy_of(config.webhooks)),
      guarded_(loops, net::ClientOptions{.tls = {.ca_file = config.ca_file}, .egress = policy_}),
      webhooks_(loops.at(loops.size() - 1), guarded_, database, policy_, shown, {.seed = os_seed(), .deliverer = {}}), dispatch_(loops.at(0), {.timeout = config_.timeout}),
      engine_(loops.at(0), database, engine_options(config_), os_seed()), door_(engine_, webhooks_) {
  reload(config);
  engine_.on_ended([this](const work::Job& job) {
    if (webhooks_.wants(job.spec)) webhooks_.poke();
  });
  dispatch_.use(engine_);
  work::add_builtin_tasks(dispatch_);
}

Result<std::unique_ptr<Workshop>> Workshop::open(const Config& config, net::LoopGroup& loops, store::Database& database) {
  auto shop = std::unique_ptr<Workshop>(new Workshop(config, loops, database));
  if (auto started = shop->engine_.start(shop->dispatch_, &shop->webhooks_); !started) return fail(std::move(started.error()));
  if (auto started = shop->webhooks_.start(); !started) return fail(std::move(started.error()));
  return shop;
}

void Workshop::start() {
  started_ = true;
  loops_.at(0).post([this] { engine_.open(); });
  webhooks_.poke();
}

void Workshop::drain(Duration patience) {
  if (!std::exchange(started_, false) || !loops_.running()) return;
  const MonoTime end = engine_.home().clock().mono() + patience;
  drain_on(loops_.at(0), engine_, patience);
  // What just ended is told too, if there is time.
  drain_on(loops_.at(loops_.size() - 1), webhooks_, std::max(end - engine_.home().clock().mono(), Duration::zero()));
}

void Workshop::reload(const Config& config) { webhooks_.use(secret_book(config.webhooks)); }

void Workshop::sweep(WallTime now) {
  const auto keys = database_.write_now([&](store::Tx& tx) { return work::sweep_keys(tx, now, kSweptRows); }, {.priority = store::Priority::low});
  if (!keys) log::warn("job_keys_not_swept", {{"why", keys.error().message}});
  const auto jobs = database_.write_now([&](store::Tx& tx) { return work::sweep_jobs(tx, swept_to_, now, config_.retention, kSweptRows); }, {.priority = store::Priority::low});
  if (!jobs) return log::warn("jobs_not_swept", {{"why", jobs.error().message}});
  swept_to_ = jobs->next;
  const auto told = database_.write_now([&](store::Tx& tx) { return work::sweep_outbox(tx, now - config_.retention, kSweptRows); }, {.priority = store::Priority::low});
  if (!told) log::warn("webhooks_not_swept", {{"why", told.error().message}});
}

Workshop::~Workshop() { drain(Duration::zero()); }

}  // namespace ballast::app
