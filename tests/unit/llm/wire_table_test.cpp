// The published table against the writers: for every row a request that has the field is written to every wire and read
// back. Mapped: it is still there. Carried: it is gone and nothing failed. Refused: the error names a field.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>

#include "base/json.hpp"
#include "llm/wire.hpp"

namespace ballast::llm {
namespace {

struct Probe {
  std::string_view field;
  std::function<void(ChatRequest&)> set;
  std::function<bool(const ChatRequest&)> has;
};

template <class T>
const T* find(const ChatRequest& r) {
  for (const auto& m : r.messages)
    for (const auto& p : m.parts)
      if (const auto* t = std::get_if<T>(&p.body)) return t;
  return nullptr;
}

void add(ChatRequest& r, Role role, decltype(Part::body) body) { r.messages.push_back({.role = role, .parts = {Part{.body = std::move(body)}}}); }
void call(ChatRequest& r, bool error = false) {
  add(r, Role::assistant, ToolCall{.id = "c1", .name = "f", .arguments = R"({"a":1})"});
  ToolResult result{.id = "c1", .is_error = error};
  result.parts.push_back(Part{.body = Text{.text = "done"}});
  add(r, Role::tool, std::move(result));
}
Tool tool(std::string name) { return Tool{.name = std::move(name), .description = "d", .schema = json::object{{"type", "object"}, {"properties", json::object{}}}}; }

const std::vector<Probe>& probes() {
  using R = ChatRequest;
  static const std::vector<Probe> all = {
      {"model", [](R&) {}, [](const R& r) { return r.model == "m"; }},
      {"system", [](R& r) { r.system = {Part{.body = Text{.text = "be brief"}}}; }, [](const R& r) { return r.system.size() == 1; }},
      {"text", [](R&) {}, [](const R& r) { return find<Text>(r) != nullptr && find<Text>(r)->text == "hello"; }},
      {"image (data)", [](R& r) { add(r, Role::user, Media{.mime = "image/png", .data = "AAAA"}); }, [](const R& r) { return find<Media>(r) && find<Media>(r)->data == "AAAA"; }},
      {"image (URL)", [](R& r) { add(r, Role::user, Media{.mime = "image/png", .url = "https://x/y.png"}); }, [](const R& r) { return find<Media>(r) && !find<Media>(r)->url.empty(); }},
      {"image detail", [](R& r) { add(r, Role::user, Media{.mime = "image/png", .data = "AAAA", .detail = "high"}); }, [](const R& r) { return find<Media>(r) && find<Media>(r)->detail == "high"; }},
      {"file (data)", [](R& r) { add(r, Role::user, Media{.kind = Media::Kind::file, .mime = "application/pdf", .data = "AAAA", .name = "a.pdf"}); }, [](const R& r) { return find<Media>(r) && find<Media>(r)->data == "AAAA"; }},
      {"file (URL)", [](R& r) { add(r, Role::user, Media{.kind = Media::Kind::file, .mime = "application/pdf", .url = "https://x/y.pdf"}); }, [](const R& r) { return find<Media>(r) && !find<Media>(r)->url.empty(); }},
      {"file (OpenAI id)", [](R& r) { add(r, Role::user, Media{.kind = Media::Kind::file, .id = "file-1", .id_wire = Wire::openai_chat}); }, [](const R& r) { return find<Media>(r) && find<Media>(r)->id == "file-1"; }},
      {"audio", [](R& r) { add(r, Role::user, Media{.kind = Media::Kind::audio, .mime = "audio/wav", .data = "AAAA"}); }, [](const R& r) { return find<Media>(r) && find<Media>(r)->kind == Media::Kind::audio; }},
      {"video", [](R& r) { add(r, Role::user, Media{.kind = Media::Kind::file, .mime = "video/mp4", .data = "AAAA"}); }, [](const R& r) { return find<Media>(r) && find<Media>(r)->mime == "video/mp4"; }},
      {"tool call", [](R& r) { call(r); }, [](const R& r) { return find<ToolCall>(r) && find<ToolCall>(r)->arguments == R"({"a":1})"; }},
      {"tool result", [](R& r) { call(r); }, [](const R& r) { const auto* t = find<ToolResult>(r); return t && t->parts.size() == 1 && std::get<Text>(t->parts[0].body).text == "done"; }},
      {"tool result error mark", [](R& r) { call(r, true); }, [](const R& r) { return find<ToolResult>(r) && find<ToolResult>(r)->is_error; }},
      {"refusal", [](R& r) { add(r, Role::assistant, Refusal{"no"}); add(r, Role::user, Text{.text = "why"}); }, [](const R& r) { return find<Refusal>(r) != nullptr; }},
      {"cache marks", [](R& r) { r.messages[0].parts[0].cache = CacheMark{}; }, [](const R& r) { return r.messages[0].parts[0].cache.has_value(); }},
      {"tools", [](R& r) { r.tools = {tool("f")}; }, [](const R& r) { return r.tools.size() == 1 && r.tools[0].name == "f" && r.tools[0].description == "d" && r.tools[0].schema.is_object(); }},
      {"tool strict", [](R& r) { r.tools = {tool("f")}; r.tools[0].strict = true; }, [](const R& r) { return r.tools[0].strict == true; }},
      {"hosted tool", [](R& r) { r.tools = {Tool{.hosted = json::object{{"type", "web_search"}}}}; }, [](const R&) { return true; }},
      {"tool_choice", [](R& r) { r.tools = {tool("f")}; r.tool_choice = ToolChoice{ToolChoice::Mode::required, {"f"}}; }, [](const R& r) { return r.tool_choice && r.tool_choice->names == std::vector<std::string>{"f"}; }},
      {"tool_choice of several", [](R& r) { r.tools = {tool("f"), tool("g"), tool("h")}; r.tool_choice = ToolChoice{ToolChoice::Mode::required, {"f", "g"}}; }, [](const R& r) { return r.tool_choice && r.tool_choice->names.size() == 2; }},
      {"parallel_tool_calls", [](R& r) { r.tools = {tool("f")}; r.parallel_tool_calls = false; }, [](const R& r) { return r.parallel_tool_calls == false; }},
      {"max_tokens", [](R& r) { r.max_tokens = 77; }, [](const R& r) { return r.max_tokens == 77; }},
      {"temperature", [](R& r) { r.temperature = 0.5; }, [](const R& r) { return r.temperature == 0.5; }},
      {"top_p", [](R& r) { r.top_p = 0.5; }, [](const R& r) { return r.top_p == 0.5; }},
      {"top_k", [](R& r) { r.top_k = 5; }, [](const R& r) { return r.top_k == 5; }},
      {"stop", [](R& r) { r.stop = {"END"}; }, [](const R& r) { return r.stop.size() == 1; }},
      {"n", [](R& r) { r.n = 2; }, [](const R& r) { return r.n == 2; }},
      {"seed", [](R& r) { r.seed = 2; }, [](const R& r) { return r.seed == 2; }},
      {"frequency_penalty", [](R& r) { r.frequency_penalty = 0.5; }, [](const R& r) { return r.frequency_penalty == 0.5; }},
      {"presence_penalty", [](R& r) { r.presence_penalty = 0.5; }, [](const R& r) { return r.presence_penalty == 0.5; }},
      {"logprobs", [](R& r) { r.logprobs = 2; }, [](const R& r) { return r.logprobs == 2; }},
      {"response_format json", [](R& r) { r.response_format = ResponseFormat{.kind = ResponseFormat::Kind::json}; }, [](const R& r) { return r.response_format && r.response_format->kind == ResponseFormat::Kind::json; }},
      {"response_format schema", [](R& r) { r.response_format = ResponseFormat{.kind = ResponseFormat::Kind::schema, .name = "n", .schema = json::object{{"type", "object"}}}; }, [](const R& r) { return r.response_format && r.response_format->schema.is_object(); }},
      {"reasoning effort", [](R& r) { r.max_tokens = 40000; r.reasoning = ReasoningOptions{.effort = "high"}; }, [](const R& r) { return r.reasoning && (r.reasoning->effort == "high" || r.reasoning->budget > 8192); }},
      {"reasoning budget", [](R& r) { r.max_tokens = 40000; r.reasoning = ReasoningOptions{.budget = 3000}; }, [](const R& r) { return r.reasoning && (r.reasoning->effort == "low" || r.reasoning->budget == 3000); }},
      {"stream", [](R& r) { r.stream = true; }, [](const R& r) { return r.stream; }},
      {"user", [](R& r) { r.user = "u"; }, [](const R& r) { return r.user == "u"; }},
      {"metadata", [](R& r) { r.metadata["k"] = "v"; }, [](const R& r) { return r.metadata.contains("k"); }},
      {"service_tier, store, prompt_cache_key", [](R& r) { r.openai["service_tier"] = "flex"; }, [](const R& r) { return r.openai.contains("service_tier"); }},
      {"stored state", [](R& r) { r.bound = {"previous_response_id"}; }, [](const R&) { return true; }},
      {"thoughts of another wire", [](R& r) { r.messages.push_back({.role = Role::assistant, .parts = {Part{.body = Reasoning{.text = "hm", .signature = "s", .sealed_by = Wire::gemini}}, Part{.body = Text{.text = "ok"}}}}); add(r, Role::user, Text{.text = "go"}); }, [](const R& r) { return find<Reasoning>(r) != nullptr; }},
      {"unknown fields", [](R&) {}, [](const R&) { return false; }},
  };
  return all;
}

TEST(TranslationTable, HoldsForEveryFieldAndWire) {
  for (const auto& row : translation_table()) {
    const auto probe = std::ranges::find(probes(), row.field, &Probe::field);
    ASSERT_NE(probe, probes().end()) << "no probe for " << row.field;
    for (std::size_t w = 0; w < kWires; ++w) {
      const auto wire = static_cast<Wire>(w);
      SCOPED_TRACE(std::string(row.field) + " → " + std::string(to_string(wire)));
      ChatRequest request{.model = "m"};
      request.messages.push_back({.role = Role::user, .parts = {Part{.body = Text{.text = "hello"}}}});
      probe->set(request);
      const auto written = write_request(wire, request);
      if (row.handling[w] == Handling::refused) {
        ASSERT_FALSE(written);
        EXPECT_EQ(written.error().code, ErrorCode::caller_invalid_request);
        EXPECT_FALSE(written.error().field.empty());
        continue;
      }
      ASSERT_TRUE(written) << describe(written.error());
      const auto again = parse_request(wire, json::value(*written));
      ASSERT_TRUE(again) << describe(again.error()) << to_json(json::value(*written));
      EXPECT_EQ(probe->has(*again), row.handling[w] == Handling::mapped) << to_json(json::value(*written));
    }
  }
}

TEST(TranslationTable, IsThePublishedOne) {
  std::ifstream in(std::string(BALLAST_SOURCE_DIR) + "/docs/wire-translation.md");
  const std::string page{std::istreambuf_iterator<char>(in), {}};
  EXPECT_NE(page.find(translation_table_markdown()), std::string::npos) << "docs/wire-translation.md must hold exactly:\n" << translation_table_markdown();
}

TEST(BadRequests, NameTheirField) {
  struct Case { Wire wire; std::string_view body, field; };
  for (const auto& c : {
           Case{Wire::openai_chat, R"({"model":"m","messages":[{"content":"x"}]})", "messages[0].role"},
           Case{Wire::openai_chat, R"({"model":"m","messages":[{"role":"king","content":"x"}]})", "messages[0].role"},
           Case{Wire::openai_chat, R"({"model":"m"})", "messages"},
           Case{Wire::openai_chat, R"({"model":"m","max_tokens":-1,"messages":[{"role":"user","content":"x"}]})", "max_tokens"},
           Case{Wire::openai_chat, R"({"model":"m","n":1000,"messages":[{"role":"user","content":"x"}]})", "n"},
           Case{Wire::openai_chat, R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":5}]}]})", "messages[0].content[0].text"},
           Case{Wire::openai_responses, R"({"model":"m","input":[{"role":"king","content":"x"}]})", "input[0].role"},
           Case{Wire::anthropic_messages, R"({"model":"m","messages":[{"content":"x"}]})", "messages[0].role"},
           Case{Wire::anthropic_messages, R"({"model":"m","messages":[{"role":"user","content":[{"type":"tool_result"}]}]})", "messages[0].content[0].tool_use_id"},
           Case{Wire::gemini, R"({"contents":[{"role":"king","parts":[]}]})", "contents[0].role"}}) {
    const auto r = parse_request(c.wire, *parse_json(c.body));
    ASSERT_FALSE(r) << c.body;
    EXPECT_EQ(r.error().code, ErrorCode::caller_invalid_request);
    EXPECT_EQ(r.error().field, c.field) << c.body;
  }
}

TEST(SameWire, KeepsUnknownFieldsAndSpellingsAndTakesEdits) {
  const auto document = *parse_json(R"({"model":"m","max_tokens":9,"future":{"a":[1]},"messages":[{"role":"user","content":"x","odd":1}],"min_p":0.1})");
  auto r = *parse_request(Wire::openai_chat, document);
  r.model = "n";
  r.max_tokens = 5;
  r.messages.push_back({.role = Role::user, .parts = {Part{.body = Text{.text = "more"}}}});
  EXPECT_EQ(json::value(*write_request(Wire::openai_chat, r)),
            *parse_json(R"({"model":"n","max_tokens":5,"future":{"a":[1]},"messages":[{"role":"user","content":"x","odd":1},{"role":"user","content":"more"}],"min_p":0.1})"));
}

}  // namespace
}  // namespace ballast::llm
