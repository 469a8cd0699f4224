// How each kind of provider is asked for JSON of a schema, as it is sent: golden, for every wire.
#include "llm/structured.hpp"

#include <gmock/gmock.h>

#include "base/json.hpp"
#include "llm/provider.hpp"
#include "llm/simulator/answer.hpp"
#include "llm/wire.hpp"

namespace ballast::llm {
namespace {

using testing::HasSubstr;
using testing::Not;

const json::value kSchema = *parse_json(R"({"type":"object","properties":{"name":{"type":"string","minLength":1},"kind":{"enum":["a","b"]},
  "price":{"type":["number","null"],"exclusiveMinimum":0}},"required":["name"],"additionalProperties":false})");

ResponseFormat format(json::value schema = kSchema) { return {.kind = ResponseFormat::Kind::schema, .name = "order", .schema = std::move(schema)}; }

ProviderSpec spec(ProviderKind kind, std::string_view base = "https://api.example.com/v1") { return {.name = "p", .kind = kind, .base = *net::parse_url(base)}; }

Asking asking(const ProviderSpec& s, std::string_view model = "m", AskedBeside beside = {}, const json::value& schema = kSchema) {
  return asking_of(s, model, format(schema), schema_hints(schema), beside);
}

TEST(Asking, ByKindModelAndConfiguration) {
  EXPECT_EQ(asking(spec(ProviderKind::openai)), Asking::native);
  EXPECT_EQ(asking(spec(ProviderKind::gemini)), Asking::native);
  EXPECT_EQ(asking(spec(ProviderKind::azure)), Asking::native);
  EXPECT_EQ(asking(spec(ProviderKind::openai, "https://api.deepseek.com/v1")), Asking::json);
  const auto anthropic = spec(ProviderKind::anthropic);
  for (const auto model : {"claude-3-5-sonnet-latest", "claude-opus-4-20250514", "claude-sonnet-4", "claude-3-haiku-20240307", "claude-2"})
    EXPECT_EQ(asking(anthropic, model), Asking::tool) << model;
  for (const auto model : {"claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5-20251001", "claude-opus-4-6"})
    EXPECT_EQ(asking(anthropic, model), Asking::native) << model;
  for (const auto how : {Asking::native, Asking::json, Asking::tool, Asking::prompt}) {
    auto told = spec(ProviderKind::openai);
    told.quirks.structured = how;
    EXPECT_EQ(asking(told), how);
    EXPECT_EQ(asking_from(to_string(how)), how);
  }
}

TEST(Asking, NoToolIsForcedBesideOthersOrThoughtsOrForAList) {
  const auto anthropic = spec(ProviderKind::anthropic);
  EXPECT_EQ(asking(anthropic, "claude-3-opus-20240229", {.tools = true}), Asking::prompt);
  EXPECT_EQ(asking(anthropic, "claude-opus-4", {.reasoning = true}), Asking::prompt);
  EXPECT_EQ(asking(anthropic, "claude-opus-4", {}, *parse_json(R"({"type":"array","items":{"type":"string"}})")), Asking::prompt);
  auto told = spec(ProviderKind::openai);
  told.quirks.structured = Asking::tool;
  EXPECT_EQ(asking(told, "m", {.reasoning = true}), Asking::tool);
}

TEST(Asking, WhatAnthropicCannotSayNativelyGoesByATool) {
  const auto anthropic = spec(ProviderKind::anthropic);
  for (const std::string_view open : {R"({"type":"object","additionalProperties":{"type":"string"}})", R"({"type":"object"})", R"({"type":"object","properties":{"a":{}}})",
                                      R"({"type":"object","properties":{"next":{"$ref":"#"}}})", R"({"type":"object","properties":{"a":{"type":"object","patternProperties":{"^x":{}}}}})"})
    EXPECT_EQ(asking(anthropic, "claude-opus-4-6", {}, *parse_json(open)), Asking::tool) << open;
}

TEST(Hints, OnlyWhatTheProviderReads) {
  const auto hints = schema_hints(kSchema);
  ASSERT_TRUE(hints.anthropic);
  EXPECT_EQ(to_json(*hints.anthropic), R"_({"type":"object","properties":{"name":{"type":"string","description":"(minLength: 1)"},"kind":{"enum":["a","b"]},"price":{"type":["number","null"],"description":"(exclusiveMinimum: 0)"}},"required":["name"],"additionalProperties":false})_");
  EXPECT_EQ(to_json(hints.gemini), R"_({"type":"object","properties":{"name":{"type":"string","description":"(minLength: 1)"},"kind":{"enum":["a","b"]},"price":{"type":["number","null"],"description":"(exclusiveMinimum: 0)"}},"required":["name"],"additionalProperties":false})_");
  const auto one_of = schema_hints(*parse_json(R"({"type":"object","properties":{"a":{"oneOf":[{"type":"string","pattern":"x"},{"type":"integer","minimum":1}]},"minimum":{"type":"string"}}})"));
  EXPECT_EQ(to_json(*one_of.anthropic), R"_({"type":"object","properties":{"a":{"anyOf":[{"type":"string","description":"(pattern: \"x\")"},{"type":"integer","description":"(minimum: 1)"}]},"minimum":{"type":"string"}},"additionalProperties":false})_");
  EXPECT_EQ(to_json(one_of.gemini), R"_({"type":"object","properties":{"a":{"oneOf":[{"type":"string","description":"(pattern: \"x\")"},{"type":"integer","minimum":1}]},"minimum":{"type":"string"}}})_");
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += R"({"type":"array","items":)";
  deep += "{\"type\":\"string\"}" + std::string(200, '}');
  EXPECT_FALSE(schema_hints(*parse_json(deep)).anthropic);
}

