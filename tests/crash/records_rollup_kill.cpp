// A child process imports calls, rolls them up, reconciles and erases, on two threads, and is killed at a random moment, over and over. Each time, in whatever
// state that left the notes, what `range` tells is what the calls in the ledger add up to, by a bare loop and by `usage`; so it is when they are rolled up.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "../support/databases.hpp"
#include "../support/records_samples.hpp"
#include "../support/rollup_oracle.hpp"
#include "base/random.hpp"
#include "records/erase.hpp"
#include "records/ledger.hpp"
#include "records/migrations.hpp"
#include "records/reconcile.hpp"
#include "records/rollups.hpp"

namespace ballast::records {
namespace {

constexpr std::int64_t kSpanMs = 100 * 60'000, kMinuteMs = 60'000;
WallTime at(std::int64_t ms) { return WallTime(std::chrono::milliseconds(test::kNoonMs + ms)); }

// What a process that lives until it is killed does to the ledger.
class Child {
 public:
  Child(store::Database& database, std::uint64_t seed, std::uint64_t first, int pipe) : database_(database), random_(seed), next_(first), pipe_(pipe) {}

  [[noreturn]] void run() {
    std::thread([this, seed = random_.below(UINT64_MAX)] { roll_for_ever(seed); }).detach();
    for (;;) {
      switch (random_.below(8)) {
        case 0: reconcile_one(); break;
        case 1: erase_one(); break;
        default: import();
      }
    }
  }

 private:
  // Another thread may be in the way of a transaction on either database: then it is tried again, else something is wrong.
  template <class F>
  bool write(const F& body) {
    const auto done = database_.write_now(body);
    if (!done && store::fault_of(done.error()) != store::Fault::unavailable) ::_exit(3);
    return done.has_value();
  }
  template <class F>
  auto read(const F& body) {
    auto got = database_.read_now(body);
    if (!got) ::_exit(4);
    return std::move(*got);
  }

