// A call's decision as it happens: told to whoever made the call, to nobody else, and bounded.
#include "server/steps.hpp"

#include "api_house.hpp"

namespace ballast::server::test {
namespace {

constexpr std::string_view kName = "a-name-of-16-or-more";

struct StepsHouse : House {
  Steps steps;
  Api followed;
  explicit StepsHouse(Steps::Options options = {}) : steps(options), followed(parts_of()) {}
  Parts parts_of() {
    Parts parts = api->parts();
    parts.steps = &steps;
    return parts;
  }
  std::shared_ptr<StepsFollower> join(std::string_view name = kName, std::string key = "config:caller") {
    auto made = steps.join(name, std::move(key), loop);
    EXPECT_TRUE(made);
    return made.value_or(nullptr);
  }
  std::string take(StepsFollower& f) {
    std::string out;
    loop.run([](StepsFollower& follower, std::string& into, MonoTime until) -> Task<void> { into = co_await follower.news().take(until); }(f, out, clock.mono() + 1s));
    return out;
  }
  // A call for a model that does not exist: its road is short.
  void call(std::string_view secret, std::string_view name = kName, std::string model = "nothing/here") {
    Asked asked(loop, "POST", "/v1/chat/completions", std::string(secret), R"({"model":")" + model + R"(","messages":[{"role":"user","content":"the prompt"}]})", "192.0.2.7:5000");
    asked.add("x-ballast-steps", name);
    loop.run(followed.handle(asked));
    EXPECT_NE(asked.status, 0);
  }
};

TEST(Steps, ACallIsToldToWhoMadeIt) {
  StepsHouse house;
  const auto mine = house.join();
  house.call(kCaller);
  const std::string told = house.take(*mine);
  EXPECT_TRUE(told.starts_with("event: call\ndata: {\"call\":\"call_")) << told;
  EXPECT_NE(told.find("\"step\":\"settled\""), std::string::npos) << told;
  EXPECT_NE(told.find("event: end\ndata: {\"call\":\"call_"), std::string::npos) << told;
  EXPECT_EQ(told.find("the prompt"), std::string::npos);
  EXPECT_TRUE(mine->news().ended());
}

TEST(Steps, OneCallANameAndNobodyElses) {
  StepsHouse house;
  const auto mine = house.join();
  house.call(kAdmin);
  house.call("sk-nobody-0123456789");
  house.call(kCaller, "another-name-of-some-length");
  EXPECT_FALSE(mine->begun()) << "another's call under this name, a stranger's, and one's own under another";
  EXPECT_EQ(house.take(*mine), "");
  EXPECT_FALSE(mine->news().ended());
  const auto first = house.steps.of(kName), second = house.steps.of(kName);
  EXPECT_TRUE(first->begins("config:caller", "call_1"));
  EXPECT_FALSE(second->begins("config:caller", "call_2"));
}

TEST(Steps, AnEndIsOfTheCallThatBegan) {
  StepsHouse house;
  const auto mine = house.join();
  auto first = house.steps.of(kName);
  EXPECT_TRUE(first->begins("config:caller", "call_1"));
  house.call(kCaller);
  EXPECT_FALSE(mine->news().ended()) << "another call under the same name went by";
  first.reset();
  EXPECT_NE(house.take(*mine).find("event: end\ndata: {\"call\":\"call_1\"}"), std::string::npos);
}

TEST(Steps, NamesAreLongPlainAndOnesOwn) {
  StepsHouse house;
  for (const std::string& name : {std::string(), std::string("short"), std::string(65, 'a'), std::string("sixteen and more blanks"), std::string("sixteen\nand-more-lines"),
                                  std::string("<script>alert(1)</script>"), std::string("größer-als-sechzehn")}) {
    const auto made = house.steps.join(name, "k", house.loop);
    ASSERT_FALSE(made) << name;
    EXPECT_EQ(made.error().field, "name");
  }
  const auto mine = house.join();
  EXPECT_EQ(house.steps.join(kName, "config:caller", house.loop).error().code, ErrorCode::caller_conflict);
  house.steps.leave(kName, mine);
  EXPECT_EQ(house.steps.followers(), 0u);
  EXPECT_EQ(house.steps.of(kName), nullptr);
  EXPECT_TRUE(house.steps.join(kName, "config:caller", house.loop));
  house.steps.leave(kName, mine);
  EXPECT_EQ(house.steps.followers(), 1u) << "another's, by now";
}

TEST(Steps, NoMoreThanMay) {
  StepsHouse house({.followers = 3, .of_one_key = 2, .bytes = 200});
  const auto a = house.join("name-number-aaaaa"), b = house.join("name-number-bbbbb");
  EXPECT_EQ(house.steps.join("name-number-ccccc", "config:caller", house.loop).error().code, ErrorCode::internal_unavailable);
  const auto c = house.join("name-number-ccccc", "config:other");
  EXPECT_EQ(house.steps.join("name-number-ddddd", "config:third", house.loop).error().code, ErrorCode::internal_unavailable);
  for (int i = 0; i < 100; ++i) a->step(R"({"step":"retry"})");
  EXPECT_TRUE(a->news().ended()) << "nobody read";
  EXPECT_LE(house.take(*a).size(), 200u);
  EXPECT_TRUE(b->begin("config:caller", "call_1"));
  house.steps.stop();
  EXPECT_TRUE(c->news().ended());
  EXPECT_FALSE(b->news().ended()) << "its call is under way";
  EXPECT_FALSE(house.steps.join("name-number-eeeee", "config:third", house.loop));
}

TEST(Steps, WhoNeverCallsIsLetGo) {
  StepsHouse house;
  Asked asked(house.loop, "GET", "/api/steps?name=" + std::string(kName), std::string(kWatcher), {}, "192.0.2.7:5000");
  house.loop.run(house.followed.handle(asked));
  EXPECT_EQ(asked.status, 200);
  EXPECT_EQ(asked.type, "text/event-stream");
  EXPECT_TRUE(asked.answer.starts_with("event: hello\ndata: {\"name\":\"a-name-of-16-or-more\"}\n\n: keep\n\n")) << asked.answer;
  EXPECT_TRUE(asked.answer.ends_with("event: end\ndata: {\"call\":null}\n\n")) << asked.answer;
  EXPECT_TRUE(asked.finished);
  EXPECT_EQ(house.steps.followers(), 0u);
  for (const auto& [secret, status] : {std::pair(kCaller, 403), {std::string_view("sk-nobody-0123456789"), 401}}) {
    Asked refused(house.loop, "GET", "/api/steps?name=" + std::string(kName), std::string(secret), {}, "192.0.2.7:5000");
    house.loop.run(house.followed.handle(refused));
    EXPECT_EQ(refused.status, status);
  }
}

TEST(Steps, AStreamEndsWithItsKey) {
  StepsHouse house;
  const auto made = house.ask("POST", "/api/keys", kAdmin, R"({"name":"eye","scopes":["usage"]})");
  Asked asked(house.loop, "GET", "/api/steps?name=" + std::string(kName), made.at("secret"), {}, "192.0.2.7:5000");
  asked.on_write = [&](std::string_view) {
    house.ask("DELETE", "/api/keys/" + made.at("id"), kAdmin);
    return true;
  };
  house.loop.run(house.followed.handle(asked));
  EXPECT_TRUE(asked.finished);
  EXPECT_EQ(asked.answer.find("event: end"), std::string::npos) << "it was cut, and not told anything more";
}

}  // namespace
}  // namespace ballast::server::test
