// Keys, teams, budgets and idempotency rows, on both databases.
#include <thread>

#include "../../support/databases.hpp"
#include "../../support/records_samples.hpp"
#include "records/budgets.hpp"
#include "records/idempotency.hpp"
#include "records/keys.hpp"
#include "records/migrations.hpp"
#include "records/sessions.hpp"

namespace ballast::records {
namespace {

WallTime at(std::int64_t seconds) { return WallTime(std::chrono::seconds(seconds)); }

class RepositoriesTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    auto done = database().migrate(migrations());
    ASSERT_TRUE(done) << describe(done.error());
  }
  template <class F>
  auto write(F f) { return database().write_now(std::move(f)); }
  template <class F>
  auto read(F f) { return database().read_now(std::move(f)); }
};

KeyRow sample_key(int n) {
  KeyRow k;
  k.id = "key_" + std::to_string(n);
  k.name = "key number " + std::to_string(n);
  k.digest = sha256(k.id);
  k.prefix = "blst_abc";
  k.scopes = "call,usage";
  k.models = {"chat", "openai/*"};
  k.team = "web";
  k.created = at(1000 + n);
  return k;
}

TEST_P(RepositoriesTest, AKeyIsCreatedFoundChangedUsedAndRevoked) {
  KeyRow key = sample_key(1);
  key.expires = at(5000);
  ASSERT_TRUE(write([&](store::Tx& tx) { return insert_key(tx, key); }));
  ASSERT_TRUE(write([&](store::Tx& tx) { return insert_key(tx, sample_key(2)); }));
  auto again = write([&](store::Tx& tx) { return insert_key(tx, key); });
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::caller_conflict);

  auto found = read([&](store::Tx& tx) { return find_key(tx, key.digest); });
  ASSERT_TRUE(found && *found);
  EXPECT_EQ(**found, key);
  EXPECT_FALSE(*read([&](store::Tx& tx) { return find_key(tx, sha256("nobody")); }));

  key.name = "renamed";
  key.models.clear();
  key.expires.reset();
  ASSERT_TRUE(write([&](store::Tx& tx) { return update_key(tx, key); }));
  const KeyUse uses[] = {{"key_1", at(2000)}, {"key_1", at(1500)}, {"gone", at(1)}};
  ASSERT_TRUE(write([&](store::Tx& tx) { return touch_keys(tx, uses); }));
  key.last_used = at(2000);
  EXPECT_EQ(*read([&](store::Tx& tx) { return get_key(tx, "key_1"); }), key);

  ASSERT_TRUE(write([&](store::Tx& tx) { return revoke_key(tx, "key_1", at(3000)); }));
  ASSERT_TRUE(write([&](store::Tx& tx) { return revoke_key(tx, "key_1", at(4000)); }));
  EXPECT_EQ(read([&](store::Tx& tx) { return get_key(tx, "key_1"); })->revoked, at(3000));
  EXPECT_EQ(read([](store::Tx& tx) { return list_keys(tx); })->size(), 1u);
  EXPECT_EQ(read([](store::Tx& tx) { return list_keys(tx, true); })->size(), 2u);
  EXPECT_EQ(write([&](store::Tx& tx) { return update_key(tx, key); }).error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(write([&](store::Tx& tx) { return revoke_key(tx, "gone", at(1)); }).error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(read([](store::Tx& tx) { return get_key(tx, "gone"); }).error().code, ErrorCode::caller_not_found);
}

TEST_P(RepositoriesTest, TeamsAreListedByIdAndUnique) {
  for (const char* id : {"web", "ops"}) ASSERT_TRUE(write([&](store::Tx& tx) { return insert_team(tx, {id, "Team", at(5)}); }));
  EXPECT_EQ(write([&](store::Tx& tx) { return insert_team(tx, {"web", "x", at(5)}); }).error().code, ErrorCode::caller_conflict);
  auto teams = read([](store::Tx& tx) { return list_teams(tx); });
  ASSERT_EQ(teams->size(), 2u);
  EXPECT_EQ((*teams)[0].id, "ops");
  EXPECT_TRUE(write([](store::Tx& tx) { return delete_team(tx, "ops"); }));
  EXPECT_FALSE(write([](store::Tx& tx) { return delete_team(tx, "ops"); }));
}

TEST_P(RepositoriesTest, SpendAddsUpCorrectsAndSaturates) {
  const std::vector<BudgetCharge> charges = {{"day|a|86400", 5}, {"day|a|86400", 7}, {"day|b|172800", 1}, {"zero|c|0", 0}};
  ASSERT_TRUE(write([&](store::Tx& tx) { return add_spend(tx, charges); }));
  ASSERT_TRUE(write([&](store::Tx& tx) { return add_spend(tx, std::vector<BudgetCharge>{{"day|a|86400", -2}, {"day|b|172800", 9'200'000'000'000'000'000}}); }));
  ASSERT_TRUE(write([&](store::Tx& tx) { return add_spend(tx, std::vector<BudgetCharge>{{"day|b|172800", 9'200'000'000'000'000'000}}); }));
  EXPECT_EQ(*read([](store::Tx& tx) { return spend_of(tx, "day|a|86400"); }), 10);
  EXPECT_EQ(*read([](store::Tx& tx) { return spend_of(tx, "nothing"); }), 0);
  auto all = read([](store::Tx& tx) { return load_spend(tx, at(0)); });
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0], (BudgetCharge{"day|a|86400", 10}));
  EXPECT_EQ((*all)[1].nano, 9'000'000'000'000'000'000);
  EXPECT_EQ(read([](store::Tx& tx) { return load_spend(tx, at(100'000)); })->size(), 1u);
  EXPECT_EQ(*write([](store::Tx& tx) { return delete_spend(tx, at(100'000), 10); }), 1u);
}

IdempotencyRow sample_row(std::uint64_t call, std::string key = "order-1") {
  IdempotencyRow r;
  r.key_id = "key_1";
  r.key = std::move(key);
  r.body_hash = sha256("body");
  r.call = test::call_id(call);
  r.owner = "node1/boot1";
  r.created = at(100);
  r.expires = at(200);
  return r;
}

TEST_P(RepositoriesTest, TheSecondRequestFindsTheFirstAndItsReply) {
  const auto begin = [&](std::uint64_t call, std::int64_t now) {
    return write([&](store::Tx& tx) { return begin_idempotent(tx, sample_row(call), at(now)); });
  };
  EXPECT_EQ(begin(1, 100)->state, IdempotencyState::fresh);
  auto running = begin(2, 110);
  EXPECT_EQ(running->state, IdempotencyState::started);
  EXPECT_EQ(running->call, test::call_id(1));
  EXPECT_EQ(running->body_hash, sha256("body"));
  const StoredReply reply{.status = 200, .headers = "content-type: text/event-stream", .body = std::string(100'000, 'z') + '\0', .stream = true};
  const std::string packed = pack_reply(reply);
  EXPECT_LT(packed.size(), 1000u);
  EXPECT_EQ(write([&](store::Tx& tx) { return finish_idempotent(tx, "key_1", "order-1", test::call_id(9), packed); }).error().code, ErrorCode::caller_conflict);
  ASSERT_TRUE(write([&](store::Tx& tx) { return finish_idempotent(tx, "key_1", "order-1", test::call_id(1), packed); }));
  auto done = begin(3, 199);
  EXPECT_EQ(done->state, IdempotencyState::finished);
  EXPECT_EQ(*unpack_reply(done->reply), reply);
  EXPECT_EQ(begin(4, 200)->state, IdempotencyState::fresh);  // expired: taken over
  ASSERT_TRUE(write([](store::Tx& tx) { return forget_idempotent(tx, "key_1", "order-1", test::call_id(4)); }));
  EXPECT_FALSE(*read([](store::Tx& tx) { return find_idempotent(tx, "key_1", "order-1"); }));
}

TEST_P(RepositoriesTest, OneOfManyRacingRequestsIsFresh) {
  std::atomic<int> fresh{0};
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t t = 0; t < 8; ++t)
      threads.emplace_back([&, t] {
        auto r = write([&](store::Tx& tx) { return begin_idempotent(tx, sample_row(t), at(100)); });
        fresh += r && r->state == IdempotencyState::fresh;
      });
  }
  EXPECT_EQ(fresh, 1);
}

TEST_P(RepositoriesTest, ADeadProcessLeavesUnknownsThatOneCallerMayRetake) {
  ASSERT_TRUE(write([](store::Tx& tx) { return begin_idempotent(tx, sample_row(1), at(100)); }));
  EXPECT_EQ(*write([](store::Tx& tx) { return disown_idempotent(tx, "node1/", "node1/boot1"); }), 0u);
  EXPECT_EQ(*write([](store::Tx& tx) { return disown_idempotent(tx, "node2/", "node2/boot2"); }), 0u);
  EXPECT_EQ(*write([](store::Tx& tx) { return disown_idempotent(tx, "node1/", "node1/boot2"); }), 1u);
  EXPECT_EQ(write([](store::Tx& tx) { return begin_idempotent(tx, sample_row(2), at(110)); })->state, IdempotencyState::unknown);
  EXPECT_TRUE(*write([](store::Tx& tx) { return retake_idempotent(tx, "key_1", "order-1", test::call_id(2), "node1/boot2"); }));
  EXPECT_FALSE(*write([](store::Tx& tx) { return retake_idempotent(tx, "key_1", "order-1", test::call_id(3), "node1/boot2"); }));
}

TEST_P(RepositoriesTest, OthersMayDisownAProcessByItsBoot) {
  IdempotencyRow row = sample_row(1);
  row.owner = "jrn_1:boot_a";
  ASSERT_TRUE(write([&](store::Tx& tx) { return begin_idempotent(tx, row, at(100)); }));
  for (const char* other : {"boot_b", "a", "oot_a", "boot%", ""})
    EXPECT_EQ(*write([&](store::Tx& tx) { return disown_idempotent_of(tx, other); }), 0u) << other;
  EXPECT_EQ(*write([](store::Tx& tx) { return disown_idempotent_of(tx, "boot_a"); }), 1u);
  EXPECT_EQ(write([](store::Tx& tx) { return begin_idempotent(tx, sample_row(2), at(110)); })->state, IdempotencyState::unknown);
}

TEST_P(RepositoriesTest, ExpiredRowsAreSweptInPiecesButNotRunningOnes) {
  for (std::uint64_t i = 0; i < 5; ++i) {
    const std::string key = "k" + std::to_string(i);
    ASSERT_TRUE(write([&](store::Tx& tx) { return begin_idempotent(tx, sample_row(i, key), at(100)); }));
    if (i > 0) ASSERT_TRUE(write([&](store::Tx& tx) { return finish_idempotent(tx, "key_1", key, test::call_id(i), pack_reply({})); }));
  }
  EXPECT_EQ(*write([](store::Tx& tx) { return sweep_idempotent(tx, at(199), 10); }), 0u);
  EXPECT_EQ(*write([](store::Tx& tx) { return sweep_idempotent(tx, at(200), 3); }), 3u);
  EXPECT_EQ(*write([](store::Tx& tx) { return sweep_idempotent(tx, at(200), 3); }), 1u);
  EXPECT_TRUE(*read([](store::Tx& tx) { return find_idempotent(tx, "key_1", "k0"); }));
}

TEST(StoredReply, DamageIsNoticed) {
  const std::string packed = pack_reply({.status = 404, .headers = "h", .body = "short"});
  EXPECT_EQ(unpack_reply(packed)->status, 404);
  for (std::size_t n = 0; n < packed.size(); ++n) EXPECT_FALSE(unpack_reply(std::string_view(packed).substr(0, n))) << n;
}

BALLAST_ON_BOTH_DATABASES(RepositoriesTest);

TEST_P(RepositoriesTest, ASessionIsKeptFoundTouchedAndSwept) {
  const SessionRow one{sha256("one"), "key_1", sha256("p"), at(100), at(1000), at(100)}, two{sha256("two"), "key_1", sha256("q"), at(200), at(900), at(200)};
  ASSERT_TRUE(write([&](store::Tx& tx) { return insert_session(tx, one); }));
  ASSERT_TRUE(write([&](store::Tx& tx) { return insert_session(tx, two); }));
  EXPECT_EQ(write([&](store::Tx& tx) { return insert_session(tx, one); }).error().code, ErrorCode::caller_conflict);
  EXPECT_EQ(*read([&](store::Tx& tx) { return find_session(tx, one.digest); }), one);
  EXPECT_FALSE(*read([](store::Tx& tx) { return find_session(tx, sha256("nobody")); }));
  EXPECT_EQ(*read([](store::Tx& tx) { return list_sessions(tx, at(0), 10); }), (std::vector{two, one}));
  EXPECT_EQ(*read([](store::Tx& tx) { return list_sessions(tx, at(950), 10); }), std::vector{one});
  const SessionUse uses[] = {{one.digest, at(500)}, {two.digest, at(150)}, {sha256("nobody"), at(1)}};
  ASSERT_TRUE(write([&](store::Tx& tx) { return touch_sessions(tx, uses); }));
  EXPECT_EQ((*read([&](store::Tx& tx) { return find_session(tx, one.digest); }))->seen, at(500));
  EXPECT_EQ((*read([&](store::Tx& tx) { return find_session(tx, two.digest); }))->seen, at(200)) << "never backwards";
  EXPECT_EQ(*write([](store::Tx& tx) { return sweep_sessions(tx, at(600), at(300)); }), 1u) << "the idle one";
  EXPECT_EQ(*write([](store::Tx& tx) { return sweep_sessions(tx, at(1000), at(300)); }), 1u) << "the one at its end";
  ASSERT_TRUE(write([&](store::Tx& tx) { return insert_session(tx, one); }));
  ASSERT_TRUE(write([&](store::Tx& tx) { return delete_session(tx, one.digest); }));
  ASSERT_TRUE(write([&](store::Tx& tx) { return delete_session(tx, one.digest); }));
  EXPECT_TRUE(read([](store::Tx& tx) { return list_sessions(tx, at(0), 10); })->empty());
}

}  // namespace
}  // namespace ballast::records