  void import() {
    std::vector<CallRecord> calls;
    for (std::uint64_t i = 0, many = 1 + random_.below(40); i < many; ++i) calls.push_back(test::random_call(next_++, random_, 0, kSpanMs));
    if (!write([&](store::Tx& tx) { return add_calls(tx, calls); })) return;
    const std::uint64_t told = calls.size();
    if (::write(pipe_, &told, sizeof told) != sizeof told) ::_exit(5);
  }
  void reconcile_one() {
    const auto open = read([&](store::Tx& tx) { return list_unreconciled(tx, {}, 50); });
    if (open.empty()) return;
    const CallRecord& call = open[random_.below(open.size())];
    for (const AttemptRecord& a : call.attempts)
      if (a.cost == Cost::unknown)
        (void)write([&](store::Tx& tx) { return reconcile(tx, {.call = call.id, .attempt = a.n, .incurred = Money{static_cast<std::int64_t>(random_.below(1'000'000))}, .actor = "me", .at = at(0)}); });
  }
  void erase_one() {
    const std::string user = fmt::format("user-{}", random_.below(30));
    const auto his = read([&](store::Tx& tx) { return blocks_of_user(tx, user, {}, 10'000); });
    constexpr std::size_t together = 8;
    for (std::size_t i = 0; i < his.blocks.size(); i += together)
      (void)write([&](store::Tx& tx) -> Result<bool> {
        for (std::size_t n = i; n < std::min(i + together, his.blocks.size()); ++n)
          if (auto erased = erase_from_block(tx, his.blocks[n], user, "gone-1"); !erased) return std::unexpected(erased.error());
        return true;
      });
    for (std::pair<int, std::int64_t> after{0, INT64_MIN};;) {
      std::optional<std::pair<int, std::int64_t>> next;
      if (!write([&](store::Tx& tx) -> Result<bool> {
            auto erased = erase_from_rollups(tx, user, "gone-1", after, 40);
            if (!erased) return std::unexpected(erased.error());
            next = erased->next;
            return true;
          }) || !next)
        return;
      after = *next;
    }
  }
  void roll_for_ever(std::uint64_t seed) {
    SeededRandom random(seed);
    Roller roller(database_);
    for (;;)
      if (auto rolled = roller.roll(at(static_cast<std::int64_t>(random.below(kSpanMs * 5 / 4))), 1 + random.below(30)); !rolled && store::fault_of(rolled.error()) != store::Fault::unavailable) ::_exit(6);
  }

  store::Database& database_;
  SeededRandom random_;
  std::uint64_t next_;
  int pipe_;
};

class RollupCrash : public test::OnBothDatabases {
 protected:
  // The calls of this round, some acknowledged, are imported until the child is killed; returns how many it acknowledged.
  std::uint64_t live_and_die(std::uint64_t seed, std::uint64_t first, std::uint64_t imports, std::chrono::microseconds then) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(ends[0]);
      auto opened = store::open_database(url());
      if (!opened) ::_exit(2);
      Child(**opened, seed, first, ends[1]).run();
    }
    ::close(ends[1]);
    std::uint64_t acknowledged = 0, n = 0;
    for (std::uint64_t seen = 0; ::read(ends[0], &n, sizeof n) == sizeof n;) {
      acknowledged += n;
      if (++seen != imports) continue;
      std::this_thread::sleep_for(then);
      ::kill(pid, SIGKILL);
    }
    ::close(ends[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
    return acknowledged;
  }
  // A server may still be at the last word of a process that was killed: it counts, or not, before anybody looks.
  void end_sessions() {
    const auto ended = database().read_now([](store::Tx& tx) {
      return tx.run("SELECT CAST(pg_terminate_backend(pid, 10000) AS TEXT) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    });
    ASSERT_TRUE(ended) << describe(ended.error());
  }
  std::vector<CallRecord> all_calls() {
    std::vector<CallRecord> out;
    for (std::optional<Id> before;;) {
      auto page = database().read_now([&](store::Tx& tx) { return list_calls(tx, {}, 1'000, before); });
      EXPECT_TRUE(page);
      if (!page || page->empty()) return out;
      before = page->back().id;
      std::ranges::move(*page, std::back_inserter(out));
    }
  }
  void expect_told(const std::vector<CallRecord>& calls, std::string_view when) {
    const SeriesQuery questions[] = {{.from = at(0), .to = at(kSpanMs), .step = std::chrono::minutes(5), .by = Dimension::status},
                                     {.from = at(0), .to = at(kSpanMs), .step = std::chrono::hours(1), .by = Dimension::user, .groups = 100},
                                     {.from = at(0), .to = at(kSpanMs), .where = {{Dimension::feature, "chat"}}, .by = Dimension::model, .errors = true},
                                     {.from = at(kMinuteMs / 2), .to = at(kSpanMs / 2), .where = {{Dimension::user, "gone-1"}}}};
    for (const SeriesQuery& q : questions) test::expect_exact(database().read_now([&](store::Tx& tx) { return range(tx, q); }), q, calls, when);
    const auto used = database().read_now([](store::Tx& tx) { return usage(tx, {.filter = {.from = at(0), .to = at(kSpanMs)}}); });
    const auto told = database().read_now([](store::Tx& tx) { return range(tx, {.from = at(0), .to = at(kSpanMs)}); });
    ASSERT_TRUE(used && told && !used->empty());
    EXPECT_EQ(used->at(0).calls, told->total.calls) << when;
    EXPECT_EQ(static_cast<std::int64_t>(used->at(0).incurred_nano), told->total.incurred_nano) << when;
    EXPECT_EQ(static_cast<std::int64_t>(used->at(0).billed_nano), told->total.billed_nano) << when;
  }
};

TEST_P(RollupCrash, KilledAtRandomWhatIsToldIsWhatTheCallsAddUpTo) {
  ASSERT_TRUE(database().migrate(migrations()));
  const char* given = std::getenv("BALLAST_KILLS");
  const int kills = given ? std::atoi(given) : sqlite() ? 10 : 6;
  const std::uint64_t seed = os_seed();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRandom random(seed);
  std::uint64_t acknowledged = 0, unrolled = 0;
  for (int round = 0; round < kills && !HasFailure(); ++round) {
    if (round % 20 == 0) {   // a ledger that stays small, and rollups that begin anew
      acknowledged = 0;
      for (const char* table : {"call_blocks", "call_zones", "rollups", "rollup_users", "rollup_user_calls", "rollup_dirty"}) {
        const std::string sql = fmt::format("DELETE FROM {}", table);
        ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return tx.run(store::Statement(std::string_view(sql))); }));
      }
    }
    acknowledged += live_and_die(random.below(UINT64_MAX), static_cast<std::uint64_t>(round) * 1'000'000, 1 + random.below(15), std::chrono::microseconds(random.below(5'000)));
    if (!sqlite()) end_sessions();
    const auto calls = all_calls();
    EXPECT_GE(calls.size(), acknowledged) << "round " << round;
    const auto noted = database().read_now([](store::Tx& tx) { return tx.run("SELECT COUNT(*) FROM rollup_dirty"); });
    ASSERT_TRUE(noted);
    unrolled += (*noted)[0].integer(0) > 0;
    expect_told(calls, fmt::format("round {}, as it was left", round));
    if (random.below(3) == 0) continue;   // the next child finds it as this one left it
    const auto rolled = Roller(database()).roll(at(2 * kSpanMs));
    ASSERT_TRUE(rolled) << describe(rolled.error());
    expect_told(calls, fmt::format("round {}, rolled up", round));
  }
  EXPECT_GT(unrolled, 0u) << "no kill came between a block and its rollup";
}

BALLAST_ON_BOTH_DATABASES(RollupCrash);

}  // namespace
}  // namespace ballast::records
