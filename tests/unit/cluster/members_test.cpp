#include "cluster/members.hpp"

#include <algorithm>
#include <array>
#include <thread>

#include "../../support/databases.hpp"

namespace ballast::cluster {
namespace {

class MembersTest : public test::OnBothDatabases {
 protected:
  template <class F>
  auto write(F body) { return database().write_now(std::move(body)); }
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(migrations()));
    ASSERT_TRUE(write([](store::Tx& tx) { return installation_of(tx, "inst_1"); }));
  }
  Result<unsigned> take(const std::string& name, const std::string& boot) {
    const Member m{.slot = 0, .name = name, .boot = boot, .address = "127.0.0.1:1", .version = "0.1", .state = MemberState::joining, .joined = {}, .beat = {}, .beats = 0, .load = "{}"};
    return write([&](store::Tx& tx) { return take_slot(tx, m); });
  }
  bool beats(unsigned slot, const std::string& boot, MemberState state = MemberState::serving) {
    return *write([&](store::Tx& tx) { return beat(tx, slot, boot, state, R"({"calls":3})"); });
  }
  std::vector<Member> all() { return *database().read_now([](store::Tx& tx) { return load_members(tx); }); }
};
BALLAST_ON_BOTH_DATABASES(MembersTest);

TEST_P(MembersTest, AnInstallationIsNamedOnce) {
  EXPECT_EQ(*write([](store::Tx& tx) { return installation_of(tx, "inst_2"); }), "inst_1");
}

TEST_P(MembersTest, ANameKeepsItsSlotAndOthersTakeTheLowestFree) {
  EXPECT_EQ(*take("a", "a1"), 0u);
  EXPECT_EQ(*take("b", "b1"), 1u);
  EXPECT_EQ(*take("c", "c1"), 2u);
  EXPECT_EQ(*take("b", "b2"), 1u);
  ASSERT_TRUE(beats(1, "b2"));
  EXPECT_FALSE(beats(1, "b1")) << "the process before writes nothing more";
  const auto members = all();
  ASSERT_EQ(members.size(), 3u);
  EXPECT_EQ(members[1].boot, "b2");
  EXPECT_EQ(members[1].beats, 1u);
  EXPECT_EQ(members[1].state, MemberState::serving);
  EXPECT_EQ(members[1].load, R"({"calls":3})");
}

TEST_P(MembersTest, WhoWasSaidToBeGoneBeatsNoMore) {
  ASSERT_TRUE(take("a", "a1"));
  ASSERT_TRUE(beats(0, "a1"));
  const auto gone = [&](const char* boot, std::uint64_t n) { return *write([&](store::Tx& tx) { return declare_gone(tx, 0, boot, n); }); };
  EXPECT_FALSE(gone("a0", 1));
  EXPECT_FALSE(gone("a1", 0)) << "it has counted on since";
  EXPECT_TRUE(gone("a1", 1));
  EXPECT_FALSE(gone("a1", 1)) << "once";
  EXPECT_FALSE(beats(0, "a1"));
  EXPECT_EQ(*take("a", "a2"), 0u);
  EXPECT_TRUE(beats(0, "a2"));
}

TEST_P(MembersTest, WhenAllSlotsAreTakenTheOneWhoseNodeIsLongestGoneIsGiven) {
  for (unsigned i = 0; i < kSlots; ++i) ASSERT_EQ(*take("n" + std::to_string(i), "b"), i);
  const auto refused = take("late", "b");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::caller_too_large);
  ASSERT_TRUE(beats(700, "b", MemberState::gone));
  ASSERT_TRUE(beats(5, "b", MemberState::gone));
  EXPECT_EQ(*take("late", "b"), 700u);
  EXPECT_EQ(*take("later", "b"), 5u);
  EXPECT_FALSE(take("latest", "b"));
}

TEST_P(MembersTest, TwoThatJoinAtOnceHaveTwoSlots) {
  std::vector<std::thread> threads;
  std::array<unsigned, 8> slots{};
  for (unsigned i = 0; i < slots.size(); ++i)
    threads.emplace_back([&, i] { slots[i] = *take("n" + std::to_string(i), "b"); });
  for (auto& t : threads) t.join();
  std::ranges::sort(slots);
  for (unsigned i = 0; i < slots.size(); ++i) EXPECT_EQ(slots[i], i);
}

}  // namespace
}  // namespace ballast::cluster
