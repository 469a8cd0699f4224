// A house for tests of the call road on simulated time: two simulated providers that fail on command, everything else real.
// `House::record` reads the journal back and checks what must hold for every call.
#pragma once
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "base/json.hpp"
#include "base/sim_loop.hpp"
#include "gateway/collect.hpp"
#include "gateway/gateway.hpp"
#include "llm/simulator/simulator.hpp"
#include "net/sse.hpp"

namespace ballast::gateway::test {

using namespace std::chrono_literals;
using llm::SimFault;
using llm::SimFaultKind;
using llm::Wire;

inline constexpr Wire kAll[] = {Wire::openai_chat, Wire::openai_responses, Wire::anthropic_messages, Wire::gemini};
inline constexpr std::string_view kSecret = "blst_test";
inline constexpr std::string_view kFirstSays = "The first provider answers this question at some length, in many small pieces, until it is done.";
inline constexpr std::string_view kSecondSays = "The second provider has an answer of its own, and tells it to the very end.";

// The caller: keeps what it is told and checks that it is told in order.
class Caller : public ReplySink {
 public:
  explicit Caller(SimLoop& loop) : loop_(loop) {}
  Scheduler& loop() override { return loop_; }
  CancelToken gone() override { return &gone_; }
  Task<Result<void>> reply(ReplyHead h, std::string_view b) override {
    EXPECT_EQ(replies + begins, 0);
    ++replies;
    head = std::move(h);
    body = b;
    co_return Result<void>{};
  }
  Task<Result<void>> begin(ReplyHead h, std::string_view first) override {
    EXPECT_EQ(replies + begins, 0);
    ++begins;
    head = std::move(h);
    return write(first);
  }
  Task<Result<void>> write(std::string_view b) override {
    EXPECT_TRUE(begins == 1 && ends + aborts == 0);
    body += b;
    if (body.size() >= leave_after) {
      gone_.cancel();
      co_return fail(ErrorCode::caller_cancelled, "gone");
    }
    co_return Result<void>{};
  }
  Task<Result<void>> end(std::string_view last) override {
    EXPECT_TRUE(begins == 1 && ends + aborts == 0);
    body += last;
    ++ends;
    co_return Result<void>{};
  }
  void abort() override { ++aborts; }
  void leave() { gone_.cancel(); }

  std::string header(std::string_view name) const {
    return std::string(head.headers.get(name));
  }

  int replies = 0, begins = 0, ends = 0, aborts = 0;
  std::size_t leave_after = SIZE_MAX;
  ReplyHead head;
  std::string body;

 private:
  SimLoop& loop_;
  CancelSource gone_;
};

// One of the two providers.
struct Upstream {
  llm::Simulator simulator;
  llm::SimTransport transport{simulator};
  Upstream(llm::SimConfig config, const Clock& clock) : simulator(std::move(config), clock) {}
};

// A provider that answers with these bytes, whatever is asked.
class Says final : public net::Transport, public net::ClientResponse {
 public:
  Says(std::string body, std::string type) : body_(std::move(body)) {
    head_.status = 200;
    head_.headers.add("content-type", type);
  }
  Task<Result<std::unique_ptr<net::ClientResponse>>> send(Scheduler&, const net::ClientRequest&, net::Timeouts, CancelToken) override {
    co_return std::make_unique<Says>(*this);
  }
  const net::ResponseHead& head() const override { return head_; }
  Task<Result<std::string_view>> read_some(net::Deadline) override { co_return std::exchange(read_, true) ? std::string_view() : std::string_view(body_); }

 private:
  std::string body_;
  bool read_ = false;
  net::ResponseHead head_;
};

inline llm::SimConfig config(std::string_view answer, std::vector<SimFault> faults, std::uint64_t seed, const std::optional<llm::SimModel>& model = {},
                             double pace = 100) {
  if (model) return {.models = {{"m", *model}}, .seed = seed};
  llm::SimModel m{.name = "m", .answer = std::string(answer), .faults = std::move(faults)};
  m.tokens_per_second = pace;
  m.price = llm::PriceSet{.input = {1'000'000'000}, .output = {2'000'000'000}};
  return {.models = {{"m", std::move(m)}}, .seed = seed};
}

struct Options {
  std::vector<SimFault> first, second;       // faults
  Route route;
  std::vector<BudgetRule> budgets;
  llm::ProviderKind second_kind = llm::ProviderKind::simulator;
  std::uint64_t seed = 1;                    // of the providers' chances
  double second_pace = 100;                  // tokens a second
  std::optional<llm::SimModel> first_model;  // instead of the one that talks
  std::optional<llm::Asking> asking;         // how both are asked for JSON of a schema
  net::Transport* first_transport = nullptr; // instead of the simulator
  std::vector<llm::ModelOverride> prices;    // instead of the simulator's
  std::vector<LimitRule> limits;
  std::vector<CredentialConfig> first_keys;  // of the first provider; empty: it needs none
};

struct House {
  std::filesystem::path dir;
  SimClock clock;
  SimLoop loop{clock};
  metrics::Registry registry;
  KeyRing keys{{.loops = 1}};
  Breakers breakers{clock, {}};
  ResponseCache cache{clock, {}};
  MemoryIdempotencyStore rows;
  Idempotency idempotency{rows, "node/1", clock, {}};
  std::unique_ptr<records::CallJournal> journal;
  Upstream first, second;
  std::unique_ptr<Gateway> gateway;
  std::deque<Caller> callers;
  unsigned served = 0;

