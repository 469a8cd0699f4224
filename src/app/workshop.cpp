#include "app/workshop.hpp"

#include <algorithm>
#include <cassert>
#include <semaphore>

#include "base/log.hpp"
#include "base/random.hpp"
#include "cluster/members.hpp"
#include "records/idempotency.hpp"
#include "server/job_json.hpp"
#include "work/approval_rows.hpp"
#include "work/homes.hpp"
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
constexpr Duration kAsksKept = std::chrono::minutes(1);  // much longer than anybody waits for an answer
constexpr Duration kToldWithin = std::chrono::seconds(5);
constexpr Duration kLostShown = std::chrono::hours(24 * 7);
constexpr std::uint64_t kLostSweeps = 12;                // looks at what failovers have lost: once in so many sweeps
constexpr std::size_t kLostLogged = 100;                 // ids of each kind in a log line
constexpr Duration kLostTold = std::chrono::seconds(20); // how long the database is tried to be told, before the process starts anew without
constexpr Duration kShareEvery = std::chrono::milliseconds(250);         // looks at who is hungry, and at what was given while this node is
constexpr Duration kLeaveEvery = std::chrono::milliseconds(50);          // between two looks at what is ready, while this node drains
constexpr unsigned kReceiveAtLeast = 4;                                   // looks between two at what was given unasked: jobs of a concurrency key

// With one node its number is 0, and all jobs are its own.
work::EngineOptions engine_options(const WorkConfig& config, const Node& node) {
  const cluster::Membership& member = node.membership();
  return {.node = member.slot(), .boot = member.alone() ? std::string() : member.boot(), .shared = !member.alone(), .local_leases = config.concurrency, .max_live = config.max_jobs,
          .retention = config.retention};
}

// Half of what this process may hold waits for one model at most, and a sixteenth of one tenant's.
work::Pace::Options pace_options(const WorkConfig& config) {
  const auto leases = static_cast<std::uint32_t>(config.concurrency);
  return {.waiting = std::max(1u, leases / 2), .waiting_of_tenant = std::max(1u, leases / 16)};
}

work::DoorOptions door_options(const Workshop::Ground& ground, work::FlowBook& flows) {
  const cluster::Membership& member = ground.node.membership();
  if (member.alone()) return {.flows = &flows};
  const auto company = [&member] {
    const auto picture = member.picture();
    return !picture || std::ranges::count_if(picture->members, &cluster::Picture::Seen::lives) > 1;
  };
  return {.shared = true, .company = company, .notifier = ground.notifier, .flows = &flows};
}

std::shared_ptr<const net::EgressPolicy> policy_of(const WebhookConfig& config) {
  auto policy = net::EgressPolicy::parse(config.allow, "webhooks.allow");
  assert(policy);                            // the configuration was checked
  return std::make_shared<const net::EgressPolicy>(std::move(*policy));
}

json::object shown(const work::Job& job, bool whole) { return server::job_json(job, false, whole ? server::Detail::whole : server::Detail::brief); }

// What an engine says to the others, in its node's beats; null where it says nothing yet.
json::value said_by(const cluster::Member& member) {
  const auto load = parse_json(member.load, {.max_bytes = 1u << 20, .max_depth = 16});
  const auto* said = load && load->is_object() ? load->get_object().if_contains("work") : nullptr;
  return said ? *said : json::value(nullptr);
}

// Also those that are silent: until they are said to be gone, what they had is on no other board.
work::QueuesElsewhere queues_elsewhere(const cluster::Membership& me, MonoTime now) {
  work::QueuesElsewhere out;
  const auto picture = me.picture();
  if (!picture) return out;
  for (const auto& seen : picture->members) {
    if (seen.member.state == cluster::MemberState::gone || seen.member.boot == me.boot()) continue;
    const json::value said = said_by(seen.member);
    const auto* queues = said.is_object() ? said.get_object().if_contains("queues") : nullptr;
    if (queues) out.hear(*queues, std::max<Duration>(picture->at - seen.member.beat, Duration::zero()) + std::max(now - picture->read, Duration::zero()));
  }
  return out;
}

// Who may be given jobs: those that live, serve and say what they could start.
std::vector<work::Neighbour> neighbours_of(const cluster::Membership& me) {
  std::vector<work::Neighbour> out;
  const auto picture = me.picture();
  if (!picture) return out;
  for (const auto& seen : picture->members) {
    if (!seen.lives || seen.member.state != cluster::MemberState::serving || seen.member.boot == me.boot()) continue;
    if (auto neighbour = work::neighbour_from(said_by(seen.member), seen.member.beats)) out.push_back(std::move(*neighbour));
  }
  return out;
}

