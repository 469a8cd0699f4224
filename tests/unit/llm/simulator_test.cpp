#include "llm/simulator/simulator.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"
#include "base/sim_loop.hpp"
#include "llm/errors.hpp"
#include "llm/wire.hpp"
#include "net/sse.hpp"

namespace ballast::llm {
namespace {

using namespace std::chrono_literals;

struct Outcome {
  std::optional<Error> error;
  int status = 0;
  std::string body;
  Duration first_byte{}, took{};
};

struct Bed {
  explicit Bed(SimModel model, std::uint64_t seed = 1) {
    SimConfig config = default_sim_config();
    config.seed = seed;
    config.models["m"] = std::move(model);
    simulator.emplace(std::move(config), clock);
    transport.emplace(*simulator);
  }
  Outcome call(std::string target, std::string body, CancelToken cancel = nullptr, Duration patience = 60s, std::string_view method = "POST",
               std::string type = "application/json") {
    return loop.run(run(std::move(target), std::move(body), cancel, patience, method, std::move(type)));
  }
  Outcome chat(std::string_view more = "", CancelToken cancel = nullptr, Duration patience = 60s) {
    return call("/v1/chat/completions", R"({"model":"m","messages":[{"role":"user","content":"hello simulator"}])" + std::string(more) + "}", cancel, patience);
  }
  Task<Outcome> run(std::string target, std::string body, CancelToken cancel, Duration patience, std::string_view method, std::string type) {
    Outcome out;
    const MonoTime start = clock.mono();
    const net::Url url = *net::parse_url("http://simulator" + target);
    const std::string_view piece = body;
    const net::ClientRequest request{.method = method, .url = &url, .headers = {{"content-type", type}}, .body = net::Pieces(&piece, 1)};
    auto sent = co_await transport->send(loop, request, {.headers = patience}, cancel);
    if (!sent) {
      out.error = sent.error();
      out.took = clock.mono() - start;
      co_return out;
    }
    out.status = (*sent)->head().status;
    for (;;) {
      auto bytes = co_await (*sent)->read_some(clock.mono() + patience);
      if (out.body.empty()) out.first_byte = clock.mono() - start;
      if (!bytes) out.error = bytes.error();
      if (!bytes || bytes->empty()) break;
      out.body += *bytes;
    }
    out.took = clock.mono() - start;
    co_return out;
  }
  SimClock clock;
  SimLoop loop{clock};
  std::optional<Simulator> simulator;
  std::optional<SimTransport> transport;
};

SimModel quick() { return {.name = "m", .ttft = {.low = 20ms}, .tokens_per_second = 1000, .output_tokens = 20}; }
SimModel with(SimFault fault) {
  auto m = quick();
  m.faults.push_back(std::move(fault));
  return m;
}

struct Heard {
  std::string text;
  FinishReason finish = FinishReason::none;
  std::optional<Usage> usage;
  bool failed = false, whole = false;
  int malformed = 0;
};
// What a client of the wire makes of a stream: an event is a block of lines.
Heard hear(Wire wire, std::string_view body) {
  Heard h;
  StreamDecoder decoder(wire);
  std::vector<StreamEvent> events;
  while (!body.empty()) {
    const auto end = body.find("\n\n");
    std::string_view block = body.substr(0, end);
    body = end == std::string_view::npos ? std::string_view{} : body.substr(end + 2);
    std::string_view name, data;
    while (!block.empty()) {
      const auto line = block.substr(0, block.find('\n'));
      block.remove_prefix(std::min(line.size() + 1, block.size()));
      if (line.starts_with("event: ")) name = line.substr(7);
      if (line.starts_with("data: ")) data = line.substr(6);
    }
    if (!data.empty() && !decoder.push(name, data, events)) ++h.malformed;
  }
  h.whole = decoder.finish().has_value();
  for (const auto& e : events) {
    if (const auto* t = std::get_if<TextDelta>(&e)) h.text += t->text;
    if (const auto* f = std::get_if<Finish>(&e)) h.finish = f->reason;
    if (const auto* u = std::get_if<UsageUpdate>(&e)) h.usage = u->usage;
    if (std::holds_alternative<StreamFailure>(e)) h.failed = true;
  }
  return h;
}

struct Spoken { Wire wire; const char *whole_path, *stream_path, *whole, *stream; };
constexpr Spoken kSpoken[] = {
    {Wire::openai_chat, "/v1/chat/completions", "/v1/chat/completions", R"({"model":"m","messages":[{"role":"user","content":"hello simulator"}]})",
     R"({"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hello simulator"}]})"},
    {Wire::openai_responses, "/v1/responses", "/v1/responses", R"({"model":"m","input":"hello simulator"})", R"({"model":"m","stream":true,"input":"hello simulator"})"},
    {Wire::anthropic_messages, "/v1/messages", "/v1/messages", R"({"model":"m","max_tokens":100,"messages":[{"role":"user","content":"hello simulator"}]})",
     R"({"model":"m","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hello simulator"}]})"},
    {Wire::gemini, "/v1beta/models/m:generateContent", "/v1beta/models/m:streamGenerateContent?alt=sse",
     R"({"contents":[{"role":"user","parts":[{"text":"hello simulator"}]}]})", R"({"contents":[{"role":"user","parts":[{"text":"hello simulator"}]}]})"}};

TEST(Simulator, SpeaksEveryWireWholeAndStreamedAndItsBooksAgree) {
  for (const auto& s : kSpoken) {
    Bed bed(quick());
    const auto whole = bed.call(s.whole_path, s.whole);
    ASSERT_EQ(whole.status, 200) << to_string(s.wire) << whole.body;
    const auto document = parse_json(whole.body);
    ASSERT_TRUE(document) << whole.body;
    const auto reply = parse_reply(s.wire, *document);
    ASSERT_TRUE(reply && reply->usage) << to_string(s.wire) << whole.body;
    EXPECT_EQ(reply->usage->output, 20u);
    EXPECT_EQ(reply->usage->input(), 4u) << "15 bytes are 4 tokens";
    const auto stream = bed.call(s.stream_path, s.stream);
    const auto heard = hear(s.wire, stream.body);
    EXPECT_TRUE(heard.whole) << to_string(s.wire) << stream.body;
    EXPECT_EQ(heard.finish, FinishReason::stop);
    EXPECT_EQ(heard.text, std::get<Text>(reply->choices[0].parts[0].body).text) << to_string(s.wire);
    ASSERT_TRUE(heard.usage) << to_string(s.wire);
    EXPECT_EQ(heard.usage->output, 20u) << to_string(s.wire);
    const auto counts = bed.simulator->counts().at("m");
    EXPECT_EQ(counts.requests, 2u);
    EXPECT_EQ(counts.output_tokens, 40u);
    EXPECT_EQ(counts.input_tokens, 8u);
  }
}

TEST(Simulator, TimeIsTheModels) {
  Bed bed(quick());
  const auto out = bed.chat(R"(,"stream":true)");
  EXPECT_GE(out.took, 20ms + 19 * 1ms);
  EXPECT_LE(out.took, 45ms);
}

TEST(Simulator, MaxTokensCutsTheAnswerAndSaysSo) {
  Bed bed(quick());
  const auto heard = hear(Wire::openai_chat, bed.chat(R"(,"stream":true,"max_tokens":5)").body);
  EXPECT_EQ(heard.finish, FinishReason::length);
  EXPECT_EQ(sim_tokens(heard.text), 5u);
}

TEST(Simulator, AnswersByScriptCallsToolsAndFillsSchemas) {
  auto m = quick();
  m.answers = {{.match = "weather", .tool = "look", .arguments = R"({"city":"Oslo"})"}, {.match = "hello", .text = "good day"}};
  Bed bed(m);
  EXPECT_NE(bed.chat().body.find("good day"), std::string::npos);
  const auto tool = bed.call("/v1/chat/completions", R"({"model":"m","messages":[{"role":"user","content":"weather?"}],
    "tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object"}}}]})");
  EXPECT_NE(tool.body.find(R"("tool_calls")"), std::string::npos) << tool.body;
  const auto shaped = bed.call("/v1/chat/completions", R"({"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema",
    "json_schema":{"name":"s","schema":{"type":"object","properties":{"mood":{"enum":["calm"]},"n":{"type":"integer"}}}}}})");
  EXPECT_NE(shaped.body.find(R"({\"mood\":\"calm\",\"n\":0})"), std::string::npos) << shaped.body;
}

