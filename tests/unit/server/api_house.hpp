// The native routes without sockets: a request in, an answer out; the database and the journal are real, time is simulated.
#pragma once
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>

#include "../../support/records_samples.hpp"
#include "../../support/temp_dir.hpp"
#include "../../support/waiting_loop.hpp"
#include "base/json.hpp"
#include "cluster/members.hpp"
#include "gateway/gateway.hpp"
#include "records/ledger.hpp"
#include "records/migrations.hpp"
#include "server/refused_keys.hpp"
#include "server/server.hpp"
#include "server/sessions.hpp"
#include "server/state_metrics.hpp"

namespace ballast::server::test {

using namespace std::chrono_literals;

class Asked final : public net::Exchange {
 public:
  Asked(Scheduler& loop, std::string method, std::string target, std::string secret, std::string body, std::string peer)
      : loop_(loop), method_(std::move(method)), target_(std::move(target)), body_(std::move(body)), peer_(std::move(peer)) {
    const std::string_view all = target_;
    head_.method = method_;
    head_.target = all;
    head_.path = all.substr(0, all.find('?'));
    if (const auto at = all.find('?'); at != all.npos) head_.query = all.substr(at + 1);
    if (!secret.empty()) head_.headers.add("authorization", "Bearer " + secret);
  }
  void add(std::string_view name, std::string_view value) { head_.headers.add(name, value); }
  const net::RequestHead& request() const override { return head_; }
  std::string_view body() const override { return body_; }
  std::string_view peer() const override { return peer_; }
  Scheduler& loop() override { return loop_; }
  CancelToken gone() override { return &gone_; }
  Task<Result<void>> respond(int code, const net::Headers& headers, net::Pieces pieces) override {
    EXPECT_EQ(status, 0) << "answered once";
    status = code;
    type = headers.get("content-type");
    allow = headers.get("allow");
    told = headers;
    for (const auto piece : pieces) answer.append(piece);
    co_return Result<void>{};
  }
  Task<Result<void>> start_stream(int code, const net::Headers& headers, std::string_view first) override {
    status = code;
    type = headers.get("content-type");
    answer = first;
    co_return Result<void>{};
  }
  // `on_write` sees each piece, and says whether the client still reads.
  Task<Result<void>> write(net::Pieces pieces) override {
    std::string all;
    for (const auto piece : pieces) all.append(piece);
    answer += all;
    if (on_write && !on_write(all)) co_return fail(ErrorCode::caller_cancelled, "gone");
    co_return Result<void>{};
  }
  Task<Result<void>> finish(std::string_view last) override {
    answer.append(last);
    finished = true;
    co_return Result<void>{};
  }
  void abort() override { aborted = true; }
  bool started() const override { return status != 0; }
  int status = 0;
  std::string type, answer, allow;
  net::Headers told;
  std::function<bool(std::string_view)> on_write;
  bool finished = false, aborted = false;

 private:
  Scheduler& loop_;
  std::string method_, target_, body_, peer_;
  net::RequestHead head_;
  CancelSource gone_;
};

struct Answer {
  int status = 0;
  std::string type, text, allow = {};
  net::Headers headers = {};
  json::value body() const { return parse_json(text).value_or(json::value(json::object{})); }
  // A member of a problem, or of an answer; empty if it is not there.
  std::string at(std::string_view name) const {
    const json::value v = body();
    const auto* o = v.if_object();
    const auto* m = o ? o->if_contains(name) : nullptr;
    return !m ? std::string() : m->is_string() ? std::string(m->get_string()) : to_json(*m);
  }
  std::size_t count(std::string_view list) const {
    const json::value v = body();
    return v.as_object().at(list).as_array().size();
  }
};

inline constexpr std::string_view kAdmin = "sk-admin-0123456789abcdef", kReader = "sk-read-0123456789abcdef", kCaller = "sk-call-0123456789abcdef",
                                  kWatcher = "sk-usage-0123456789abcdef";

struct House {
  ballast::test::TempDir folder;
  SimClock clock{WallTime(std::chrono::milliseconds(ballast::test::kNoonMs) + 2h)};
  ballast::test::WaitingLoop loop{clock};
  metrics::Registry registry;
  std::unique_ptr<store::Database> database = std::move(*store::open_database("sqlite:" + (folder / "test.db")));
  gateway::KeyRing keys{{.loops = 1}};
  gateway::Breakers breakers{clock, {}};
  gateway::ResponseCache cache{clock, {}};
  std::unique_ptr<gateway::IdempotencyStore> rows = gateway::database_idempotency_store(*database);
  gateway::Idempotency idempotency{*rows, "node/1", clock, {}};
  std::unique_ptr<records::CallJournal> journal = std::move(*records::CallJournal::open({.directory = folder / "journal", .segment_bytes = 1 << 20, .clock = &clock}));
  std::unique_ptr<gateway::Gateway> gateway;
  std::unique_ptr<Api> api;
  Sessions sessions{keys, {}};
  RefusedKeys refused{registry, {}};