// Who drains, has nothing under way any more, and still ends what it streams.
std::vector<cluster::Member> leavers_of(const cluster::Membership& me) {
  std::vector<cluster::Member> out;
  const auto picture = me.picture();
  if (!picture) return out;
  for (const auto& seen : picture->members)
    if (seen.member.state == cluster::MemberState::draining && seen.member.boot != me.boot() && work::has_left(said_by(seen.member))) out.push_back(seen.member);
  return out;
}

// Boots that own jobs and are no member that lives. Read before the members are: who begins in between is one of them.
Result<std::vector<work::NodeBoot>> orphans(store::Tx& tx) {
  auto boots = work::load_boots(tx);
  if (!boots) return boots;
  const auto members = cluster::load_members(tx);
  if (!members) return fail(members.error());
  std::erase_if(*boots, [&](const work::NodeBoot& b) {
    return b.boot.empty() || std::ranges::any_of(*members, [&](const cluster::Member& m) { return m.boot == b.boot && m.state != cluster::MemberState::gone; });
  });
  return boots;
}

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
      webhooks_(ground.loops.at(ground.loops.size() - 1), guarded_, ground.database, policy_, shown, {.node = ground.node.membership().slot(), .seed = os_seed(), .deliverer = {}}), meter_(ground.metrics),
      dispatch_(ground.loops.at(0), {.timeout = config_.timeout}), engine_(ground.loops.at(0), ground.database, engine_options(config_, ground.node), os_seed()),
      pace_(ground.loops.at(0), pace_options(config_)), caller_(ground.gateway, ground.loops.at(0), pace_), flows_(system_environment()),
      jobs_(engine_, door_options(ground, flows_)), ends_elsewhere_(engine_, &ends_),
      datasets_(ground_.loops.at(0), ground_.gateway.world().clock, ground_.gateway.world().keys), runner_(jobs_, flows_),
      schedules_(engine_, flows_), batches_(jobs_, config.batches.options),
      provider_batches_(ground.gateway, jobs_, caller_, config.batches.provider), links_(std::move(links)),
      door_(jobs_, flows_, webhooks_, schedules_, batches_, config.batches.file_bytes) {
  if (const auto& member = ground_.node.membership(); !member.alone())
    door_.hear([&member, &clock = ground_.gateway.world().clock] { return queues_elsewhere(member, clock.mono()); });
  dispatch_.use(engine_);
  schedules_.use(on_duty(duty::schedules));
  batches_.use(on_duty(duty::batches));
  provider_batches_.use(on_duty(duty::provider_batches));
  engine_.use(&meter_);
  engine_.on_went_back([this](work::LostCommits lost) { wakes_.spawn(tell_lost(std::move(lost))); });
  ground_.metrics.gauge_from("ballast_lost_commits", "Jobs accepted, ended or taken further, and effects begun, that the database has lost in failovers of the last seven days, of all nodes",
                             [lost = lost_] { return static_cast<double>(lost->load()); });
  if (const auto& world = ground_.gateway.world(); world.spans) {
    tracer_.emplace(*world.spans, work::JobTracer::Options{.sample = world.trace_sample, .newer_names = gateway::says_newer(world.genai_names), .seed = os_seed()});
    engine_.use(&*tracer_);
    runner_.use(&*tracer_);
  }
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
    if (job.spec.origin == work::Origin::child && job.spec.parent) wakes_.spawn(tell_run(job.spec.parent));
    if (job.spec.kind == work::JobKind::flow && job.state != work::JobState::done && job.spec.origin != work::Origin::rollback)
      wakes_.spawn(runner_.called_off(job.id, fmt::format("the run is {}", to_string(job.state))));
  });
}

// In the log before anything else: the process may be killed before the database has heard of it.
Task<void> Workshop::tell_lost(work::LostCommits lost) {
  net::Loop& home = ground_.loops.at(0);
  const cluster::Membership& member = ground_.node.membership();
  if (work::is_harmless(lost)) {
    log::warn("database_went_back", {{"kept", lost.kept}, {"last", lost.last}, {"what", "a standby took over that had not heard of all; nothing that anybody was told of is gone"}});
  } else {
    log::error("lost_commits", {{"what", to_json(work::lost_json(lost, kLostLogged))}, {"advice", "docs/operations.md: When acknowledged commits are lost"}});
    const work::LostBy by{.node = member.slot(), .epoch = engine_.epoch(), .leasing = engine_.leasing(), .name = member.name()};
    for (const MonoTime until = home.clock().mono() + kLostTold;;) {
      const auto noted = co_await ground_.database.write(home, [&](store::Tx& tx) { return work::note_lost(tx, by, lost, home.clock().wall()); });
      if (noted) break;
      log::warn("lost_commits_not_noted", {{"why", noted.error().message}});
      if (home.clock().mono() >= until || engine_.draining()) break;
      co_await SleepUntil(home, home.clock().mono() + work::kAskAgain);
    }
  }
  if (ground_.went_back) ground_.went_back();
}

