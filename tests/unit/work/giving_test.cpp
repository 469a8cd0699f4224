#include "work/giving.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace ballast::work {
namespace {

Board::Spare lane(std::string queue, std::string task, int jobs, int from = 1) {
  Board::Spare s{.lane = {.queue = std::move(queue), .task = std::move(task)}, .jobs = {}};
  for (int i = 0; i < jobs; ++i) s.jobs.push_back(JobId{from + i});
  return s;
}
Neighbour hungry(std::uint32_t epoch, std::uint32_t local, std::uint64_t beat = 1) { return {.epoch = epoch, .beat = beat, .hunger = {.local = local, .pulls = {}}}; }
std::size_t given(const std::vector<Gift>& gifts, std::uint32_t to) {
  for (const Gift& g : gifts)
    if (g.to == to) return g.jobs.size();
  return 0;
}

TEST(Giving, WhatStandsFirstGoesToWhoHasRoom) {
  Giving giving;
  const std::vector spare{lane("q", "", 5)};
  const std::vector neighbours{hungry(7, 2)};
  const auto gifts = giving.decide(spare, neighbours);
  ASSERT_EQ(gifts.size(), 1u);
  EXPECT_EQ(gifts[0].to, 7u);
  EXPECT_EQ(gifts[0].jobs, (std::vector{JobId{1}, JobId{2}}));
}

TEST(Giving, AHungerIsFedOnceAndTheNextAgain) {
  Giving giving;
  const std::vector spare{lane("q", "", 5)};
  EXPECT_EQ(given(giving.decide(spare, std::vector{hungry(7, 2)}), 7), 2u);
  EXPECT_TRUE(giving.decide(spare, std::vector{hungry(7, 2)}).empty()) << "its beat is the same";
  EXPECT_EQ(given(giving.decide(spare, std::vector{hungry(7, 1, 2)}), 7), 1u);
  EXPECT_TRUE(giving.decide({}, std::vector{hungry(7, 4, 3)}).empty());
  EXPECT_EQ(given(giving.decide(spare, std::vector{hungry(7, 4, 3)}), 7), 4u) << "it got nothing of that beat";
}

TEST(Giving, GiversShareWhatIsWanted) {
  Giving giving;
  const std::vector spare{lane("q", "", 50)};
  const auto gifts = giving.decide(spare, std::vector{hungry(1, 9), hungry(2, 0), hungry(3, 0)});
  EXPECT_EQ(given(gifts, 1), 3u) << "two others may give too";
  EXPECT_EQ(gifts.size(), 1u) << "who is not hungry gets nothing";
}

TEST(Giving, HungryOnesTakeTurnsAndSoDoLanes) {
  Giving giving;
  const std::vector spare{lane("a", "", 10, 1), lane("b", "", 10, 101)};
  const auto gifts = giving.decide(spare, std::vector{hungry(1, 4), hungry(2, 4)});
  for (const std::uint32_t to : {1u, 2u}) {
    ASSERT_EQ(given(gifts, to), 4u);
    const auto& jobs = gifts[to - 1].jobs;
    EXPECT_EQ(std::ranges::count_if(jobs, [](JobId id) { return id.value > 100; }), 2) << "of both queues";
  }
  const auto scarce = Giving().decide(std::vector{lane("a", "", 3)}, std::vector{hungry(1, 4), hungry(2, 4)});
  EXPECT_EQ(given(scarce, 1) + given(scarce, 2), 3u);
  EXPECT_LE(given(scarce, 1), 2u);
}

TEST(Giving, AnExternalWorkerIsGivenItsTasksAlone) {
  Giving giving;
  const std::vector spare{lane("q", "resize", 5, 1), lane("q", "print", 5, 11), lane("other", "resize", 5, 21), lane("q", "", 5, 31)};
  const Neighbour one{.epoch = 1, .beat = 1, .hunger = {.local = 0, .pulls = {{"q", "resize", 2}}}};
  const Neighbour any{.epoch = 2, .beat = 1, .hunger = {.local = 0, .pulls = {{"q", "", 4}}}};
  const auto gifts = giving.decide(spare, std::vector{one, any});
  ASSERT_EQ(given(gifts, 1), 2u);
  for (const JobId id : gifts[0].jobs) EXPECT_LE(id.value, 5);
  ASSERT_EQ(given(gifts, 2), 4u);
  for (const JobId id : gifts[1].jobs) EXPECT_LE(id.value, 20);
  std::set<JobId> all;
  for (const Gift& g : gifts)
    for (const JobId id : g.jobs) EXPECT_TRUE(all.insert(id).second) << "given twice";
}

TEST(Giving, WhoLeavesGivesAllOfItToTheHungryFirst) {
  Giving giving;
  const std::vector spare{lane("q", "", 7, 1), lane("q", "resize", 4, 11)};
  const Neighbour waits{.epoch = 1, .beat = 1, .hunger = {.local = 0, .pulls = {{"q", "resize", 2}}}};
  const auto gifts = giving.leave(spare, std::vector{waits, hungry(2, 0), hungry(3, 0)});
  ASSERT_EQ(gifts.size(), 3u);
  EXPECT_EQ(gifts[0].jobs[0], JobId{11}) << "somebody waits for it there";
  std::set<JobId> all;
  for (const Gift& g : gifts) {
    EXPECT_GE(g.jobs.size(), 3u) << "the rest in turn";
    for (const JobId id : g.jobs) EXPECT_TRUE(all.insert(id).second) << "given twice";
  }
  EXPECT_EQ(all.size(), 11u);
  EXPECT_TRUE(giving.leave(spare, {}).empty()) << "nobody is there";
  EXPECT_TRUE(giving.leave({}, std::vector{waits}).empty());
}

TEST(Giving, WhoHasLeftSaysSoAndWantsNothing) {
  EXPECT_TRUE(has_left(left_json(7)));
  EXPECT_EQ(neighbour_from(left_json(7), 1)->hunger, Hunger{});
  EXPECT_FALSE(has_left(neighbour_json(7, {.local = 3, .pulls = {}})));
  for (const char* text : {"null", "7", "[]", "{}", R"({"left":1})", R"({"left":null})"}) EXPECT_FALSE(has_left(boost::json::parse(text))) << text;
}

Hunger heard(const json::value& hunger) {
  const auto neighbour = neighbour_from(json::object{{"epoch", 9}, {"hunger", hunger}}, 4);
  return neighbour ? neighbour->hunger : Hunger{.local = 999, .pulls = {}};
}

TEST(Giving, AHungerIsReadAsItWasSaid) {
  Hunger hunger{.local = 3, .pulls = {{"q", "resize", 2}, {"q", "", 9}}};
  const auto read = neighbour_from(neighbour_json(7, hunger), 12);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->epoch, 7u);
  EXPECT_EQ(read->beat, 12u);
  EXPECT_EQ(read->hunger, hunger);
  EXPECT_EQ(neighbour_from(neighbour_json(7, {}), 12)->hunger, Hunger{});
  hunger.pulls.resize(200, {"q", "x", 1});
  EXPECT_EQ(neighbour_from(neighbour_json(7, hunger), 12)->hunger.pulls.size(), kMostPulls);
}

