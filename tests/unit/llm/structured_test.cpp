// How each kind of provider is asked for JSON of a schema, as it is sent: golden, for every wire.
#include "llm/structured.hpp"

#include <gmock/gmock.h>

#include "base/json.hpp"
#include "llm/facts.hpp"
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

TEST(ForcedTools, OfEveryWire) {
  struct Row { Wire wire; std::string_view body; std::size_t tools; };
  for (const auto& [wire, body, tools] : {
           Row{Wire::openai_chat, R"({"messages":[],"tools":[{"type":"function","function":{"name":"a","parameters":{"type":"string"}}},{"type":"function","function":{"name":"b","parameters":{"type":"string"}}}],"tool_choice":{"type":"function","function":{"name":"a"}}})", 1},
           Row{Wire::openai_chat, R"({"messages":[],"tools":[{"type":"function","function":{"name":"a","parameters":{"type":"string"}}},{"type":"function","function":{"name":"b","parameters":{"type":"string"}}}],"tool_choice":"required"})", 2},
           Row{Wire::openai_chat, R"({"messages":[],"tools":[{"type":"function","function":{"name":"a","parameters":{"type":"string"}}}],"tool_choice":"auto"})", 0},
           Row{Wire::openai_responses, R"({"input":"x","tools":[{"type":"function","name":"a","parameters":{"type":"string"}}],"tool_choice":{"type":"function","name":"a"}})", 1},
           Row{Wire::openai_responses, R"({"input":"x","tools":[{"type":"function","name":"a","parameters":{"type":"string"}},{"type":"web_search"}],"tool_choice":"required"})", 0},
           Row{Wire::anthropic_messages, R"({"max_tokens":9,"messages":[],"tools":[{"name":"a","input_schema":{"type":"string"}}],"tool_choice":{"type":"tool","name":"a"}})", 1},
           Row{Wire::anthropic_messages, R"({"max_tokens":9,"messages":[],"tools":[{"name":"a","input_schema":{"type":"string"}}],"tool_choice":{"type":"any"}})", 1},
           Row{Wire::gemini, R"({"contents":[],"tools":[{"functionDeclarations":[{"name":"a","parameters":{"type":"STRING"}},{"name":"b"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["a"]}}})", 1}}) {
    std::string told(body);
    if (wire != Wire::gemini) told.insert(1, R"("model":"m",)");
    const std::string_view message = wire == Wire::gemini ? R"([{"parts":[{"text":"x"}]}])" : R"([{"role":"user","content":"x"}])";
    if (const auto none = told.find("[]"); none != std::string::npos) told.replace(none, 2, message);
    const auto read = read_forced_tools(wire, *parse_json(told));
    ASSERT_TRUE(read) << told << describe(read.error());
    EXPECT_EQ(read->size(), tools) << body;
    for (const auto& tool : *read) EXPECT_EQ(to_json(tool.schema), R"({"type":"string"})") << body;
    FactsReader reader;
    const auto facts = reader.request(wire, told);
    ASSERT_TRUE(facts) << told << describe(facts.error());
    EXPECT_TRUE(facts->forces_tools || tools == 0) << body;
    if (body.find("\"auto\"") != std::string_view::npos) EXPECT_FALSE(facts->forces_tools);
  }
}

TEST(AskAgain, ACallGoesBackWithAResultThatIsAnError) {
  ChatRequest r{.model = "m", .max_tokens = 9};
  r.messages.push_back({.role = Role::user, .parts = {{.body = Text{.text = "hi"}}}});
  const auto asked_again = [&](Wire wire, std::string_view arguments, std::string_view id = "c1") {
    ChatRequest again = r;
    ask_again(again, {{.id = std::string(id), .name = "order", .arguments = std::string(arguments)}}, "/n must be a number");
    const auto written = write_request(wire, again);
    return written ? to_json(json::value(*written)) : describe(written.error());
  };
  EXPECT_THAT(asked_again(Wire::openai_chat, "{\"n\":\"x\"}"),
              HasSubstr(R"("tool_calls":[{"id":"c1","type":"function","function":{"name":"order","arguments":"{\"n\":\"x\"}"}}]},{"role":"tool","tool_call_id":"c1","content":"/n must be a number"})"));
  EXPECT_THAT(asked_again(Wire::anthropic_messages, "{\"n\":\"x\"}"), HasSubstr(R"({"type":"tool_use","id":"c1","name":"order","input":{"n":"x"}})"));
  EXPECT_THAT(asked_again(Wire::anthropic_messages, "{\"n\":\"x\"}"), HasSubstr(R"("is_error":true)"));
  EXPECT_THAT(asked_again(Wire::openai_responses, "{\"n\":\"x\"}"), HasSubstr(R"("type":"function_call_output")"));
  EXPECT_THAT(asked_again(Wire::gemini, "{\"n\":\"x\"}"), HasSubstr("functionResponse"));
  for (const auto wire : {Wire::openai_chat, Wire::openai_responses, Wire::anthropic_messages, Wire::gemini}) {
    EXPECT_THAT(asked_again(wire, "{\"n\":"), HasSubstr(R"(order({\"n\":))"));
    EXPECT_THAT(asked_again(wire, "{}", ""), HasSubstr("order({})"));
  }
}

