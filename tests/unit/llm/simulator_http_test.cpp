// The simulator behind a real socket: what `ballast simulate` does to a client, byte by byte. And the faults that the
// in-process tests leave out, on every wire.
#include <gtest/gtest.h>

#include <future>

#include "base/json.hpp"
#include "base/sim_loop.hpp"
#include "llm/errors.hpp"
#include "llm/simulator/simulator.hpp"
#include "llm/wire.hpp"
#include "net/client.hpp"
#include "net/server.hpp"
#include "net/sse.hpp"

namespace ballast::llm {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kStreamed = R"({"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]})";
constexpr std::string_view kWhole = R"({"model":"m","messages":[{"role":"user","content":"hello"}]})";

struct Outcome {
  std::optional<Error> error;
  int status = 0;
  std::string body;
};

Task<Outcome> exchange(net::Transport& transport, Scheduler& loop, net::Url url, std::string body, Duration patience, std::string_view method) {
  Outcome out;
  const std::string_view piece = body;
  net::ClientRequest request{.method = method, .url = &url, .headers = {{"content-type", "application/json"}}, .replay_safe = false};
  if (!body.empty()) request.body = net::Pieces(&piece, 1);
  auto sent = co_await transport.send(loop, request, {.connect = 5s, .headers = patience}, nullptr);
  if (!sent) co_return Outcome{.error = sent.error()};
  out.status = (*sent)->head().status;
  for (;;) {
    const auto bytes = co_await (*sent)->read_some(net::deadline_after(loop, patience));
    if (!bytes) out.error = bytes.error();
    if (!bytes || bytes->empty()) co_return out;
    out.body += *bytes;
  }
}

SimModel quick(std::optional<SimFaultKind> fault = {}) {
  SimModel m{.name = "m", .ttft = {}, .tokens_per_second = 0, .output_tokens = 20};
  if (fault) m.faults.push_back({.kind = *fault});
  return m;
}

SimConfig only(SimModel model) {
  SimConfig config;
  config.models["m"] = std::move(model);
  return config;
}

struct Http {
  explicit Http(SimModel model) : simulator(only(std::move(model)), clock), handler(simulator), loops(1, clock), client(loops, {}), server(loops, {}, handler) {
    loops.start();
  }
  Outcome call(std::string_view path, std::string_view body, Duration patience = 5s, std::string_view method = "POST") {
    std::promise<Outcome> promise;
    auto root = [](Http& http, std::string p, std::string b, Duration wait, std::string_view how, std::promise<Outcome>& done) -> Task<void> {
      const auto url = net::parse_url("http://127.0.0.1:" + std::to_string(http.server.port()) + p);
      done.set_value(co_await exchange(http.client, http.loops.at(0), *url, std::move(b), wait, how));
    };
    loops.at(0).post([&] { detach(root(*this, std::string(path), std::string(body), patience, method, promise), [](std::exception_ptr) { std::terminate(); }); });
    return promise.get_future().get();
  }
  SystemClock clock;
  Simulator simulator;
  SimHandler handler;
  net::LoopGroup loops;
  net::Client client;
  net::Server server;
};

TEST(SimulatorHttp, AnswersOverASocketAndTellsItsBooks) {
  Http http(quick());
  const auto whole = http.call("/v1/chat/completions", kWhole);
  EXPECT_EQ(whole.status, 200);
  ASSERT_TRUE(parse_json(whole.body)) << whole.body;
  const auto stream = http.call("/v1/chat/completions", kStreamed);
  EXPECT_FALSE(stream.error);
  EXPECT_TRUE(stream.body.ends_with("data: [DONE]\n\n")) << stream.body;
  const auto books = parse_json(http.call("/sim/counts", "", 5s, "GET").body);
  ASSERT_TRUE(books);
  EXPECT_EQ(books->at("m").at("requests"), json::value(2));
  EXPECT_EQ(books->at("m").at("output_tokens"), json::value(40));
  EXPECT_EQ(http.call("/healthz", "", 5s, "GET").status, 200);
  EXPECT_EQ(http.call("/nowhere", "{}").status, 404);
}

