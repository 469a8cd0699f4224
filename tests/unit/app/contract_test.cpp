// Contracts without a server: what came back is read, pinned and judged.
#include "app/contract.hpp"

#include <gtest/gtest.h>

#include "app/contract_report.hpp"

namespace ballast::app {
namespace {

using Kind = Outcome::Kind;

std::string completion(std::string_view content, std::string_view finish = "stop", std::string_view more = "") {
  std::string out = R"({"choices":[{"finish_reason":")" + std::string(finish) + R"(","message":{"content":)";
  append_json_string(out, content);
  return out + std::string(more) + "}}]}";
}
std::string call(std::string_view name, std::string_view arguments) {
  std::string out =
      R"(,"tool_calls":[{"type":"function","function":{"name":")" + std::string(name) + R"(","arguments":)";
  append_json_string(out, arguments);
  return out + "}}]";
}

schema::Schema pinned(std::initializer_list<std::string> bodies, const json::value& declared = nullptr) {
  Recorder recorder;
  for (const auto& body : bodies) recorder.add(read_chat(200, body).observed);
  return schema::Schema::compile(recorder.schema(false, declared, false)).value();
}

// "path: expected" of each breach.
std::string told(const schema::Schema& schema, int status, std::string_view body, bool must_answer = false) {
  std::string out;
  for (const auto& b : breaches({"it", nullptr, must_answer}, read_chat(status, body), schema))
    out += b.path + ": " + b.expected + "; found " + b.found + "\n";
  return out;
}

TEST(Contract, AnAnswerOfAnotherStructureIsToldByItsPlace) {
  const auto schema = pinned(
      {completion(R"({"category":"refund","confidence":0.5})"), completion(R"({"category":null,"confidence":1})")});
  EXPECT_EQ(told(schema, 200, completion(R"({"category":"other","confidence":0})")), "");
  EXPECT_EQ(told(schema, 200, completion(R"({"category":"other","confidence":"high"})")),
            "/content/confidence: must be a number, is a string; found \"high\"\n");
  EXPECT_EQ(told(schema, 200, completion(R"({"confidence":1})")),
            "/content: must have the member \"category\"; found {\"confidence\":1}\n");
  EXPECT_EQ(told(schema, 200, completion(R"({"category":"a","confidence":1,"why":"b"})")),
            "/content/why: is not allowed here; found \"b\"\n");
  EXPECT_EQ(told(schema, 200, completion("Sure! Here it is.")),
            "/content: must be an object, is a string; found \"Sure! Here it is.\"\n");
  EXPECT_EQ(told(schema, 200, completion(R"({"category":"a","confidence":1})", "length")),
            "/finish: must be one of \"stop\", is \"length\"; found \"length\"\n");
  EXPECT_NE(told(schema, 200, completion("", "stop", call("look_up", "{}"))).find("/tool_calls: must have at most 0 items, has 1"),
            std::string::npos);
}

TEST(Contract, CallsOfToolsArePinnedByNameAndArguments) {
  const auto schema = pinned({completion("", "tool_calls", call("look_up", R"({"id":7})")),
                              completion("", "tool_calls", call("refund", R"({"id":7,"amount":"1.00"})"))});
  EXPECT_EQ(told(schema, 200, completion("", "tool_calls", call("look_up", R"({"id":8})"))), "");
  EXPECT_NE(told(schema, 200, completion("", "tool_calls", call("look_up", R"({"id":"8"})")))
                .find("/tool_calls/0/arguments/id: must be an integer"),
            std::string::npos);
  EXPECT_NE(told(schema, 200, completion("", "tool_calls", call("drop", "{}"))).find("/tool_calls/0"),
            std::string::npos);
  EXPECT_NE(told(schema, 200, completion("", "tool_calls")).find("/tool_calls: must have at least 1 item"),
            std::string::npos);
}

TEST(Contract, ADeclaredSchemaGivesItsEnums) {
  const auto declared =
      parse_json(R"({"type":"object","properties":{"category":{"enum":["refund","other"]}}})").value();
  const auto schema = pinned({completion(R"({"category":"refund"})")}, declared);
  EXPECT_EQ(told(schema, 200, completion(R"({"category":"other"})")), "");
  EXPECT_NE(told(schema, 200, completion(R"({"category":"invented"})")), "");
}

TEST(Contract, ARefusalIsClearWhenItNamesItsField) {
  const auto schema = pinned({completion("text")});
  struct Row {
    int status;
    const char* body;
    Kind kind;
    const char* breach;  // of an input that may be refused
  };
  const Row rows[] = {
      {400, R"({"error":{"message":"too long","param":"messages"}})", Kind::refusal, ""},
      {422, R"({"title":"Bad","detail":"must be an object","field":"input"})", Kind::refusal, ""},
      {400, R"({"error":{"message":"too long","param":null,"code":"context_length_exceeded"}})", Kind::refusal, ""},
      {400, R"({"error":{"message":"no"}})", Kind::refusal, "must name the field"},
      {500, R"({"error":{"message":"oops","param":"messages"}})", Kind::failure, "an answer or a clear refusal"},
      {502, "<html>", Kind::failure, "an answer or a clear refusal"},
      {200, "{}", Kind::failure, "an answer or a clear refusal"},
      {200, "<html>", Kind::failure, "an answer or a clear refusal"},
      {200, R"({"choices":[{"message":{"content":null,"refusal":"I will not"},"finish_reason":"stop"}]})",
       Kind::refusal, ""},
      {401, "{}", Kind::unavailable, ""},
      {429, "{}", Kind::unavailable, ""},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(read_chat(row.status, row.body).kind, row.kind) << row.status << row.body;
    const auto said = told(schema, row.status, row.body);
    EXPECT_EQ(said.empty(), *row.breach == '\0') << said;
    EXPECT_NE(said.find(row.breach), std::string::npos) << said;
  }
  EXPECT_NE(told(schema, 400, rows[0].body, true).find("must be answered"), std::string::npos);
}

TEST(Contract, ARunIsAnAnswerARefusalOrAFailure) {
  EXPECT_EQ(to_json(read_job(200, R"({"id":"job_1","state":"done","output":{"a":1}})").observed),
            R"({"output":{"a":1}})");
  EXPECT_EQ(
      read_job(200, R"({"state":"dead","error":{"code":"caller_too_large","message":"m","stage":"triage"}})").field,
      "triage");
  EXPECT_EQ(
      read_job(200, R"({"state":"dead","error":{"code":"caller_too_large","message":"m","stage":"triage"}})").kind,
      Kind::refusal);
  EXPECT_EQ(read_job(200, R"({"state":"dead","error":{"code":"internal_error","message":"m"}})").kind, Kind::failure);
  EXPECT_EQ(read_job(202, R"({"state":"waiting"})").kind, Kind::unavailable);
  EXPECT_EQ(read_job(200, "[]").kind, Kind::unavailable);
}

TEST(Contract, HarmfulInputsAreMadeOfAGoodOne) {
  const auto good = parse_json(R"({"name":"Ada","lines":["a"],"n":1})").value();
  const auto cases = hostile_cases(good, true, 1'000);
  std::size_t texts = 0, without = 0;
  for (const auto& one : cases) {
    EXPECT_FALSE(one.must_answer);
    EXPECT_TRUE(parse_json(to_json(one.input)).has_value()) << one.name;
    if (one.name.starts_with("without ")) ++without;
    if (const auto* object = one.input.if_object(); object && object->size() == 3) {
      ++texts;
      EXPECT_EQ(object->at("name"), object->at("lines").at(0)) << one.name;
      EXPECT_EQ(object->at("n"), 1);
    }
  }
  EXPECT_EQ(without, 3u);
  EXPECT_GE(texts, 15u);
  const auto said = hostile_cases(
      parse_json(R"([{"role":"system","content":"s"},{"role":"user","content":"u"}])").value(), false, 1'000);
  EXPECT_EQ(said[0].input.at(0).at("content"), "s");
  EXPECT_EQ(said[0].input.at(1).at("content"), "");
  EXPECT_EQ(hostile_cases("text", false, 1'000).size(), said.size());
}

TEST(Contract, TheFileIsReadAsItWasWritten) {
  Contract contract{.is_flow = false,
                    .name = "chat",
                    .request = {{"max_tokens", 5}},
                    .inputs = {"a", nullptr},
                    .answer = json::object{{"type", "object"}}};
  const auto text = indented(contract_document(contract));
  const auto back = read_contract(parse_json(text).value());
  ASSERT_TRUE(back.has_value()) << text;
  EXPECT_EQ(contract_document(*back), contract_document(contract));
  for (const char* bad :
       {"[]", "{}", R"({"contract":2})", R"({"contract":1,"model":"a","flow":"b","inputs":[1],"answer":true})",
        R"({"contract":1,"model":"a","inputs":[],"answer":true})", R"({"contract":1,"model":"a","inputs":[1]})"})
    EXPECT_FALSE(read_contract(parse_json(bad).value()).has_value()) << bad;
}

TEST(Contract, ReportsSayTheSameToPeopleProgramsAndRunners) {
  ContractReport report{.name = "a<b",
                        .results = {{"fine", false, {}},
                                    {"no \x01", true, {}},
                                    {"bad", false, {{"/content", "must be a string, is null", "nu\nll"}}}},
                        .unavailable = ""};
  EXPECT_EQ(report.text(),
            "broken: bad: /content: must be a string, is null; found nu ll\nbroken: 3 inputs, 1 refused, 1 broken\n");
  EXPECT_EQ(
      to_json(report.json()),
      R"({"holds":false,"asked":3,"refused":1,"broken":[{"input":"bad","path":"/content","expected":"must be a string, is null","found":"nu\nll"}]})");
  const auto xml = report.junit();
  EXPECT_NE(xml.find(R"(<testsuite name="contract a&lt;b" tests="3" failures="1" errors="0">)"), std::string::npos);
  EXPECT_NE(xml.find(R"(name="no ?"/>)"), std::string::npos);
  report.results.pop_back();
  report.unavailable = "401: who?";
  EXPECT_EQ(to_json(report.json()), R"({"holds":null,"asked":2,"refused":1,"broken":[],"could_not_run":"401: who?"})");
  EXPECT_NE(report.junit().find(R"(<error message="401: who?"/>)"), std::string::npos);
}

}  // namespace
}  // namespace ballast::app
