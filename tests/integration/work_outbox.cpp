// The outbox on both databases: what a job's end owes is owed by the same transaction, is delivered, survives who had it in hand, and is kept when dead.
#include <atomic>
#include <mutex>

#include "../support/databases.hpp"
#include "../support/work_house.hpp"
#include "../unit/net/world.hpp"
#include "work/dispatch.hpp"
#include "work/webhooks.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using Verdict = Delivery::Verdict;
constexpr WallTime kNow{1'800'000'000s};

class Outbox : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(migrations()));
  }
  template <class F>
  auto write(F body) {
    return database().write_now(std::move(body));
  }
  void owe(std::int64_t id, WallTime created = kNow) {
    const auto done = write([&](store::Tx& tx) {
      return insert_outbox(tx, {.id = id, .kind = "job.done", .url = "https://a.example/" + std::to_string(id), .body = std::string("{\"\0\":1}", 7), .secret_ref = "s", .created = created});
    });
    ASSERT_TRUE(done) << describe(done.error());
  }
  std::vector<std::int64_t> take(WallTime now, std::size_t most = 10) {
    std::vector<std::int64_t> ids;
    auto rows = write([&](store::Tx& tx) { return take_outbox(tx, 3, now, now + 10min, most); });
    EXPECT_TRUE(rows) << describe(rows.error());
    for (const OutboxRow& r : *rows) ids.push_back(r.id);
    return ids;
  }
  void settle(std::int64_t id, Delivery d) {
    const auto done = write([&](store::Tx& tx) { return settle_outbox(tx, id, d, kNow + 1s); });
    ASSERT_TRUE(done) << describe(done.error());
  }
  std::optional<OutboxEntry> get(std::int64_t id) { return *database().read_now([&](store::Tx& tx) { return get_outbox(tx, id); }); }
  std::vector<std::int64_t> listed(std::optional<OutboxState> state, std::int64_t before = 0, std::size_t limit = 10) {
    std::vector<std::int64_t> ids;
    const auto rows = database().read_now([&](store::Tx& tx) { return list_outbox(tx, state, before, limit); });
    EXPECT_TRUE(rows);
    for (const auto& e : *rows) ids.push_back(e.row.id);
    return ids;
  }
};

TEST_P(Outbox, ARowIsTakenByOneAndComesBackWhenItsTimeIsOver) {
  for (std::int64_t id : {5, 6, 7}) owe(id, kNow + std::chrono::seconds(id));
  owe(6, kNow + 1h);                                   // there already: unchanged
  EXPECT_EQ(take(kNow), (std::vector<std::int64_t>{}));
  EXPECT_EQ(take(kNow + 7s, 2), (std::vector<std::int64_t>{5, 6})) << "the longest due first";
  EXPECT_EQ(take(kNow + 7s), (std::vector<std::int64_t>{7}));
  EXPECT_EQ(take(kNow + 8s), (std::vector<std::int64_t>{}));
  EXPECT_FALSE(*database().read_now([](store::Tx& tx) { return outbox_due(tx, kNow + 8s); }));
  EXPECT_EQ(take(kNow + 11min), (std::vector<std::int64_t>{5, 6, 7})) << "whoever had them did not settle";
  EXPECT_EQ(*write([](store::Tx& tx) { return release_outbox(tx, 4, kNow); }), 0u) << "another node's";
  EXPECT_EQ(*write([](store::Tx& tx) { return release_outbox(tx, 3, kNow); }), 3u);
  EXPECT_EQ(take(kNow), (std::vector<std::int64_t>{5, 6, 7}));
  EXPECT_EQ(get(5)->row.body, std::string("{\"\0\":1}", 7)) << "the exact bytes";
}

TEST_P(Outbox, BodiesOfAlertsAreReadInPagesAndReplaced) {
  owe(5);
  for (std::int64_t id : {7, 6, 8}) {
    const auto done = write([&](store::Tx& tx) {
      return insert_outbox(tx, {.id = id, .kind = id == 8 ? "alert.resolved" : "alert.firing", .url = "https://a.example", .body = fmt::format("alert {}", id), .secret_ref = "", .created = kNow});
    });
    ASSERT_TRUE(done) << describe(done.error());
  }
  const auto page = [&](std::int64_t after, std::size_t limit) {
    std::vector<std::string> bodies;
    auto rows = database().read_now([&](store::Tx& tx) { return alert_bodies(tx, after, limit); });
    EXPECT_TRUE(rows);
    for (const auto& r : *rows) bodies.push_back(r.body);
    return bodies;
  };
  EXPECT_EQ(page(0, 2), (std::vector<std::string>{"alert 6", "alert 7"})) << "what tells of jobs is not among them";
  EXPECT_EQ(page(7, 2), (std::vector<std::string>{"alert 8"}));
  settle(6, {.verdict = Verdict::delivered, .status = 200});
  const std::vector<OutboxBody> others{{6, "other 6"}, {8, "other 8"}, {99, "nobody"}};
  ASSERT_TRUE(write([&](store::Tx& tx) { return replace_bodies(tx, others); }));
  EXPECT_EQ(page(0, 10), (std::vector<std::string>{"other 6", "alert 7", "other 8"}));
  EXPECT_EQ(get(6)->state, OutboxState::delivered) << "what became of it stays";
  EXPECT_FALSE(get(99));
}

