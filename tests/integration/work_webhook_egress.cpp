// Webhooks over real sockets: a hostile URL is a dead letter with its reason and reaches nothing; the one that the operator allowed is delivered, signed.
#include <mutex>
#include <set>

#include "../unit/net/world.hpp"
#include "work/webhook_deliverer.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;

struct Rows final : OutboxStore {
  std::vector<OutboxRow> due;
  std::map<std::int64_t, Delivery> settled;
  std::function<void()> told;
  Task<Result<std::vector<OutboxRow>>> take_due(WallTime, std::size_t) override { co_return std::exchange(due, {}); }
  Task<Result<void>> settle(std::int64_t id, Delivery outcome) override {
    settled[id] = std::move(outcome);
    told();
    co_return Result<void>{};
  }
};

TEST(WebhookEgress, HostileUrlsReachNothingAndSayWhy) {
  std::mutex mutex;
  std::vector<std::string> bodies, signatures;
  net::test::World receiver([&](net::Exchange& ex) -> Task<void> {
    {
      const std::lock_guard lock(mutex);
      bodies.emplace_back(ex.body());
      signatures.emplace_back(ex.request().headers.get("webhook-signature"));
    }
    const net::Headers headers{{"location", "http://169.254.169.254/"}};
    (void)co_await ex.respond(ex.request().path == "/moved" ? 302 : 200, headers, "hello");
  });
  const std::string port = ":" + std::to_string(receiver.port());
  SystemClock clock;
  net::LoopGroup loops(1, clock);
  net::Client client(loops, {.egress = std::make_shared<const net::EgressPolicy>(*net::EgressPolicy::parse({"127.0.0.1" + port}))});
  loops.start();
  net::Loop& loop = loops.at(0);
  const std::string secret = WebhookSecret::make();
  Rows rows;
  const char* hostile[] = {"http://localhost", "http://2130706433", "http://[::1]", "http://0x7f.1", "http://169.254.169.254", "http://127.0.0.2"};
  std::int64_t id = 0;
  for (const char* url : hostile) rows.due.push_back({.id = ++id, .url = url + port + "/", .body = "{}", .secret_ref = "s"});
  rows.due.push_back({.id = 100, .url = "http://127.0.0.1" + port + "/fine", .body = R"({"type":"job.done"})", .secret_ref = "s"});
  rows.due.push_back({.id = 101, .url = "http://127.0.0.1" + port + "/moved", .body = "{}", .secret_ref = "s"});
  std::promise<void> all;
  rows.told = [&, left = rows.due.size()]() mutable { if (--left == 0) all.set_value(); };
  SeededRandom random(1);
  std::unique_ptr<Deliverer> deliverer;
  net::test::run<int>(loop, [&]() -> Task<int> {
    deliverer = std::make_unique<Deliverer>(loop, client, rows, [&](std::string_view) -> Result<std::vector<WebhookSecret>> { return std::vector{*WebhookSecret::parse(secret)}; },
                                            random, DelivererOptions{.total = 60s});
    deliverer->poke();
    co_return 0;
  });
  all.get_future().wait();
  net::test::run<int>(loop, [&]() -> Task<int> {
    co_await deliverer->drain(60s);
    deliverer.reset();
    co_return 0;
  });
  for (std::int64_t i = 1; i <= id; ++i) {
    EXPECT_EQ(rows.settled[i].verdict, Delivery::Verdict::dead) << i;
    EXPECT_EQ(rows.settled[i].code, ErrorCode::policy_egress_denied) << i;
    EXPECT_NE(rows.settled[i].why.find("not allowed"), std::string::npos) << rows.settled[i].why;
  }
  EXPECT_EQ(rows.settled[100].verdict, Delivery::Verdict::delivered);
  EXPECT_EQ(rows.settled[101].verdict, Delivery::Verdict::retry) << "redirects are not followed";
  EXPECT_EQ(rows.settled[101].status, 302);
  EXPECT_EQ((std::multiset<std::string>(bodies.begin(), bodies.end())), (std::multiset<std::string>{"{}", R"({"type":"job.done"})"}));
  for (const auto& signature : signatures) EXPECT_TRUE(signature.starts_with("v1,"));
}

}  // namespace
}  // namespace ballast::work