TEST(SimulatorHttp, AResetIsAConnectionThatDies) {
  Http http(quick(SimFaultKind::reset));
  const auto out = http.call("/v1/chat/completions", kWhole);
  ASSERT_TRUE(out.error);
  EXPECT_TRUE(out.error->code == ErrorCode::provider_unreachable || out.error->code == ErrorCode::provider_bad_response) << describe(*out.error);
}

TEST(SimulatorHttp, SilenceIsAHeadThatNeverComesAndHangsUpWithItsClient) {
  Http http(quick(SimFaultKind::silence));
  const auto out = http.call("/v1/chat/completions", kWhole, 100ms);
  ASSERT_TRUE(out.error);
  EXPECT_EQ(out.error->code, ErrorCode::provider_timeout);
  EXPECT_EQ(out.error->field, "headers");
  EXPECT_TRUE(http.server.drain(5s)) << "the handler still waits for a client that has left";
}

TEST(SimulatorHttp, ACutStreamIsNeverACleanEnd) {
  for (const auto kind : {SimFaultKind::cut, SimFaultKind::wrong_content_length})
    for (const auto body : {kWhole, kStreamed}) {
      Http http(quick(kind));
      const auto out = http.call("/v1/chat/completions", body);
      EXPECT_EQ(out.status, 200);
      ASSERT_TRUE(out.error) << to_string(kind) << out.body;
      EXPECT_EQ(out.error->code, ErrorCode::provider_bad_response);
      EXPECT_FALSE(parse_json(out.body));
    }
}

TEST(SimulatorHttp, AStallKeepsTheConnectionAndSaysNothing) {
  Http http(quick(SimFaultKind::stall));
  const auto out = http.call("/v1/chat/completions", kStreamed, 200ms);
  EXPECT_EQ(out.status, 200);
  ASSERT_TRUE(out.error);
  EXPECT_EQ(out.error->code, ErrorCode::provider_timeout);
  EXPECT_EQ(out.error->field, "read");
  EXPECT_NE(out.body.find("data: "), std::string::npos);
}

// ---- in process, on simulated time ---------------------------------------------------------------------------

struct Spoken { Wire wire; const char *path, *body; };
constexpr Spoken kSpoken[] = {
    {Wire::openai_chat, "/v1/chat/completions", R"({"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]})"},
    {Wire::openai_responses, "/v1/responses", R"({"model":"m","stream":true,"input":"hello"})"},
    {Wire::anthropic_messages, "/v1/messages", R"({"model":"m","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hello"}]})"},
    {Wire::gemini, "/v1beta/models/m:streamGenerateContent?alt=sse", R"({"contents":[{"role":"user","parts":[{"text":"hello"}]}]})"}};

Outcome in_process(SimModel model, const Spoken& s, Duration patience = 30s) {
  SimClock clock;
  SimLoop loop(clock);
  Simulator simulator(only(std::move(model)), clock);
  SimTransport transport(simulator);
  return loop.run(exchange(transport, loop, *net::parse_url(std::string("http://simulator") + s.path), s.body, patience, "POST"));
}

struct Heard {
  std::uint64_t tokens = 0;
  int malformed = 0;
  bool whole = false, failed = false;
};

Heard hear(Wire wire, std::string_view body) {
  Heard h;
  net::SseParser parser;
  StreamDecoder decoder(wire);
  std::vector<StreamEvent> events;
  parser.push(body);
  for (auto e = parser.next(); e && *e; e = parser.next())
    if ((*e)->has_data && !decoder.push((*e)->event, (*e)->data, events)) ++h.malformed;
  h.whole = decoder.finish().has_value();
  for (const auto& event : events) {
    if (const auto* text = std::get_if<TextDelta>(&event)) h.tokens += sim_tokens(text->text);
    h.failed = h.failed || std::holds_alternative<StreamFailure>(event);
  }
  return h;
}

