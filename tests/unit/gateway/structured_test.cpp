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
  AnswerWatch watch(d, options);
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
    AnswerWatch watch(*d, {});
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
  AnswerWatch watch(*d, {.hold = true});
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
  AnswerWatch watch(d, options);
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
  AnswerWatch watch(*d, {});
  std::vector<llm::StreamEvent> out;
  for (auto& e : std::vector<llm::StreamEvent>{llm::TextDelta{0, R"({"name":)", {}}, llm::TextDelta{1, R"({"name":"b",)", {}}, llm::TextDelta{0, R"("a","price":1})", {}},
                                               llm::Finish{0, FinishReason::stop, {}, {}}, llm::TextDelta{1, R"("price":-1})", {}}})
    watch.push(std::move(e), out);
  EXPECT_FALSE(watch.refused());
  watch.push(llm::Finish{1, FinishReason::stop, {}, {}}, out);
  EXPECT_TRUE(watch.refused());
  EXPECT_EQ(watch.verdict()->standing, Standing::wrong);
  EXPECT_EQ(watch.words(), R"({"name":"b","price":-1})");
  EXPECT_FALSE(std::holds_alternative<llm::Finish>(out.back()));
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
