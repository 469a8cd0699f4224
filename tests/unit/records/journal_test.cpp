#include "records/journal.hpp"

#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <thread>
#include <unistd.h>

#include "../../support/databases.hpp"
#include "../../support/past.hpp"
#include "../../support/records_samples.hpp"
#include "base/sim_loop.hpp"
#include "records/budgets.hpp"
#include "records/ledger.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

class JournalTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(migrations()));
    open();
  }
  void TearDown() override { journal_.reset(); }
  // The samples are of one noon, which is further back each day: nothing is given up for its age but where a test has a clock of its own.
  void open(JournalOptions o = {}) {
    journal_.reset();
    if (!o.clock) o.abandon_after = std::chrono::hours(24 * 365 * 100);
    o.directory = directory() / "journal";
    auto opened = CallJournal::open(o);
    ASSERT_TRUE(opened) << describe(opened.error());
    journal_ = std::move(*opened);
  }
  CallJournal& journal() { return *journal_; }
  void close() { journal_.reset(); }
  void call(std::uint64_t n, unsigned loop = 0) {
    ASSERT_TRUE(journal().intent(loop, test::sample_intent(n)));
    ASSERT_TRUE(journal().outcome(loop, test::sample_call(n)));
  }
  std::uint64_t import() {
    auto n = journal().import_all(database());
    EXPECT_TRUE(n) << describe(n.error());
    return n.value_or(0);
  }
  std::uint64_t calls() {
    auto rows = database().read_now([](store::Tx& tx) { return usage(tx, {}); });
    return rows ? (*rows)[0].calls : 0;
  }
  CallStatus status_of(std::uint64_t n) {
    auto c = database().read_now([&](store::Tx& tx) { return get_call(tx, test::call_id(n)); });
    EXPECT_TRUE(c) << n;
    return c ? c->status : CallStatus::cancelled;
  }
  std::int64_t spent() {
    const std::string window = test::sample_call(1).charges[0].window;
    return *database().read_now([&](store::Tx& tx) { return spend_of(tx, window); });
  }
  std::vector<std::string> files() {
    std::vector<std::string> out;
    for (const auto& e : fs::directory_iterator(directory() / "journal"))
      if (e.path().extension() == ".jnl") out.push_back(e.path());
    std::sort(out.begin(), out.end());
    return out;
  }
  std::unique_ptr<CallJournal> journal_;
};