// Of all nodes, whichever of them is asked.
void Workshop::look_for_lost(WallTime now) {
  const auto figures = ground_.database.read_now([&](store::Tx& tx) { return work::lost_since(tx, now - kLostShown); });
  if (figures) lost_->store(figures->acknowledged);
}

// Empty where there is one node.
work::OnDuty Workshop::on_duty(const char* name) const {
  const Node& node = ground_.node;
  if (node.membership().alone()) return {};
  return {.held = [&node, name] { return node.holds(name); }, .check = [&node, name](store::Tx& tx) { return node.duties().check(tx, name); }};
}

Result<std::unique_ptr<Workshop>> Workshop::open(const Config& config, Ground ground) {
  auto key = work::load_link_key(config.data_dir + "/approval.key");
  if (!key) return fail(std::move(key.error()));
  auto shop = std::unique_ptr<Workshop>(new Workshop(config, ground, work::ApprovalLinks(*key)));
  if (auto loaded = shop->reload(config, SystemClock().wall()); !loaded) return fail(std::move(loaded.error()));
  const work::EndWriter* ends = shop->jobs_.shared() ? static_cast<const work::EndWriter*>(&shop->ends_elsewhere_) : &shop->ends_;
  if (auto started = shop->engine_.start(shop->dispatch_, ends); !started) return fail(std::move(started.error()));
  if (auto started = shop->batches_.start(); !started) return fail(std::move(started.error()));
  if (auto started = shop->webhooks_.start(); !started) return fail(std::move(started.error()));
  if (auto started = shop->schedules_.start(); !started) return fail(std::move(started.error()));
  if (shop->jobs_.shared()) shop->look_for_lost(SystemClock().wall());
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
    jobs_.open();
    schedules_.open();
    batches_.open();
    provider_batches_.open();
    if (jobs_.shared()) wakes_.spawn(share_work());
  });
  webhooks_.poke();
}

void Workshop::rest() {
  if (!started_ || std::exchange(rests_, true) || !ground_.loops.running()) return;
  run_on(ground_.loops.at(0), [&]() -> Task<void> {
    co_await schedules_.drain();
    co_await batches_.stop();
    co_await provider_batches_.stop();
  });
}

void Workshop::drain(Duration patience) {
  rest();
  if (!std::exchange(started_, false) || !ground_.loops.running()) return;
  const MonoTime end = engine_.home().clock().mono() + patience;
  run_on(ground_.loops.at(0), [&]() -> Task<void> {
    co_await engine_.drain(patience);
    ground_.node.leave_jobs(engine_.epoch());
    co_await jobs_.stop();
    co_await wakes_.join();
  });
  run_on(ground_.loops.at(ground_.loops.size() - 1), [&] { return webhooks_.drain(std::max(end - engine_.home().clock().mono(), Duration::zero())); });
}

// Jobs go to where somebody waits for them, and come from where nobody can start them. Who drains gives all that is ready.
Task<void> Workshop::share_work() {
  net::Loop& home = ground_.loops.at(0);
  for (unsigned look = 0; !engine_.drained(); ++look) {
    const bool hungry = engine_.hunger() != work::Hunger{};
    if (!engine_.draining() && (hungry || look % kReceiveAtLeast == 0))
      if (const auto came = co_await engine_.receive(); !came && !engine_.draining()) log::warn("work_not_received", {{"why", came.error().message}});
    (void)co_await engine_.feed_hungry(neighbours_of(ground_.node.membership()));
    if (!engine_.draining()) co_await take_left();
    co_await SleepUntil(home, home.clock().mono() + (engine_.draining() ? kLeaveEvery : kShareEvery));
  }
}

