// A signal and a run that begins to wait for it, at the same moment.
#include "work/signals.hpp"

#include <future>

#include "../support/databases.hpp"
#include "records/migrations.hpp"
#include "work/job_rows.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;

class Signals : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(records::migrations()));
    ASSERT_TRUE(database().migrate(migrations()));
  }
  static Signal paid(JobId id) { return {.id = id, .name = "paid", .key = "7", .key_id = {}, .payload = "1", .at = from_unix_us(1'000'000)}; }
  static SignalWait waits(JobId job) { return {.job = job, .path = "a", .input = {}, .name = "paid", .key = "7"}; }
};

TEST_P(Signals, AreForWhoeverWaitsForThemOrBeginsTo) {
  const Signal signal = paid(JobId{1});
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return put_wait(tx, waits(JobId{2}), ""); }));
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return put_signal(tx, signal, signal.at + 1h); }));
  EXPECT_EQ(*database().read_now([&](store::Tx& tx) { return listeners(tx, signal, 10); }), std::vector<JobId>{JobId{2}});
  const auto found = database().read_now([&](store::Tx& tx) { return find_signal(tx, waits(JobId{3}), "", WallTime{}); });
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->payload, "1");
}

// While the signal is not committed, the run commits that it waits, and looks: there is none. So whoever sends it has to look after its commit.
TEST_P(Signals, OneThatIsBeingWrittenWhileARunBeginsToWaitIsNotMissed) {
  if (database().dialect() == store::Dialect::sqlite) GTEST_SKIP() << "has one writer";
  const Signal signal = paid(JobId{1});
  std::promise<void> written, go;
  auto sending = std::async(std::launch::async, [&] {
    return database().write_now([&](store::Tx& tx) -> Result<void> {
      auto put = put_signal(tx, signal, signal.at + 1h);
      written.set_value();
      go.get_future().wait();
      return put;
    });
  });
  written.get_future().wait();
  EXPECT_TRUE(database().write_now([&](store::Tx& tx) { return put_wait(tx, waits(JobId{2}), ""); }));
  const auto found = database().read_now([&](store::Tx& tx) { return find_signal(tx, waits(JobId{2}), "", WallTime{}); });
  EXPECT_TRUE(found && !*found);
  go.set_value();
  ASSERT_TRUE(sending.get());
  EXPECT_EQ(*database().read_now([&](store::Tx& tx) { return listeners(tx, signal, 10); }), std::vector<JobId>{JobId{2}});
}

BALLAST_ON_BOTH_DATABASES(Signals);

}  // namespace
}  // namespace ballast::work