  explicit House(std::vector<gateway::BudgetRule> budgets = {}) {
    EXPECT_TRUE(database->migrate(records::migrations()));
    EXPECT_TRUE(database->migrate(cluster::migrations()));
    const auto key = [](std::string_view secret, std::string name, gateway::Scope scope) {
      gateway::KeyInfo info{.name = std::move(name)};
      info.scopes.bits = static_cast<std::uint8_t>(scope);
      return gateway::configured_key(secret, std::move(info));
    };
    EXPECT_TRUE(keys.configure({gateway::admin_key(kAdmin), key(kReader, "reader", gateway::Scope::read), key(kCaller, "caller", gateway::Scope::call),
                                key(kWatcher, "watcher", gateway::Scope::usage)}));
    auto setup = std::make_shared<gateway::Setup>();
    setup->prices = llm::PriceBook::shipped();
    setup->routes = *gateway::RouteTable::create({}, {}, {});
    setup->limits = *gateway::Limits::create({}, clock, {});
    setup->queue = std::make_shared<gateway::FairQueue>(*setup->limits);
    setup->budgets = *gateway::BudgetBook::create(std::move(budgets), clock, {});
    gateway = std::make_unique<gateway::Gateway>(gateway::World{clock, keys, breakers, cache, idempotency, *journal, registry}, setup);
    export_state(registry, *gateway, *database);
    Parts parts{*gateway, *database, registry, clock, "test"};
    parts.sessions = &sessions;
    parts.refused = &refused;
    api = std::make_unique<Api>(std::move(parts));
  }
  Answer ask(std::string method, std::string target, std::string_view secret = {}, std::string body = {}, std::string peer = "192.0.2.7:5000") {
    Asked asked(loop, std::move(method), std::move(target), std::string(secret), std::move(body), std::move(peer));
    loop.run(api->handle(asked));
    return {asked.status, asked.type, asked.answer, asked.allow, asked.told};
  }
  // With these headers, from a browser of another machine.
  Answer browse(std::string method, std::string target, net::Headers headers, std::string body = {}) {
    Asked asked(loop, std::move(method), std::move(target), {}, std::move(body), "192.0.2.7:5000");
    for (const auto& [name, value] : headers) asked.add(name, value);
    loop.run(api->handle(asked));
    return {asked.status, asked.type, asked.answer, asked.allow, asked.told};
  }
  // As `ask`; `on_write` sees what is streamed. Was it cut off?
  std::pair<bool, std::string> stream(std::string target, std::string_view secret, std::function<bool(std::string_view)> on_write) {
    Asked asked(loop, "GET", std::move(target), std::string(secret), {}, "192.0.2.7:5000");
    asked.on_write = std::move(on_write);
    loop.run(api->handle(asked));
    return {asked.aborted && !asked.finished, asked.answer};
  }
  // Calls of a key into the ledger, one a minute.
  void calls(std::string_view key, std::uint64_t from, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      auto call = ballast::test::sample_call(from + i, static_cast<std::int64_t>(i) * 60'000);
      call.key_id = key;
      EXPECT_TRUE(database->write_now([&](store::Tx& tx) { return records::add_calls(tx, {&call, 1}); }));
    }
  }
};

// A problem (RFC 9457) of this status about this field.
inline void expect_problem(const Answer& a, int status, std::string_view field, std::string_view what = {}) {
  EXPECT_EQ(a.status, status) << what << " " << a.text;
  EXPECT_EQ(a.type, "application/problem+json") << what;
  EXPECT_EQ(a.at("field"), field) << what << " " << a.text;
  EXPECT_FALSE(a.at("detail").empty()) << what;
}

}  // namespace ballast::server::test
