// Nodes of one installation on a real server: they join, see each other, die and are refused.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <mutex>

#include "../support/databases.hpp"
#include "cluster/membership.hpp"

namespace ballast::cluster {
namespace {

using std::chrono::milliseconds;

class ShiftedClock final : public Clock {
 public:
  explicit ShiftedClock(Duration by) : by_(by) {}
  MonoTime mono() const override { return clock_.mono(); }
  WallTime wall() const override { return clock_.wall() + by_; }

 private:
  SystemClock clock_;
  const Duration by_;
};

class MembershipTest : public ::testing::Test {
 protected:
  void SetUp() override {
    test::Postgres* server = test::Postgres::instance();
    if (!server) GTEST_SKIP() << test::kNoPostgres;
    url_ = server->fresh_url();
    open();
  }
  void open() {
    auto opened = store::open_database(url_);
    ASSERT_TRUE(opened);
    database_ = std::move(*opened);
    ASSERT_TRUE(database_->migrate(migrations()));
  }
  std::string folder(const std::string& name) {
    std::filesystem::create_directories(directory_ / name);
    return directory_ / name;
  }
  Result<std::unique_ptr<Membership>> try_join(const std::string& name, const Clock* clock = nullptr) {
    return Membership::join(*database_, url_, clock ? *clock : clock_,
                            {.folder = folder(name), .address = name + ":8080", .version = "0.1", .every = milliseconds(30), .dead_after = milliseconds(400),
                             .skew = std::chrono::seconds(5), .load = [] { return std::string(R"({"calls":1})"); }});
  }
  std::unique_ptr<Membership> join(const std::string& name) {
    auto joined = try_join(name);
    if (joined) return std::move(*joined);
    ADD_FAILURE() << describe(joined.error());
    return nullptr;
  }
  // What `holds` says of the picture that `who` has, within a while.
  template <class F>
  static bool sees(const Membership& who, F holds) {
    for (int i = 0; i < 2'000; ++i) {
      if (holds(*who.picture())) return true;
      std::this_thread::sleep_for(milliseconds(5));
    }
    return false;
  }
  static Picture::Seen of(const Picture& p, const std::string& name) {
    const auto at = std::ranges::find_if(p.members, [&](const auto& s) { return s.member.name == name; });
    return at == p.members.end() ? Picture::Seen{} : *at;
  }