TEST(Hints, GeminisOwnDialectIsReadAsJsonSchema) {
  const auto read = from_openapi_schema(*parse_json(R"({"type":"OBJECT","properties":{"n":{"type":"INTEGER","nullable":true},"list":{"type":"ARRAY","items":{"type":"STRING","enum":["a"]},"minItems":"1","maxItems":"4"}},"propertyOrdering":["n"],"required":["n"]})"));
  EXPECT_EQ(to_json(read), R"({"type":"object","properties":{"n":{"type":["integer","null"]},"list":{"type":"array","items":{"type":"string","enum":["a"]},"minItems":1,"maxItems":4}},"required":["n"]})");
}

std::string sent(Wire wire, Asking how) {
  ChatRequest r{.model = "m", .max_tokens = 9};
  r.messages.push_back({.role = Role::user, .parts = {{.body = Text{.text = "hi"}}}});
  const json::value small = *parse_json(R"({"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"]})");
  ask_for(r, format(small), schema_hints(small), how, wire);
  const auto written = write_request(wire, r);
  return written ? to_json(json::value(*written)) : describe(written.error());
}

constexpr std::string_view kWords =
    R"(Answer with one JSON value and nothing else: no prose, no code fence. It must satisfy this JSON Schema:\n{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":1}},\"required\":[\"n\"]})";
constexpr std::string_view kSmall = R"({"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"]})";
constexpr std::string_view kTold = "Give the answer by calling this: its input is the whole answer.";

TEST(AskFor, OpenAiChat) {
  const std::string hi = R"({"role":"user","content":"hi"})", system = R"({"role":"system","content":")" + std::string(kWords) + "\"}";
  EXPECT_EQ(sent(Wire::openai_chat, Asking::native),
            R"({"model":"m","messages":[)" + hi + R"(],"max_completion_tokens":9,"response_format":{"type":"json_schema","json_schema":{"name":"order","schema":)" + std::string(kSmall) + "}}}");
  EXPECT_EQ(sent(Wire::openai_chat, Asking::json), R"({"model":"m","messages":[)" + system + "," + hi + R"(],"max_completion_tokens":9,"response_format":{"type":"json_object"}})");
  EXPECT_EQ(sent(Wire::openai_chat, Asking::prompt), R"({"model":"m","messages":[)" + system + "," + hi + R"(],"max_completion_tokens":9})");
  EXPECT_EQ(sent(Wire::openai_chat, Asking::tool),
            R"({"model":"m","messages":[)" + hi + R"(],"tools":[{"type":"function","function":{"name":"answer","description":")" + std::string(kTold) + R"(","parameters":)" +
                std::string(kSmall) + R"(}}],"tool_choice":{"type":"function","function":{"name":"answer"}},"max_completion_tokens":9})");
}

TEST(AskFor, Anthropic) {
  const std::string hi = R"("messages":[{"role":"user","content":"hi"}])";
  const auto native = sent(Wire::anthropic_messages, Asking::native);
  EXPECT_THAT(native, HasSubstr(R"_("output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"n":{"type":"integer","description":"(minimum: 1)"}},"required":["n"],"additionalProperties":false}}})_"));
  const auto tool = sent(Wire::anthropic_messages, Asking::tool);
  EXPECT_THAT(tool, HasSubstr(R"("tools":[{"name":"answer","description":")" + std::string(kTold) + R"(","input_schema":)" + std::string(kSmall) + "}]"));
  EXPECT_THAT(tool, HasSubstr(R"("tool_choice":{"type":"tool","name":"answer"})"));
  EXPECT_THAT(sent(Wire::anthropic_messages, Asking::prompt), HasSubstr(R"("system":")" + std::string(kWords) + "\""));
}

