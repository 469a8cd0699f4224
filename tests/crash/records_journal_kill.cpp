// A child process writes calls and tells, through a pipe, each record that the journal acknowledged; it is killed at a random moment,
// over and over, sometimes while it imports. Afterwards: no acknowledged outcome is missing, every acknowledged intent without one is
// unknown and charged at its hold, and the spent money is the sum of the calls' charges to the last nano-dollar.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <set>
#include <thread>

#include "../support/databases.hpp"
#include "../support/records_samples.hpp"
#include "base/random.hpp"
#include "records/budgets.hpp"
#include "records/journal.hpp"
#include "records/ledger.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

struct Acknowledged {
  std::uint64_t call;
  bool outcome;
};

// Writes calls until it is killed. Every fifth is left in flight, some are answered late.
[[noreturn]] void child(const std::string& journal_dir, const std::string& url, std::uint64_t first, int pipe, bool import) {
  auto journal = CallJournal::open({.directory = journal_dir, .segment_bytes = 64 << 10, .import_batch = 50, .import_every = std::chrono::milliseconds(1)});
  if (!journal) ::_exit(2);
  std::unique_ptr<store::Database> db;
  if (import) {
    auto opened = store::open_database(url);
    if (!opened) ::_exit(3);
    db = std::move(*opened);
    if (!(*journal)->import_all(*db)) ::_exit(4);
    (*journal)->start_importer(*db);
  }
  const auto tell = [&](std::uint64_t n, bool outcome) {
    const Acknowledged a{n, outcome};
    if (::write(pipe, &a, sizeof a) != sizeof a) ::_exit(5);
  };
  for (std::uint64_t n = first;; ++n) {
    if (!(*journal)->intent(0, test::sample_intent(n))) ::_exit(6);
    tell(n, false);
    const std::uint64_t nth = n - first;  // each call is answered at most once, as the journal asks
    const std::uint64_t answered = nth >= 3 && nth % 3 == 0 ? n - 3 : n;
    if (nth % 5 == 0) continue;
    if (!(*journal)->outcome(0, test::sample_call(answered))) ::_exit(7);
    tell(answered, true);
  }
}

class JournalCrash : public test::OnBothDatabases {};

TEST_P(JournalCrash, KilledAtRandomNothingAcknowledgedIsLost) {
  ASSERT_TRUE(database().migrate(migrations()));
  const std::string dir = directory() / "journal";
  SeededRandom random(os_seed());
  std::map<std::uint64_t, bool> acknowledged;  // call → its outcome was
  const int rounds = sqlite() ? 25 : 6;
  for (int round = 0; round < rounds; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(ends[0]);
      child(dir, url(), static_cast<std::uint64_t>(round) * 1'000'000, ends[1], round % 2 == 1);
    }
    ::close(ends[1]);
    const std::uint64_t wanted = 1 + random.below(2'000);
    Acknowledged a{};
    std::uint64_t seen = 0;
    while (::read(ends[0], &a, sizeof a) == sizeof a) {
      acknowledged[a.call] |= a.outcome;
      if (++seen == wanted) ::kill(pid, SIGKILL);
    }
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
  }

  auto journal = CallJournal::open({.directory = dir});
  ASSERT_TRUE(journal) << describe(journal.error());
  auto imported = (*journal)->import_all(database());
  ASSERT_TRUE(imported) << describe(imported.error());
  EXPECT_EQ((*journal)->stats().damaged_bytes, 0u);

  std::map<Id, CallRecord> stored;
  std::optional<Id> cursor;
  for (;;) {
    auto page = database().read_now([&](store::Tx& tx) { return list_calls(tx, {}, 1000, cursor); });
    ASSERT_TRUE(page);
    if (page->empty()) break;
    cursor = page->back().id;
    for (auto& c : *page) stored.emplace(c.id, std::move(c));
  }
  Int128 charged = 0;
  for (const auto& [id, c] : stored) charged += c.charges.at(0).nano;
  const std::string window = test::sample_call(0).charges[0].window;
  EXPECT_EQ(to_string(charged), std::to_string(*database().read_now([&](store::Tx& tx) { return spend_of(tx, window); })));
  std::size_t unknown = 0;
  for (const auto& [n, answered] : acknowledged) {
    const auto found = stored.find(test::call_id(n));
    ASSERT_NE(found, stored.end()) << "call " << n << " is missing";
    if (answered) {
      EXPECT_EQ(found->second.status, CallStatus::ok) << n;
    } else if (found->second.status == CallStatus::unknown) {  // else its outcome was written, the pipe just did not say so
      EXPECT_EQ(found->second.charges, test::sample_intent(n).charges);
      ++unknown;
    }
  }
  EXPECT_GT(unknown, 0u);
}

BALLAST_ON_BOTH_DATABASES(JournalCrash);

}  // namespace
}  // namespace ballast::records
