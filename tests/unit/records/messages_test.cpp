// Recorded messages, on both databases.
#include "records/messages.hpp"

#include "../../support/databases.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

class MessagesTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    auto done = database().migrate(migrations());
    ASSERT_TRUE(done) << describe(done.error());
  }
  void put(std::span<const PackedMessages> calls) {
    ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<bool> {
      if (auto done = put_messages(tx, calls); !done) return std::unexpected(done.error());
      return true;
    }));
  }
  template <class F>
  auto read(F f) { return database().read_now(std::move(f)); }
  template <class F>
  auto write(F f) { return database().write_now(std::move(f)); }
};

Id id_at(std::int64_t seconds, std::uint64_t n = 1) { return {.high = static_cast<std::uint64_t>(seconds * 1000) << 16, .low = n}; }

RecordedCall sample(std::int64_t seconds, std::string user) {
  return {.id = id_at(seconds), .user = std::move(user), .key_id = "key_1", .at = WallTime(std::chrono::seconds(seconds)), .full = true, .redacted = true, .truncated = false,
          .whole = false, .request = R"({"messages":["hello"]})", .reply = "null"};
}

TEST_P(MessagesTest, WhatIsPutIsGot) {
  const RecordedCall call = sample(1000, "ann");
  const PackedMessages packed[] = {*pack_messages(call)};
  put(packed);
  RecordedCall other = call;
  other.request = "\"another\"";
  const PackedMessages again[] = {*pack_messages(other)};
  put(again);
  const auto got = read([&](store::Tx& tx) { return get_messages(tx, call.id); });
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->request, call.request) << "the first one stays";
  EXPECT_EQ(got->reply, call.reply);
  EXPECT_EQ(got->user, "ann");
  EXPECT_EQ(got->key_id, "key_1");
  EXPECT_EQ(got->at, call.at);
  EXPECT_TRUE(got->full && got->redacted && !got->truncated && !got->whole);
  EXPECT_EQ(read([&](store::Tx& tx) { return get_messages(tx, id_at(5)); }).error().code, ErrorCode::caller_not_found);
  other.request.assign(kMaxRecordedSide + 1, 'x');
  EXPECT_EQ(pack_messages(other).error().code, ErrorCode::caller_too_large);
}

TEST_P(MessagesTest, AUsersAreListedCountedAndDeleted) {
  std::vector<PackedMessages> packed;
  for (int i = 0; i < 10; ++i) packed.push_back(*pack_messages(sample(1000 + i, i % 2 ? "ann" : i ? "bob" : "")));
  put(packed);
  const auto first = read([](store::Tx& tx) { return list_messages_of(tx, "ann", {}, 3); });
  ASSERT_TRUE(first && first->size() == 3);
  const auto rest = read([&](store::Tx& tx) { return list_messages_of(tx, "ann", first->back().id, 3); });
  ASSERT_TRUE(rest && rest->size() == 2);
  EXPECT_LT(first->back().id, rest->front().id);
  EXPECT_EQ(*read([](store::Tx& tx) { return count_messages_of(tx, ""); }), 0u) << "nobody's are nobody's";
  EXPECT_EQ(*write([](store::Tx& tx) { return delete_messages_of(tx, "ann", 3); }), 3u);
  EXPECT_EQ(*write([](store::Tx& tx) { return delete_messages_of(tx, "ann", 3); }), 2u);
  EXPECT_EQ(*read([](store::Tx& tx) { return count_messages_of(tx, "ann"); }), 0u);
  EXPECT_EQ(*read([](store::Tx& tx) { return count_messages_of(tx, "bob"); }), 4u);
}

TEST_P(MessagesTest, RetentionTakesTheOldest) {
  std::vector<PackedMessages> packed;
  for (int i = 0; i < 10; ++i) packed.push_back(*pack_messages(sample(1000 + i, "ann")));
  put(packed);
  const WallTime before(std::chrono::seconds(1006));
  EXPECT_EQ(*write([&](store::Tx& tx) { return delete_messages_before(tx, before, 4); }), 4u);
  EXPECT_EQ(*write([&](store::Tx& tx) { return delete_messages_before(tx, before, 4); }), 2u);
  EXPECT_EQ(read([](store::Tx& tx) { return list_messages_of(tx, "ann", {}, 100); })->front().id, id_at(1006));
}

TEST_P(MessagesTest, DamageIsTold) {
  PackedMessages packed = *pack_messages(sample(1000, "ann"));
  packed.packed = "\x01garbage";
  put(std::span(&packed, 1));
  EXPECT_EQ(read([](store::Tx& tx) { return get_messages(tx, id_at(1000)); }).error().code, ErrorCode::internal_error);
}

BALLAST_ON_BOTH_DATABASES(MessagesTest);

}  // namespace
}  // namespace ballast::records
