// Model calls of the durable road, on simulated time, over the real call road: in whose name, once, paced by the limits.
#include <fmt/format.h>

#include "road_house.hpp"

#include "base/task_group.hpp"
#include "work/board.hpp"
#include "work/model_call_job.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using gateway::test::House;
using gateway::test::cost_of;
using gateway::test::kFirstSays;

constexpr std::string_view kKey = "config:app";

std::string body_of(std::string_view model, bool stream = false) {
  return fmt::format(R"({{"model":"{}","max_tokens":100,"stream":{},"messages":[{{"role":"user","content":"hi"}}]}})", model, stream);
}

ModelRequest request_of(std::string_view model = "chat", std::string key_id = std::string(kKey)) {
  ModelRequest r;
  r.body = body_of(model);
  r.model = model;
  r.key_id = key_id;
  r.tenant = std::move(key_id);
  return r;
}

std::vector<std::uint64_t> calls_of(const House& house) {
  std::vector<std::uint64_t> out;
  for (const auto* upstream : {&house.first, &house.second}) {
    const auto counts = upstream->simulator.counts();
    const auto at = counts.find("m");
    out.push_back(at == counts.end() ? 0 : at->second.requests);
  }
  return out;
}

struct Office {
  explicit Office(gateway::test::Options options = {}) : house(std::move(options)) {}
  House house;
  Pace pace{house.loop, {}};
  ModelCaller caller{*house.gateway, house.loop, pace};

  ModelReply call(ModelRequest request) { return house.loop.run(caller.call(std::move(request), nullptr)); }
  void limit(std::vector<gateway::LimitRule> rules) {
    auto setup = std::make_shared<gateway::Setup>(*house.gateway->setup());
    setup->limits = *gateway::Limits::create(std::move(rules), house.clock, {});
    setup->queue = std::make_shared<gateway::FairQueue>(*setup->limits);
    house.gateway->reload(setup);
  }
  void add_key(std::string name, std::vector<std::string> models = {}) {
    EXPECT_TRUE(house.keys.put(gateway::configured_key("blst_" + name, {.name = name, .models = std::move(models)})));
  }
};

gateway::LimitRule per_minute(gateway::LimitScope scope, std::string match, std::uint64_t requests) {
  gateway::LimitRule rule{.scope = scope, .match = std::move(match), .requests = Rate{requests, 60s}};
  return rule;
}

// ---- in whose name ----

TEST(ModelCall, IsAnsweredAndBookedInTheNameOfItsKeyUserAndFeature) {
  Office office;
  auto request = request_of();
  request.user = "ann";
  request.feature = "digest";
  const ModelReply reply = office.call(std::move(request));
  ASSERT_FALSE(reply.error) << describe(*reply.error);
  EXPECT_EQ(reply.status, 200);
  EXPECT_NE(reply.body.find(kFirstSays), std::string::npos);
  EXPECT_EQ(reply.model, "a/m");
  EXPECT_EQ(reply.attempts, 1u);
  office.house.served = 1;
  const auto record = office.house.record();   // also: key and team
  EXPECT_EQ(record.user, "ann");
  EXPECT_EQ(record.feature, "digest");
  EXPECT_EQ(to_string(record.id, "call"), reply.call_id);
  EXPECT_EQ(record.incurred_nano, cost_of(office.house.first.simulator));
}

TEST(ModelCall, OfAKeyThatIsGoneOrMayNotIsRefusedAndSaysSo) {
  Office office;
  const ModelReply gone = office.call(request_of("chat", "key_gone"));
  ASSERT_TRUE(gone.error);
  EXPECT_EQ(gone.error->code, ErrorCode::caller_unauthenticated);
  EXPECT_NE(gone.error->message.find("key_gone"), std::string::npos);

  auto minted = gateway::mint_key({.name = "short", .expires = office.house.clock.wall() + 1h}, office.house.clock.wall());
  ASSERT_TRUE(minted && office.house.keys.put(minted->stored));
  EXPECT_FALSE(office.call(request_of("chat", minted->stored.info.id)).error);
  office.house.loop.advance(2h);
  const ModelReply late = office.call(request_of("chat", minted->stored.info.id));
  ASSERT_TRUE(late.error);
  EXPECT_NE(late.error->message.find("expired"), std::string::npos);

  office.add_key("narrow", {"b/*"});
  const ModelReply barred = office.call(request_of("chat", "config:narrow"));
  ASSERT_TRUE(barred.error);
  EXPECT_EQ(barred.error->code, ErrorCode::caller_forbidden);
  EXPECT_EQ(calls_of(office.house), (std::vector<std::uint64_t>{1, 0}));
}