TEST(Simulator, RefusalsReadAsTheProvidersOwn) {
  struct Row { SimFaultKind kind; int status; ErrorCode code; };
  const Row rows[] = {{SimFaultKind::http_429, 429, ErrorCode::provider_rate_limited}, {SimFaultKind::http_429_billing, 429, ErrorCode::provider_quota},
                      {SimFaultKind::http_401, 401, ErrorCode::provider_auth},         {SimFaultKind::http_500, 500, ErrorCode::provider_error},
                      {SimFaultKind::http_503, 503, ErrorCode::provider_overloaded},   {SimFaultKind::http_529, 529, ErrorCode::provider_overloaded},
                      {SimFaultKind::context_length, 400, ErrorCode::provider_context_length},
                      {SimFaultKind::content_filter, 400, ErrorCode::provider_content_filter}};
  for (const auto& row : rows) {
    Bed bed(with({.kind = row.kind}));
    const auto out = bed.chat();
    EXPECT_EQ(out.status, row.status);
    EXPECT_EQ(parse_error(Wire::openai_chat, out.status, {}, out.body).code, row.code) << to_string(row.kind) << out.body;
  }
  Bed bed(quick());
  EXPECT_EQ(bed.call("/v1/chat/completions", R"({"model":"nobody","messages":[{"role":"user","content":"x"}]})").status, 404);
  EXPECT_EQ(bed.call("/v1/nowhere", "{}").status, 404);
}

