// Answers that nodes keep for each other, as rows.
#include "records/shared_answers.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "../../support/databases.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

using namespace std::chrono_literals;

constexpr WallTime kNow{std::chrono::seconds(1'800'000'000)};

SharedAnswerRow row(std::string_view name, Duration age = 0s, Duration lives = 1h, std::string_view user = "ann") {
  return {.digest = sha256(name), .route = "chat", .user = std::string(user), .stored = kNow - age, .expires = kNow - age + lives, .packed = std::string(name)};
}

class SharedAnswers : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    test::OnBothDatabases::SetUp();
    if (!IsSkipped()) ASSERT_TRUE(database().migrate(migrations()));
  }
  template <class F>
  auto in(F body) {
    auto done = database().write_now(body);
    EXPECT_TRUE(done) << describe(done.error());
    return done;
  }
  void put(std::vector<SharedAnswerRow> rows) {
    in([&](store::Tx& tx) { return put_shared_answers(tx, rows); });
  }
  // The packed of those that are there, in order.
  std::string found(std::vector<std::string_view> names, WallTime now = kNow) {
    std::vector<Digest> digests;
    for (const auto name : names) digests.push_back(sha256(name));
    auto rows = *in([&](store::Tx& tx) { return find_shared_answers(tx, digests, now); });
    std::ranges::sort(rows, {}, &SharedAnswerRow::packed);
    std::string out;
    for (const auto& r : rows) {
      EXPECT_EQ(r.digest, sha256(r.packed.substr(0, 1)));
      out += (out.empty() ? "" : " ") + r.packed;
    }
    return out;
  }
};

TEST(SharedAnswer, IsReadAsItWasPacked) {
  const SharedAnswer a{.status = 203, .content_type = "application/json", .body = std::string(5'000, 'x') + std::string("\0\xff", 2), .served_by = "up/model", .call_id = "call_1",
                       .input_tokens = 12, .output_tokens = 1'000'000, .cost_nano = 987'654'321'000};
  const std::string packed = pack_answer(a);
  EXPECT_LT(packed.size(), 500u);
  const auto read = unpack_answer(packed);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, a);
  for (const std::string_view broken : {std::string_view(), std::string_view(packed).substr(0, packed.size() / 2), std::string_view("\0\x05" "abcde", 7)}) EXPECT_FALSE(unpack_answer(broken));
}

TEST_P(SharedAnswers, AreFoundUntilTheyExpire) {
  put({row("a"), row("b", 30min), row("c", 59min)});
  EXPECT_EQ(found({"a", "b", "c", "d"}), "a b c");
  EXPECT_EQ(found({"b"}), "b");
  EXPECT_EQ(found({"a", "b", "c"}, kNow + 1min), "a b");
  EXPECT_TRUE(*in([](store::Tx& tx) { return has_shared_answers(tx, "chat", kNow); }));
  EXPECT_FALSE(*in([](store::Tx& tx) { return has_shared_answers(tx, "chat", kNow + 1h); })) << "all have expired";
  EXPECT_FALSE(*in([](store::Tx& tx) { return has_shared_answers(tx, "other", kNow); }));
  std::vector<std::string_view> many(100, "d");
  many.push_back("a");
  EXPECT_EQ(found(many), "a");
}

TEST_P(SharedAnswers, TheYoungerOfTwoStays) {
  auto younger = row("a", 1min), older = row("a", 2min);
  younger.packed = "a younger";
  older.packed = "a older";
  put({younger});
  put({older});
  EXPECT_EQ(found({"a"}), "a younger");
  older.stored = kNow;
  put({younger, older});
  EXPECT_EQ(found({"a"}), "a older") << "it was made anew";
}

TEST_P(SharedAnswers, GoByExpiryByAgeAndByUser) {
  put({row("a", 3h, 1h), row("b", 2h, 24h), row("c", 1h, 24h, "bob"), row("d", 1min, 24h, ""), row("e", 0s, 24h)});
  const auto sum = *in([](store::Tx& tx) { return sum_shared_answers(tx); });
  EXPECT_EQ(sum.answers, 5u);
  EXPECT_EQ(sum.bytes, 5u);
  EXPECT_EQ(*in([](store::Tx& tx) { return delete_expired_answers(tx, kNow, 10); }), 1u);
  const auto gone = *in([](store::Tx& tx) { return delete_oldest_answers(tx, 1); });
  EXPECT_EQ(gone.answers, 1u);
  EXPECT_EQ(gone.bytes, 1u);
  EXPECT_EQ(found({"a", "b", "c", "d", "e"}), "c d e");
  EXPECT_EQ(*in([](store::Tx& tx) { return delete_shared_answers_of(tx, "bob", 10); }), 1u);
  EXPECT_EQ(*in([](store::Tx& tx) { return delete_shared_answers_of(tx, "", 10); }), 0u) << "of nobody";
  EXPECT_EQ(found({"c", "d", "e"}), "d e");
}

TEST_P(SharedAnswers, ANameThatIsNoTextIsKeptAllTheSame) {
  auto odd = row("a");
  odd.route = std::string("up/\0\xff", 5);
  put({odd});
  EXPECT_EQ(found({"a"}), "a");
  EXPECT_TRUE(*in([&](store::Tx& tx) { return has_shared_answers(tx, odd.route, kNow); }));
}

BALLAST_ON_BOTH_DATABASES(SharedAnswers);

}  // namespace
}  // namespace ballast::records