TEST(SimulatorFaults, OnEveryWireABrokenStreamIsSeenToBeBroken) {
  for (const auto& s : kSpoken) {
    const auto cut = in_process(quick(SimFaultKind::cut), s);
    EXPECT_TRUE(cut.error) << to_string(s.wire);
    EXPECT_EQ(hear(s.wire, cut.body).tokens, 8u) << to_string(s.wire);
    EXPECT_FALSE(hear(s.wire, cut.body).whole) << to_string(s.wire);
    EXPECT_EQ(in_process(quick(SimFaultKind::stall), s).error.value().field, "read") << to_string(s.wire);

    const auto failing = hear(s.wire, in_process(quick(SimFaultKind::error_in_stream), s).body);
    EXPECT_TRUE(failing.failed) << to_string(s.wire);
    EXPECT_FALSE(failing.whole) << to_string(s.wire);

    const auto garbled = hear(s.wire, in_process(quick(SimFaultKind::malformed_chunk), s).body);
    EXPECT_EQ(garbled.malformed, 1) << to_string(s.wire);
    EXPECT_EQ(garbled.tokens, 20u) << to_string(s.wire);
  }
}

TEST(SimulatorFaults, OnEveryWireARefusalHasTheProvidersStatusAndADelayIsTold) {
  struct Row { SimFaultKind kind; int status; };
  for (const Row row : {Row{SimFaultKind::http_500, 500}, {SimFaultKind::http_502, 502}, {SimFaultKind::http_503, 503}, {SimFaultKind::http_504, 504}}) {
    for (const auto& s : kSpoken) {
      const auto out = in_process(quick(row.kind), s);
      EXPECT_EQ(out.status, row.status) << to_string(s.wire);
      const Error error = parse_error(s.wire, out.status, {}, out.body);
      EXPECT_TRUE(error.code == ErrorCode::provider_error || error.code == ErrorCode::provider_overloaded || error.code == ErrorCode::provider_timeout)
          << to_string(row.kind) << " " << describe(error);
    }
  }
  SimRequest request{.body = kWhole};
  SimModel model = quick();
  model.faults.push_back({.kind = SimFaultKind::http_429, .retry_after = 1500ms});
  SeededRandom random(1);
  const SimScript script = plan(request, only(model), 1, {}, 0, random);
  const auto* head = std::get_if<SimHead>(&script.steps.at(1));
  ASSERT_TRUE(head);
  const auto has = [&](std::string_view name, std::string_view value) {
    return std::ranges::any_of(head->headers, [&](const auto& h) { return h.first == name && h.second == value; });
  };
  EXPECT_TRUE(has("retry-after", "2"));                // whole seconds, never too early
  EXPECT_TRUE(has("retry-after-ms", "1500"));
  EXPECT_EQ(script.output_tokens, 0u) << "a refusal serves nothing";
}

TEST(SimulatorFaults, APrefillIsRejectedOnlyWhereThereIsOne) {
  SimModel model = quick(SimFaultKind::prefill_rejected);
  const Spoken with{Wire::anthropic_messages, "/v1/messages",
                    R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]})"};
  EXPECT_EQ(in_process(model, with).status, 400);
  EXPECT_EQ(in_process(model, kSpoken[2]).status, 200);
}

TEST(SimulatorFaults, EveryKindHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(SimFaultKind::wrong_content_length); ++i) {
    const auto kind = static_cast<SimFaultKind>(i);
    EXPECT_EQ(sim_fault_from(to_string(kind)), kind);
    names.insert(to_string(kind));
  }
  EXPECT_EQ(names.size(), 21u);
  EXPECT_FALSE(sim_fault_from("earthquake"));
}

TEST(SimulatorFaults, ThePlanIsAFunctionOfItsSeed) {
  SimModel model = quick();
  model.latency = {.kind = SimDelay::Kind::lognormal, .low = 10ms, .high = {}, .sigma = 0.5};
  model.ttft = {.kind = SimDelay::Kind::uniform, .low = 1ms, .high = 100ms};
  const auto bytes = [&](std::uint64_t seed) {
    SeededRandom random(seed);
    const SimScript script = plan({.body = kStreamed}, only(model), 1, {}, 1'767'225'600, random);
    std::string out;
    for (const auto& step : script.steps) {
      if (const auto* b = std::get_if<SimBytes>(&step)) out += b->bytes;
      if (const auto* w = std::get_if<SimWait>(&step)) out += std::to_string(w->time.count()) + ";";
    }
    return out;
  };
  EXPECT_EQ(bytes(7), bytes(7));
  EXPECT_NE(bytes(7), bytes(8));
}

}  // namespace
}  // namespace ballast::llm
