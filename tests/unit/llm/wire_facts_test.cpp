// RequestFacts and splicing: what a caller may do to a body, and what must never get past the budget's clamp.
#include <gtest/gtest.h>

#include "base/json.hpp"
#include "llm/facts.hpp"
#include "llm/wire.hpp"

namespace ballast::llm {
namespace {

Result<RequestFacts> facts_of(std::string_view body, Wire wire = Wire::openai_chat) { return FactsReader().request(wire, body); }

TEST(RequestFacts, ReadsAChatRequest) {
  const std::string body = R"({"model":"gpt-5","stream":true,"stream_options":{"include_usage":true},"max_tokens":10,"n":2,"user":"u1",
    "metadata":{"feature":"search","user_id":"other"},"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hi"}],
    "tools":[{"type":"function","function":{"name":"f"}}],"response_format":{"type":"json_schema","json_schema":{}}})";
  const auto f = facts_of(body);
  ASSERT_TRUE(f) << describe(f.error());
  EXPECT_EQ(f->model, "gpt-5");
  EXPECT_TRUE(f->stream && f->include_usage && f->has_tools && f->wants_json && f->wants_schema);
  EXPECT_FALSE(f->prefill || f->unbounded());
  EXPECT_EQ(f->max_tokens, 10);
  EXPECT_EQ(f->n, 2u);
  EXPECT_EQ(f->user, "u1");
  EXPECT_EQ(f->feature, "search");
  EXPECT_EQ(f->messages, 2u);
  EXPECT_EQ(body.substr(f->model_value.offset, f->model_value.length), "\"gpt-5\"");
  EXPECT_EQ(body.substr(f->max_tokens_value.offset, f->max_tokens_value.length), "10");
  EXPECT_GE(f->text_bytes, 10u);
}

