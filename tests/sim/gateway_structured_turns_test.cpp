// Streams under a schema whose turns go wrong between two attempts: what was told stays told, and nothing is told twice.
#include <gmock/gmock.h>

#include "base/json_scan.hpp"
#include "structured_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;

std::size_t count(std::string_view text, std::string_view what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

Options says(std::vector<llm::SimAnswer> answers, std::vector<SimFault> faults = {}) {
  llm::SimModel m{.name = "m", .answers = std::move(answers), .faults = std::move(faults)};
  m.price = llm::PriceSet{.input = {1'000'000'000}, .output = {2'000'000'000}};
  Options o{.first_model = m};
  o.route.targets = {*target_from("a/m", "t")};
  return o;
}

TEST(StructuredTurns, APassedOnStreamBeginsOnce) {
  constexpr std::pair<Wire, std::string_view> kStarts[] = {{Wire::openai_chat, R"("role":"assistant")"}, {Wire::openai_responses, R"("type":"response.created")"},
                                                           {Wire::anthropic_messages, R"("type":"message_start")"}};
  for (const auto& [wire, start] : kStarts)
    for (const bool hold : {false, true}) {
      Options o = says({{.match = "", .text = "I would rather not say."}});
      o.route.structured = {.pass = true, .hold = hold, .demand = {}};
      House house(std::move(o));
      AskedFor asked{{.wire = wire, .stream = true}};
      const Caller& caller = house.serve(asked.call());
      const Heard heard = hear(wire, caller);
      EXPECT_TRUE(heard.whole) << caller.body;
      EXPECT_EQ(heard.text, "I would rather not say.");
      EXPECT_EQ(count(caller.body, start), 1u) << caller.body;
      EXPECT_EQ(caller.header("x-ballast-structured"), "invalid");
      house.record();
    }
}

TEST(StructuredTurns, NoOtherAnswerFollowsAHalf) {
  Options o = says({{.match = "cannot be used", .text = R"({"name":"a long name, told in many pieces","price":2,"tags":["x"]})"}, {.match = "", .text = "I would rather not say."}},
                   {{.kind = SimFaultKind::cut, .every = 2, .after_tokens = 4}});
  o.route.structured.pass = true;
  House house(std::move(o));
  AskedFor asked{{.stream = true}};
  const Caller& caller = house.serve(asked.call());
  const Heard heard = hear(Wire::openai_chat, caller);
  EXPECT_TRUE(heard.failure) << caller.body;
  EXPECT_FALSE(heard.whole);
  EXPECT_EQ(heard.text.find("rather"), std::string::npos) << caller.body;
  JsonScan scan;
  EXPECT_EQ(scan.push(heard.text), heard.text.size());
  const auto r = house.record();
  EXPECT_THAT(outcomes(r), ElementsAre("a:provider_invalid_output", "a:provider_bad_response"));
  EXPECT_EQ(r.billed_nano, 0);
}

TEST(StructuredTurns, TheRestOfABrokenStreamIsAskedForInWords) {
  Options o = says({});
  o.first_model->answer = R"({"name":"text","price":3,"tags":["other"]})";       // what it says where it is not asked natively
  o.second = {{.kind = SimFaultKind::cut, .after_tokens = 4}};
  o.route.targets = {*target_from("b/m", "t"), *target_from("a/m", "t")};
  o.route.rescue = {.mode = RescueMode::proceed, .hold_back = 1};
  for (const auto wire : kAll) {
    SCOPED_TRACE(to_string(wire));
    House house(o);
    AskedFor asked{{.wire = wire, .stream = true}};
    const Caller& caller = house.serve(asked.call());
    const Heard heard = hear(wire, caller);
    EXPECT_TRUE(heard.whole) << caller.body;
    EXPECT_TRUE(fits(heard.text)) << caller.body;
    EXPECT_THAT(heard.text, HasSubstr("other"));
    EXPECT_THAT(outcomes(house.record()), ElementsAre("b:provider_bad_response", "a:ok"));
  }
}

TEST(StructuredTurns, AReplyThatCannotBeReadIsNotServedUnjudged) {
  Says prose(R"({"id":"i","object":"chat.completion","created":1e999,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Prose."},"finish_reason":"stop"}],)"
            R"("usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}})", "application/json");
  Options o{.first_transport = &prose};
  o.route.targets = {*target_from("a/m", "t")};
  House house(std::move(o));
  AskedFor asked;
  const Caller& caller = house.serve(asked.call());
  EXPECT_EQ(caller.head.status, 422) << caller.body;
  EXPECT_THAT(caller.body, HasSubstr("cannot be read"));
  house.record();
}

}  // namespace
}  // namespace ballast::gateway