  test::TempDir directory_;
  SystemClock clock_;
  std::string url_;
  std::unique_ptr<store::Database> database_;
};

TEST_F(MembershipTest, NodesSeeEachOtherComeServeDrainAndLeave) {
  auto a = join("a"), b = join("b");
  ASSERT_TRUE(a && b);
  EXPECT_NE(a->slot(), b->slot());
  EXPECT_EQ(a->installation(), b->installation());
  a->serve(), b->serve();
  EXPECT_TRUE(sees(*a, [&](const Picture& p) { return of(p, b->name()).member.state == MemberState::serving; }));
  EXPECT_TRUE(sees(*b, [&](const Picture& p) { return of(p, a->name()).member.load == R"({"calls":1})" && of(p, a->name()).lives; }));
  b->drain();
  EXPECT_TRUE(sees(*a, [&](const Picture& p) { return of(p, b->name()).member.state == MemberState::draining; }));
  b->leave();
  EXPECT_TRUE(sees(*a, [&](const Picture& p) { return of(p, b->name()).member.state == MemberState::gone && !of(p, b->name()).lives; }));
}

TEST_F(MembershipTest, ADeadNodeIsBuriedOnceByOneOfTheOthers) {
  std::mutex mutex;
  std::vector<std::string> buried;
  auto a = join("a"), b = join("b"), c = join("c");
  ASSERT_TRUE(a && b && c);
  for (auto* m : {a.get(), b.get()})
    m->listen({.died = [&](const Member& d) { std::lock_guard lock(mutex); buried.push_back(d.name); }, .lost = {}});
  a->serve(), b->serve();                                // c joined and never beats: as one that was killed
  const auto gone = [&](const Picture& p) { return of(p, c->name()).member.state == MemberState::gone; };
  EXPECT_TRUE(sees(*a, gone));
  EXPECT_TRUE(sees(*b, gone));
  a->leave(), b->leave();
  EXPECT_EQ(buried, std::vector<std::string>{c->name()});
}

TEST_F(MembershipTest, WhoWasTakenForDeadHearsOfItAndWritesNoMore) {
  auto a = join("a"), b = join("b");
  ASSERT_TRUE(a && b);
  std::atomic<bool> lost{false};
  b->listen({.died = {}, .lost = [&] { lost = true; }});
  a->serve();
  ASSERT_TRUE(sees(*a, [&](const Picture& p) { return of(p, b->name()).member.state == MemberState::gone; }));
  b->serve();                                            // it was only paused
  for (int i = 0; i < 2'000 && !lost; ++i) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_TRUE(lost);
  EXPECT_TRUE(b->lost());
  EXPECT_FALSE(a->lost());
}

TEST_F(MembershipTest, ARestartHasItsSlotAgain) {
  auto a = join("a");
  ASSERT_TRUE(a);
  const unsigned slot = a->slot();
  const std::string name = a->name();
  a->serve();
  a.reset();
  a = join("a");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->slot(), slot);
  EXPECT_EQ(a->name(), name);
  auto killed = std::move(a);                            // no beat, and no word that it is gone
  auto again = join("a");
  ASSERT_TRUE(again) << "after a while of silence";
  EXPECT_EQ(again->slot(), slot);
}

TEST_F(MembershipTest, TheSameNameTwiceIsRefused) {
  auto a = join("a");
  ASSERT_TRUE(a);
  a->serve();
  const auto second = try_join("a");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::caller_conflict);
  EXPECT_EQ(second.error().field, "data_dir");
  EXPECT_THAT(second.error().message, ::testing::HasSubstr("runs already, at a:8080"));
  EXPECT_FALSE(a->lost());
}

TEST_F(MembershipTest, AWrongClockIsRefused) {
  for (const int minutes : {-10, 10}) {
    const ShiftedClock wrong{std::chrono::minutes(minutes)};
    const auto refused = try_join("w", &wrong);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().field, "clock");
    EXPECT_THAT(refused.error().message, ::testing::HasSubstr(minutes < 0 ? "behind" : "ahead of"));
  }
  const ShiftedClock near{std::chrono::seconds(2)};
  EXPECT_TRUE(try_join("w", &near));
}

TEST_F(MembershipTest, AnotherInstallationsDatabaseIsRefused) {
  ASSERT_TRUE(join("a"));
  url_ = test::Postgres::instance()->fresh_url();
  open();
  ASSERT_TRUE(join("b"));
  const auto refused = try_join("a");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().field, "database");
  const auto told = Membership::belongs(*database_, folder("a"));
  ASSERT_FALSE(told) << "before anything of it is changed";
  EXPECT_EQ(told.error().message, refused.error().message);
  EXPECT_TRUE(Membership::belongs(*database_, folder("b")));
  url_ = test::Postgres::instance()->fresh_url();
  database_ = std::move(*store::open_database(url_));
  EXPECT_TRUE(Membership::belongs(*database_, folder("a"))) << "an empty database is nobody's";
}

TEST(MembershipAlone, OneFileHasOneNodeWhichIsSlotZeroAndKeepsItsName) {
  const test::TempDir directory;
  const std::string url = "sqlite:" + (directory / "b.db");
  SystemClock clock;
  std::string name;
  for (int start = 0; start < 2; ++start) {
    auto database = store::open_database(url);
    ASSERT_TRUE(database && (*database)->migrate(migrations()));
    auto alone = Membership::join(**database, url, clock, {.folder = directory.path(), .address = "", .version = "", .load = {}});
    ASSERT_TRUE(alone) << describe(alone.error());
    (*alone)->serve();
    EXPECT_EQ((*alone)->slot(), 0u);
    if (start == 0) name = (*alone)->name();
    EXPECT_EQ((*alone)->name(), name);
  }
}

}  // namespace
}  // namespace ballast::cluster
