#include "cluster/topics.hpp"

#include <thread>

#include "../../support/databases.hpp"
#include "cluster/members.hpp"
#include "cluster/resting.hpp"

namespace ballast::cluster {
namespace {

using namespace std::chrono_literals;

class TopicsTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (!IsSkipped()) ASSERT_TRUE(database().migrate(migrations()));
  }
  TopicNumbers numbers() { return *database().read_now([](store::Tx& tx) { return load_topics(tx); }); }
  void touched(Topic topic) { ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return touch(tx, topic); })); }
};
BALLAST_ON_BOTH_DATABASES(TopicsTest);

TEST_P(TopicsTest, EveryChangeRaisesItsNumber) {
  EXPECT_EQ(numbers(), TopicNumbers{});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) touched(Topic::sessions);
    });
  for (auto& t : threads) t.join();
  touched(Topic::keys);
  EXPECT_EQ(numbers(), (TopicNumbers{1, 20, 0}));
}

TEST_P(TopicsTest, ATargetHasOneNews) {
  const auto load = [&] { return *database().read_now([](store::Tx& tx) { return load_resting(tx, 10); }); };
  const auto put = [&](RestingNews news) { ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return put_resting(tx, std::span(&news, 1)); })); };
  put({.provider = "p", .model = "m", .slot = 3, .ago = 2s, .left = 5s});
  put({.provider = "p", .model = "n", .slot = 3, .ago = 11min, .left = 5s});
  auto all = load();
  ASSERT_EQ(all.size(), 1u) << "the other is too old";
  EXPECT_EQ(all[0].model, "m");
  EXPECT_EQ(all[0].slot, 3u);
  EXPECT_GE(all[0].ago, 2s);
  EXPECT_LE(all[0].left, 5s);
  put({.provider = "p", .model = "m", .what = RestingNews::What::reset, .slot = 4});
  all = load();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].what, RestingNews::What::reset);
  ASSERT_TRUE(database().write_now([](store::Tx& tx) { return drop_resting(tx, "p", "m"); }));
  ASSERT_TRUE(database().write_now([](store::Tx& tx) { return sweep_resting(tx); }));
  EXPECT_TRUE(load().empty());
  const auto left = database().read_now([](store::Tx& tx) { return tx.run("SELECT 1 FROM resting"); });
  EXPECT_TRUE(left && left->empty());
}

}  // namespace
}  // namespace ballast::cluster
