// What nodes say of their queues, and what it adds up to.
#include "work/queue_views.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ballast::work {
namespace {

using namespace std::chrono_literals;

QueuesElsewhere heard(std::initializer_list<json::object> said, Duration age = 0s) {
  QueuesElsewhere out;
  for (const auto& node : said) out.hear(*parse_json(to_json(node)), age);
  return out;
}

TEST(QueueViews, AreSaidAndHeardAsTheyAre) {
  const QueueView view{.ready = 3, .delayed = 1, .blocked = 2, .running = 4, .waiting = 5, .oldest = 90s,
                       .rates = {.arrivals_1m = 0.25, .arrivals_5m = 1.5, .ends_1m = 100, .ends_5m = 0.125, .per_job = 1500ms}};
  const auto elsewhere = heard({queues_json({{"images", view}, {"idle", {}}})}, 2s);
  EXPECT_EQ(elsewhere.nodes, 1u);
  EXPECT_EQ(elsewhere.left_out, 0u);
  ASSERT_EQ(elsewhere.views.size(), 1u) << "nothing is said of a queue without anything";
  const QueueView& there = elsewhere.views.at("images");
  EXPECT_EQ(there.ready, 3u);
  EXPECT_EQ(there.delayed, 1u);
  EXPECT_EQ(there.blocked, 2u);
  EXPECT_EQ(there.running, 4u);
  EXPECT_EQ(there.waiting, 5u);
  EXPECT_EQ(there.oldest, 92s) << "it has waited on since";
  EXPECT_DOUBLE_EQ(there.rates.arrivals_1m, 0.25);
  EXPECT_DOUBLE_EQ(there.rates.arrivals_5m, 1.5);
  EXPECT_DOUBLE_EQ(there.rates.ends_1m, 100);
  EXPECT_DOUBLE_EQ(there.rates.ends_5m, 0.125);
  EXPECT_EQ(there.rates.per_job, 1500ms);
}

TEST(QueueViews, AddUpOverNodes) {
  const QueueView slow{.ready = 1, .running = 1, .oldest = 10s, .rates = {.arrivals_1m = 1, .ends_5m = 1, .per_job = 4s}};
  const QueueView quick{.ready = 2, .oldest = 30s, .rates = {.arrivals_1m = 2, .ends_5m = 3, .per_job = 2s}};
  const QueueView fresh{.ready = 4};
  const auto elsewhere = heard({queues_json({{"q", quick}}), queues_json({{"q", fresh}, {"other", fresh}})});
  EXPECT_EQ(elsewhere.nodes, 2u);
  const auto all = elsewhere.with({{"q", slow}, {"here", fresh}});
  ASSERT_EQ(all.size(), 3u);
  const QueueView& q = all.at("q");
  EXPECT_EQ(q.ready, 7u);
  EXPECT_EQ(q.running, 1u);
  EXPECT_EQ(q.oldest, 30s);
  EXPECT_DOUBLE_EQ(q.rates.arrivals_1m, 3);
  ASSERT_TRUE(q.rates.per_job);
  EXPECT_NEAR(static_cast<double>(q.rates.per_job->count()), 2.5e9, 1e3) << "one of four took four seconds, three took two";
  EXPECT_EQ(all.at("other").ready, 4u);
  EXPECT_EQ(all.at("here").ready, 4u);
  EXPECT_FALSE(all.at("here").oldest);
}

TEST(QueueViews, WorkersAreWantedForAllNodesTogether) {
  const QueueView all{.ready = 600, .rates = {.per_job = 2s}};
  EXPECT_EQ(workers_wanted(all, {}, 1min, 3), 20u);
  EXPECT_EQ(workers_wanted(all, {.concurrency = 3}, 1min, 3), 9u) << "each keeps to the limit by itself";
  EXPECT_EQ(workers_wanted(all, {.concurrency = UINT32_MAX}, 1min, 3), 20u);
  EXPECT_EQ(workers_wanted(all, {.paused = true}, 1min, 3), 0u);
}

TEST(QueueViews, OfManyTheLargestAreSaidAndTheRestCounted) {
  QueueViews many;
  for (unsigned i = 0; i < 100; ++i) many[fmt::format("q{:03}", i)].ready = i;
  const auto said = queues_json(many);
  EXPECT_LT(to_json(said).size(), 4'000u);
  const auto elsewhere = heard({said, said});
  EXPECT_EQ(elsewhere.left_out, 2u * 35) << "one of the hundred has nothing";
  EXPECT_EQ(elsewhere.views.size(), 64u);
  EXPECT_FALSE(elsewhere.views.contains("q035"));
  EXPECT_EQ(elsewhere.views.at("q036").ready, 72u);
}

TEST(QueueViews, WhatCannotBeReadIsNotHeard) {
  for (const char* said : {"null", "[]", "{}", R"({"largest":3})"}) {
    QueuesElsewhere out;
    out.hear(*parse_json(said), 0s);
    EXPECT_EQ(out.nodes, 0u) << said;
  }
  QueuesElsewhere out;
  out.hear(*parse_json(R"({"largest":[null,[],["a"],["",1,1,1,1,1,null,0,0,0,0,null],["b",-1,1,1,1,1,null,0,0,0,0,null],["c",1,0,0,0,0,1e300,-5,"x",null,0,{}],["d",2,0,0,0,0,99999999999999999,0,0,0,0,null,"of tomorrow"]],
                           "left_out":"x","new":1})"), 1s);
  EXPECT_EQ(out.nodes, 1u);
  EXPECT_EQ(out.left_out, 0u);
  ASSERT_EQ(out.views.size(), 2u);
  EXPECT_EQ(out.views.at("c").ready, 1u);
  EXPECT_FALSE(out.views.at("c").oldest);
  EXPECT_EQ(out.views.at("c").rates.arrivals_1m, 0);
  EXPECT_EQ(out.views.at("d").ready, 2u);
  EXPECT_GT(*out.views.at("d").oldest, 24h);
}

TEST(QueueViews, AreThoseOfTheBoard) {
  Board board(1);
  const MonoTime now{100h};
  EXPECT_TRUE(views_of(board, nullptr, now).empty());
  const auto add = [&](std::int64_t id, Duration wait) {
    Job job{.id = JobId{id}, .spec = {.name = "x", .queue = "q"}};
    EXPECT_TRUE(board.add(job, {"q", "x"}, now, now + wait, kNever));
  };
  add(1, 0s);
  add(2, 0s);
  add(3, 1h);
  metrics::Registry registry;
  Meter meter(registry);
  const auto views = views_of(board, &meter, now + 5s);
  ASSERT_EQ(views.size(), 1u);
  EXPECT_EQ(views.at("q").ready, 2u);
  EXPECT_EQ(views.at("q").delayed, 1u);
  EXPECT_EQ(views.at("q").oldest, 5s);
  meter.publish_all(views, board, 1);
  meter.publish_all({}, board, 1);
  EXPECT_NE(registry.expose().find("ballast_cluster_jobs_live{queue=\"q\",place=\"ready\"} 0\n"), std::string::npos) << "nobody speaks of it any more";
}

}  // namespace
}  // namespace ballast::work