// A provider knows nothing of our codes.
TEST(Simulator, ARefusalIsInTheWordsOfTheProviderItPlays) {
  Bed bed(quick());
  const auto error = [&](const std::string& path, const std::string& body) { return parse_json(bed.call(path, body).body)->at("error").as_object(); };
  const auto field = error("/v1/chat/completions", R"({"model":"m","messages":[{"role":"king","content":"x"}]})");
  EXPECT_EQ(field.at("code"), "invalid_value");
  EXPECT_EQ(field.at("param"), "messages[0].role");
  EXPECT_EQ(field.at("type"), "invalid_request_error");
  EXPECT_EQ(error("/v1/images/generations", R"({"model":"m","n":-1})").at("code"), "invalid_value");
  EXPECT_TRUE(error("/v1/responses", "no JSON").at("code").is_null());
  EXPECT_EQ(error("/v1/responses", R"({"model":"nobody","input":"x"})").at("code"), "model_not_found");
  EXPECT_FALSE(error("/v1/messages", R"({"model":"m","max_tokens":9,"messages":5})").contains("code"));
  EXPECT_EQ(error("/v1beta/models/m:generateContent", R"({"contents":5})").at("status"), "INVALID_ARGUMENT");
  for (const auto& [path, body] : {std::pair{"/v1/messages", R"({"model":"m","max_tokens":9,"messages":5})"}, {"/v1beta/models/m:generateContent", R"({"contents":5})"},
                                   {"/v1/chat/completions", R"({"model":"m","messages":5})"}, {"/v1/embeddings", R"({"model":"m"})"}})
    EXPECT_EQ(bed.call(path, body).body.find("caller_"), std::string::npos) << path;
}

TEST(Simulator, APromptLongerThanTheContextIsRefused) {
  auto m = quick();
  m.context = 2;
  Bed bed(m);
  const auto out = bed.chat();
  EXPECT_EQ(parse_error(Wire::openai_chat, out.status, {}, out.body).code, ErrorCode::provider_context_length);
}

TEST(Simulator, BrokenConnectionsAreNeverMistakenForAnEnd) {
  Bed reset(with({.kind = SimFaultKind::reset}));
  EXPECT_EQ(reset.chat().error.value().code, ErrorCode::provider_unreachable);
  Bed silent(with({.kind = SimFaultKind::silence}));
  const auto none = silent.chat("", nullptr, 3s);
  EXPECT_EQ(none.error.value().code, ErrorCode::provider_timeout);
  EXPECT_EQ(none.error->field, "headers");
  EXPECT_EQ(none.took, 3s);
  for (const char* stream : {"", R"(,"stream":true)"}) {
    Bed cut(with({.kind = SimFaultKind::cut, .after_tokens = 8}));
    EXPECT_EQ(cut.chat(stream).error.value().code, ErrorCode::provider_bad_response) << stream;
    Bed stall(with({.kind = SimFaultKind::stall, .after_tokens = 8}));
    EXPECT_EQ(stall.chat(stream, nullptr, 5s).error.value().field, "read") << stream;
  }
  Bed cut(with({.kind = SimFaultKind::cut, .after_tokens = 8}));
  EXPECT_EQ(sim_tokens(hear(Wire::openai_chat, cut.chat(R"(,"stream":true)").body).text), 8u);
}