TEST(ModelCall, OfAKeyRevokedWhileItWaitedIsNotMade) {
  Office office;
  auto minted = gateway::mint_key({.name = "brief"}, office.house.clock.wall());
  ASSERT_TRUE(minted && office.house.keys.put(minted->stored));
  office.limit({per_minute(gateway::LimitScope::model, "a/m", 1)});
  EXPECT_FALSE(office.call(request_of("a/m", minted->stored.info.id)).error);
  std::optional<ModelReply> second;
  detach([](Office& o, std::string id, std::optional<ModelReply>& into) -> Task<void> { into = co_await o.caller.call(request_of("a/m", id), nullptr); }(
             office, minted->stored.info.id, second),
         [](std::exception_ptr) { std::terminate(); });
  office.house.loop.advance(5s);
  EXPECT_FALSE(second);
  ASSERT_TRUE(office.house.keys.revoke(minted->stored.info.id));
  office.house.loop.run_to_rest();
  ASSERT_TRUE(second && second->error);
  EXPECT_EQ(second->error->code, ErrorCode::caller_unauthenticated);
  EXPECT_EQ(calls_of(office.house), (std::vector<std::uint64_t>{1, 0}));
}

// ---- once ----

TEST(ModelCall, ARecordedAnswerIsGivenAgainAndPaidOnce) {
  Office office;
  auto request = request_of();
  request.idempotency_key = "job_1/call";
  const ModelReply first = office.call(request);
  const std::int64_t paid = cost_of(office.house.first.simulator);
  const ModelReply again = office.call(request);
  ASSERT_TRUE(!first.error && !again.error);
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(cost_of(office.house.first.simulator), paid);
  EXPECT_EQ(calls_of(office.house), (std::vector<std::uint64_t>{1, 0}));
  office.house.served = 2;
  EXPECT_EQ(office.house.record().incurred_nano, 0) << "the replay costs nothing";
}

TEST(ModelCall, ACallThatWasCutShortMayBeMadeAgainAndACallersOwnKeyIsAnother) {
  Office office;
  auto request = request_of();
  request.idempotency_key = "job_1/call";
  CancelSource killed;
  detach([](Office& o, ModelRequest r, CancelToken cancel) -> Task<void> { (void)co_await o.caller.call(std::move(r), cancel); }(office, request, &killed),
         [](std::exception_ptr) { std::terminate(); });
  office.house.loop.advance(50ms);
  EXPECT_EQ(calls_of(office.house), (std::vector<std::uint64_t>{1, 0}));
  killed.cancel();
  office.house.loop.run_to_rest();
  office.house.rows.disown("another boot");
  const ModelReply again = office.call(request);
  EXPECT_FALSE(again.error);

  gateway::Call http{.body = request.body, .content_type = "application/json", .idempotency_key = "job_1/call"};
  const auto before = calls_of(office.house).front();
  office.house.serve(http, office.house.callers.emplace_back(office.house.loop));
  EXPECT_EQ(office.house.callers.back().head.status, 200);
  EXPECT_EQ(calls_of(office.house).front(), before + 1) << "a job's key is not a caller's";
}

// ---- streams ----

