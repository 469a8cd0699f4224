// The values that runs keep, on both databases.
#include "../support/databases.hpp"
#include "base/random.hpp"
#include "records/blobs.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

class BlobsTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    auto done = database().migrate(migrations());
    ASSERT_TRUE(done) << describe(done.error());
  }
  // A body that returns Result<void>, in a transaction of its own.
  template <class F>
  Result<void> write(F body) {
    auto done = database().write_now([&](store::Tx& tx) -> Result<bool> {
      if (auto ok = body(tx); !ok) return fail(ok.error());
      return true;
    });
    if (!done) return fail(done.error());
    return {};
  }
  Digest put(std::int64_t job, const std::string& raw) {
    const std::string packed = *pack_blob(raw);
    const Blob blob{sha256(raw), packed};
    EXPECT_TRUE(write([&](store::Tx& tx) { return put_blobs(tx, job, {&blob, 1}); }));
    return blob.hash;
  }
  Result<std::string> get(std::int64_t job, const Digest& hash) {
    return database().read_now([&](store::Tx& tx) { return get_blob(tx, job, hash); });
  }
  std::int64_t count(std::int64_t job) {
    return *database().read_now([&](store::Tx& tx) -> Result<std::int64_t> {
      auto rows = tx.run("SELECT count(*) FROM run_blobs WHERE job = $1", {job});
      if (!rows) return fail(rows.error());
      return (*rows)[0].integer(0);
    });
  }
};

TEST_P(BlobsTest, AValueIsKeptOncePerRunAndComesBackWhole) {
  const std::string text = "{\"summary\":\"" + std::string(100'000, 'z') + std::string("\0\xff", 2) + "\"}";
  const Digest hash = put(1, text);
  put(1, text);
  put(2, text);
  put(1, "");
  EXPECT_EQ(count(1), 2);
  EXPECT_EQ(count(2), 1);
  EXPECT_EQ(*get(1, hash), text);
  EXPECT_EQ(*get(1, sha256("")), "");
  EXPECT_EQ(get(3, hash).error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(*database().write_now([](store::Tx& tx) { return delete_blobs(tx, 1); }), 2u);
  EXPECT_EQ(get(1, hash).error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(*get(2, hash), text);
}

TEST_P(BlobsTest, ManyComeAtOnceAndALimitHoldsForAllOfThem) {
  std::vector<Digest> hashes;
  for (int i = 0; i < 150; ++i) hashes.push_back(put(1, "value " + std::to_string(i)));
  hashes.push_back(sha256("nobody's"));
  const auto all = database().read_now([&](store::Tx& tx) { return get_blobs(tx, 1, hashes); });
  ASSERT_TRUE(all) << describe(all.error());
  EXPECT_EQ(all->size(), 150u);
  EXPECT_EQ(all->at(hashes[149]), "value 149");
  const auto few = database().read_now([&](store::Tx& tx) { return get_blobs(tx, 1, hashes, 100); });
  EXPECT_EQ(few.error().code, ErrorCode::caller_too_large);
}

TEST_P(BlobsTest, AForkTakesTheValuesItNeeds) {
  const std::vector<Digest> both = {put(1, "a"), put(1, "b")};
  put(2, "b");
  ASSERT_TRUE(write([&](store::Tx& tx) { return copy_blobs(tx, 1, 2, both); }));
  EXPECT_EQ(*get(2, both[0]), "a");
  EXPECT_EQ(count(2), 2);
  const std::vector<Digest> lacking = {both[0], sha256("c")};
  const auto failed = write([&](store::Tx& tx) { return copy_blobs(tx, 1, 3, lacking); });
  EXPECT_EQ(failed.error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(count(3), 0);
}

TEST_P(BlobsTest, WhatIsStoredIsBelievedOnlyIfItIsWhatItsHashSays) {
  const Digest hash = put(1, "the agreed price is 10");
  const std::string other = *pack_blob("the agreed price is 99");
  ASSERT_TRUE(write([&](store::Tx& tx) -> Result<void> {
    auto done = tx.run("UPDATE run_blobs SET packed = $1", {store::Value::bytes(other)});
    if (!done) return fail(done.error());
    return {};
  }));
  EXPECT_EQ(get(1, hash).error().code, ErrorCode::internal_error);
}

BALLAST_ON_BOTH_DATABASES(BlobsTest);

TEST(PackedBlob, DamageAndBombsAreRefused) {
  SeededRandom random(7);
  std::string noise(10'000, '\0');
  for (char& c : noise) c = static_cast<char>(random.below(256));
  for (const std::string& raw : {std::string(), std::string("short"), std::string(1 << 20, 'a'), noise}) {
    const std::string packed = *pack_blob(raw);
    EXPECT_LE(packed.size(), raw.size() + 5);
    EXPECT_EQ(*unpack_blob(packed), raw);
    for (std::size_t n = 0; n < packed.size(); n += 1 + packed.size() / 300)
      EXPECT_FALSE(unpack_blob(std::string_view(packed).substr(0, n))) << raw.size() << " cut at " << n;
  }
  EXPECT_LT(pack_blob(std::string(1 << 20, 'a'))->size(), 1000u);
  EXPECT_EQ(pack_blob(std::string(kMaxBlob + 1, 'a')).error().code, ErrorCode::caller_too_large);

  std::string bomb = *pack_blob(std::string(kMaxBlob, 'a'));      // 64 MiB in a few kilobytes, which says that it is 1 byte
  bomb.replace(1, 4, std::string(1, '\1'));
  EXPECT_FALSE(unpack_blob(bomb));
  EXPECT_FALSE(unpack_blob(std::string("\1\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10)));
}

}  // namespace
}  // namespace ballast::records
