// What processes of one database say to each other, on a real server.
#include <condition_variable>
#include <map>
#include <mutex>

#include "../support/databases.hpp"
#include "store/notifier.hpp"

namespace ballast::store {
namespace {

// Words as they were heard.
class Ear {
 public:
  Notifier::Heard heard() {
    return [this](std::string_view word) {
      std::lock_guard lock(mutex_);
      ++words_[std::string(word)];
      changed_.notify_all();
    };
  }
  bool hears(const std::string& word, int times = 1, std::chrono::seconds patience = std::chrono::seconds(20)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return words_[word] >= times; });
  }
  int count(const std::string& word) {
    std::lock_guard lock(mutex_);
    return words_[word];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> words_;
};

class NotifierTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = test::Postgres::instance();
    if (!server_) GTEST_SKIP() << test::kNoPostgres;
    url_ = server_->fresh_url();
  }
  // A process of this database that hears what begins with `prefix`; connected when this returns.
  struct Process {
    std::unique_ptr<Notifier> notifier;
    std::unique_ptr<Ear> ear = std::make_unique<Ear>();
    std::uint64_t id = 0;
  };
  Process join(std::string prefix = "") {
    Process p;
    p.notifier = open_notifier(url_);
    p.id = p.notifier->hear(std::move(prefix), p.ear->heard());
    while (!p.notifier->stats().connected) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return p;
  }
  test::Postgres* server_ = nullptr;
  std::string url_;
};

TEST_F(NotifierTest, OthersHearAWordAndItsSpeakerDoesNot) {
  Process a = join(), b = join(), c = join("jobs:");
  a.notifier->say("jobs:7");
  a.notifier->say("keys");
  EXPECT_TRUE(b.ear->hears("jobs:7"));
  EXPECT_TRUE(b.ear->hears("keys"));
  EXPECT_TRUE(c.ear->hears("jobs:7"));
  b.notifier->say("jobs:end");
  EXPECT_TRUE(a.ear->hears("jobs:end"));
  EXPECT_TRUE(c.ear->hears("jobs:end"));
  EXPECT_EQ(a.ear->count("jobs:7"), 0);
  EXPECT_EQ(a.ear->count("keys"), 0);
  EXPECT_EQ(c.ear->count("keys"), 0) << "not of its prefix";
}

TEST_F(NotifierTest, WordsOfAMomentAreSaidTogetherAndEachOnce) {
  Process a = join(), b = join();
  for (int i = 0; i < 5'000; ++i) a.notifier->say("same");
  for (int i = 0; i < 1'500; ++i) a.notifier->say("n" + std::to_string(i));
  a.notifier->say("z end");
  ASSERT_TRUE(b.ear->hears("z end"));
  for (int i = 0; i < 1'500; ++i) ASSERT_EQ(b.ear->count("n" + std::to_string(i)), 1);
  EXPECT_LE(b.ear->count("same"), 3) << "gathered";
  EXPECT_EQ(a.notifier->stats().dropped, 0u);
}

TEST_F(NotifierTest, WhatCannotBeSaidIsCountedAndNothingElseIsLost) {
  Process a = join(), b = join();
  a.notifier->say(std::string("nul\0byte", 8));
  a.notifier->say("\xff\xfe");
  a.notifier->say(std::string(Notifier::kLongestWord + 1, 'x'));
  a.notifier->say("it's \"quoted\" \\ and ü");
  EXPECT_TRUE(b.ear->hears("it's \"quoted\" \\ and ü"));
  EXPECT_EQ(a.notifier->stats().dropped, 3u);
}

TEST_F(NotifierTest, NobodyIsCalledAfterUnhear) {
  Process a = join(), b = join();
  b.notifier->unhear(b.id);
  Ear second;
  b.notifier->hear("", second.heard());
  a.notifier->say("late");
  EXPECT_TRUE(second.hears("late"));
  EXPECT_EQ(b.ear->count("late"), 0);
}

TEST_F(NotifierTest, InstallationsOfOneServerDoNotHearEachOther) {
  Process a = join();
  auto other = open_notifier(server_->fresh_url());
  Ear ear;
  other->hear("", ear.heard());
  ASSERT_TRUE(ear.hears("")) << "told that it stands";
  Process b = join();
  a.notifier->say("here");
  EXPECT_TRUE(b.ear->hears("here"));
  EXPECT_EQ(ear.count("here"), 0);
}

TEST_F(NotifierTest, ALostConnectionComesBackAndSaysThatWordsMayBeMissing) {
  Process a = join(), b = join();
  ASSERT_TRUE(b.ear->hears(""));
  auto database = open_database(url_);
  ASSERT_TRUE(database);
  const auto cut = (*database)->read_now([](Tx& tx) -> Result<std::int64_t> {
    auto rows = tx.run("SELECT CAST(COUNT(pg_terminate_backend(pid)) AS BIGINT) FROM pg_stat_activity "
                       "WHERE datname = current_database() AND query LIKE 'LISTEN%' OR datname = current_database() AND query = 'SELECT 1'");
    if (!rows) return std::unexpected(rows.error());
    return (*rows)[0].integer(0);
  });
  ASSERT_TRUE(cut);
  EXPECT_TRUE(b.ear->hears("", 2));
  while (!a.notifier->stats().connected || a.notifier->stats().connects < 2) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  a.notifier->say("again");
  EXPECT_TRUE(b.ear->hears("again"));
}

TEST(Notifier, OneFileHasOneProcessAndNothingIsSaid) {
  auto silent = open_notifier("sqlite:anything.db");
  bool called = false;
  const auto id = silent->hear("", [&](std::string_view) { called = true; });
  silent->say("word");
  silent->unhear(id);
  EXPECT_FALSE(called);
  EXPECT_EQ(silent->stats().said, 0u);
}

}  // namespace
}  // namespace ballast::store