  explicit House(Options o) : first(config(kFirstSays, o.first, o.seed, o.first_model), clock), second(config(kSecondSays, o.second, o.seed + 1000, {}, o.second_pace), clock) {
    static unsigned number = 0;
    dir = std::filesystem::temp_directory_path() / ("ballast_road_" + std::to_string(::getpid()) + "_" + std::to_string(++number));
    journal = *records::CallJournal::open({.directory = dir.string(), .sync_every = 0ms, .segment_bytes = 1 << 20, .clock = &clock});
    EXPECT_TRUE(keys.configure({configured_key(kSecret, {.name = "app", .team = "web"})}));
    gateway = std::make_unique<Gateway>(World{clock, keys, breakers, cache, idempotency, *journal, registry}, setup(std::move(o)));
  }
  ~House() {
    gateway.reset();
    journal.reset();
    std::filesystem::remove_all(dir);
  }

  SetupPtr setup(Options o) {
    auto s = std::make_shared<Setup>();
    auto prices = llm::sim_prices("a", first.simulator.config());
    const auto more = llm::sim_prices("b", second.simulator.config());
    prices.insert(prices.end(), more.begin(), more.end());
    prices.insert(prices.end(), o.prices.begin(), o.prices.end());
    s->prices = llm::PriceBook::shipped()->with(prices);
    s->providers["a"] = access("a", llm::ProviderKind::simulator, o.first_transport ? *o.first_transport : first.transport, o.asking, o.first_keys);
    s->providers["b"] = access("b", o.second_kind, second.transport, o.asking, {});
    o.route.name = "chat";
    if (o.route.targets.empty()) o.route.targets = {*target_from("a/m", "t"), *target_from("b/m", "t")};
    s->routes = *RouteTable::create({o.route}, {}, {{"a", {"m"}, false}, {"b", {"m"}, false}});
    s->limits = *Limits::create(std::move(o.limits), clock, {});
    s->queue = std::make_shared<FairQueue>(*s->limits);
    s->budgets = *BudgetBook::create(std::move(o.budgets), clock, {});
    s->access_log = false;
    return s;
  }
  ProviderAccess access(std::string name, llm::ProviderKind kind, net::Transport& transport, std::optional<llm::Asking> asking,
                        std::vector<CredentialConfig> own_keys) {
    llm::ProviderSpec spec{.name = name, .kind = kind, .base = *net::parse_url("http://simulator/v1")};
    spec.quirks.structured = asking;
    spec.timeouts = {.connect = 1s, .headers = 5s, .first_token = 5s, .idle = 5s, .total = 60s};
    return {.spec = std::move(spec), .credentials = *CredentialPool::create(name, std::move(own_keys), clock, {}), .transport = &transport};
  }

  // The caller lives as long as the house.
  const Caller& serve(Call call) {
    auto& caller = callers.emplace_back(loop);
    serve(call, caller);
    return caller;
  }
  void serve(Call call, Caller& caller) {
    call.secret = kSecret;
    ++served;
    loop.run(gateway->serve(call, caller));
    loop.run_until_idle();
  }