TEST(Giving, WhoHasNoEpochIsNoNeighbour) {
  for (const char* text : {"null", "7", "[]", "{}", R"({"epoch":0})", R"({"epoch":-1})", R"({"epoch":"9"})", R"({"epoch":4294967296})", R"({"hunger":{"local":3}})"})
    EXPECT_FALSE(neighbour_from(boost::json::parse(text), 1)) << text;
  EXPECT_EQ(neighbour_from(boost::json::parse(R"({"epoch":3})"), 1)->hunger, Hunger{});
}

TEST(Giving, WhatCannotBeReadIsNoHunger) {
  for (const char* text : {"null", "7", "[]", R"({"local":-1})", R"({"local":"many","pulls":{}})", R"({"pulls":[1,{},{"queue":"","most":4},{"queue":"q","most":0},{"queue":["q"],"most":1}]})"})
    EXPECT_EQ(heard(boost::json::parse(text)), Hunger{}) << text;
  const auto odd = heard(boost::json::parse(R"({"local":99999999999999,"pulls":[{"queue":")" + std::string(500, 'q') + R"(","most":1}],"later":true})"));
  EXPECT_EQ(odd.local, 0u);
  EXPECT_TRUE(odd.pulls.empty());
}

}  // namespace
}  // namespace ballast::work