TEST(Simulator, StreamFaults) {
  Bed slow(with({.kind = SimFaultKind::slow_first_token, .delay = 20s}));
  EXPECT_GE(slow.chat(R"(,"stream":true)").took, 20s);
  Bed garbled(with({.kind = SimFaultKind::malformed_chunk}));
  const auto g = hear(Wire::openai_chat, garbled.chat(R"(,"stream":true)").body);
  EXPECT_EQ(g.malformed, 1);
  EXPECT_EQ(sim_tokens(g.text), 20u);
  Bed endless(with({.kind = SimFaultKind::missing_terminator}));
  const auto e = endless.chat(R"(,"stream":true)");
  EXPECT_EQ(e.body.find("[DONE]"), std::string::npos);
  EXPECT_TRUE(hear(Wire::openai_chat, e.body).whole);
  Bed failing(with({.kind = SimFaultKind::error_in_stream}));
  const auto f = hear(Wire::openai_chat, failing.chat(R"(,"stream":true)").body);
  EXPECT_TRUE(f.failed);
  EXPECT_EQ(f.finish, FinishReason::none);
  Bed boastful(with({.kind = SimFaultKind::over_report_usage}));
  EXPECT_GT(hear(Wire::openai_chat, boastful.chat(R"(,"stream":true,"stream_options":{"include_usage":true})").body).usage.value().output, 1'000'000u);
}

TEST(Simulator, FaultsFollowTheirSchedule) {
  Bed first(with({.kind = SimFaultKind::http_500, .first = 2}));
  EXPECT_EQ(first.chat().status, 500);
  EXPECT_EQ(first.chat().status, 500);
  EXPECT_EQ(first.chat().status, 200);
  Bed every(with({.kind = SimFaultKind::http_500, .every = 3}));
  std::string seen;
  for (int i = 0; i < 6; ++i) seen += every.chat().status == 500 ? 'x' : '.';
  EXPECT_EQ(seen, "..x..x");
  Bed down(with({.kind = SimFaultKind::http_503, .until = 60s}));
  EXPECT_EQ(down.chat().status, 503);
  down.loop.advance(61s);
  EXPECT_EQ(down.chat().status, 200);
  Bed flapping(with({.kind = SimFaultKind::http_503, .period = 10s}));
  EXPECT_EQ(flapping.chat().status, 503);
  flapping.loop.advance(6s);
  EXPECT_EQ(flapping.chat().status, 200);
  flapping.loop.advance(5s);
  EXPECT_EQ(flapping.chat().status, 503);
}

TEST(Simulator, TheSameSeedTellsTheSameStory) {
  const auto story = [](std::uint64_t seed) {
    Bed bed(with({.kind = SimFaultKind::http_500, .rate = 0.5}), seed);
    std::string out;
    for (int i = 0; i < 40; ++i) out += bed.chat().status == 500 ? 'x' : '.';
    return out;
  };
  EXPECT_EQ(story(7), story(7));
  EXPECT_NE(story(7), story(8));
}

TEST(Simulator, ACancelledCallEndsAtOnce) {
  auto m = quick();
  m.latency.low = 10s;
  Bed bed(m);
  CancelSource cancel;
  Timer timer;
  bed.loop.arm(timer, bed.clock.mono() + 1s, [](void* c) { static_cast<CancelSource*>(c)->cancel(); }, &cancel);
  const auto out = bed.chat("", &cancel);
  EXPECT_EQ(out.error.value().code, ErrorCode::caller_cancelled);
  EXPECT_EQ(out.took, 1s);
}

TEST(Simulator, PrefillIsContinuedOrRefused) {
  const std::string body = R"({"model":"m","max_tokens":50,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"good "}]})";
  auto m = quick();
  m.answer = "good day";
  Bed able(m);
  const auto went_on = able.call("/v1/messages", body);
  EXPECT_NE(went_on.body.find(R"("day")"), std::string::npos) << went_on.body;
  m.prefill = false;
  Bed unable(m);
  EXPECT_EQ(unable.call("/v1/messages", body).status, 400);
}

TEST(Simulator, EmbeddingsImagesModelsAndCounts) {
  Bed bed(quick());
  const auto one = bed.call("/v1/embeddings", R"({"model":"m","input":["a","b"]})");
  EXPECT_EQ(one.body, bed.call("/v1/embeddings", R"({"model":"m","input":["a","b"]})").body);
  EXPECT_NE(bed.call("/v1/images/generations", R"({"model":"m","prompt":"a keel"})").body.find("b64_json"), std::string::npos);
  EXPECT_NE(bed.call("/v1beta/models/m:batchEmbedContents", R"({"requests":[{"content":{"parts":[{"text":"a"}]}},{}]})").body.find(R"("values":)"), std::string::npos);
  EXPECT_NE(bed.call("/v1/models", "", nullptr, 60s, "GET").body.find(R"("id":"m")"), std::string::npos);
  EXPECT_NE(bed.call("/v1/messages/count_tokens", R"({"model":"m"})").body.find("input_tokens"), std::string::npos);
  Bed failing(with({.kind = SimFaultKind::http_500}));
  EXPECT_EQ(failing.call("/v1/embeddings", R"({"model":"m","input":"a"})").status, 500);
}