TEST_P(Outbox, WhatAnAttemptCameToIsKept) {
  for (std::int64_t id : {1, 2, 3, 4}) owe(id);
  take(kNow);
  settle(1, {.verdict = Verdict::delivered, .attempt = 1, .status = 204});
  settle(2, {.verdict = Verdict::retry, .attempt = 1, .next = kNow + 5s, .status = 500, .why = "it answered 500"});
  settle(3, {.verdict = Verdict::dead, .attempt = 10, .why = "nobody there"});
  settle(4, {.verdict = Verdict::put_back, .attempt = 0, .next = kNow + 1s});
  EXPECT_EQ(listed(std::nullopt), (std::vector<std::int64_t>{4, 3, 2, 1}));
  EXPECT_EQ(listed(std::nullopt, 4, 2), (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ(listed(OutboxState::pending), (std::vector<std::int64_t>{4, 2}));
  EXPECT_EQ(listed(OutboxState::delivered), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(listed(OutboxState::dead), (std::vector<std::int64_t>{3}));
  EXPECT_EQ(get(1)->status, 204);
  EXPECT_EQ(get(1)->finished, kNow + 1s);
  EXPECT_EQ(get(2)->why, "it answered 500");
  EXPECT_EQ(get(2)->due, kNow + 5s);
  EXPECT_EQ(get(3)->row.attempt, 10u);
  const auto figures = database().read_now([](store::Tx& tx) { return outbox_figures(tx); });
  EXPECT_EQ(figures->pending, 2u);
  EXPECT_EQ(figures->dead, 1u);
  EXPECT_EQ(take(kNow + 4s), (std::vector<std::int64_t>{4}));
  EXPECT_EQ(take(kNow + 5s), (std::vector<std::int64_t>{2}));
  settle(3, {.verdict = Verdict::delivered, .attempt = 1});
  EXPECT_EQ(get(3)->state, OutboxState::dead) << "a late word of an attempt that was given up changes nothing";
}

TEST_P(Outbox, TheDeadAndTheDeliveredAreRedrivenAndSwept) {
  for (std::int64_t id : {1, 2, 3}) owe(id);
  take(kNow);
  settle(1, {.verdict = Verdict::delivered, .attempt = 3});
  settle(2, {.verdict = Verdict::dead, .attempt = 10});
  const auto redrive = [&](std::int64_t id) { return write([&](store::Tx& tx) { return redrive_outbox(tx, id, kNow + 1min); }); };
  EXPECT_TRUE(redrive(2));
  EXPECT_EQ(redrive(2).error().code, ErrorCode::caller_conflict);
  EXPECT_EQ(redrive(3).error().code, ErrorCode::caller_conflict);
  EXPECT_EQ(redrive(9).error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(get(2)->row.attempt, 0u);
  EXPECT_EQ(take(kNow + 1min), (std::vector<std::int64_t>{2}));
  EXPECT_EQ(*write([](store::Tx& tx) { return sweep_outbox(tx, kNow, 100); }), 0u);
  EXPECT_EQ(*write([](store::Tx& tx) { return sweep_outbox(tx, kNow + 2s, 100); }), 1u);
  EXPECT_EQ(listed(std::nullopt), (std::vector<std::int64_t>{3, 2})) << "what is owed is never swept";
}

// ---- with the engine that ends jobs ----

// Answers with its statuses in order; the last one stays. Bodies and ids of each attempt are kept.
struct Receiver final : net::Transport {
  struct Response final : net::ClientResponse {
    net::ResponseHead h;
    const net::ResponseHead& head() const override { return h; }
    Task<Result<std::string_view>> read_some(net::Deadline) override { co_return std::string_view(); }
  };
  struct Seen { std::string id, body, signature; };
  std::mutex mutex;
  std::vector<Seen> seen;
  std::vector<int> statuses = {200};

  Task<Result<std::unique_ptr<net::ClientResponse>>> send(Scheduler&, const net::ClientRequest& request, net::Timeouts, CancelToken) override {
    auto answer = std::make_unique<Response>();
    const std::lock_guard lock(mutex);
    answer->h.status = statuses[std::min(seen.size(), statuses.size() - 1)];
    seen.push_back({std::string(request.headers.get("webhook-id")), std::string(request.body[0]), std::string(request.headers.get("webhook-signature"))});
    co_return std::unique_ptr<net::ClientResponse>(std::move(answer));
  }
};

struct Shop {
  Shop(store::Database& database, net::Transport& transport) : engine(loops.at(0), database, {}, 1), webhooks(loops.at(0), transport, database, std::make_shared<const net::EgressPolicy>(), render, options()) {
    dispatch.use(engine);
    add_builtin_tasks(dispatch);
    webhooks.use({{"default", {*WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}}});
    engine.on_ended([this](const Job&) { webhooks.poke(); });
    started = engine.start(dispatch, &webhooks) && webhooks.start();
    loops.start();
    loops.at(0).post([this] { engine.open(); });
    webhooks.poke();
  }
  ~Shop() {
    net::test::run<int>(loops.at(0), [&]() -> Task<int> {
      co_await engine.drain(1s);
      co_await webhooks.drain(1s);
      co_return 0;
    });
    loops.stop();
  }
  static json::object render(const Job& job, bool whole) {
    json::object o{{"id", to_string(job.id)}};
    if (whole) o["output"] = job.output;
    return o;
  }
  static Webhooks::Options options() {
    Webhooks::Options o;
    o.deliverer.poll = 5ms;
    o.deliverer.rules = {.schedule = {1ms, 1ms}, .jitter = 0};
    return o;
  }
  JobId submit(std::string task, std::string input, std::string url) {
    return net::test::run<JobId>(loops.at(0), [&]() -> Task<JobId> {
      std::vector<Submission> jobs(1);
      jobs[0].spec.name = task;
      jobs[0].spec.webhook = url;
      jobs[0].spec.max_attempts = 1;
      jobs[0].input = input;
      auto accepted = co_await engine.submit(std::move(jobs));
      co_return accepted[0]->id;
    });
  }
  SystemClock clock;
  net::LoopGroup loops{1, clock};
  Dispatch dispatch{loops.at(0), {}};
  Engine engine;
  Webhooks webhooks;
  bool started = false;
};

struct OutboxOfJobs : Outbox {
  // On real threads: asked again until it is so, and a failure after a minute.
  OutboxEntry wait_for(JobId id, OutboxState state) {
    for (const auto until = std::chrono::steady_clock::now() + 1min; std::chrono::steady_clock::now() < until; std::this_thread::sleep_for(2ms))
      if (auto row = get(id.value); row && row->state == state) return *row;
    ADD_FAILURE() << "the webhook did not become " << static_cast<int>(state) << " within a minute";
    return {};
  }
};

TEST_P(OutboxOfJobs, AnEndIsToldOnceSignedAndWithItsOutput) {
  Receiver receiver;
  Shop shop(database(), receiver);
  ASSERT_TRUE(shop.started);
  const JobId id = shop.submit(std::string(kNoop), "42", "https://hooks.example/a");
  const JobId silent = shop.submit(std::string(kNoop), "42", "");
  EXPECT_EQ(wait_for(id, OutboxState::delivered).row.attempt, 1u);
  EXPECT_FALSE(get(silent.value));
  const std::lock_guard lock(receiver.mutex);
  ASSERT_EQ(receiver.seen.size(), 1u);
  EXPECT_EQ(receiver.seen[0].id, "msg_" + std::to_string(id.value));
  EXPECT_TRUE(receiver.seen[0].signature.starts_with("v1,"));
  const auto body = parse_json(receiver.seen[0].body);
  EXPECT_EQ(body->at("type"), "job.done");
  EXPECT_EQ(body->at("data").at("id").as_string(), to_string(id));
  EXPECT_EQ(body->at("data").at("output"), "42");
}

TEST_P(OutboxOfJobs, WhatFailsKeepsItsIdAndDies) {
  Receiver receiver;
  receiver.statuses = {500, 302, 503};
  Shop shop(database(), receiver);
  const JobId id = shop.submit(std::string(kNoop), std::string(kMaxWebhookDetail + 1, 'x'), "https://hooks.example/a");
  const OutboxEntry dead = wait_for(id, OutboxState::dead);
  EXPECT_EQ(dead.row.attempt, 3u);
  EXPECT_EQ(dead.status, 503);
  EXPECT_NE(dead.why.find("503"), std::string::npos);
  const std::lock_guard lock(receiver.mutex);
  ASSERT_EQ(receiver.seen.size(), 3u);
  for (const auto& s : receiver.seen) {
    EXPECT_EQ(s.id, receiver.seen[0].id);
    EXPECT_EQ(s.body, receiver.seen[0].body);
  }
  EXPECT_NE(receiver.seen[0].body.find("omitted"), std::string::npos) << "what is large is asked for";
}

TEST_P(OutboxOfJobs, ACancelledJobIsToldAndWhatADeadProcessHadInHandIsDeliveredByTheNext) {
  Receiver receiver;
  JobId id;
  {
    receiver.statuses = {503, 503, 503};
    Shop shop(database(), receiver);
    id = shop.submit("nobody.runs.this", "1", "https://hooks.example/a");
    net::test::run<int>(shop.loops.at(0), [&]() -> Task<int> {
      (void)co_await shop.engine.cancel({id}, "not wanted");
      co_return 0;
    });
    EXPECT_EQ(wait_for(id, OutboxState::dead).row.kind, "job.cancelled");
  }
  ASSERT_TRUE(write([&](store::Tx& tx) { return redrive_outbox(tx, id.value, kNow - 24h); }));
  ASSERT_EQ(write([&](store::Tx& tx) { return take_outbox(tx, 0, SystemClock().wall() + 365 * 24h, SystemClock().wall() + 400 * 24h, 10); })->size(), 1u) << "by a process that is killed now";
  const std::size_t before = receiver.seen.size();
  receiver.statuses = {200};
  Shop next(database(), receiver);
  wait_for(id, OutboxState::delivered);
  const std::lock_guard lock(receiver.mutex);
  ASSERT_EQ(receiver.seen.size(), before + 1);
  EXPECT_EQ(receiver.seen.back().id, receiver.seen.front().id);
}

TEST_P(OutboxOfJobs, WhatWasTakenAndNobodyLearntItIsTakenAgain) {
  Receiver receiver;
  test::WorkHouse house(database());
  Webhooks webhooks(house.loop, receiver, house.database, std::make_shared<const net::EgressPolicy>(), Shop::render, Shop::options());
  webhooks.use({{"s", {*WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}}});
  ASSERT_TRUE(webhooks.start());
  owe(5);
  house.database.next = {test::ObedientDatabase::Fate::unknown_written, test::ObedientDatabase::Fate::away};
  webhooks.poke();
  house.pass(1s);
  EXPECT_EQ(get(5)->state, OutboxState::delivered);
  EXPECT_EQ(receiver.seen.size(), 1u);
  house.loop.run(webhooks.drain(1s));
}

TEST_P(OutboxOfJobs, AUrlThatMayNotBeToldIsRefusedBeforeTheJobIsTaken) {
  Receiver receiver;
  Shop shop(database(), receiver);
  const auto admit = [&](std::string url, std::string secret = {}) {
    JobSpec spec;
    spec.webhook = std::move(url);
    spec.webhook_secret = std::move(secret);
    const auto said = shop.webhooks.admit(spec);
    return said ? std::string("fine") : std::string(to_string(said.error().code)) + " " + said.error().field;
  };
  EXPECT_EQ(admit(""), "fine");
  EXPECT_EQ(admit("https://hooks.example/a"), "fine");
  EXPECT_EQ(admit("https://hooks.example/a", "default"), "fine");
  EXPECT_EQ(admit("https://hooks.example/a", "other"), "caller_invalid_request webhook.secret");
  EXPECT_EQ(admit("ftp://hooks.example/a"), "caller_invalid_request webhook");
  EXPECT_EQ(admit("https://hooks.example/" + std::string(kMaxWebhookUrl, 'a')), "caller_invalid_request webhook");
  for (const char* url : {"http://127.0.0.1/", "http://localhost/", "http://169.254.169.254/latest", "http://[::1]/", "http://0x7f.1/", "http://hooks.example:25/"})
    EXPECT_EQ(admit(url), "policy_egress_denied webhook") << url;
}

BALLAST_ON_BOTH_DATABASES(Outbox);
BALLAST_ON_BOTH_DATABASES(OutboxOfJobs);

}  // namespace
}  // namespace ballast::work