TEST(ModelCall, AStreamIsToldAsItComesAndIsWholeAtTheEnd) {
  Office office;
  auto request = request_of();
  request.body = body_of("chat", true);
  std::vector<std::pair<MonoTime, std::string>> told;
  request.on_event = [&](std::string_view, std::string_view data) { told.emplace_back(office.house.clock.mono(), data); };
  const ModelReply reply = office.call(std::move(request));
  ASSERT_FALSE(reply.error) << describe(*reply.error);
  EXPECT_GT(told.size(), 5u);
  EXPECT_GT(told.back().first - told.front().first, 100ms) << "not all at the end";
  EXPECT_NE(reply.body.find(kFirstSays), std::string::npos);
  EXPECT_TRUE(parse_json(reply.body));
}

// ---- what becomes of the job ----

Lease lease_of(std::uint32_t attempt = 1) {
  auto job = std::make_shared<Job>();
  job->spec.kind = JobKind::call;
  job->spec.max_attempts = 3;
  return {.job = job, .fence = 1, .attempt = attempt};
}

TEST(ModelCallJob, EndsByTheClassOfItsError) {
  using enum ErrorCode;
  struct Row { ErrorCode code; std::optional<std::chrono::milliseconds> after; Commit::To to; std::optional<Duration> delay; };
  const Row rows[] = {
      {policy_rate_limited, 3s, Commit::To::snoozed, 3s},
      {policy_rate_limited, {}, Commit::To::dead, {}},           // it never fits
      {provider_rate_limited, 2s, Commit::To::snoozed, 2s},
      {provider_rate_limited, {}, Commit::To::snoozed, 1s},
      {internal_unavailable, 5s, Commit::To::snoozed, 5s},
      {policy_budget_exceeded, 60s, Commit::To::snoozed, 60s},
      {policy_budget_exceeded, 3600s, Commit::To::dead, {}},
      {policy_budget_exceeded, {}, Commit::To::dead, {}},
      {policy_unpriced_model, {}, Commit::To::dead, {}},
      {caller_unauthenticated, {}, Commit::To::dead, {}},
      {caller_invalid_request, {}, Commit::To::dead, {}},
      {provider_rejected, {}, Commit::To::dead, {}},
      {provider_context_length, {}, Commit::To::dead, {}},
      {provider_overloaded, 7s, Commit::To::failed, 7s},
      {provider_timeout, {}, Commit::To::failed, {}},
      {provider_all_failed, {}, Commit::To::failed, {}},
      {internal_error, {}, Commit::To::failed, {}},
  };
  for (const Row& row : rows) {
    ModelReply reply;
    reply.call_id = "call_1";
    reply.error = Error{.code = row.code, .message = "why", .retry_after = row.after};
    const Outcome outcome = outcome_of(std::move(reply), lease_of(), true);
    EXPECT_EQ(outcome.to, row.to) << to_string(row.code);
    EXPECT_EQ(outcome.delay, row.delay) << to_string(row.code);
    if (row.to != Commit::To::snoozed) EXPECT_EQ(outcome.error->message, "why");
  }
}

TEST(ModelCallJob, IsPutOffWithoutAnAttemptWhileNobodyCanBeAsked) {
  ModelReply reply;
  reply.call_id = "call_1";
  reply.error = Error{.code = ErrorCode::provider_all_failed, .message = "all rest", .retry_after = 2s};
  const Outcome rests = outcome_of(reply, lease_of(3), true);
  EXPECT_EQ(rests.to, Commit::To::snoozed);
  EXPECT_EQ(rests.delay, Duration(2s));
  reply.attempts = 1;
  EXPECT_EQ(outcome_of(reply, lease_of(3), true).to, Commit::To::failed) << "it was asked, and failed";
}

