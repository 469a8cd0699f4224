// Answers judged against what was asked for; and the same judgement on a stream, whatever pieces it comes in.
#include "gateway/structured.hpp"

#include <gmock/gmock.h>

#include "base/json.hpp"
#include "gateway/structured_stream.hpp"

namespace ballast::gateway {
namespace {

using llm::FinishReason;
using testing::HasSubstr;

constexpr std::string_view kOrder = R"({"type":"object","properties":{"name":{"type":"string"},"price":{"type":"number","minimum":0},
  "tags":{"type":"array","items":{"type":"string"}}},"required":["name","price"],"additionalProperties":false})";

DemandPtr demand(std::string_view schema = kOrder) {
  auto made = compile_demand({.kind = llm::ResponseFormat::Kind::schema, .name = "order", .schema = *parse_json(schema)}, "f");
  EXPECT_TRUE(made) << (made ? "" : describe(made.error()));
  return *made;
}

struct Row { std::string_view text; FinishReason finish; Standing standing; std::string_view served; };
constexpr auto kStop = FinishReason::stop, kLength = FinishReason::length;
constexpr Row kRows[] = {
    {R"({"name":"a","price":1})", kStop, Standing::valid, R"({"name":"a","price":1})"},
    {R"( {"price":1,"name":"a","tags":[]} )", kLength, Standing::valid, R"( {"price":1,"name":"a","tags":[]} )"},
    {"```json\n{\"name\":\"a\",\"price\":1}\n```", kStop, Standing::repaired, R"({"name":"a","price":1})"},
    {R"({"name":"a","price":1,})", kStop, Standing::repaired, R"({"name":"a","price":1})"},
    {R"({"order":{"name":"a","price":1}})", kStop, Standing::repaired, R"({"name":"a","price":1})"},
    {R"([{"name":"a","price":1}])", kStop, Standing::repaired, R"({"name":"a","price":1})"},
    {R"({"order": {"name":"a","price":12345678901234567890123} })", kStop, Standing::repaired, R"({"name":"a","price":12345678901234567890123})"},
    {"```\n[ {\"name\":\"[\",\"price\":1.10} ]\n```", kStop, Standing::repaired, R"({"name":"[","price":1.10})"},
    {R"("{\"name\":\"a\",\"price\":1}")", kStop, Standing::repaired, R"({"name":"a","price":1})"},
    {R"({"name":"a","price":-3})", kStop, Standing::wrong, ""},
    {R"({"one":{"name":"a","price":1},"two":{"name":"a","price":1}})", kStop, Standing::wrong, ""},
    {R"([{"name":"a","price":1},{"name":"b","price":1}])", kStop, Standing::wrong, ""},
    {R"({"name":"a","price":1)", kLength, Standing::truncated, ""},
    {R"({"name":"a","price":1)", kStop, Standing::truncated, ""},
    {"I would rather not.", kStop, Standing::wrong, ""},
    {"", kStop, Standing::wrong, ""},
    {"   ", kLength, Standing::truncated, ""},
};

TEST(Judge, TellsValidFromRepairedFromTruncatedFromWrong) {
  const auto d = demand();
  for (const auto& row : kRows) {
    const auto v = judge(*d, row.text, row.finish);
    EXPECT_EQ(to_string(v.standing), to_string(row.standing)) << row.text << " " << in_words(v);
    if (v.standing == Standing::repaired) EXPECT_EQ(v.text, row.served);
    EXPECT_EQ(v.standing == Standing::wrong, !v.violations.empty()) << row.text;
  }
}

TEST(Judge, SaysWhatAModelCanActOn) {
  const auto v = judge(*demand(), R"({"price":-3,"tags":["x",5]})", kStop);
  EXPECT_THAT(complaint(v), HasSubstr("at \"/price\": must be at least 0"));
  EXPECT_THAT(complaint(v), HasSubstr("at \"/tags/1\""));
  EXPECT_THAT(in_words(v), HasSubstr("/price must be at least 0"));
  EXPECT_FALSE(broken_rule(v).empty());
  EXPECT_EQ(broken_rule(judge(*demand(), "no", kStop)), "json");
}

TEST(Judge, AnyJsonWillDoInJsonMode) {
  const auto made = compile_demand({.kind = llm::ResponseFormat::Kind::json}, "f");
  ASSERT_TRUE(made);
  EXPECT_EQ(judge(**made, "[1,{}]", kStop).standing, Standing::valid);
  EXPECT_EQ(judge(**made, "```\n{}\n```", kStop).standing, Standing::repaired);
  EXPECT_EQ(judge(**made, "{", kStop).standing, Standing::truncated);
  EXPECT_EQ(judge(**made, "12", kLength).standing, Standing::truncated);
}

TEST(Judge, ASchemaThatCannotBeUsedIsTheCallersToMend) {
  const auto refused = [](std::string_view schema) {
    const auto made = compile_demand({.kind = llm::ResponseFormat::Kind::schema, .schema = *parse_json(schema)}, "response_format.json_schema.schema");
    EXPECT_FALSE(made) << schema;
    EXPECT_EQ(made.error().field, "response_format.json_schema.schema");
    return made.error();
  };
  EXPECT_EQ(refused(R"({"type":5})").code, ErrorCode::caller_invalid_request);
  EXPECT_THAT(refused(R"({"$ref":"https://example.com/remote"})").message, HasSubstr("the schema cannot be used"));
  EXPECT_EQ(refused(R"({"pattern":"(a+"})").code, ErrorCode::caller_invalid_request);
  EXPECT_EQ(refused(R"({"$ref":"#"})").code, ErrorCode::caller_invalid_request);
  EXPECT_EQ(refused("{\"title\":\"" + std::string(kMaxSchemaBytes, 'x') + "\"}").code, ErrorCode::caller_too_large);
}

TEST(DemandCache, CompilesOnceAndForgetsTheOldest) {
  DemandCache cache;
  const auto get = [&](int n) { return *cache.get({.kind = llm::ResponseFormat::Kind::schema, .schema = json::object{{"minimum", n}}}, "f"); };
  const auto first = get(0);
  EXPECT_EQ(get(0), first);
  for (int n = 1; n < 200; ++n) get(n);
  EXPECT_EQ(cache.size(), 128u);
  EXPECT_NE(get(0), first);
  EXPECT_EQ(get(199), get(199));
}

// ---- Streams ----------------------------------------------------------------------------------------------------

struct Told {
  std::string text;
  bool finished = false, refused = false;
  std::optional<Verdict> verdict;
};
Told stream(const Demand& d, std::string_view text, std::size_t piece, FinishReason finish, WatchOptions options = {}) {
  AnswerWatch watch({.answer = &d}, options);
  std::vector<llm::StreamEvent> out;
  watch.push(llm::StreamStart{"id", "m", 1}, out);
  for (std::size_t at = 0; at < text.size(); at += piece) watch.push(llm::TextDelta{0, std::string(text.substr(at, piece)), {}}, out);
  watch.push(llm::PartStop{0}, out);
  watch.push(llm::Finish{0, finish, {}, {}}, out);
  Told told{.refused = watch.refused(), .verdict = watch.verdict()};
  for (const auto& e : out) {
    if (const auto* t = std::get_if<llm::TextDelta>(&e)) told.text += t->text;
    told.finished |= std::holds_alternative<llm::Finish>(e);
  }
  return told;
}

std::string bare(std::string_view text) {
  const auto v = parse_json(text);
  return v ? to_json(*v) : std::string(text);
}

TEST(AnswerWatch, EndsAsTheWholeAnswerIsJudgedAtEverySplit) {
  const auto d = demand();
  for (const auto& row : kRows)
    for (const bool hold : {false, true})
      for (std::size_t piece = 1; piece <= row.text.size() + 1; ++piece) {
        const Told told = stream(*d, row.text, piece, row.finish, {.hold = hold});
        ASSERT_TRUE(told.verdict) << row.text;
        const bool good = row.standing == Standing::valid || row.standing == Standing::repaired;
        // In pieces a wrapper cannot be taken off any more once its first bracket was told.
        if (!hold && good && told.refused) {
          EXPECT_THAT(row.text, testing::AnyOf(HasSubstr("order"), testing::StartsWith("["), testing::StartsWith("\"")));
          EXPECT_FALSE(told.finished);
          continue;
        }
        EXPECT_EQ(told.finished, good) << row.text << " in pieces of " << piece;
        EXPECT_EQ(told.refused, !good) << row.text;
        if (good) EXPECT_EQ(bare(told.text), bare(row.served)) << row.text << " in pieces of " << piece;
        if (hold && !good) EXPECT_EQ(told.text, "");
      }
}

TEST(AnswerWatch, TellsNothingThatIsNotABeginningOfJson) {
  const auto d = demand();
  for (const auto& row : kRows) {
    AnswerWatch watch({.answer = d.get()}, {});
    std::vector<llm::StreamEvent> out;
    JsonScan scan;
    for (const char c : row.text) {
      out.clear();
      watch.push(llm::TextDelta{0, std::string(1, c), {}}, out);
      for (const auto& e : out) EXPECT_EQ(scan.push(std::get<llm::TextDelta>(e).text), std::get<llm::TextDelta>(e).text.size()) << row.text;
    }
  }
}

TEST(AnswerWatch, ACommaWaitsForWhatFollowsIt) {
  const Told told = stream(*demand(), R"({"name":"a","price":1 , })", 1, kStop);
  EXPECT_EQ(told.text, R"({"name":"a","price":1  })");
  EXPECT_TRUE(told.finished);
  EXPECT_EQ(told.verdict->standing, Standing::repaired);
}

TEST(AnswerWatch, CallsOfToolsAndRefusalsAreNotJudged) {
  const auto d = demand();
  AnswerWatch watch({.answer = d.get()}, {.hold = true});
  std::vector<llm::StreamEvent> out;
  watch.push(llm::TextDelta{0, "Let me look.", {}}, out);
  watch.push(llm::ToolStart{0, 0, "call", "look", {}}, out);
  watch.push(llm::ToolArgsDelta{0, 0, "{}"}, out);
  watch.push(llm::Finish{0, FinishReason::tool_calls, {}, {}}, out);
  EXPECT_FALSE(watch.verdict());
  EXPECT_FALSE(watch.refused());
  EXPECT_TRUE(std::holds_alternative<llm::Finish>(out.back()));
}

std::vector<llm::StreamEvent> watched(const Demand& d, std::vector<llm::StreamEvent> events, WatchOptions options = {}) {
  AnswerWatch watch({.answer = &d}, options);
  std::vector<llm::StreamEvent> out;
  for (auto& e : events) watch.push(std::move(e), out);
  return out;
}

TEST(AnswerWatch, TextBeforeACallStaysBeforeIt) {
  const auto out = watched(*demand(), {llm::TextDelta{0, "Let me look.", {}}, llm::PartStop{0}, llm::ToolStart{0, 0, "call", "look", {}}, llm::ToolArgsDelta{0, 0, "{}"},
                                       llm::TextDelta{0, "More.", {}}, llm::Finish{0, FinishReason::tool_calls, {}, {}}});
  ASSERT_EQ(out.size(), 5u);
  EXPECT_EQ(std::get<llm::TextDelta>(out[0]).text, "Let me look.");
  EXPECT_TRUE(std::holds_alternative<llm::ToolStart>(out[1]));
  EXPECT_EQ(std::get<llm::TextDelta>(out[3]).text, "More.");
}

TEST(AnswerWatch, ACommaThatWasLeftOutBeforeACallOrARefusalIsNoFailure) {
  for (const llm::StreamEvent& turn : {llm::StreamEvent(llm::ToolStart{0, 0, "c", "look", {}}), llm::StreamEvent(llm::RefusalDelta{0, "No."})}) {
    const auto out = watched(*demand(), {llm::TextDelta{0, R"({"tags":["x",]} and)", {}}, turn, llm::Finish{0, FinishReason::tool_calls, {}, {}}});
    ASSERT_EQ(out.size(), 4u);
    EXPECT_EQ(std::get<llm::TextDelta>(out[0]).text + std::get<llm::TextDelta>(out[1]).text, R"({"tags":["x"]} and)");
  }
}

TEST(AnswerWatch, NothingFollowsTheEndOfAChoice) {
  const auto out = watched(*demand(), {llm::TextDelta{0, R"({"name":"a","price":1})", {}}, llm::Finish{0, FinishReason::stop, {}, {}}, llm::TextDelta{0, "}", {}},
                                       llm::ToolStart{0, 0, "c", "look", {}}, llm::RefusalDelta{0, "No."}, llm::UsageUpdate{}});
  ASSERT_EQ(out.size(), 3u);
  EXPECT_TRUE(std::holds_alternative<llm::Finish>(out[1]));
}

TEST(AnswerWatch, ASignatureOfTextIsNotLost) {
  const auto out = watched(*demand(), {llm::TextDelta{0, R"({"name":"a","price":1)", "s1"}, llm::TextDelta{0, " ", {}}, llm::TextDelta{0, "}", {}}, llm::TextDelta{0, "", "s2"},
                                       llm::Finish{0, FinishReason::stop, {}, {}}});
  std::string signatures, text;
  for (const auto& e : out)
    if (const auto* t = std::get_if<llm::TextDelta>(&e)) signatures += t->signature, text += t->text;
  EXPECT_EQ(signatures, "s1s2");
  EXPECT_EQ(text, R"({"name":"a","price":1 })");
}

TEST(AnswerWatch, EachChoiceIsJudgedByItself) {
  const auto d = demand();
  AnswerWatch watch({.answer = d.get()}, {});
  std::vector<llm::StreamEvent> out;
  for (auto& e : std::vector<llm::StreamEvent>{llm::TextDelta{0, R"({"name":)", {}}, llm::TextDelta{1, R"({"name":"b",)", {}}, llm::TextDelta{0, R"("a","price":1})", {}},
                                               llm::Finish{0, FinishReason::stop, {}, {}}, llm::TextDelta{1, R"("price":-1})", {}}})
    watch.push(std::move(e), out);
  EXPECT_FALSE(watch.refused());
  watch.push(llm::Finish{1, FinishReason::stop, {}, {}}, out);
  EXPECT_TRUE(watch.refused());
  EXPECT_EQ(watch.verdict()->standing, Standing::wrong);
  EXPECT_EQ(watch.said().words, R"({"name":"b","price":-1})");
  EXPECT_FALSE(std::holds_alternative<llm::Finish>(out.back()));
}

// ---- Calls that are forced ----------------------------------------------------------------------------------------

CallDemand order_calls() { return {.tools = {{"order", demand()}, {"free", nullptr}}}; }

TEST(JudgeCall, EachByItsOwnToolsSchema) {
  const CallDemand by = order_calls();
  EXPECT_EQ(judge_call(by, "order", R"({"name":"a","price":1})", kStop).standing, Standing::valid);
  EXPECT_EQ(judge_call(by, "order", R"({"name":"a","price":1,})", kStop).text, R"({"name":"a","price":1})");
  EXPECT_EQ(judge_call(by, "order", R"({"name":"a")", kLength).standing, Standing::truncated);
  EXPECT_EQ(judge_call(by, "free", "whatever", kStop).standing, Standing::valid);
  const auto wrong = judge_call(by, "order", R"({"name":"a","price":-1})", kStop);
  EXPECT_THAT(complaint(wrong), testing::AllOf(HasSubstr("The call of order cannot be used"), HasSubstr("at \"/price\": must be at least 0")));
  EXPECT_THAT(complaint(judge_call(by, "other", "{}", kStop)), HasSubstr("none of the tools that may be called"));
  EXPECT_THAT(complaint(judge_silence(kStop)), HasSubstr("no tool was called"));
  EXPECT_EQ(judge_silence(kLength).standing, Standing::truncated);
  const CallDemand open{.tools = {{"any", demand(R"({"type":"object"})")}}};
  EXPECT_EQ(judge_call(open, "any", "", kStop).text, "{}");
  EXPECT_EQ(judge_call(open, "any", "", kLength).standing, Standing::truncated);
}

struct CallsTold {
  std::string said;                      // in the order it was told
  bool finished = false, refused = false;
  std::optional<Verdict> verdict;
  Said refused_words;
};
CallsTold stream_calls(std::vector<llm::StreamEvent> events, std::size_t piece, FinishReason finish = FinishReason::tool_calls, WatchOptions options = {}) {
  static const CallDemand by = order_calls();
  AnswerWatch watch({.calls = &by}, options);
  std::vector<llm::StreamEvent> out;
  for (auto& e : events) {
    const auto* args = std::get_if<llm::ToolArgsDelta>(&e);
    if (args == nullptr) watch.push(std::move(e), out);
    else for (std::size_t at = 0; at < args->text.size(); at += piece) watch.push(llm::ToolArgsDelta{0, args->index, args->text.substr(at, piece)}, out);
  }
  if (options.hold) EXPECT_FALSE(watch.told());
  watch.push(llm::Finish{0, finish, {}, {}}, out);
  CallsTold told{.refused = watch.refused(), .verdict = watch.verdict(), .refused_words = watch.said()};
  for (const auto& e : out) {
    if (const auto* t = std::get_if<llm::TextDelta>(&e)) told.said += t->text;
    if (const auto* c = std::get_if<llm::ToolStart>(&e)) told.said += "<" + c->name + ">";
    if (const auto* a = std::get_if<llm::ToolArgsDelta>(&e)) told.said += a->text;
    told.finished |= std::holds_alternative<llm::Finish>(e);
  }
  return told;
}
llm::StreamEvent start(std::string name, std::uint32_t index = 0) { return llm::ToolStart{0, index, "id" + std::to_string(index), std::move(name), {}}; }
llm::StreamEvent args(std::string_view text, std::uint32_t index = 0) { return llm::ToolArgsDelta{0, index, std::string(text)}; }

TEST(AnswerWatch, TheArgumentsOfAForcedCallAreWatchedAtEverySplit) {
  for (const auto& row : kRows)
    for (const bool hold : {false, true})
      for (std::size_t piece = 1; piece <= row.text.size() + 1; ++piece) {
        if (row.text.empty() || (row.text == "   " && row.finish == kLength)) continue;       // a call without arguments is another thing
        const auto told = stream_calls({start("order"), args(row.text)}, piece, row.finish, {.hold = hold});
        const bool good = row.standing == Standing::valid || row.standing == Standing::repaired;
        ASSERT_TRUE(told.verdict) << row.text;
        EXPECT_NE(told.finished, told.refused);
        if (told.finished) {
          EXPECT_TRUE(good) << row.text;
          EXPECT_EQ(bare(told.said.substr(7)), bare(row.served)) << row.text;
        } else {
          EXPECT_EQ(told.refused_words.calls.at(0).arguments, row.text);
          EXPECT_TRUE(!good || (!hold && told.said.starts_with("<order>"))) << row.text;
        }
      }
}

TEST(AnswerWatch, NothingOfAForcedCallIsToldBeforeItMayBeJson) {
  const auto told = stream_calls({llm::TextDelta{0, "I will order.", {}}, llm::PartStop{0}, start("order"), args("an order for you")}, 3);
  EXPECT_EQ(told.said, "");
  EXPECT_TRUE(told.refused);
  EXPECT_EQ(told.refused_words.words, "I will order.");
  const auto good = stream_calls({llm::TextDelta{0, "I will order.", {}}, start("order"), args(R"({"name":"a","price":1})"), llm::TextDelta{0, "Done.", {}}}, 3);
  EXPECT_EQ(good.said, R"(I will order.<order>{"name":"a","price":1}Done.)");
}

TEST(AnswerWatch, SeveralForcedCallsBeginInTheirOrderAndAreAllJudged) {
  const auto told = stream_calls({start("order"), start("order", 1), args(R"(```{"name":"a","price":1}```)"), args(R"({"name":"b","price":2})", 1)}, 5);
  EXPECT_EQ(told.said, R"(<order><order>{"name":"b","price":2}{"name":"a","price":1})");
  const auto mixed = stream_calls({start("order"), args(R"({"name":"a","price":1,})"), start("free", 1), args("no JSON, ]", 1), start("order", 2), args(R"({"name":"b","price":2})", 2)}, 4);
  EXPECT_EQ(mixed.said, R"(<order>{"name":"a","price":1}<free>no JSON, ]<order>{"name":"b","price":2})");
  EXPECT_TRUE(mixed.finished);
  EXPECT_EQ(mixed.verdict->standing, Standing::repaired);
  const auto second = stream_calls({start("order"), args(R"({"name":"a","price":1})"), start("order", 1), args(R"({"name":"b","price":-2})", 1)}, 4);
  EXPECT_TRUE(second.refused);
  EXPECT_EQ(second.verdict->tool, "order");
}

TEST(AnswerWatch, WhereACallIsForcedSilenceIsWrongAndARefusalIsNot) {
  EXPECT_TRUE(stream_calls({llm::TextDelta{0, "Just words.", {}}}, 9, kStop).refused);
  const auto passed = stream_calls({llm::ReasoningDelta{0, "Hm.", false}, llm::TextDelta{0, "Just words.", {}}}, 9, kStop, {.pass = true});
  EXPECT_EQ(passed.said, "Just words.");
  EXPECT_TRUE(passed.finished);
  const auto refusal = stream_calls({llm::TextDelta{0, "Well, ", {}}, llm::RefusalDelta{0, "no."}}, 9, kStop);
  EXPECT_FALSE(refusal.verdict);
  EXPECT_EQ(refusal.said, "Well, ");
  EXPECT_TRUE(refusal.finished);
  const auto filtered = stream_calls({start("order"), args(R"({"name":"a)")}, 4, FinishReason::content_filter);
  EXPECT_TRUE(filtered.finished);
  EXPECT_EQ(filtered.said, R"(<order>{"name":"a)");
}

TEST(AnswerWatch, PassesOnTheRestThoughACommaWasLeftOut) {
  const Told told = stream(*demand(), R"({"tags":["x",],"name":"a","price":-3})", 4, kStop, {.pass = true});
  EXPECT_EQ(told.text, R"({"tags":["x"],"name":"a","price":-3})");
  EXPECT_TRUE(told.finished);
  const Told wrapped = stream(*demand(), R"([{"name":"a","price":3}])", 4, kStop, {.pass = true});
  EXPECT_EQ(wrapped.text, R"([{"name":"a","price":3}])");
  EXPECT_EQ(wrapped.verdict->standing, Standing::wrong);
}

TEST(AnswerWatch, PassesOnWhatItToldTheBeginningOf) {
  const Told told = stream(*demand(), R"({"name":"a","price":-3})", 4, kStop, {.pass = true});
  EXPECT_EQ(told.text, R"({"name":"a","price":-3})");
  EXPECT_TRUE(told.finished);
  EXPECT_EQ(told.verdict->standing, Standing::wrong);
  EXPECT_TRUE(stream(*demand(), "no JSON", 4, kStop, {.pass = true}).refused);   // nothing was told: it can be asked again first
}

}  // namespace
}  // namespace ballast::gateway
