// A database of a version before: rows as that version left them, brought up to date, show what they showed. Rows of the oldest layouts (calls one by one,
// blocks of version 1) are in tests/golden/folders.
#include <fmt/format.h>

#include <array>
#include <ranges>

#include "../support/databases.hpp"
#include "../support/records_samples.hpp"
#include "../support/rollup_oracle.hpp"
#include "records/erase.hpp"
#include "records/evidence.hpp"
#include "records/feedback.hpp"
#include "records/ledger.hpp"
#include "records/messages.hpp"
#include "records/migrations.hpp"
#include "records/rollups.hpp"
#include "records/sessions.hpp"

namespace ballast::records {
namespace {

constexpr std::int64_t kHour = 3'600'000, kDay = 24 * kHour;
WallTime at(std::int64_t ms) { return WallTime(std::chrono::milliseconds(test::kNoonMs + ms)); }

struct Table {
  int since;                                 // the migration that made it
  std::string_view name, columns;
};
constexpr Table kTables[] = {
    {2, "call_blocks", "last_id, first_id, calls, summary, details"},
    {9, "rollups", "level, start_s, calls, sums, cells"},
    {9, "rollup_users", "level, start_s, shard, shards, users"},
    {9, "rollup_dirty", "level, start_s, seq"},
    {9, "rollup_state", "n, noted, calls_from, minutes_from, hours_from"},
    {9, "call_zones", "last_id, first_id, zone"},
    {10, "sessions", "digest, key_id, proof, created_us, expires_us, seen_us"},
    {11, "feedback", "subject, user_id, id, call_id, at_us, given_us, good, score, comment, key_id, subject_key, subject_user, feature, team, route, provider, model, incurred"},
    {11, "readiness_evidence", "line, at_us, note, actor, told_us"},
    {12, "recorded_messages", "call_id, user_id, key_id, at_us, flags, packed"},
};

class RecordsUpgrade : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    SeededRandom random(11);
    // In 40 minutes of three days.
    for (std::uint64_t n = 0; n < 300; ++n) {
      const std::int64_t from = static_cast<std::int64_t>(n * 40 / 300) * (3 * kDay / 40) - 3 * kDay;
      calls.push_back(test::random_call(n, random, from, from + 30'000));
    }
    session = {.digest = sha256("token"), .key_id = "key_0", .proof = sha256("proof"), .created = at(-kHour), .expires = at(kDay), .seen = at(-kHour)};
    verdict.id = test::call_id(9'001);
    verdict.subject = subject_of(calls[0]);
    verdict.user = "ann";
    verdict.score = 0.25;
    verdict.comment = "too short";
    verdict.given = at(-kHour);
  }

  // The house as today's fills it: most minutes made into rollups, some only noted, and calls that came after.
  void fill(store::Database& house) {
    ASSERT_TRUE(house.migrate(migrations()));
    const auto add = [&](std::size_t from, std::size_t to) {
      ASSERT_TRUE(house.write_now([&](store::Tx& tx) { return add_calls(tx, std::span(calls).subspan(from, to - from)); }));
    };
    add(0, 240);
    ASSERT_TRUE(Roller(house).roll(at(-kHour)));
    add(240, calls.size());
    const auto packed = pack_messages({.id = calls[1].id, .user = "ann", .key_id = "key_0", .at = at(-kHour), .full = true, .request = R"({"a":1})", .reply = R"({"b":2})"});
    ASSERT_TRUE(packed);
    ASSERT_TRUE(house.write_now([&](store::Tx& tx) -> Result<void> {
      if (auto done = insert_session(tx, session); !done) return done;
      if (auto done = put_feedback(tx, verdict); !done) return fail(done.error());
      if (auto done = put_evidence(tx, {.line = "load_test", .at = at(-kDay), .note = "100 a second", .actor = "key:key_0", .told = at(-kHour)}); !done) return done;
      return put_messages(tx, std::span(&*packed, 1));
    }));
  }

  // Its rows, into tables as `version` had them.
  void copy(store::Database& house, int version) {
    for (const Table& t : kTables) {
      if (t.since > version) continue;
      const std::string read = fmt::format("SELECT {} FROM {}", t.columns, t.name), empty = fmt::format("DELETE FROM {}", t.name);
      const auto rows = house.read_now([&](store::Tx& tx) { return tx.run(store::Statement(std::string_view(read))); });
      ASSERT_TRUE(rows) << describe(rows.error());
      ASSERT_FALSE(rows->empty()) << t.name;
      std::string write = fmt::format("INSERT INTO {} ({}) VALUES (", t.name, t.columns);
      for (std::size_t c = 0; c < rows->columns(); ++c) write += fmt::format("{}${}", c ? ", " : "", c + 1);
      write += ")";
      const auto done = database().write_now([&](store::Tx& tx) -> Result<void> {
        if (auto gone = tx.run(store::Statement(std::string_view(empty))); !gone) return fail(gone.error());
        for (const store::Row r : *rows) {
          std::vector<store::Value> values;
          for (std::size_t c = 0; c < rows->columns(); ++c) {
            switch (r.kind(c)) {
              case store::Kind::null: values.emplace_back(nullptr); break;
              case store::Kind::integer: values.emplace_back(r.integer(c)); break;
              case store::Kind::real: values.emplace_back(r.real(c)); break;
              case store::Kind::text: values.emplace_back(r.text(c)); break;
              case store::Kind::bytes: values.push_back(store::Value::bytes(r.bytes(c))); break;
            }
          }
          if (auto put = tx.run(store::Statement(std::string_view(write)), store::Args(values)); !put) return fail(put.error());
        }
        return {};
      });
      ASSERT_TRUE(done) << t.name << ": " << describe(done.error());
    }
  }

  void expect_figures(std::string_view when) {
    using enum Dimension;
    const SeriesQuery all{.from = at(-4 * kDay), .to = at(kHour), .step = std::chrono::hours(6), .groups = 100};
    for (const auto& by : {std::optional<Dimension>(), std::optional(user), std::optional(model), std::optional(cache), std::optional(error)}) {
      SeriesQuery q = all;
      q.by = by;
      if (by == user) q.step = std::chrono::hours(24);
      const auto series = database().read_now([&](store::Tx& tx) { return range(tx, q); });
      test::expect_exact(series, q, calls, fmt::format("{}, by {}", when, by ? to_string(*by) : "nothing"));
    }
    SeriesQuery hers = all;
    hers.where = {{user, "user-7"}};
    test::expect_exact(database().read_now([&](store::Tx& tx) { return range(tx, hers); }), hers, calls, when);

    Figures sum;
    std::size_t found = 0;
    for (const CallRecord& c : calls) {
      sum += test::figures_of(c);
      found += c.user == "user-7" && c.status == CallStatus::failed;
    }
    const auto used = database().read_now([](store::Tx& tx) { return usage(tx, {}); });
    ASSERT_TRUE(used) << describe(used.error());
    EXPECT_EQ(used->at(0).calls, sum.calls) << when;
    EXPECT_EQ(used->at(0).incurred_nano, sum.incurred_nano) << when;
    const auto failed = database().read_now([](store::Tx& tx) { return search_calls(tx, {.user = "user-7", .status = CallStatus::failed}, 1'000); });
    ASSERT_TRUE(failed) << describe(failed.error());
    EXPECT_EQ(failed->calls.size(), found) << when;
    const auto one = database().read_now([&](store::Tx& tx) { return get_call(tx, calls[17].id); });
    ASSERT_TRUE(one) << describe(one.error());
    EXPECT_EQ(to_json(*one), to_json(calls[17])) << when;
  }

  void expect_rest(int version) {
    const auto sessions = database().read_now([&](store::Tx& tx) { return list_sessions(tx, at(0), 10); });
    ASSERT_TRUE(sessions);
    EXPECT_EQ(sessions->size(), version >= 10 ? 1u : 0u);
    const auto verdicts = database().read_now([&](store::Tx& tx) { return feedback_of(tx, verdict.subject.name); });
    ASSERT_TRUE(verdicts);
    ASSERT_EQ(verdicts->size(), version >= 11 ? 1u : 0u);
    if (version >= 11) EXPECT_EQ(verdicts->front().score, verdict.score);
    const auto evidence = database().read_now([](store::Tx& tx) { return list_evidence(tx); });
    ASSERT_TRUE(evidence);
    EXPECT_EQ(evidence->size(), version >= 11 ? 1u : 0u);
    const auto messages = database().read_now([&](store::Tx& tx) { return get_messages(tx, calls[1].id); });
    EXPECT_EQ(messages.has_value(), version >= 12);
    if (messages) EXPECT_EQ(messages->reply, R"({"b":2})");
  }

  void upgrade_from(int version) {
    ASSERT_TRUE(database().migrate(migrations().first(static_cast<std::size_t>(version))));
    const test::TempDir folder;
    auto house = store::open_database("sqlite:" + (folder / "house.db"));
    ASSERT_TRUE(house);
    ASSERT_NO_FATAL_FAILURE(fill(**house));
    ASSERT_NO_FATAL_FAILURE(copy(**house, version));

    const auto migrated = database().migrate(migrations());
    ASSERT_TRUE(migrated) << describe(migrated.error());
    ASSERT_NO_FATAL_FAILURE(expect_figures("at once"));
    ASSERT_NO_FATAL_FAILURE(expect_rest(version));
    for (Result<std::size_t> made = 1; *made > 0;) {
      made = Roller(database()).roll(at(kHour));
      ASSERT_TRUE(made) << describe(made.error());
    }
    ASSERT_NO_FATAL_FAILURE(expect_figures("rolled up"));
    const auto users = database().read_now([](store::Tx& tx) { return tx.run("SELECT COUNT(*) FROM rollup_user_calls WHERE level = 2"); });
    ASSERT_TRUE(users);
    EXPECT_GE((*users)[0].integer(0), 3) << "the days' users are counted, those of before too";
    // A start after that one changes nothing.
    reopen();
    ASSERT_TRUE(database().migrate(migrations()));
    ASSERT_NO_FATAL_FAILURE(expect_figures("opened again"));
  }

  std::vector<CallRecord> calls;
  SessionRow session;
  Feedback verdict;
};

TEST_P(RecordsUpgrade, BeforeRollups) { upgrade_from(8); }
TEST_P(RecordsUpgrade, BeforeSessions) { upgrade_from(9); }
TEST_P(RecordsUpgrade, BeforeVerdicts) { upgrade_from(10); }
TEST_P(RecordsUpgrade, BeforeMessages) { upgrade_from(11); }
TEST_P(RecordsUpgrade, BeforeUsersWereCounted) { upgrade_from(12); }

BALLAST_ON_BOTH_DATABASES(RecordsUpgrade);

}  // namespace
}  // namespace ballast::records