struct Bad { std::string_view name, body, field; Wire wire = Wire::openai_chat; };
class RefusedFacts : public testing::TestWithParam<Bad> {};
TEST_P(RefusedFacts, NamesTheField) {
  const auto f = facts_of(GetParam().body, GetParam().wire);
  ASSERT_FALSE(f);
  EXPECT_EQ(f.error().code, ErrorCode::caller_invalid_request);
  EXPECT_EQ(f.error().field, GetParam().field) << describe(f.error());
}
constexpr std::string_view kOk = R"("messages":[{"role":"user","content":"x"}])";
INSTANTIATE_TEST_SUITE_P(Bodies, RefusedFacts, testing::Values(
    Bad{"no_messages", R"({"model":"m"})", "messages"},
    Bad{"empty_messages", R"({"model":"m","messages":[]})", "messages"},
    Bad{"messages_object", R"({"model":"m","messages":{}})", "messages"},
    Bad{"message_string", R"({"model":"m","messages":["x"]})", "messages[0]"},
    Bad{"model_number", R"({"model":5,"messages":[{}]})", "model"},
    Bad{"model_empty", R"({"model":"","messages":[{}]})", "model"},
    Bad{"stream_string", R"({"model":"m","stream":"yes","messages":[{}]})", "stream"},
    Bad{"negative_limit", R"({"model":"m","max_tokens":-1,"messages":[{}]})", "max_tokens"},
    Bad{"zero_limit", R"({"model":"m","max_tokens":0,"messages":[{}]})", "max_tokens"},
    Bad{"fraction", R"({"model":"m","max_tokens":1.5,"messages":[{}]})", "max_tokens"},
    Bad{"two_spellings", R"({"model":"m","max_tokens":1,"max_completion_tokens":9,"messages":[{}]})", "max_completion_tokens"},
    Bad{"twice_limit", R"({"model":"m","max_tokens":1,"max_tokens":9,"messages":[{}]})", "max_tokens"},
    Bad{"twice_escaped", R"({"model":"m","max_tokens":1,"max\u005ftokens":9,"messages":[{}]})", "max_tokens"},
    Bad{"twice_model", R"({"model":"m","model":"dear","messages":[{}]})", "model"},
    Bad{"twice_model_escaped", R"({"model":"m","mod\u0065l":"dear","messages":[{}]})", "model"},
    Bad{"twice_messages", R"({"model":"m","messages":[{"role":"user","content":"x"}],"messages":[{"role":"user","content":"x"}]})", "messages"},
    Bad{"twice_stream", R"({"model":"m","stream":true,"stream":false,"messages":[{}]})", "stream"},
    Bad{"huge_n", R"({"model":"m","n":100000,"messages":[{}]})", "n"},
    Bad{"twice_n", R"({"model":"m","n":1,"n":9,"messages":[{}]})", "n"},
    Bad{"user_number", R"({"model":"m","user":7,"messages":[{}]})", "user"},
    Bad{"input_number", R"({"model":"m","input":7})", "input", Wire::openai_responses},
    Bad{"no_contents", R"({})", "contents", Wire::gemini},
    Bad{"gemini_twice", R"({"contents":[{}],"generationConfig":{"maxOutputTokens":1},"generation_config":{"maxOutputTokens":9}})", "generationConfig", Wire::gemini},
    Bad{"gemini_two_spellings", R"({"contents":[{}],"generationConfig":{"maxOutputTokens":1,"max_output_tokens":9}})", "generationConfig.max_output_tokens", Wire::gemini},
    Bad{"gemini_max_of_nothing", R"({"contents":[{}],"generationConfig":{"maxOutputTokens":0}})", "generationConfig.maxOutputTokens", Wire::gemini},
    Bad{"not_json", R"({"model":)", ""},
    Bad{"not_object", R"([1])", ""},
    Bad{"two_documents", R"({"model":"m","messages":[{"role":"user","content":"x"}]} {"model":"n"})", ""}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(RequestFacts, NullLimitsAreAbsentLimits) {
  const std::string body = R"({"model":"m","max_tokens":null,"max_completion_tokens":7,)" + std::string(kOk) + "}";
  const auto f = facts_of(body);
  ASSERT_TRUE(f) << describe(f.error());
  EXPECT_EQ(f->max_tokens, 7);
  EXPECT_EQ(splice_request(Wire::openai_chat, body, *f, {.max_tokens = 5}),
            R"({"model":"m","max_tokens":null,"max_completion_tokens":5,)" + std::string(kOk) + "}");
}

TEST(RequestFacts, SeesWhatHasNoCeiling) {
  const auto with = [](std::string_view part) {
    return facts_of(R"({"model":"m","messages":[{"role":"user","content":[)" + std::string(part) + "]}]}").value();
  };
  const auto inline_image = with(R"({"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}})");
  EXPECT_EQ(inline_image.images, 1u);
  EXPECT_FALSE(inline_image.remote_content);
  EXPECT_GT(inline_image.media_bytes, 0u);
  EXPECT_TRUE(with(R"({"image_url":{"url":"https://x/y.png"},"type":"image_url"})").remote_content);
  EXPECT_TRUE(with(R"({"type":"file","file":{"file_id":"f1"}})").remote_content);
  EXPECT_EQ(with(R"({"image_url":{"url":"https://x/y.png"},"type":"image_url"})").unbounded_field, "messages[0].content[0].image_url");
  EXPECT_EQ(facts_of(R"({"model":"m","input":"x","conversation":"c"})", Wire::openai_responses)->unbounded_field, "conversation");
  EXPECT_EQ(facts_of(R"({"model":"m","input":[{"role":"user","content":"x"},{"type":"item_reference","id":"i"}]})", Wire::openai_responses)->unbounded_field, "input[1].type");
  EXPECT_EQ(facts_of(R"({"model":"m","input":[{"content":[{"text":"x"},{"file_id":"f"}]}],"previous_response_id":"r"})", Wire::openai_responses)->unbounded_field,
            "input[0].content[1].file_id");
  EXPECT_EQ(facts_of(R"({"contents":[{"parts":[{"text":"x"},{"fileData":{"fileUri":"u"}}]}]})", Wire::gemini)->unbounded_field, "contents[0].parts[1].fileData");
  EXPECT_EQ(facts_of(R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":"x"},{"type":"image",
                         "source":{"type":"url","url":"u"}}]}]}]})", Wire::anthropic_messages)->unbounded_field, "messages[0].content[0]");
  EXPECT_EQ(facts_of(R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"mcp_servers":[{"url":"u"}]})", Wire::anthropic_messages)->unbounded_field,
            "mcp_servers");
  EXPECT_EQ(inline_image.unbounded_field, "");
  EXPECT_TRUE(facts_of(R"({"model":"m","input":"x","previous_response_id":"r"})", Wire::openai_responses)->stored_state);
  EXPECT_TRUE(facts_of(R"({"model":"m","input":"x","tools":[{"type":"web_search"}]})", Wire::openai_responses)->hosted_tools);
  EXPECT_TRUE(facts_of(R"({"contents":[{}],"cachedContent":"c"})", Wire::gemini)->stored_state);
  EXPECT_TRUE(facts_of(R"({"contents":[{}],"tools":[{"googleSearch":{}}]})", Wire::gemini)->hosted_tools);
  EXPECT_TRUE(facts_of(R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"u"}}]}]})",
                       Wire::anthropic_messages)->remote_content);
}

