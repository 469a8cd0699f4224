// Every recorded exchange of the four wires, through the canonical form and back. `recordings.hpp` reads the shared data;
// where it is absent the tests say so and skip.
#include <gtest/gtest.h>

#include <set>

#include "llm/recordings.hpp"
#include "llm/facts.hpp"
#include "llm/wire.hpp"

namespace ballast::llm {
namespace {

using test::Recording;

constexpr Wire kAll[] = {Wire::openai_chat, Wire::openai_responses, Wire::anthropic_messages, Wire::gemini};

#define NEED_RECORDINGS(list) \
  if ((list).empty()) GTEST_SKIP() << "no recordings under " << test::wire_root() << ": golden tests skipped"

std::string text_of(const ChatReply& r) {
  std::string out;
  for (const auto& c : r.choices)
    for (const auto& p : c.parts) {
      if (const auto* t = std::get_if<Text>(&p.body)) out += t->text;
      if (const auto* f = std::get_if<Refusal>(&p.body)) out += f->text;
    }
  return out;
}

json::value arguments_json(const std::string& text) {
  auto v = parse_json(text.empty() ? "{}" : text);
  return v ? *v : json::value(text);
}

std::vector<std::pair<std::string, json::value>> calls_of(const ChatReply& r) {
  std::vector<std::pair<std::string, json::value>> out;
  for (const auto& c : r.choices)
    for (const auto& p : c.parts)
      if (const auto* t = std::get_if<ToolCall>(&p.body)) out.emplace_back(t->name, arguments_json(t->arguments));
  return out;
}

TEST(Golden, RequestsParseAndSurviveARoundTrip) {
  const auto list = test::recordings();
  NEED_RECORDINGS(list);
  std::size_t passed = 0;
  for (const auto& r : list) {
    if (r.request.empty() || r.status >= 400) continue;
    SCOPED_TRACE(r.dir);
    auto document = parse_json(r.request);
    ASSERT_TRUE(document) << describe(document.error());
    auto parsed = parse_request(r.wire, *document);
    ASSERT_TRUE(parsed) << describe(parsed.error());
    auto written = write_request(r.wire, *parsed);
    ASSERT_TRUE(written) << describe(written.error());
    EXPECT_EQ(json::value(*written), *document);
    ++passed;
  }
  std::cout << "requests round-tripped: " << passed << "\n";
  EXPECT_GT(passed, 500u);
}

// Structure that every provider of the wire insists on.
void check_structure(Wire wire, const json::object& o) {
  if (wire == Wire::openai_chat) {
    std::set<std::string> open;
    for (const auto& m : o.at("messages").as_array()) {
      const auto role = std::string(m.at("role").as_string());
      if (role == "tool") {
        EXPECT_TRUE(open.erase(std::string(m.at("tool_call_id").as_string()))) << "a tool message answers no call";
        EXPECT_TRUE(m.at("content").is_string());
        continue;
      }
      open.clear();
      if (role != "assistant") { EXPECT_FALSE(m.at("content").is_null()); continue; }
      if (const auto* calls = m.as_object().if_contains("tool_calls")) {
        EXPECT_FALSE(calls->as_array().empty());
        for (const auto& c : calls->as_array()) {
          open.insert(std::string(c.at("id").as_string()));
          EXPECT_TRUE(c.at("function").at("arguments").is_string());
        }
      }
    }
  } else if (wire == Wire::anthropic_messages) {
    EXPECT_GT(o.at("max_tokens").as_int64(), 0);
    std::string last;
    for (const auto& m : o.at("messages").as_array()) {
      const auto role = std::string(m.at("role").as_string());
      EXPECT_NE(role, last) << "roles alternate";
      last = role;
      if (m.at("content").is_array()) EXPECT_FALSE(m.at("content").as_array().empty());
    }
  } else if (wire == Wire::gemini) {
    for (const auto& c : o.at("contents").as_array()) EXPECT_FALSE(c.at("parts").as_array().empty());
  }
}

TEST(Golden, RequestsTranslateToEveryWireOrAreRefusedByName) {
  const auto list = test::recordings();
  NEED_RECORDINGS(list);
  std::size_t translated = 0;
  std::map<std::string, int> refused;
  for (const auto& r : list) {
    if (r.request.empty() || r.status >= 400) continue;
    const auto parsed = parse_request(r.wire, *parse_json(r.request));
    ASSERT_TRUE(parsed) << r.dir;
    for (const auto wire : kAll) {
      if (wire == r.wire) continue;
      SCOPED_TRACE(r.dir + " → " + std::string(to_string(wire)));
      auto written = write_request(wire, *parsed);
      if (!written) {
        EXPECT_EQ(written.error().code, ErrorCode::caller_invalid_request) << describe(written.error());
        EXPECT_FALSE(written.error().field.empty());
        ++refused[written.error().field.substr(0, written.error().field.find('['))];
        continue;
      }
      ++translated;
      check_structure(wire, *written);
      auto again = parse_request(wire, json::value(*written));
      ASSERT_TRUE(again) << describe(again.error()) << to_json(json::value(*written));
      EXPECT_EQ(again->max_tokens.has_value(), parsed->max_tokens.has_value() || wire == Wire::anthropic_messages);
      EXPECT_EQ(again->tools.size(), parsed->tools.size());
    }
  }
  std::cout << "requests translated: " << translated << "; refused by field:";
  for (const auto& [field, n] : refused) std::cout << " " << field << "=" << n;
  std::cout << "\n";
  EXPECT_GT(translated, 1000u);
}

TEST(Golden, RepliesRoundTripAndTranslateThereAndBack) {
  const auto list = test::recordings();
  NEED_RECORDINGS(list);
  std::size_t passed = 0, translated = 0;
  for (const auto& r : list) {
    if (r.reply.empty() || r.status >= 400) continue;
    SCOPED_TRACE(r.dir);
    const auto document = *parse_json(r.reply);
    auto parsed = parse_reply(r.wire, document);
    ASSERT_TRUE(parsed) << describe(parsed.error());
    auto written = write_reply(r.wire, *parsed);
    ASSERT_TRUE(written) << describe(written.error());
    EXPECT_EQ(json::value(*written), document);
    ++passed;
    for (const auto wire : kAll) {
      if (wire == r.wire || parsed->choices.size() > 1) continue;
      SCOPED_TRACE(to_string(wire));
      auto there = write_reply(wire, *parsed);
      ASSERT_TRUE(there) << describe(there.error());
      auto back = parse_reply(wire, json::value(*there));
      ASSERT_TRUE(back) << describe(back.error());
      EXPECT_EQ(text_of(*back), text_of(*parsed));
      EXPECT_EQ(calls_of(*back), calls_of(*parsed));
      if (parsed->usage && back->usage) {
        EXPECT_EQ(back->usage->input(), parsed->usage->input());
        EXPECT_EQ(back->usage->output, parsed->usage->output);
        EXPECT_EQ(back->usage->cache_read, parsed->usage->cache_read);
      }
      const auto before = parsed->choices[0].finish, after = back->choices[0].finish;
      if (before == FinishReason::tool_calls || before == FinishReason::length || before == FinishReason::stop)
        EXPECT_EQ(after, before);
      ++translated;
    }
  }
  std::cout << "replies round-tripped: " << passed << ", translated there and back: " << translated << "\n";
  EXPECT_GT(passed, 400u);
}

TEST(Golden, ReplyFactsAgreeWithTheParser) {
  const auto list = test::recordings();
  NEED_RECORDINGS(list);
  FactsReader reader;
  for (const auto& r : list) {
    if (r.reply.empty() || r.status >= 400) continue;
    SCOPED_TRACE(r.dir);
    const auto parsed = parse_reply(r.wire, *parse_json(r.reply));
    auto facts = reader.reply(r.wire, r.reply);
    ASSERT_TRUE(parsed) << describe(parsed.error());
    ASSERT_TRUE(facts) << describe(facts.error());
    EXPECT_EQ(facts->usage, parsed->usage);
    EXPECT_EQ(facts->finish, parsed->choices.empty() ? FinishReason::none : parsed->choices[0].finish);
    EXPECT_EQ(facts->model, parsed->model);
    EXPECT_EQ(facts->id, parsed->id);
    if (facts->model_value) {
      const auto renamed = parse_json(splice_model(r.reply, facts->model_value, "other \"model\""));
      ASSERT_TRUE(renamed);
      EXPECT_EQ(parse_reply(r.wire, *renamed)->model, "other \"model\"");
    }
  }
}

TEST(Golden, RequestFactsAgreeWithTheParser) {
  const auto list = test::recordings();
  NEED_RECORDINGS(list);
  FactsReader reader;
  std::size_t n = 0;
  for (const auto& r : list) {
    if (r.request.empty() || r.status >= 400) continue;
    SCOPED_TRACE(r.dir);
    const auto parsed = *parse_request(r.wire, *parse_json(r.request));
    auto facts = reader.request(r.wire, r.request);
    ASSERT_TRUE(facts) << describe(facts.error());
    EXPECT_EQ(facts->model, parsed.model);
    EXPECT_EQ(facts->stream, parsed.stream);
    EXPECT_EQ(facts->max_tokens, parsed.max_tokens);
    EXPECT_EQ(facts->n, parsed.n.value_or(1));
    EXPECT_EQ(facts->user, parsed.user);
    if (!parsed.tools.empty()) EXPECT_TRUE(facts->has_tools);
    std::size_t text = 0;
    const auto add = [&](const std::vector<Part>& parts) {
      for (const auto& p : parts) if (const auto* t = std::get_if<Text>(&p.body)) text += t->text.size();
    };
    add(parsed.system);
    for (const auto& m : parsed.messages) add(m.parts);
    EXPECT_GE(facts->text_bytes, text);
    RequestEdits edits{.max_tokens = 77, .include_usage = true};
    if (r.wire != Wire::gemini) edits.model = "new/model";
    const auto spliced = parse_json(splice_request(r.wire, r.request, *facts, edits));
    ASSERT_TRUE(spliced) << describe(spliced.error());
    const auto again = parse_request(r.wire, *spliced);
    ASSERT_TRUE(again) << describe(again.error());
    EXPECT_EQ(again->max_tokens, 77);
    if (r.wire != Wire::gemini) EXPECT_EQ(again->model, "new/model");
    if (r.wire == Wire::openai_chat) EXPECT_TRUE(again->include_usage);
    ++n;
  }
  std::cout << "request facts checked: " << n << "\n";
}

TEST(Golden, ErrorsAreClassified) {
  const auto list = test::recordings();
  NEED_RECORDINGS(list);
  std::map<std::string, int> seen;
  for (const auto& r : list) {
    if (r.reply.empty() || r.status < 400) continue;
    SCOPED_TRACE(r.dir);
    const auto error = parse_error(r.wire, r.status, {}, r.reply);
    ++seen[std::string(to_string(error.code))];
    EXPECT_FALSE(error.message.empty());
    if (r.status == 401) EXPECT_EQ(error.code, ErrorCode::provider_auth);
    if (r.status == 404) EXPECT_EQ(error.code, ErrorCode::provider_rejected);
    if (r.dir.find("real_error_s") != std::string::npos && r.status == 400) EXPECT_EQ(error.code, ErrorCode::provider_context_length) << error.message;
  }
  for (const auto& [code, n] : seen) std::cout << code << "=" << n << " ";
  std::cout << "\n";
}

}  // namespace
}  // namespace ballast::llm