TEST(AskFor, GeminiAndResponses) {
  EXPECT_THAT(sent(Wire::gemini, Asking::native), HasSubstr(R"("responseMimeType":"application/json","responseJsonSchema":)" + std::string(kSmall)));
  EXPECT_THAT(sent(Wire::gemini, Asking::tool), HasSubstr(R"("allowedFunctionNames":["answer"])"));
  EXPECT_THAT(sent(Wire::gemini, Asking::json), HasSubstr(R"("responseMimeType":"application/json")"));
  EXPECT_THAT(sent(Wire::gemini, Asking::json), Not(HasSubstr("responseJsonSchema")));
  EXPECT_THAT(sent(Wire::openai_responses, Asking::native), HasSubstr(R"("text":{"format":{"name":"order","schema":)" + std::string(kSmall) + R"(,"type":"json_schema"}})"));
  EXPECT_THAT(sent(Wire::openai_responses, Asking::prompt), HasSubstr(R"("instructions":")" + std::string(kWords)));
}

// A caller of the same API whose own words are replaced: the rest of its body stays.
TEST(AskFor, TheCallersOwnFieldGoesWhereAnotherWayIsTaken) {
  const auto body = *parse_json(R"({"model":"m","x_unknown":1,"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"order","schema":{"type":"object"}}}})");
  auto r = *parse_request(Wire::openai_chat, body);
  ask_for(r, format(), schema_hints(kSchema), Asking::prompt, Wire::openai_chat);
  ask_again(r, "{\"name\":5}", "/name must be a string");
  const auto written = to_json(json::value(*write_request(Wire::openai_chat, r)));
  EXPECT_THAT(written, Not(HasSubstr("response_format")));
  EXPECT_THAT(written, HasSubstr(R"("x_unknown":1)"));
  EXPECT_THAT(written, HasSubstr(R"({"role":"assistant","content":"{\"name\":5}"},{"role":"user","content":"/name must be a string"}])"));
}

TEST(ReadFormat, FindsTheSchemaOfEveryWire) {
  struct Row { Wire wire; std::string_view body, place; };
  for (const auto& [wire, body, place] : {
           Row{Wire::openai_chat, R"({"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"string"}}}})", "response_format.json_schema.schema"},
           Row{Wire::openai_responses, R"({"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"string"}}}})", "text.format.schema"},
           Row{Wire::anthropic_messages, R"({"output_config":{"format":{"type":"json_schema","schema":{"type":"string"}}}})", "output_config.format.schema"},
           Row{Wire::anthropic_messages, R"({"output_format":{"type":"json_schema","schema":{"type":"string"}}})", "output_format.schema"},
           Row{Wire::gemini, R"({"generationConfig":{"responseMimeType":"application/json","responseSchema":{"type":"STRING"}}})", "generationConfig.responseSchema"},
           Row{Wire::gemini, R"({"generation_config":{"response_mime_type":"application/json","response_json_schema":{"type":"string"}}})", "generationConfig.responseSchema"}}) {
    const auto read = read_format(wire, *parse_json(body));
    ASSERT_TRUE(read && read->format) << body;
    EXPECT_EQ(to_json(read->format->schema), R"({"type":"string"})") << body;
    EXPECT_EQ(read->place, place);
  }
  EXPECT_FALSE(read_format(Wire::openai_chat, *parse_json("{}"))->format);
  EXPECT_FALSE(read_format(Wire::openai_chat, *parse_json(R"({"response_format":{"type":"xml"}})")));
}

