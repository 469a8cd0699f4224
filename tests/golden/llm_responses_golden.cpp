// Translated replies of the Responses API, held to what OpenAI publishes of them and to what its own replies repeat.
#include <gtest/gtest.h>

#include "../support/openapi.hpp"
#include "../support/unzipped.hpp"
#include "llm/recordings.hpp"
#include "llm/wire.hpp"

namespace ballast::llm {
namespace {

constexpr Wire kResponses = Wire::openai_responses;
constexpr std::string_view kAsked =
    R"({"model":"chat","input":"hi","instructions":"be brief","temperature":0.5,"top_p":0.9,"max_output_tokens":77,"metadata":{"feature":"f"},
        "tools":[{"type":"function","name":"now"},{"type":"function","name":"add","description":"d","strict":true,"parameters":{"type":"object"}}],
        "tool_choice":{"type":"function","name":"now"},"parallel_tool_calls":false,"reasoning":{"effort":"low"},"user":"ann",
        "text":{"format":{"type":"json_schema","name":"s","schema":{"type":"object"}},"verbosity":"low"},"truncation":"auto","store":true,
        "service_tier":"flex","safety_identifier":"id","prompt_cache_key":"k"})";

// The published description; null where it is absent.
const json::value& published() {
  static const json::value document = [] {
    const auto text = test::slurp(std::string(BALLAST_SHARED_DATA) + "/api-specs/openai.openapi.json.gz").empty()
                          ? std::string("null")
                          : ballast::test::unzipped(std::string(BALLAST_SHARED_DATA) + "/api-specs/openai.openapi.json.gz");
    return *parse_json(text);
  }();
  return document;
}
#define NEED_DESCRIPTION() \
  if (published().is_null()) GTEST_SKIP() << "no API description under " << BALLAST_SHARED_DATA << "/api-specs"

TEST(GoldenResponses, TranslatedRepliesAreWhatThePublishedSchemaSays) {
  NEED_DESCRIPTION();
  const ballast::test::OpenApi api(published());
  std::size_t checked = 0;
  for (const auto& r : test::recordings()) {
    if (r.reply.empty() || r.status >= 400 || r.wire == kResponses) continue;
    SCOPED_TRACE(r.dir);
    const auto reply = parse_reply(r.wire, *parse_json(r.reply));
    ASSERT_TRUE(reply);
    if (reply->choices.size() > 1) continue;
    for (const auto request : {std::string_view(R"({"model":"chat","input":"hi"})"), kAsked}) {
      auto written = write_reply(kResponses, *reply);
      ASSERT_TRUE(written);
      repeat_request(kResponses, *written, request);
      EXPECT_EQ(api.fault(json::value(*written), "Response"), "") << to_json(json::value(*written));
    }
    ++checked;
  }
  std::cout << "replies held to the schema: " << checked << "\n";
  EXPECT_GT(checked, 200u);
}

TEST(GoldenResponses, TranslatedStreamsAreWhatThePublishedSchemaSays) {
  NEED_DESCRIPTION();
  const ballast::test::OpenApi api(published());
  std::size_t checked = 0, repeated = 0;
  for (const auto& r : test::recordings()) {
    if (r.stream.empty() || r.status >= 400 || r.wire == kResponses) continue;
    SCOPED_TRACE(r.dir);
    StreamDecoder decoder(r.wire);
    StreamEncoder encoder(kResponses, {.request = kAsked});
    std::vector<StreamEvent> events;
    for (const auto& e : test::events_of(r.stream)) ASSERT_TRUE(decoder.push(e.event, e.data, events));
    std::string bytes;
    for (const auto& e : events) encoder.push(e, bytes);
    encoder.finish(bytes);
    for (const auto& e : test::events_of(bytes)) {
      const auto data = *parse_json(e.data);
      EXPECT_EQ(api.fault(data, "ResponseStreamEvent"), "") << e.data;
      ++checked;
      const auto* response = data.as_object().if_contains("response");
      if (response == nullptr) continue;
      ++repeated;
      EXPECT_EQ(response->at("instructions"), "be brief") << e.data;
      EXPECT_EQ(response->at("tools").as_array().size(), 2u);
    }
  }
  std::cout << "stream events held to the schema: " << checked << ", with a response: " << repeated << "\n";
  EXPECT_GT(checked, 1000u);
}

// Is `ours` in `theirs`? What is left open (null, auto) theirs may have filled in, and theirs may say more (tools found in the input).
bool within(const json::value& ours, const json::value& theirs) {
  if (ours.is_null() || ours == "auto") return true;
  if (ours.is_number() && theirs.is_number()) return ours.to_number<double>() == theirs.to_number<double>();
  if (ours.is_array() && theirs.is_array()) {
    const auto &a = ours.get_array(), &b = theirs.get_array();
    return a.size() <= b.size() && std::equal(a.begin(), a.end(), b.begin(), within);
  }
  if (!ours.is_object() || !theirs.is_object()) return ours == theirs;
  return std::ranges::all_of(ours.get_object(), [&](const auto& member) {
    const auto* other = theirs.get_object().if_contains(member.key());
    return other != nullptr ? within(member.value(), *other) : member.value().is_null();
  });
}

bool among(std::initializer_list<std::string_view> names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

// What OpenAI itself repeats of recorded requests is what we would.
TEST(GoldenResponses, RepeatWhatOpenAiRepeats) {
  std::size_t checked = 0;
  for (const auto& r : test::recordings()) {
    if (r.wire != kResponses || !r.dir.starts_with("openai-responses") || r.status >= 400 || r.reply.empty() || r.request.empty()) continue;
    const auto document = *parse_json(r.reply);
    const auto asked = *parse_json(r.request);
    const auto& theirs = document.as_object();
    if (!theirs.contains("tools") || !asked.is_object()) continue;
    SCOPED_TRACE(r.dir);
    json::object ours;
    repeat_request(kResponses, ours, r.request);
    for (const auto& [name, value] : ours) {
      const auto* wanted = asked.get_object().if_contains(name);
      const bool told = wanted != nullptr && !wanted->is_null();
      if (!told && among({"store", "reasoning", "text", "top_p", "prompt_cache_retention"}, name)) continue;   // kept there, not here; the model's own
      if (name == "tools" && std::ranges::any_of(value.get_array(), [](const auto& t) { return t.at("type") != "function"; })) continue;
      const auto* other = theirs.if_contains(name);
      if (other != nullptr) EXPECT_TRUE(within(value, *other)) << name << ": " << to_json(value) << " is not in " << to_json(*other);
      else EXPECT_FALSE(told) << name << " is not repeated";
    }
    ++checked;
  }
  if (checked == 0) GTEST_SKIP() << "no recordings under " << test::wire_root();
  std::cout << "requests and their replies compared: " << checked << "\n";
}

}  // namespace
}  // namespace ballast::llm