// What of a document costs tokens: its texts as they are read, and the rest as it is written.
std::size_t prompt_bytes(const json::value& v) {
  if (v.is_string()) return v.get_string().size() + 2;
  std::size_t sum = 2;
  if (const auto* object = v.if_object())
    for (const auto& [key, value] : *object) sum += key.size() + 4 + prompt_bytes(value);
  else if (const auto* list = v.if_array())
    for (const auto& value : *list) sum += 1 + prompt_bytes(value);
  else return to_json(v).size();
  return sum;
}

TEST(AskFor, NeverAddsMoreThanItsBound) {
  std::string rules = R"({"type":"object","properties":{)", deep;
  for (int i = 0; i < 60; ++i) rules += "\"k" + std::to_string(i) + R"(":{"type":"string","minLength":1,"pattern":"\\\"é"},)";
  rules += R"("z":{"type":"number","exclusiveMinimum":0.1,"multipleOf":0.1}}})";
  for (const std::string& text : {to_json(kSchema), rules, std::string(R"({"type":"string"})"), std::string(R"({"type":"array","items":{"oneOf":[{"minimum":1},{"maxItems":2}]}})")})
    for (const std::string_view name : {"order", "a_name_of_some_length_for_a_schema"})
      for (const auto wire : {Wire::openai_chat, Wire::openai_responses, Wire::anthropic_messages, Wire::gemini})
        for (const auto how : {Asking::native, Asking::json, Asking::tool, Asking::prompt}) {
          ChatRequest r{.model = "m", .max_tokens = 9};
          r.messages.push_back({.role = Role::user, .parts = {{.body = Text{.text = "hi"}}}});
          const auto before = prompt_bytes(*write_request(wire, r));
          ResponseFormat f = format(*parse_json(text));
          f.name = name;
          f.description = "What it is for.";
          const auto hints = schema_hints(f.schema);
          ask_for(r, f, hints, how, wire);
          const auto written = write_request(wire, r);
          ASSERT_TRUE(written);
          EXPECT_LE(prompt_bytes(*written) - before, asking_bytes(f, hints)) << to_string(how) << " " << to_string(wire) << " " << text;
        }
}

TEST(Strict, WhatOpenAiTakes) {
  const auto strict = [](std::string_view schema) { return can_be_strict(*parse_json(schema)); };
  EXPECT_TRUE(strict(R"({"type":"object","properties":{"a":{"type":["string","null"],"description":"d"},"b":{"type":"array","items":{"$ref":"#/$defs/x"},"minItems":1}},"required":["a","b"],"additionalProperties":false,
    "$defs":{"x":{"type":"object","properties":{"n":{"type":"number","minimum":0},"e":{"enum":["a","b",1]}},"required":["n","e"],"additionalProperties":false}}})"));
  EXPECT_TRUE(strict(R"({"type":"object","properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["next"],"additionalProperties":false})"));
  for (const std::string_view outside : {
           R"({"type":"object","properties":{"a":{"type":"string"}},"required":[],"additionalProperties":false})", R"({"type":"object","properties":{"a":{"type":"string"}},"required":["a"]})",
           R"({"type":"array","items":{"type":"string"}})", R"({"anyOf":[{"type":"object","properties":{},"required":[],"additionalProperties":false}]})", R"(true)",
           R"({"type":"object","properties":{"a":{}},"required":["a"],"additionalProperties":false})", R"({"type":"object","properties":{"a":{"type":"array"}},"required":["a"],"additionalProperties":false})",
           R"({"type":"object","properties":{"a":{"type":"string","minLength":1}},"required":["a"],"additionalProperties":false})", R"({"type":"object","properties":{"a":{"$ref":"#/$defs/gone"}},"required":["a"],"additionalProperties":false})",
           R"({"type":"object","properties":{"a":{"allOf":[{"type":"string"}]}},"required":["a"],"additionalProperties":false})", R"({"type":"object","properties":{"a":{"type":"string","format":"uri"}},"required":["a"],"additionalProperties":false})"})
    EXPECT_FALSE(strict(outside)) << outside;
  const auto nested = [&](int levels) {
    std::string text = R"({"type":"string"})";
    for (int i = 1; i < levels; ++i) text = R"({"type":"object","properties":{"a":)" + text + R"(},"required":["a"],"additionalProperties":false})";
    return strict(text);
  };
  EXPECT_TRUE(nested(10));
  EXPECT_FALSE(nested(11));
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