TEST(AnswerFromTool, BecomesTheText) {
  auto reply = *parse_reply(Wire::anthropic_messages, *parse_json(R"({"id":"i","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Sure"},
    {"type":"tool_use","id":"t","name":"answer","input":{"n":1}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}})"));
  answer_from_tool(reply);
  const auto chat = to_json(json::value(*write_reply(Wire::openai_chat, reply)));
  EXPECT_THAT(chat, HasSubstr(R"("content":"{\"n\":1}")"));
  EXPECT_THAT(chat, HasSubstr(R"("finish_reason":"stop")"));
  EXPECT_THAT(chat, Not(HasSubstr("tool_calls")));
}

// What a whole reply's answer is, and a stream's.
std::pair<std::string, std::string> told_by_tool(const std::vector<StreamEvent>& events) {
  std::string streamed;
  ToolAnswer answer;
  std::vector<StreamEvent> out;
  for (const auto& e : events) answer.rewrite(e, out);
  for (const auto& e : out) {
    if (const auto* t = std::get_if<TextDelta>(&e)) streamed += std::to_string(t->choice) + t->text;
    if (const auto* t = std::get_if<ToolStart>(&e)) streamed += "call " + t->name;
    if (const auto* a = std::get_if<ToolArgsDelta>(&e)) streamed += a->text;
    if (const auto* f = std::get_if<Finish>(&e)) streamed += " " + std::string(to_string(f->reason)) + "; ";
  }
  ChatReply reply;
  std::map<std::uint32_t, Choice> choices;
  for (const auto& e : events) {
    if (const auto* t = std::get_if<TextDelta>(&e)) choices[t->choice].parts.push_back({.body = Text{.text = t->text}});
    if (const auto* t = std::get_if<ToolStart>(&e)) choices[t->choice].parts.push_back({.body = ToolCall{.id = t->id, .name = t->name}});
    if (const auto* a = std::get_if<ToolArgsDelta>(&e)) std::get<ToolCall>(choices[a->choice].parts.back().body).arguments += a->text;
    if (const auto* f = std::get_if<Finish>(&e)) choices[f->choice].finish = f->reason;
  }
  for (auto& [n, c] : choices) reply.choices.push_back(c);
  answer_from_tool(reply);
  std::string whole;
  for (std::size_t n = 0; n < reply.choices.size(); ++n) {
    for (const auto& p : reply.choices[n].parts) {
      if (const auto* t = std::get_if<Text>(&p.body)) whole += std::to_string(n) + t->text;
      if (const auto* c = std::get_if<ToolCall>(&p.body)) whole += "call " + c->name + c->arguments;
    }
    whole += " " + std::string(to_string(reply.choices[n].finish)) + "; ";
  }
  return {streamed, whole};
}

TEST(AnswerFromTool, AStreamTellsWhatAWholeReplyDoes) {
  const auto calls = FinishReason::tool_calls;
  struct Row { std::vector<StreamEvent> events; std::string_view told; };
  for (const auto& [events, told] : {
           Row{{TextDelta{0, "Sure: {", {}}, ToolStart{0, 0, "i", "answer", {}}, ToolArgsDelta{0, 0, "{}"}, Finish{0, calls, {}, {}}}, "0{} stop; "},
           Row{{ToolStart{0, 0, "i", "answer", {}}, ToolArgsDelta{0, 0, "{}"}, TextDelta{0, "Done.", {}}, Finish{0, calls, {}, {}}}, "0{} stop; "},
           Row{{ToolStart{0, 0, "i", "answer", {}}, ToolArgsDelta{0, 0, "{}"}, ToolStart{0, 1, "j", "answer", {}}, ToolArgsDelta{0, 1, "[]"}, Finish{0, calls, {}, {}}}, "0{} stop; "},
           Row{{ToolStart{0, 0, "i", "other", {}}, ToolArgsDelta{0, 0, "1"}, ToolStart{0, 1, "j", "answer", {}}, ToolArgsDelta{0, 1, "[]"}, Finish{0, calls, {}, {}}}, "0[] stop; "},
           Row{{ToolStart{0, 0, "i", "answer", {}}, ToolArgsDelta{0, 0, "{}"}, Finish{0, calls, {}, {}}, ToolStart{1, 0, "j", "answer", {}}, ToolArgsDelta{1, 0, "[]"},
                Finish{1, calls, {}, {}}}, "0{} stop; 1[] stop; "},
           Row{{TextDelta{0, "No.", {}}, Finish{0, FinishReason::stop, {}, {}}}, "0No. stop; "},
           Row{{ToolStart{0, 0, "i", "other", {}}, ToolArgsDelta{0, 0, "1"}, Finish{0, calls, {}, {}}}, "call other1 tool_calls; "}}) {
    const auto [streamed, whole] = told_by_tool(events);
    EXPECT_EQ(whole, told);
    EXPECT_EQ(streamed, told);
  }
}

TEST(Sample, IsWhatTheSchemaAsksFor) {
  struct Row { std::string_view schema, sample; };
  for (const auto& [schema, sample] : {
           Row{R"({"type":"object","properties":{"a":{"$ref":"#/$defs/x"}},"required":["a","b"],"$defs":{"x":{"type":"integer","minimum":3,"multipleOf":2}}})", R"({"a":4,"b":"text"})"},
           Row{R"({"type":"array","minItems":2,"uniqueItems":true,"items":{"type":"string"}})", R"(["text","text1"])"},
           Row{R"({"anyOf":[{"type":"null"},{"type":"string"}]})", "null"},
           Row{R"({"allOf":[{"type":"object","properties":{"a":{"const":1}}},{"properties":{"b":{"enum":["x"]}},"required":["b"]}]})", R"({"a":1,"b":"x"})"},
           Row{R"({"type":"number","exclusiveMinimum":0})", "0.5"},
           Row{R"({"type":"integer","maximum":-2})", "-2"},
           Row{R"({"type":"string","format":"date"})", R"("2026-01-31")"},
           Row{R"({"type":"string","minLength":6,"maxLength":7})", R"("text te")"},
           Row{R"({"$ref":"#"})", "null"}})
    EXPECT_EQ(to_json(sample_of(*parse_json(schema))), sample) << schema;
}

}  // namespace
}  // namespace ballast::llm