TEST(ModelCallJob, ThatMayWaitWaitsForItsHoursUnlessItsDeadlineComesFirst) {
  const auto night = OffPeak::parse("22:00", "06:00", "UTC");
  ASSERT_TRUE(night);
  const WallTime noon = from_unix_us(1'800'014'400'000'000);           // 2027-01-15 12:00 UTC
  JobSpec spec{.kind = JobKind::call, .may_wait = true};
  EXPECT_EQ(off_peak_wait(spec, *night, noon), std::optional<Duration>(10h));
  EXPECT_EQ(off_peak_wait(spec, *night, noon + 11h), std::nullopt);
  EXPECT_EQ(off_peak_wait(spec, std::nullopt, noon), std::nullopt);
  spec.deadline = noon + 9h;
  EXPECT_EQ(off_peak_wait(spec, *night, noon), std::nullopt);
  spec.deadline = noon + 11h;
  EXPECT_EQ(off_peak_wait(spec, *night, noon), std::optional<Duration>(10h));
  spec.may_wait = false;
  EXPECT_EQ(off_peak_wait(spec, *night, noon), std::nullopt);
}

TEST(ModelCallJob, TakesADegradedAnswerOnlyAtItsLastAttemptAndSaysSo) {
  ModelReply reply;
  reply.status = 200;
  reply.served_by = "template";
  reply.body = R"({"id":"call_1","choices":[]})";
  EXPECT_EQ(outcome_of(reply, lease_of(1), true).to, Commit::To::failed);
  const Outcome last = outcome_of(reply, lease_of(3), true);
  EXPECT_EQ(last.to, Commit::To::done);
  EXPECT_EQ(last.output, R"({"ballast":{"degraded":"template"},"id":"call_1","choices":[]})");
}

// ---- pace ----

// A board and its leases without a database: what the engine does with jobs of kind `call`.
struct Shop : Office {
  explicit Shop(gateway::test::Options options = {}) : Office(std::move(options)) {
    pace.on_held([this](const std::string& model, const std::string& tenant, std::uint32_t most) {
      board.set_pace(model, tenant, most);
      nudge();
    });
  }
  ~Shop() { timer.cancel(); }

  struct Ended { JobId id; std::string model, tenant; Commit::To to; Duration at; std::string why; };
  static constexpr std::size_t kLeases = 256;
  Board board{1};
  JobIds ids{0};
  TaskGroup tasks{"jobs"};
  std::unordered_map<JobId, std::shared_ptr<Job>> jobs;
  std::vector<Ended> ended;
  std::uint64_t leased = 0, snoozed = 0;
  bool nudged = false;
  Timer timer;
  MonoTime began = house.clock.mono();

  void submit(std::string_view model, std::size_t n, std::string key = std::string(kKey), bool may_wait = false) {
    for (std::size_t i = 0; i < n; ++i) {
      auto job = std::make_shared<Job>();
      job->id = ids.next(house.clock.wall());
      job->spec = {.kind = JobKind::call, .name = "chat.completions", .model = std::string(model), .tenant = key, .key_id = key};
      job->spec.may_wait = may_wait;
      job->input = body_of(model);
      const MonoTime now = house.clock.mono();
      board.add(*job, {.queue = "default", .task = {}, .gate = job->spec.model}, now, now, kNever);
      jobs.emplace(job->id, std::move(job));
    }
    nudge();
  }
  void nudge() {
    if (std::exchange(nudged, true)) return;
    house.loop.post([this] { cycle(); });
  }
  void cycle() {
    nudged = false;
    const MonoTime now = house.clock.mono();
    board.tick(now);
    const Claim claim = board.lease_local(kLeases - board.leased_local(), now);
    for (const JobId id : claim.jobs) tasks.spawn(run(jobs.at(id), claim.fence));
    leased += claim.jobs.size();
    timer.cancel();
    if (board.next_event() != kNever) house.loop.arm(timer, board.next_event(), [](void* self) { static_cast<Shop*>(self)->nudge(); }, this);
  }
  Task<void> run(std::shared_ptr<Job> job, Fence fence) {
    auto request = request_of(job->spec.model, job->spec.key_id);
    request.idempotency_key = to_string(job->id) + "/call";
    request.may_wait = job->spec.may_wait;
    auto reply = co_await caller.call(std::move(request), nullptr);
    const Outcome outcome = outcome_of(std::move(reply), {.job = job, .fence = fence, .attempt = job->attempt + 1}, true);
    const MonoTime now = house.clock.mono();
    if (outcome.to == Commit::To::snoozed) {
      ++snoozed;
      board.requeue(job->id, job->attempt, now + outcome.delay.value_or(0s), now);
    } else if (outcome.to == Commit::To::failed && job->attempt + 1 < job->spec.max_attempts) {
      board.requeue(job->id, ++job->attempt, now + outcome.delay.value_or(1s), now);
    } else {
      ended.push_back({job->id, job->spec.model, job->spec.tenant, outcome.to, now - began, outcome.error ? describe(*outcome.error) : std::string()});
      board.remove(job->id, now);
    }
    nudge();
  }
  std::size_t done(std::string_view model, std::string_view tenant = {}) const {
    return static_cast<std::size_t>(std::ranges::count_if(ended, [&](const Ended& e) { return e.model == model && (tenant.empty() || e.tenant == tenant) && e.to == Commit::To::done; }));
  }
  std::string whys() const {                   // of those that were not answered
    std::map<std::string, int> count;
    for (const Ended& e : ended)
      if (e.to != Commit::To::done) ++count[e.why];
    std::string all = fmt::format("{} ended, {} put off", ended.size(), snoozed);
    for (const auto& [why, n] : count) all += fmt::format("\n{} times {}", n, why);
    return all;
  }
  std::uint64_t made() const {                 // calls that entered the road
    std::uint64_t n = 0;
    (void)records::CallJournal::read_directory(house.dir.string(), {.intent = [](const auto&) {}, .outcome = [&](const auto&) { ++n; }});
    return n;
  }
};

gateway::test::Options quick() {
  gateway::test::Options options;
  llm::SimModel m{.name = "m", .answer = "ok"};
  m.price = llm::PriceSet{.input = {1'000'000'000}, .output = {2'000'000'000}};
  options.first_model = m;
  return options;
}

TEST(ModelCallPace, ABacklogDrainsAtTheLimitsPaceAndOtherModelsPassIt) {
  Shop shop(quick());
  shop.limit({per_minute(gateway::LimitScope::model, "a/m", 600)});
  constexpr std::size_t kJobs = 3'000;
  shop.submit("a/m", kJobs);
  shop.house.loop.advance(30s);
  EXPECT_LE(shop.board.leased_local(), 40u) << "what waits in line holds few leases";
  shop.submit("b/m", 20, std::string(kKey));
  shop.house.loop.advance(5s);
  EXPECT_EQ(shop.done("b/m"), 20u) << "another model's jobs do not wait behind the backlog";

  // The first 600 at once, then ten a second.
  shop.house.loop.advance(85s);                // two minutes since the beginning
  const double expected = 600 + 120 * 10;
  EXPECT_NEAR(static_cast<double>(shop.done("a/m")), expected, expected * 0.05);
  ASSERT_TRUE(shop.house.loop.run_to_rest(1h));
  EXPECT_EQ(shop.done("a/m"), kJobs);
  const double took = std::chrono::duration<double>(shop.ended.back().at).count();
  EXPECT_NEAR(took, (kJobs - 600) / 10.0, (kJobs - 600) / 10.0 * 0.05);
  EXPECT_LE(shop.made() - kJobs - 20, kJobs * 2 / 100) << "refused tries";
  EXPECT_LE(shop.leased, kJobs + 20 + kJobs / 10) << "leases given back are database writes";
  shop.board.audit(shop.house.clock.mono());
}

TEST(ModelCallPace, ATenantWhoseOwnLimitIsSpentHoldsBackNobodyElse) {
  Shop shop(quick());
  shop.add_key("small");
  shop.limit({per_minute(gateway::LimitScope::key, std::string(kKey), 60)});
  shop.submit("a/m", 500);
  shop.house.loop.advance(10s);
  shop.submit("a/m", 300, "config:small");
  shop.house.loop.advance(5s);
  EXPECT_EQ(shop.done("a/m", "config:small"), 300u);
  EXPECT_NEAR(static_cast<double>(shop.done("a/m", kKey)), 60 + 15, 4);
  ASSERT_TRUE(shop.house.loop.run_to_rest(1h));
  EXPECT_EQ(shop.done("a/m", kKey), 500u);
  EXPECT_EQ(shop.made(), 800u) << "nobody was refused";
}

TEST(ModelCallPace, OfTwoTenantsOfAModelEachHasItsTurn) {
  Shop shop(quick());
  shop.add_key("small");
  shop.limit({per_minute(gateway::LimitScope::model, "a/m", 60)});
  shop.submit("a/m", 400);
  shop.house.loop.advance(30s);
  shop.submit("a/m", 20, "config:small");
  shop.house.loop.advance(60s);
  EXPECT_GE(shop.done("a/m", "config:small"), 18u);
  ASSERT_TRUE(shop.house.loop.run_to_rest(2h));
  EXPECT_EQ(shop.done("a/m"), 420u);
}

TEST(ModelCallPace, WhatMayWaitHasItsTurnWhenNobodyElseCanTakeOne) {
  Shop shop(quick());
  shop.add_key("small");
  shop.limit({per_minute(gateway::LimitScope::model, "a/m", 60)});
  shop.submit("a/m", 400, std::string(kKey), true);
  shop.house.loop.advance(30s);
  const auto before = shop.done("a/m", kKey);
  EXPECT_NEAR(static_cast<double>(before), 60 + 30, 3) << "alone it has all there is";
  shop.submit("a/m", 30, "config:small");
  shop.house.loop.advance(32s);
  EXPECT_EQ(shop.done("a/m", "config:small"), 30u) << "one a second, all of them";
  EXPECT_LE(shop.done("a/m", kKey) - before, 5u);
  ASSERT_TRUE(shop.house.loop.run_to_rest(2h));
  EXPECT_EQ(shop.done("a/m"), 430u);
  shop.board.audit(shop.house.clock.mono());
}

TEST(ModelCallPace, JobsOfATenantKeepTheirOrder) {
  Shop shop(quick());
  shop.limit({per_minute(gateway::LimitScope::model, "a/m", 60)});
  shop.submit("a/m", 400);
  ASSERT_TRUE(shop.house.loop.run_to_rest(1h));
  ASSERT_EQ(shop.done("a/m"), 400u);
  EXPECT_GT(shop.snoozed, 0u) << "more were leased at first than may wait";
  for (std::size_t i = 1; i < shop.ended.size(); ++i) EXPECT_LT(shop.ended[i - 1].id, shop.ended[i].id);
}

TEST(ModelCallPace, AConcurrencyLimitIsFilledAndNeverRunAgainst) {
  auto options = quick();
  options.first_model->tokens_per_second = 10;
  options.first_model->answer = "one two three four five";
  Shop shop(std::move(options));
  gateway::LimitRule rule{.scope = gateway::LimitScope::model, .match = "a/m", .concurrency = 4};
  shop.limit({rule});
  shop.submit("a/m", 100);
  ASSERT_TRUE(shop.house.loop.run_to_rest(1h));
  EXPECT_EQ(shop.done("a/m"), 100u);
  EXPECT_EQ(shop.made(), 100u);
}

TEST(ModelCallPace, AModelWhoseProviderRefusesRestsForAllAndIsNotHammered) {
  auto options = quick();
  options.first_model->faults = {{.kind = llm::SimFaultKind::http_429, .rate = 0.2, .retry_after = 1s}};
  Shop shop(std::move(options));
  shop.submit("a/m", 300);
  ASSERT_TRUE(shop.house.loop.run_to_rest(2h));
  EXPECT_EQ(shop.done("a/m"), 300u) << shop.whys();
  EXPECT_LE(calls_of(shop.house).front(), 300u * 3 / 2) << "one in five was refused, and asked again";
  EXPECT_LE(shop.leased, 300u * 3) << "the first burst is put back, and what is refused after it";
}

}  // namespace
}  // namespace ballast::work
