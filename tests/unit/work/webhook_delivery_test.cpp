#include "work/webhook_delivery.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/sim_loop.hpp"
#include "work/webhook_deliverer.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using Verdict = Delivery::Verdict;
constexpr WallTime kNow{1'800'000'000s};

Delivery decide(Attempted attempted, std::uint32_t before = 0, DeliveryRules rules = {.jitter = 0}) {
  SeededRandom random(1);
  return decide_delivery({.id = 7, .url = "https://a.example/", .attempt = before}, attempted, kNow, rules, random);
}
Attempted failed(ErrorCode code, bool retryable) { return {.error = Error{.code = code, .message = "why", .field = {}, .retryable = retryable}}; }

TEST(WebhookDelivery, OnlyTwoHundredsAreASuccess) {
  for (const int status : {200, 201, 202, 204, 299}) EXPECT_EQ(decide({.status = status}).verdict, Verdict::delivered) << status;
  for (const int status : {300, 301, 302, 307, 400, 401, 404, 409, 422, 429, 500, 502, 503, 504}) {
    const auto d = decide({.status = status});
    EXPECT_EQ(d.verdict, Verdict::retry) << status;
    EXPECT_EQ(d.next, kNow + 5s) << status;
    EXPECT_NE(d.why.find(std::to_string(status)), std::string::npos);
    EXPECT_FALSE(d.disable_endpoint);
  }
  const auto gone = decide({.status = 410});
  EXPECT_EQ(gone.verdict, Verdict::dead);
  EXPECT_TRUE(gone.disable_endpoint);
}

TEST(WebhookDelivery, TenAttemptsOverThreeDaysThenDead) {
  const Duration waits[] = {5s, 5min, 30min, 2h, 5h, 10h, 14h, 20h, 24h};
  for (std::uint32_t made = 0; made < 9; ++made) {
    const auto d = decide(failed(ErrorCode::provider_unreachable, true), made);
    EXPECT_EQ(d.verdict, Verdict::retry);
    EXPECT_EQ(d.next, kNow + waits[made]) << made;
    EXPECT_EQ(d.attempt, made + 1);
    EXPECT_EQ(d.code, ErrorCode::provider_unreachable);
  }
  EXPECT_EQ(decide(failed(ErrorCode::provider_unreachable, true), 9).verdict, Verdict::dead);
  EXPECT_EQ(decide({.status = 500}, 9).attempt, 10u);
  EXPECT_EQ(decide({.status = 200}, 9).verdict, Verdict::delivered);
}

TEST(WebhookDelivery, JitterOnlyLengthensAWaitAndSpreadsIt) {
  SeededRandom random(3);
  std::set<WallTime> seen;
  for (int i = 0; i < 200; ++i) {
    const auto d = decide_delivery({.attempt = 1}, {.status = 500}, kNow, {}, random);
    EXPECT_GE(d.next, kNow + 5min);
    EXPECT_LE(d.next, kNow + 6min);
    seen.insert(d.next);
  }
  EXPECT_GT(seen.size(), 190u);
}

TEST(WebhookDelivery, RetryAfterIsObeyedUpToALimit) {
  EXPECT_EQ(decide({.status = 503, .retry_after = 90s}).next, kNow + 90s);
  EXPECT_EQ(decide({.status = 429, .retry_after = 1s}).next, kNow + 5s) << "it does not shorten the schedule";
  EXPECT_EQ(decide({.status = 503, .retry_after = 24h * 365}).next, kNow + 24h);
}

TEST(WebhookDelivery, WhatNoTimeWillMendIsDeadAtOnce) {
  EXPECT_EQ(decide(failed(ErrorCode::policy_egress_denied, false)).verdict, Verdict::dead);
  EXPECT_EQ(decide(failed(ErrorCode::caller_invalid_request, false)).verdict, Verdict::dead);
  EXPECT_EQ(decide(failed(ErrorCode::policy_egress_denied, true)).verdict, Verdict::retry) << "a name may lead elsewhere later";
  EXPECT_EQ(decide(failed(ErrorCode::provider_timeout, true)).verdict, Verdict::retry);
  EXPECT_EQ(decide(failed(ErrorCode::internal_error, false)).verdict, Verdict::retry);
}

// ---- The deliverer, in simulated time ---------------------------------------------------------------------------

struct Store final : OutboxStore {
  struct Row {
    OutboxRow row;
    WallTime due;
    bool taken = false;
    std::optional<Delivery> last;
    bool open() const { return !last || last->verdict == Verdict::retry || last->verdict == Verdict::put_back; }
  };
  std::map<std::int64_t, Row> rows;
  int fail_takes = 0, fail_settles = 0, takes = 0;
  Duration told_late{};                    // after a settlement is written
  Scheduler* loop = nullptr;

  void add(std::int64_t id, std::string host, WallTime due, std::string secret = "s") {
    rows[id] = {.row = {.id = id, .kind = "job.done", .url = "https://" + host + "/hook", .body = "{\"id\":" + std::to_string(id) + "}", .secret_ref = secret}, .due = due, .last = {}};
  }
  Task<Result<std::vector<OutboxRow>>> take_due(WallTime now, std::size_t most) override {
    ++takes;
    co_await SleepUntil(*loop, loop->clock().mono() + 2ms);
    if (fail_takes > 0 && fail_takes--) co_return fail(ErrorCode::internal_unavailable, "no database");
    std::vector<Row*> due;
    for (auto& [id, r] : rows)
      if (!r.taken && r.open() && r.due <= now) due.push_back(&r);
    std::ranges::sort(due, {}, [](const Row* r) { return r->due; });
    if (due.size() > most) due.resize(most);
    std::vector<OutboxRow> out;
    for (Row* r : due) {
      r->taken = true;
      out.push_back(r->row);
    }
    co_return out;
  }
  Task<Result<void>> settle(std::int64_t id, Delivery outcome) override {
    co_await SleepUntil(*loop, loop->clock().mono() + 1ms);
    if (fail_settles > 0 && fail_settles--) co_return fail(ErrorCode::internal_unavailable, "no database");
    Row& r = rows.at(id);
    EXPECT_TRUE(r.taken) << id;
    r.taken = false;
    r.row.attempt = outcome.attempt;
    r.due = outcome.next;
    r.last = outcome;
    if (told_late > Duration::zero()) co_await SleepUntil(*loop, loop->clock().mono() + told_late);
    co_return Result<void>{};
  }
  std::size_t count(Verdict v, std::string_view host = "") const {
    return static_cast<std::size_t>(std::ranges::count_if(rows, [&](const auto& e) {
      return e.second.last && e.second.last->verdict == v && e.second.row.url.find(host) != std::string::npos;
    }));
  }
};

// Receivers by host: how long each takes and what it says. Obeys its token as the client does.
struct Internet final : net::Transport {
  struct Receiver {
    Duration takes = 20ms;
    std::vector<int> statuses = {200};              // the last one stays; 0: unreachable
    std::string retry_after;
    std::optional<Error> error;
    std::size_t now = 0, most = 0, asked = 0;
  };
  struct Seen { std::string id, timestamp, signature, body, content_type; MonoTime at; };
  struct Response final : net::ClientResponse {
    net::ResponseHead h;
    const net::ResponseHead& head() const override { return h; }
    Task<Result<std::string_view>> read_some(net::Deadline) override {
      ADD_FAILURE() << "nobody reads a receiver's body";
      co_return std::string_view();
    }
  };
  std::map<std::string, Receiver> receivers;
  std::map<std::string, std::vector<Seen>> seen;    // by webhook-id
  std::size_t now = 0, most = 0;

  Task<Result<std::unique_ptr<net::ClientResponse>>> send(Scheduler& loop, const net::ClientRequest& request, net::Timeouts, CancelToken cancel) override {
    const auto& h = request.headers;
    EXPECT_EQ(request.method, "POST");
    seen[std::string(h.get("webhook-id"))].push_back({std::string(h.get("webhook-id")), std::string(h.get("webhook-timestamp")), std::string(h.get("webhook-signature")),
                                                     std::string(request.body[0]), std::string(h.get("content-type")), loop.clock().mono()});
    Receiver& r = receivers[request.url->origin.host];
    const int status = r.statuses[std::min(r.asked++, r.statuses.size() - 1)];
    r.most = std::max(r.most, ++r.now);
    most = std::max(most, ++now);
    const MonoTime end = loop.clock().mono() + r.takes;
    while (loop.clock().mono() < end && !cancel->cancelled()) co_await SleepUntil(loop, std::min(end, loop.clock().mono() + 50ms));
    --r.now;
    --now;
    if (cancel->cancelled()) co_return fail(ErrorCode::caller_cancelled, "cancelled");
    if (r.error) co_return fail(*r.error);
    if (status == 0) co_return fail(Error{.code = ErrorCode::provider_unreachable, .message = "refused", .field = {}, .retryable = true});
    auto answer = std::make_unique<Response>();
    answer->h.status = status;
    if (!r.retry_after.empty()) answer->h.headers.add("retry-after", r.retry_after);
    co_return std::unique_ptr<net::ClientResponse>(std::move(answer));
  }
};

struct Delivering : testing::Test {
  static constexpr std::string_view kSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  void SetUp() override { store.loop = &loop; }
  void TearDown() override {
    if (deliverer) loop.run(deliverer->drain(1s));
  }
  void begin(DelivererOptions options = {}) {
    deliverer = std::make_unique<Deliverer>(loop, internet, store, [](std::string_view ref) -> Result<std::vector<WebhookSecret>> {
      if (ref != "s") return fail(ErrorCode::caller_not_found, "no such secret", "secret");
      return std::vector{*WebhookSecret::parse(kSecret)};
    }, random, options);
    deliverer->poke();
  }
  void add(int from, int count, const std::string& host) {
    for (int i = from; i < from + count; ++i) store.add(i, host, clock.wall());
  }
  SimClock clock;
  SimLoop loop{clock};
  SeededRandom random{5};
  Store store;
  Internet internet;
  std::unique_ptr<Deliverer> deliverer;
};

TEST_F(Delivering, TheSameIdAndBodyTravelUntilItIsHeard) {
  internet.receivers["flaky.example"].statuses = {500, 0, 302, 429, 204};
  add(41, 1, "flaky.example");
  begin();
  loop.advance(4h);
  EXPECT_EQ(store.rows[41].last->verdict, Verdict::delivered);
  EXPECT_EQ(store.rows[41].last->attempt, 5u);
  ASSERT_EQ(internet.seen.size(), 1u) << "one id";
  const auto& seen = internet.seen["msg_41"];
  ASSERT_EQ(seen.size(), 5u);
  const WebhookSecret secrets[] = {*WebhookSecret::parse(kSecret)};
  std::set<std::string> times;
  for (const auto& s : seen) {
    EXPECT_EQ(s.body, "{\"id\":41}");
    EXPECT_EQ(s.content_type, "application/json");
    EXPECT_TRUE(verify_webhook(secrets, {s.id, s.timestamp, s.signature}, s.body, WallTime(std::chrono::seconds(std::stoll(s.timestamp)))));
    times.insert(s.timestamp);
  }
  EXPECT_EQ(times.size(), 5u) << "each attempt is signed at its own time";
  EXPECT_GE(seen[1].at - seen[0].at, 5s);
  EXPECT_GE(seen[2].at - seen[1].at, 5min);
  EXPECT_GE(seen[3].at - seen[2].at, 30min);
  loop.advance(24h);
  EXPECT_EQ(seen.size(), 5u) << "and never again";
}

TEST_F(Delivering, ADeadHostEndsInDeadLettersAfterTenAttempts) {
  internet.receivers["dead.example"] = {.takes = 5s, .statuses = {0}};
  add(1, 3, "dead.example");
  begin();
  loop.advance(24h * 5);
  EXPECT_EQ(store.count(Verdict::dead), 3u);
  EXPECT_EQ(internet.seen["msg_1"].size(), 10u);
  EXPECT_EQ(deliverer->stats().dead, 3u);
  EXPECT_EQ(store.rows[1].last->why, "refused");
}

TEST_F(Delivering, OneWhoSaysGoneIsNotAskedAgain) {
  internet.receivers["gone.example"].statuses = {410};
  internet.receivers["busy.example"] = {.statuses = {503, 200}, .retry_after = "600"};
  store.add(1, "gone.example", clock.wall());
  store.add(2, "busy.example", clock.wall());
  begin();
  loop.advance(9min);
  EXPECT_EQ(store.rows[1].last->verdict, Verdict::dead);
  EXPECT_TRUE(store.rows[1].last->disable_endpoint);
  EXPECT_EQ(internet.seen["msg_2"].size(), 1u) << "Retry-After: 600";
  loop.advance(24h);
  EXPECT_EQ(internet.seen["msg_1"].size(), 1u);
  EXPECT_EQ(store.rows[2].last->verdict, Verdict::delivered);
}

TEST_F(Delivering, HostileAddressesAndLostSecretsAreToldClearly) {
  internet.receivers["inside.example"].error = Error{.code = ErrorCode::policy_egress_denied, .message = "requests to inside.example are not allowed", .field = {}};
  store.add(1, "inside.example", clock.wall());
  store.add(2, "fine.example", clock.wall(), "lost");
  store.add(3, "fine.example", clock.wall(), "");
  store.rows[4] = {.row = {.id = 4, .url = "not a url", .body = "{}"}, .due = clock.wall(), .last = {}};
  begin();
  loop.advance(2s);
  EXPECT_EQ(store.rows[1].last->verdict, Verdict::dead);
  EXPECT_EQ(store.rows[1].last->code, ErrorCode::policy_egress_denied);
  EXPECT_EQ(store.rows[2].last->verdict, Verdict::retry);
  EXPECT_EQ(store.rows[2].last->why, "its secret cannot be had: no such secret");
  EXPECT_TRUE(internet.seen["msg_2"].empty()) << "never unsigned by accident";
  EXPECT_EQ(store.rows[3].last->verdict, Verdict::delivered);
  EXPECT_EQ(internet.seen["msg_3"][0].signature, "");
  EXPECT_EQ(store.rows[4].last->verdict, Verdict::dead);
}

TEST_F(Delivering, ASlowHostHoldsUpNobody) {
  for (int h = 0; h < 3; ++h) {
    const auto host = "slow" + std::to_string(h) + ".example";
    internet.receivers[host].takes = 24h;           // until it is cut, after `total`
    add(1 + h * 1'000, 1'000, host);                // due before the others
  }
  add(10'001, 200, "fast.example");
  begin({.at_once = 16, .per_host = 4});
  loop.advance(15s);
  EXPECT_EQ(store.count(Verdict::delivered, "fast.example"), 200u);
  EXPECT_LE(internet.receivers["slow0.example"].most, 4u);
  EXPECT_LE(internet.receivers["fast.example"].most, 4u);
  EXPECT_LE(internet.most, 16u);
  add(20'001, 5, "late.example");
  loop.advance(5s);
  EXPECT_EQ(store.count(Verdict::delivered, "late.example"), 5u);
  loop.advance(10min);
  for (const char* host : {"slow0.example", "slow1.example", "slow2.example"})
    EXPECT_GT(internet.receivers[host].asked, 100u) << "of at most 124: the slow ones get their turns too";
  EXPECT_EQ(internet.receivers["slow0.example"].most, 4u);
}

TEST_F(Delivering, ABurstToAFastHostIsThroughSoon) {
  add(1, 2'000, "fast.example");
  begin();
  loop.advance(30s);
  EXPECT_EQ(store.count(Verdict::delivered), 2'000u);
  for (const auto& [id, seen] : internet.seen) EXPECT_EQ(seen.size(), 1u) << id;
  EXPECT_EQ(internet.receivers["fast.example"].most, 4u);
}

TEST_F(Delivering, ADatabaseThatIsAwayLosesNothing) {
  store.fail_takes = 3;
  store.fail_settles = 2;
  add(1, 1, "fine.example");
  begin();
  loop.advance(10s);
  EXPECT_EQ(store.rows[1].last->verdict, Verdict::delivered);
  EXPECT_EQ(internet.seen["msg_1"].size(), 1u) << "settled again, not sent again";
  store.fail_settles = 100;
  add(2, 1, "fine.example");
  loop.advance(3min);
  EXPECT_FALSE(store.rows[2].last);
  store.fail_settles = 0;
  loop.advance(3s);
  EXPECT_EQ(store.rows[2].last->verdict, Verdict::delivered) << "however long it was away";
  EXPECT_EQ(internet.seen["msg_2"].size(), 1u);
  EXPECT_EQ(deliverer->stats().unsettled, 0u);
}

TEST_F(Delivering, ARowHandedOutTwiceIsSentOnce) {
  internet.receivers["slow.example"].takes = 5s;
  add(1, 1, "slow.example");
  begin();
  loop.advance(2s);
  store.rows[1].taken = false;                       // a lease of the store's own ran out
  loop.advance(20s);
  EXPECT_EQ(internet.seen["msg_1"].size(), 1u);
  EXPECT_EQ(store.rows[1].last->verdict, Verdict::delivered);
}

TEST_F(Delivering, ARowThatIsDueBeforeItsSettlementIsHeardOfIsNotHeldBack) {
  internet.receivers["flaky.example"].statuses = {500, 500, 204};
  add(1, 1, "flaky.example");
  store.told_late = 8s;                              // the first retry is due after five
  begin();
  loop.advance(20s);
  store.told_late = {};
  loop.advance(10min);
  EXPECT_EQ(internet.seen["msg_1"].size(), 3u);
  EXPECT_EQ(store.rows[1].last->verdict, Verdict::delivered);
  EXPECT_EQ(store.rows[1].last->attempt, 3u);
}

TEST_F(Delivering, StoppingEndsWhatItCanAndPutsTheRestBackUncounted) {
  internet.receivers["brisk.example"].takes = 2s;
  internet.receivers["stuck.example"].takes = 24h;
  add(1, 10, "brisk.example");
  add(11, 10, "stuck.example");
  begin();
  loop.advance(1s);
  const auto before = clock.mono();
  loop.run(deliverer->drain(5s));
  EXPECT_LT(clock.mono() - before, 6s);
  EXPECT_EQ(store.count(Verdict::delivered, "brisk"), 4u);
  EXPECT_EQ(store.count(Verdict::put_back), 16u);
  for (const auto& [id, r] : store.rows) {
    EXPECT_FALSE(r.taken) << id;
    if (r.last->verdict == Verdict::put_back) EXPECT_EQ(r.last->attempt, 0u) << id;
  }
  const int takes = store.takes;
  deliverer->poke();
  loop.advance(10s);
  EXPECT_EQ(store.takes, takes);
  EXPECT_EQ(loop.timers(), 0u);
  deliverer.reset();
}

}  // namespace
}  // namespace ballast::work
