// A child process grows audit chains and anchors them, in the same moments, and tells each append that was acknowledged and each anchor
// that was made; it is killed at a random moment, between an append and its anchor among others, over and over. Afterwards: every
// acknowledged entry is there, the next process anchors what the last one left, no anchor that was told is gone, and the trail is clean.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>

#include "../support/databases.hpp"
#include "base/random.hpp"
#include "records/audit.hpp"
#include "records/audit_anchors.hpp"
#include "records/audit_verify.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

struct Told {
  int chain;                 // -1: an anchor
  std::int64_t number;       // the chain's length, the anchor's number
  Digest hash;
};

[[noreturn]] void child(const std::string& folder, const std::string& url, std::uint64_t seed, int pipe) {
  auto opened = store::open_database(url);
  auto anchors = Anchorer::open({.directory = folder, .node = "n1"});
  if (!opened || !anchors) ::_exit(2);
  store::Database& db = **opened;
  SeededRandom random(seed);
  for (;;) {
    const int chain = static_cast<int>(random.below(5));
    const std::vector<AuditEntry> entries(1 + random.below(3), {.actor = "worker:w1", .action = std::string(audit::effect_confirmed), .subject = "s", .outcome = "ok"});
    const auto head = db.write_now([&](store::Tx& tx) { return append_audit(tx, "job_" + std::to_string(chain), entries, tx.now()); });
    if (!head) ::_exit(3);
    Told told{chain, head->length, head->hash};
    if (::write(pipe, &told, sizeof told) != sizeof told) ::_exit(4);
    if (random.below(3) != 0) continue;
    if (!(*anchors)->anchor(db)) ::_exit(5);
    told = {-1, (*anchors)->newest().number, (*anchors)->newest().hash};
    if (::write(pipe, &told, sizeof told) != sizeof told) ::_exit(6);
  }
}

class AuditCrash : public test::OnBothDatabases {};

TEST_P(AuditCrash, KilledAtRandomTheTrailIsWholeAndTheNextProcessAnchorsWhatIsLeft) {
  ASSERT_TRUE(database().migrate(migrations()));
  const std::string folder = directory() / "audit";
  const std::uint64_t seed = os_seed();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRandom random(seed);
  std::map<int, Told> newest;
  const int rounds = sqlite() ? 20 : 6;
  for (int round = 0; round < rounds; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(ends[0]);
      child(folder, url(), random.next() + static_cast<std::uint64_t>(round), ends[1]);
    }
    ::close(ends[1]);
    const std::uint64_t wanted = 1 + random.below(40);
    Told told{};
    std::uint64_t seen = 0;
    while (::read(ends[0], &told, sizeof told) == sizeof told) {
      newest[told.chain] = told;
      if (++seen == wanted) ::kill(pid, SIGKILL);
    }
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
  }

  for (const auto& [number, last] : newest) {
    if (number < 0) continue;
    const std::string chain = "job_" + std::to_string(number);
    const std::int64_t before = last.number - 1;
    const auto row = database().read_now([&](store::Tx& tx) { return list_audit(tx, chain, before, 1); });
    ASSERT_TRUE(row);
    ASSERT_EQ(row->size(), 1u) << chain << " lacks what follows " << before;
    EXPECT_EQ(row->front().hash, last.hash);
  }
  const std::optional<Digest> expect = newest.contains(-1) ? std::optional(newest[-1].hash) : std::nullopt;
  const auto clean = [&] {
    const auto report = verify_audit(database(), anchors_files(folder), {.expect = expect});
    ASSERT_TRUE(report) << describe(report.error());
    EXPECT_TRUE(report->clean()) << report->findings.at(0).what;
  };
  clean();
  auto anchors = Anchorer::open({.directory = folder, .node = "n1"});
  ASSERT_TRUE(anchors) << describe(anchors.error());
  ASSERT_TRUE((*anchors)->anchor(database()));
  const auto left = database().read_now([](store::Tx& tx) { return tx.run("SELECT chain FROM audit_dirty"); });
  EXPECT_TRUE(left->empty());
  clean();
}

BALLAST_ON_BOTH_DATABASES(AuditCrash);

}  // namespace
}  // namespace ballast::records