TEST_P(JournalTest, WhatIsWrittenReachesTheLedgerOnce) {
  for (std::uint64_t i = 0; i < 1200; ++i) call(i);
  EXPECT_EQ(import(), 1200u);
  EXPECT_EQ(import(), 0u);
  EXPECT_EQ(calls(), 1200u);
  EXPECT_EQ(spent(), 1200 * 125'000);
  EXPECT_EQ(journal().stats().behind_bytes, 0u);
  EXPECT_EQ(journal().stats().in_flight, 0u);
  close();
  open();
  EXPECT_EQ(import(), 0u);
  EXPECT_EQ(calls(), 1200u);
  EXPECT_EQ(files().size(), 0u);  // everything of the dead epoch is imported
}

TEST_P(JournalTest, ACallInFlightIsNobodysUntilItsProcessDies) {
  call(1);
  ASSERT_TRUE(journal().intent(0, test::sample_intent(2)));
  EXPECT_EQ(import(), 1u);
  EXPECT_EQ(calls(), 1u);
  EXPECT_EQ(journal().stats().in_flight, 1u);
  close();
  open();
  EXPECT_EQ(import(), 1u);
  EXPECT_EQ(status_of(2), CallStatus::unknown);
  EXPECT_EQ(spent(), 125'000 + 300'000);
  EXPECT_EQ(journal().stats().unknown_calls, 1u);
  close();
  open();
  EXPECT_EQ(import(), 0u);
  EXPECT_EQ(spent(), 125'000 + 300'000);
}

TEST_P(JournalTest, ACallThatDiedIsChargedForAllOfItsAttempts) {
  CallIntent intent = test::sample_intent(1);
  ASSERT_TRUE(journal().intent(0, intent));
  EXPECT_EQ(import(), 0u);
  intent.hold_nano = intent.charges[0].nano = 700'000;      // a second attempt beside the first
  ASSERT_TRUE(journal().intent(0, intent));
  EXPECT_EQ(import(), 0u);
  EXPECT_EQ(journal().stats().in_flight, 1u);
  close();
  open();
  EXPECT_EQ(import(), 1u);
  EXPECT_EQ(spent(), 700'000);
  EXPECT_EQ(files().size(), 0u);
}

TEST_P(JournalTest, FilesRotateAndGoOldestFirstNeverBeforeTheirIntentsAreAnswered) {
  open({.segment_bytes = 16 << 10});
  ASSERT_TRUE(journal().intent(0, test::sample_intent(9999)));  // long in flight: pins the first file and so all behind it
  for (std::uint64_t i = 0; i < 100; ++i) call(i);
  EXPECT_EQ(import(), 100u);
  ASSERT_TRUE(journal().sync_now());
  const std::size_t before = files().size();
  EXPECT_GT(before, 4u);
  EXPECT_EQ(import(), 0u);
  EXPECT_EQ(files().size(), before);
  ASSERT_TRUE(journal().outcome(0, test::sample_call(9999)));
  EXPECT_EQ(import(), 1u);
  EXPECT_EQ(files().size(), 1u);
  EXPECT_EQ(calls(), 101u);
}

TEST_P(JournalTest, AnAbandonedCallIsUnknownUntilItsOutcomeComes) {
  SimClock clock{WallTime(std::chrono::milliseconds(test::kNoonMs))};
  open({.clock = &clock});
  ASSERT_TRUE(journal().intent(0, test::sample_intent(1)));
  EXPECT_EQ(import(), 0u);
  clock.advance(std::chrono::hours(7));
  EXPECT_EQ(import(), 1u);
  EXPECT_EQ(status_of(1), CallStatus::unknown);
  ASSERT_TRUE(journal().outcome(0, test::sample_call(1)));
  EXPECT_EQ(import(), 1u);
  EXPECT_EQ(status_of(1), CallStatus::ok);
  EXPECT_EQ(spent(), 125'000);
  EXPECT_EQ(calls(), 1u);
  close();  // before its clock
}

// A database restored from a backup, a lost position, a commit whose answer was lost: what an earlier process wrote is compared with the ledger.
TEST_P(JournalTest, WhatIsReadAgainWithoutItsPositionCountsOnce) {
  ASSERT_TRUE(journal().intent(0, test::sample_intent(9999)));  // pins the file
  for (std::uint64_t i = 0; i < 700; ++i) call(i);
  EXPECT_EQ(import(), 700u);
  for (std::uint64_t i = 700; i < 900; ++i) call(i);
  close();
  ASSERT_TRUE(database().write_now([](store::Tx& tx) { return tx.run("DELETE FROM journal_positions"); }));
  open();
  import();
  EXPECT_EQ(calls(), 901u);
  EXPECT_EQ(spent(), 900 * 125'000 + 300'000);
  EXPECT_EQ(files().size(), 0u);
}

// Who keeps books of its own hears what every epoch was charged, once, with the ledger.
TEST_P(JournalTest, WhatIsChargedIsToldByEpochInTheSameTransaction) {
  JournalOptions o{.epoch = test::call_id(1), .charged = [&](store::Tx& tx, Id epoch, std::span<const BudgetCharge> charges) -> Result<void> {
    for (const auto& c : charges) {
      auto kept = tx.run("INSERT INTO budget_spend (window_id, start_s, nano) VALUES ($1, 0, $2) ON CONFLICT (window_id) DO UPDATE SET nano = budget_spend.nano + $2",
                         {to_string(epoch, "told"), c.nano});
      if (!kept) return std::unexpected(kept.error());
    }
    return {};
  }};
  const auto kept = [&](std::uint64_t n) {
    return *database().read_now([&](store::Tx& tx) { return spend_of(tx, to_string(test::call_id(n), "told")); });
  };
  open(o);
  for (std::uint64_t i = 0; i < 5; ++i) call(i);
  ASSERT_TRUE(journal().intent(0, test::sample_intent(10)));
  o.epoch = test::call_id(2);
  open(o);
  for (std::uint64_t i = 20; i < 23; ++i) call(i);
  o.epoch = test::call_id(3);
  open(o);
  call(30);
  import();
  EXPECT_EQ(kept(1), 5 * 125'000 + 300'000) << "and the hold of what nobody ended";
  EXPECT_EQ(kept(2), 3 * 125'000);
  EXPECT_EQ(kept(3), 125'000);
  EXPECT_EQ(import(), 0u);
  EXPECT_EQ(kept(3), 125'000);
}

// A standby takes over that had not heard of the last imports: to go on behind the gap would lose what lies in it.
TEST_P(JournalTest, WhatAFailoverHasForgottenIsImportedAgainOutOfTheFilesThatAreKept) {
  const JournalOptions options{.segment_bytes = 16 << 10, .keep_imported = std::chrono::minutes(1)};
  open(options);
  for (std::uint64_t i = 0; i < 300; ++i) call(i);
  ASSERT_TRUE(journal().sync_now());
  EXPECT_EQ(import(), 300u);
  test::Past past(database());
  for (std::uint64_t i = 300; i < 600; ++i) call(i);
  ASSERT_TRUE(journal().sync_now());
  EXPECT_EQ(import(), 300u);
  int told = 0;
  journal().on_went_back([&] { ++told; });
  past.come_back();
  for (std::uint64_t i = 600; i < 700; ++i) call(i);
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(journal().import_all(database()));
  EXPECT_EQ(told, 1);
  EXPECT_EQ(calls(), 300u);
  close();
  open(options);
  EXPECT_EQ(import(), 400u);
  EXPECT_EQ(calls(), 700u);
  EXPECT_EQ(spent(), 700 * 125'000);
  EXPECT_EQ(import(), 0u);
}

TEST_P(JournalTest, FilesAreKeptForAsLongAsAFailoverMayForgetThemWhileThereIsRoom) {
  SimClock clock{WallTime(std::chrono::milliseconds(test::kNoonMs))};
  JournalOptions options{.segment_bytes = 16 << 10, .abandon_after = std::chrono::hours(24 * 365 * 100), .keep_imported = std::chrono::minutes(1), .clock = &clock};
  const auto fill = [&](std::uint64_t from) {
    for (std::uint64_t i = from; i < from + 200; ++i) call(i);
    ASSERT_TRUE(journal().sync_now());
    EXPECT_EQ(import(), 200u);
  };
  open(options);
  fill(0);
  const std::size_t kept = files().size();
  EXPECT_GT(kept, 8u);
  clock.advance(std::chrono::seconds(59));
  EXPECT_EQ(import(), 0u);
  EXPECT_EQ(files().size(), kept);
  close();
  open(options);
  EXPECT_EQ(import(), 0u) << "they are read again, and nothing of them is new";
  EXPECT_EQ(import(), 0u);
  EXPECT_GE(files().size(), kept) << "this process does not know since when";
  clock.advance(std::chrono::seconds(61));
  EXPECT_EQ(import(), 0u);
  EXPECT_EQ(files().size(), 0u);
  EXPECT_EQ(calls(), 200u);
  options.max_bytes = 16 * options.segment_bytes;        // half of it, less two files to come: six
  open(options);
  fill(200);
  EXPECT_LE(files().size(), 7u);
  close();
}

// The batch is in the ledger already, though this process was never told: the database refuses it, and each of its calls is compared.
TEST_P(JournalTest, ABatchThatTheLedgerHasAlreadyCountsOnce) {
  std::vector<CallRecord> stored;
  for (std::uint64_t i = 0; i < 40; ++i) {
    call(i);
    stored.push_back(test::sample_call(i));
  }
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return add_calls(tx, stored); }));
  import();
  EXPECT_EQ(journal().stats().import_errors, 1u);
  EXPECT_EQ(calls(), 40u);
  EXPECT_EQ(spent(), 40 * 125'000);
  EXPECT_EQ(journal().stats().behind_bytes, 0u);
}

// Power loss or a rotten disk: the file is cut at, or damaged in, every kind of place.
TEST_P(JournalTest, TornAndRottenFramesAreSkippedTheRestIsRead) {
  for (std::uint64_t i = 0; i < 10; ++i) call(i);
  close();
  const auto file = files().at(0);
  const auto size = fs::file_size(file);
  {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(static_cast<std::streamoff>(size * 45 / 100));
    f.write("\xb1\x4a rotten \xb1", 11);
  }
  fs::resize_file(file, size - 40);
  open();
  const std::uint64_t imported = import();
  // The torn last outcome is unknown; the rotten frame took one outcome (unknown) or one intent (its outcome stands alone).
  EXPECT_EQ(imported, 10u);
  EXPECT_EQ(calls(), 10u);
  EXPECT_EQ(status_of(9), CallStatus::unknown);
  EXPECT_GT(journal().stats().damaged_bytes, 40u);
  EXPECT_EQ(files().size(), 0u);
}

// A kill leaves the room that nobody used, and perhaps one frame without its first bytes: neither is damage.
TEST_P(JournalTest, UnusedRoomAndAnInterruptedFrameAreNoDamage) {
  for (std::uint64_t i = 0; i < 10; ++i) call(i);
  close();
  const auto file = files().at(0);
  const auto size = fs::file_size(file);
  for (const std::string_view left : {std::string_view(), "\0\0\2\1 a payload without its beginning \xb1\x4a and some more"sv}) {
    fs::resize_file(file, size + left.size());
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(static_cast<std::streamoff>(size));
    f.write(left.data(), static_cast<std::streamsize>(left.size()));
    f.close();
    fs::resize_file(file, size + (3u << 20));
    std::uint64_t outcomes = 0;
    const auto damaged = CallJournal::read_directory(fs::path(file).parent_path().string(), {.intent = {}, .outcome = [&](const CallRecord&) { ++outcomes; }});
    ASSERT_TRUE(damaged);
    EXPECT_EQ(*damaged, 0u);
    EXPECT_EQ(outcomes, 10u);
  }
  open();
  EXPECT_EQ(import(), 10u);
  EXPECT_EQ(journal().stats().damaged_bytes, 0u);
}

// Each sync takes the page it ends in; the writer goes on in the next, where the file is mapped.
TEST_P(JournalTest, WhatIsWrittenBetweenSyncsIsReadWithoutDamage) {
  for (std::uint64_t i = 0; i < 30; ++i) {
    call(i);
    if (i % 3 == 0) ASSERT_TRUE(journal().sync_now());
    if (i % 7 == 0) import();
  }
  import();
  EXPECT_EQ(calls(), 30u);
  EXPECT_EQ(journal().stats().damaged_bytes, 0u);
  ASSERT_TRUE(journal().intent(0, test::sample_intent(99)));   // keeps the file
  close();
  std::uint64_t outcomes = 0;
  const auto damaged = CallJournal::read_directory(directory() / "journal", {.intent = {}, .outcome = [&](const CallRecord&) { ++outcomes; }});
  ASSERT_TRUE(damaged);
  EXPECT_EQ(*damaged, 0u);
  EXPECT_EQ(outcomes, 30u);
}

TEST_P(JournalTest, AFullDiskRefusesIntentsAndKeepsOutcomes) {
  ASSERT_TRUE(journal().intent(0, test::sample_intent(1)));
  journal().inject(ENOSPC, 0);
  auto refused = journal().intent(0, test::sample_intent(2));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::internal_unavailable);
  EXPECT_NE(refused.error().message.find("No space left"), std::string::npos) << refused.error().message;
  EXPECT_FALSE(journal().outcome(0, test::sample_call(1)));
  EXPECT_EQ(journal().stats().kept_outcomes, 1u);
  journal().inject(0, 0);
  call(3);
  EXPECT_EQ(journal().stats().kept_outcomes, 0u);
  EXPECT_EQ(import(), 2u);
  EXPECT_EQ(status_of(1), CallStatus::ok);
}

TEST_P(JournalTest, TheLimitOfAllFilesRefusesIntents) {
  open({.segment_bytes = 16 << 10, .max_bytes = 40 << 10});
  std::uint64_t n = 0;
  Result<void> last;
  while (n < 1000 && (last = journal().intent(0, test::sample_intent(n)))) ++n;
  ASSERT_FALSE(last);
  EXPECT_NE(last.error().message.find("max_bytes"), std::string::npos);
  for (std::uint64_t i = 0; i < n; ++i) EXPECT_TRUE(journal().outcome(0, test::sample_call(i))) << i;  // they outgrow the file instead
  EXPECT_EQ(import(), n);
}

TEST_P(JournalTest, AFailedSyncFailsClosedUntilTheDiskWorksAgain) {
  call(1);
  journal().inject(0, EIO);
  auto synced = journal().sync_now();
  ASSERT_FALSE(synced);
  EXPECT_TRUE(journal().stats().failing);
  EXPECT_FALSE(journal().intent(0, test::sample_intent(2)));
  journal().inject(0, 0);
  for (int i = 0; i < 50 && journal().stats().failing; ++i) (void)journal().sync_now();
  EXPECT_FALSE(journal().stats().failing);
  call(3);
  EXPECT_TRUE(journal().sync_now());
  EXPECT_EQ(import(), 2u);
}

TEST_P(JournalTest, StrictCallersWaitForTheDiskTogether) {
  open({.sync_every = std::chrono::milliseconds(0)});
  test::WaitingLoop loop;
  call(1);
  EXPECT_EQ(journal().stats().syncs, 0u);
  auto result = loop.run(journal().sync(loop));
  EXPECT_TRUE(result);
  EXPECT_EQ(journal().stats().syncs, 1u);
}

TEST_P(JournalTest, TheDirectoryBelongsToOneProcess) {
  auto second = CallJournal::open({.directory = directory() / "journal"});
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("in use"), std::string::npos);
}

TEST_P(JournalTest, TheBackgroundImporterFollowsManyLoopsAndTellsListeners) {
  open({.loops = 4, .segment_bytes = 64 << 10, .import_batch = 64, .import_every = std::chrono::milliseconds(1)});
  std::mutex mutex;
  std::condition_variable done;
  std::uint64_t heard = 0;
  journal().on_imported([&](std::string_view encoded) {
    EXPECT_TRUE(decode_call(encoded));
    std::lock_guard lock(mutex);
    if (++heard == 4 * 500) done.notify_all();
  });
  journal().start_importer(database());
  {
    std::vector<std::jthread> loops;
    for (unsigned l = 0; l < 4; ++l)
      loops.emplace_back([&, l] {
        for (std::uint64_t i = 0; i < 500; ++i) call(l * 10'000 + i, l);
      });
  }
  std::unique_lock lock(mutex);
  EXPECT_TRUE(done.wait_for(lock, std::chrono::seconds(60), [&] { return heard >= 2000; }));
  lock.unlock();
  journal().stop_importer();
  EXPECT_EQ(calls(), 2000u);
  EXPECT_EQ(spent(), 2000 * 125'000);
}

TEST_P(JournalTest, TheImportSurvivesADatabaseThatIsAwayForAWhile) {
  call(1);
  auto nowhere = store::open_database("postgres://x@127.0.0.1:1/none", {.readers = 1});
  ASSERT_TRUE(nowhere);
  (*nowhere).reset();
  auto away = store::open_database("sqlite:" + (directory() / "empty.db"));  // no tables: every import fails
  ASSERT_TRUE(away);
  EXPECT_FALSE(journal().import_all(**away));
  call(2);
  EXPECT_EQ(import(), 2u);
}

BALLAST_ON_BOTH_DATABASES(JournalTest);

}  // namespace
}  // namespace ballast::records