// Whoever sees it first has all of it; the others find nothing.
Task<void> Workshop::take_left() {
  const auto leavers = leavers_of(ground_.node.membership());
  std::erase_if(left_, [&](const std::string& boot) { return std::ranges::find(leavers, boot, &cluster::Member::boot) == leavers.end(); });
  for (const cluster::Member& m : leavers) {
    if (left_.contains(m.boot)) continue;
    const auto jobs = co_await engine_.adopt(m.slot, m.boot);
    if (jobs) left_.insert(m.boot);
    else if (!engine_.draining()) log::warn("node_not_inherited", {{"slot", m.slot}, {"boot", m.boot}, {"why", jobs.error().message}});
    if (jobs && *jobs > 0) log::info("node_inherited", {{"slot", m.slot}, {"boot", m.boot}, {"jobs", *jobs}});
  }
}

Task<void> Workshop::tell_run(work::JobId run) {
  const auto told = co_await jobs_.child_ended(run);
  if (!told) log::warn("run_not_woken", {{"run", to_string(run)}, {"why", told.error().message}});
}

Task<void> Workshop::wake_on_loop(work::JobId job) {
  const auto woken = co_await jobs_.wake_surely({job});
  if (!woken) log::warn("run_not_woken", {{"run", to_string(job)}, {"why", woken.error().message}});
}

// From any thread.
void Workshop::wake(work::JobId job) {
  ground_.loops.at(0).post([this, job] { wakes_.spawn(wake_on_loop(job)); });
}

void Workshop::inherit(const cluster::Member& gone, cluster::Heirs::Told told) {
  ground_.loops.at(0).post([this, slot = gone.slot, boot = gone.boot, told = std::move(told)]() mutable {
    if (!engine_.draining()) wakes_.spawn(inherit_on_loop(slot, std::move(boot), std::move(told)));
  });
}

// The one place where what a dead node has left is taken over, jobs, calls' keys and webhooks; it may be asked for twice, and by every node. With it whatever else is left of boots that are no
// more: a process that joined and died before its engine began leaves jobs under a boot that no member has.
Task<void> Workshop::inherit_on_loop(unsigned slot, std::string boot, cluster::Heirs::Told told) {
  net::Loop& home = ground_.loops.at(0);
  std::optional<Error> wrong;
  const auto disowned = co_await ground_.database.write(home, [&](store::Tx& tx) { return records::disown_idempotent_of(tx, boot); });   // before a job asks by its key
  if (!disowned) wrong = disowned.error();
  const auto left = co_await ground_.database.read(home, orphans);
  if (!left) wrong = left.error();
  for (const work::NodeBoot& dead : left ? *left : std::vector<work::NodeBoot>{}) {
    const auto jobs = co_await engine_.adopt(dead.node, dead.boot);
    if (!jobs) wrong = jobs.error();
    if (jobs && *jobs > 0) log::info("node_inherited", {{"slot", dead.node}, {"boot", dead.boot}, {"jobs", *jobs}});
  }
  const auto released = co_await ground_.database.write(home, [&](store::Tx& tx) { return work::release_outbox(tx, slot, home.clock().wall()); });
  if (!released) wrong = released.error();
  if (wrong) log::warn("node_not_inherited", {{"slot", slot}, {"boot", boot}, {"why", wrong->message}});
  if (released && *released > 0) webhooks_.poke();
  told(!wrong);
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
  sweep_approvals(now);
  if (jobs_.shared() && sweeps_ % kLostSweeps == 0) look_for_lost(now);
  if (!ground_.node.holds(duty::sweeps)) return;
  sweep_batches(now);
  const auto write = [&](auto work) { return ground_.database.write_now(work, {.priority = store::Priority::low}); };
  const auto keys = write([&](store::Tx& tx) { return work::sweep_keys(tx, now, kSweptRows); });
  if (!keys) log::warn("job_keys_not_swept", {{"why", keys.error().message}});
  const auto signals = write([&](store::Tx& tx) { return work::sweep_signals(tx, now, kSweptRows); });
  if (!signals) log::warn("events_not_swept", {{"why", signals.error().message}});
  const auto told = write([&](store::Tx& tx) { return work::sweep_outbox(tx, now - config_.retention, kSweptRows); });
  if (!told) log::warn("webhooks_not_swept", {{"why", told.error().message}});
  if (jobs_.shared()) {
    const auto asks = write([&](store::Tx& tx) { return work::sweep_asks(tx, tx.now() - kAsksKept, kSweptRows); });
    if (!asks) log::warn("asks_not_swept", {{"why", asks.error().message}});
  }
  const auto jobs = write([&](store::Tx& tx) { return work::sweep_jobs(tx, swept_to_, now, config_.retention, kSweptRows); });
  if (!jobs) return log::warn("jobs_not_swept", {{"why", jobs.error().message}});
  swept_to_ = jobs->next;
}

Workshop::~Workshop() { drain(Duration::zero()); }

}  // namespace ballast::app