  // The last call's record; checks what must hold for every call of the house.
  records::CallRecord record() {
    std::vector<records::CallRecord> outcomes;
    std::vector<records::CallIntent> intents;
    std::set<std::string> ids;
    const auto damaged = records::CallJournal::read_directory(dir.string(), {.intent = [&](const auto& i) { intents.push_back(i); },
                                                                             .outcome = [&](const auto& r) { outcomes.push_back(r); }});
    EXPECT_EQ(damaged.value_or(1), 0u);
    EXPECT_EQ(outcomes.size(), served) << "exactly one outcome a call";
    std::size_t attempts = 0;
    for (const auto& r : outcomes) {
      EXPECT_TRUE(ids.insert(to_string(r.id, "call")).second) << "a second outcome of one call";
      attempts += r.attempts.size();
      std::int64_t sum = 0;
      for (std::size_t i = 0; i < r.attempts.size(); ++i) {
        EXPECT_EQ(r.attempts[i].n, i);
        sum += r.attempts[i].incurred_nano;
      }
      EXPECT_EQ(r.incurred_nano, sum);
      EXPECT_LE(r.billed_nano, r.incurred_nano);
      EXPECT_TRUE(parse_json(r.decision)) << r.decision;
      EXPECT_EQ(r.key_id, "config:app");
      EXPECT_EQ(r.team, "web");
    }
    EXPECT_EQ(intents.size(), attempts) << "an intent before every dispatch";
    for (const auto& i : intents) EXPECT_TRUE(ids.contains(to_string(i.id, "call"))) << "an intent without an outcome";
    return outcomes.empty() ? records::CallRecord{} : outcomes.back();
  }
};

inline std::vector<std::string> steps(const records::CallRecord& r) {
  std::vector<std::string> names;
  const auto parsed = parse_json(r.decision);
  for (const auto& s : parsed->as_array()) names.emplace_back(s.at("step").as_string().c_str());
  return names;
}
inline std::vector<std::string> outcomes(const records::CallRecord& r) {
  std::vector<std::string> names;
  for (const auto& a : r.attempts) names.push_back(a.provider + ":" + a.outcome);
  return names;
}

struct Asked {
  Wire wire = Wire::openai_chat;
  bool stream = false;
  int max_tokens = 100;
  std::string idempotency_key;
  std::string body;

  Call call() {
    const std::string flag = stream ? "true" : "false", most = std::to_string(max_tokens);
    const std::string hi = R"([{"role":"user","content":"hi"}])";
    Call c{.wire = wire};
    switch (wire) {
      case Wire::openai_chat:
        body = R"({"model":"chat","max_tokens":)" + most + R"(,"stream":)" + flag + R"(,"messages":)" + hi + "}";
        break;
      case Wire::openai_responses:
        c.operation = llm::Operation::responses;
        body = R"({"model":"chat","max_output_tokens":)" + most + R"(,"stream":)" + flag + R"(,"input":"hi"})";
        break;
      case Wire::anthropic_messages:
        c.operation = llm::Operation::messages;
        body = R"({"model":"chat","max_tokens":)" + most + R"(,"stream":)" + flag + R"(,"messages":)" + hi + "}";
        break;
      case Wire::gemini:
        c.operation = llm::Operation::generate;
        c.path_model = "chat";
        c.path_stream = stream;
        body = R"({"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":)" + most + "}}";
        break;
    }
    c.content_type = "application/json";
    c.body = body;
    c.idempotency_key = idempotency_key;
    return c;
  }
};

struct Heard {
  std::string text;
  bool whole = false;
  std::optional<Error> failure;
};
// What a caller was streamed. `whole`: and to its end.
inline std::vector<llm::StreamEvent> streamed(Wire wire, const Caller& caller, bool& whole) {
  net::SseParser parser;
  parser.push(caller.body);
  llm::StreamDecoder decoder(wire);
  std::vector<llm::StreamEvent> events;
  for (auto e = parser.next(); e && *e; e = parser.next())
    if ((*e)->has_data) EXPECT_TRUE(decoder.push((*e)->event, (*e)->data, events)) << (*e)->data;
  whole = decoder.finish().has_value() && caller.ends == 1;
  return events;
}

// What a client of the wire makes of the answer, whichever form it took.
inline Heard hear(Wire wire, const Caller& caller) {
  Heard heard;
  if (caller.begins == 0) {
    const auto document = parse_json(caller.body);
    const auto reply = document ? llm::parse_reply(wire, *document) : Result<llm::ChatReply>(fail(document.error()));
    heard.whole = caller.replies == 1 && reply.has_value();
    if (!reply) heard.failure = reply.error();
    if (reply)
      for (const auto& choice : reply->choices)
        for (const auto& part : choice.parts)
          if (const auto* t = std::get_if<llm::Text>(&part.body)) heard.text += t->text;
    return heard;
  }
  for (const auto& e : streamed(wire, caller, heard.whole)) {
    if (const auto* t = std::get_if<llm::TextDelta>(&e)) heard.text += t->text;
    if (const auto* f = std::get_if<llm::StreamFailure>(&e)) heard.failure = f->error;
  }
  return heard;
}

inline std::int64_t cost_of(const llm::Simulator& simulator) {
  const auto counts = simulator.counts();
  const auto m = counts.find("m");
  return m == counts.end() ? 0 : m->second.cost.nano;
}

}  // namespace ballast::gateway::test