TEST(Simulator, AnEditIsAFormAndItsImagesAreTokensIn) {
  Bed bed(quick());
  const auto part = [](std::string_view head, std::string_view value) {
    return "--b\r\nContent-Disposition: form-data; " + std::string(head) + "\r\n\r\n" + std::string(value) + "\r\n";
  };
  const auto edit = [&](std::string body) { return bed.call("/v1/images/edits", std::move(body), nullptr, 60s, "POST", "multipart/form-data; boundary=b"); };
  const std::string asked = part("name=\"model\"", "m") + part("name=\"prompt\"", "a red keel") + part("name=\"n\"", "2");
  const auto two = edit(asked + part("name=\"image\"; filename=\"a.png\"", "PNG") + "--b--\r\n");
  EXPECT_NE(two.body.find(R"("usage":{"input_tokens":259,"output_tokens":512,"total_tokens":771,"input_tokens_details":{"text_tokens":3,"image_tokens":256}})"),
            std::string::npos) << two.body;
  EXPECT_EQ(bed.simulator->counts().at("m").input_tokens, 259u);
  EXPECT_EQ(bed.simulator->counts().at("m").images, 2u);
  EXPECT_EQ(edit(asked + "--b--\r\n").status, 400) << "no image";
  const auto as_json = bed.call("/v1/images/edits", R"({"model":"m","prompt":"a red keel","images":[{"image_url":"data:image/png;base64,AA=="}]})");
  EXPECT_NE(as_json.body.find(R"("input_tokens":259,"output_tokens":256)"), std::string::npos) << as_json.body;
  EXPECT_EQ(edit(part("name=\"model\"", "unknown") + "--b--\r\n").status, 404);
  EXPECT_EQ(edit("not a form").status, 400);
  EXPECT_EQ(bed.simulator->counts().at("m").images, 3u);
}

TEST(Simulator, AModelPricedPerImageTellsNoTokensAndCountsImages) {
  auto m = quick();
  m.per_image = Price{40'000'000'000'000};
  Bed bed(m);
  const auto reply = bed.call("/v1/images/generations", R"({"model":"m","prompt":"a keel","n":3})");
  EXPECT_EQ(reply.body.find("usage"), std::string::npos) << reply.body;
  const auto streamed = bed.call("/v1/images/generations", R"({"model":"m","prompt":"a keel","stream":true,"partial_images":1})");
  EXPECT_NE(streamed.body.find("event: image_generation.partial_image\n"), std::string::npos) << streamed.body;
  EXPECT_NE(streamed.body.find("event: image_generation.completed\n"), std::string::npos);
  const auto count = bed.simulator->counts().at("m");
  EXPECT_EQ(count.images, 4u);
  EXPECT_EQ(count.input_tokens + count.output_tokens, 0u);
  EXPECT_EQ(count.cost.nano, 4 * 40'000'000);
}

TEST(Simulator, ItsBooksKnowWhatItWouldHaveCost) {
  auto m = quick();
  m.price = PriceSet{.input = {1'000'000'000}, .output = {2'000'000'000}};
  Bed bed(m);
  bed.chat();
  EXPECT_EQ(bed.simulator->counts().at("m").cost.nano, 4 * 1000 + 20 * 2000);
}

TEST(Simulator, ItsConfigurationIsReadAndMistakesAreNamed) {
  const auto good = parse_config("{ttft: {uniform: [1ms, 2ms]}, latency: {median: 5ms, sigma: 0.3}, faults: [{kind: cut, after_tokens: 4}]}", "t", fixed_environment({}));
  const auto m = parse_sim_model("m", *good);
  EXPECT_TRUE(good->check());
  EXPECT_EQ(m.ttft.kind, SimDelay::Kind::uniform);
  EXPECT_EQ(m.faults.at(0).after_tokens, 4u);
  const auto bad = parse_config("{faults: [{kind: earthquake, rate: 2}], spelling: 1}", "t", fixed_environment({}));
  parse_sim_model("m", *bad);
  EXPECT_EQ(bad->problems().size(), 3u);
}

}  // namespace
}  // namespace ballast::llm