TEST(RequestFacts, TextInDisguiseStillCounts) {
  const std::string text(5000, 'x');
  const auto disguised = facts_of(R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"document","source":{"data":")" + text +
                                  R"(","media_type":"text/plain","type":"text"}}]}]})", Wire::anthropic_messages);
  EXPECT_GE(disguised->text_bytes, 5000u);
  const auto unknown = facts_of(R"({"model":"m","prediction":{"content":")" + text + R"("},)" + std::string(kOk) + "}");
  EXPECT_GE(unknown->text_bytes, 5000u);
}

TEST(RequestFacts, PrefillIsAnAssistantAtTheEnd) {
  EXPECT_TRUE(facts_of(R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})", Wire::anthropic_messages)->prefill);
  const std::string contents = R"("contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"b"}]}])";
  EXPECT_TRUE(facts_of("{" + contents + R"(,"systemInstruction":{"parts":[{"text":"s"}]}})", Wire::gemini)->prefill);
  EXPECT_FALSE(facts_of(R"({"model":"m","messages":[{"role":"assistant","content":"b"},{"role":"user","content":"a"}]})")->prefill);
}

TEST(Splice, InsertsWhatIsAbsent) {
  const std::string body = " { " + std::string(kOk) + R"(,"model":"m"})";
  const auto f = facts_of(body);
  ASSERT_TRUE(f);
  const auto out = parse_json(splice_request(Wire::openai_chat, body, *f,
      {.model = "p/\"q\"", .max_tokens = 3, .include_usage = true, .stream = true, .max_tokens_name = "max_completion_tokens"}));
  ASSERT_TRUE(out) << describe(out.error());
  const auto& o = out->as_object();
  EXPECT_EQ(o.at("model").as_string(), "p/\"q\"");
  EXPECT_EQ(o.at("max_completion_tokens").as_int64(), 3);
  EXPECT_TRUE(o.at("stream").as_bool());
  EXPECT_TRUE(o.at("stream_options").at("include_usage").as_bool());
}

TEST(Splice, EditsGeminisNestedLimit) {
  for (const std::string body : {R"({"contents":[{}]})", R"({"contents":[{}],"generationConfig":{}})", R"({"contents":[{}],"generationConfig":null})",
                                 R"({"contents":[{}],"generationConfig":{"topK":1}})", R"({"contents":[{}],"generation_config":{"max_output_tokens":9}})"}) {
    const auto f = facts_of(body, Wire::gemini);
    ASSERT_TRUE(f);
    const auto edited = splice_request(Wire::gemini, body, *f, {.max_tokens = 4});
    const auto again = facts_of(edited, Wire::gemini);
    ASSERT_TRUE(again) << edited;
    EXPECT_EQ(again->max_tokens, 4) << edited;
  }
}

TEST(ChunkFacts, UsageOnlyChunksCanBeStripped) {
  FactsReader reader;
  const auto f = reader.chunk(Wire::openai_chat, "", R"({"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}})");
  ASSERT_TRUE(f);
  EXPECT_TRUE(f->usage_only);
  EXPECT_EQ(f->usage->output, 3u);
  EXPECT_TRUE(reader.chunk(Wire::openai_chat, "", "[DONE]")->is_terminal);
  EXPECT_FALSE(reader.chunk(Wire::openai_chat, "", "{\"choices\":[{").has_value());
  const auto text = reader.chunk(Wire::openai_chat, "", R"({"choices":[{"delta":{"content":"a\u00e9\ud83d\ude00\n"}}]})");
  EXPECT_EQ(text->text_bytes, 1u + 2 + 4 + 1);
}

TEST(Usage, IsDisjointWhateverTheWireCounts) {
  FactsReader reader;
  const auto openai = reader.reply(Wire::openai_chat, R"({"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":10,"total_tokens":110,"prompt_tokens_details":{"cached_tokens":80}}})");
  EXPECT_EQ(openai->usage->input_uncached, 20u);
  EXPECT_EQ(openai->usage->cache_read, 80u);
  const auto anthropic = reader.reply(Wire::anthropic_messages, R"({"content":[],"usage":{"input_tokens":20,"cache_read_input_tokens":80,"cache_creation_input_tokens":5,"output_tokens":10}})");
  EXPECT_EQ(anthropic->usage->input(), 105u);
  EXPECT_EQ(anthropic->usage->cache_write_5m, 5u);
  const auto gemini = reader.reply(Wire::gemini, R"({"candidates":[],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":80,"candidatesTokenCount":10,"thoughtsTokenCount":7,"totalTokenCount":117}})");
  EXPECT_EQ(gemini->usage->output, 17u);
  EXPECT_EQ(gemini->usage->input_uncached, 20u);
  const auto hidden = reader.reply(Wire::openai_chat, R"({"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115}})");
  EXPECT_EQ(hidden->usage->output, 105u);   // thoughts counted in the total alone
}

}  // namespace
}  // namespace ballast::llm
