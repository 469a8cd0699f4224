#include "store/transfer_rows.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "store/database.hpp"

namespace ballast::store {
namespace {

const TransferTable kTable{.name = "t", .columns = {{"job", Kind::integer}, {"path", Kind::text}, {"photo", Kind::bytes}, {"rate", Kind::real}}, .key = {1, 0}};

std::string encoded(const std::function<void(Rows&)>& cell) {
  Rows rows;
  rows.start(1);
  cell(rows);
  std::string out;
  encode_row(out, rows[0], 1);
  return out;
}

TEST(TransferRows, WhatIsNotTheSameIsNotEncodedTheSame) {
  std::vector<std::string> all = {
      encoded([](Rows& r) { r.add_null(); }), encoded([](Rows& r) { r.add_integer(0); }), encoded([](Rows& r) { r.add_integer(-1); }),
      encoded([](Rows& r) { r.add_real(0); }), encoded([](Rows& r) { r.add_real(1e-300); }), encoded([](Rows& r) { r.add_text("", Kind::text); }),
      encoded([](Rows& r) { r.add_text("", Kind::bytes); }), encoded([](Rows& r) { r.add_text({"\0", 1}, Kind::bytes); }), encoded([](Rows& r) { r.add_text("0", Kind::text); })};
  const std::size_t n = all.size();
  std::ranges::sort(all);
  EXPECT_EQ(static_cast<std::size_t>(std::ranges::unique(all).begin() - all.begin()), n);
  EXPECT_EQ(encoded([](Rows& r) { r.add_real(-0.0); }), encoded([](Rows& r) { r.add_real(0.0); })) << "SQLite keeps no sign of a zero";
}

TEST(TransferRows, ASumKnowsNoOrderAndCarries) {
  std::vector<std::string> rows;
  for (int i = 0; i < 200; ++i) rows.push_back("row " + std::to_string(i));
  const auto sum_of = [&] {
    RowSum sum;
    for (const auto& r : rows) sum.add(r);
    return sum;
  };
  const RowSum before = sum_of();
  std::shuffle(rows.begin(), rows.end(), std::mt19937_64(7));
  EXPECT_EQ(sum_of(), before);
  rows[17] += "!";
  EXPECT_NE(sum_of().hex(), before.hex());
  rows[17] = rows[18];                       // one twice is not two
  EXPECT_NE(sum_of().hex(), before.hex());
  RowSum carried{.rows = 1, .bytes = 1, .high = 1, .low = ~std::uint64_t{0}};
  carried.add(RowSum{.rows = 1, .bytes = 2, .high = 0, .low = 1});
  EXPECT_EQ(carried, (RowSum{.rows = 2, .bytes = 3, .high = 2, .low = 0}));
  EXPECT_EQ(carried.hex(), "00000000000000020000000000000000");
}

TEST(TransferRows, KeysAreKeptAndComparedAsDatabasesDo) {
  const std::vector<Key> sorted = {{{Kind::text, 0, ""}, {Kind::integer, -5, {}}}, {{Kind::text, 0, ""}, {Kind::integer, 7, {}}}, {{Kind::text, 0, "Z"}, {Kind::integer, 0, {}}},
                                   {{Kind::text, 0, "a"}, {Kind::integer, 0, {}}}, {{Kind::text, 0, "a\x7f"}, {Kind::integer, 0, {}}}, {{Kind::text, 0, "ä"}, {Kind::integer, 0, {}}}};
  EXPECT_TRUE(std::ranges::is_sorted(sorted));
  for (const Key& key : sorted) EXPECT_EQ(unpacked(packed(key)), key);
  const std::string whole = packed(sorted[3]);
  for (std::size_t n = 1; n < whole.size(); ++n)
    if (n != whole.size() - 9) EXPECT_FALSE(unpacked(whole.substr(0, n))) << n;      // 9: where the integer begins
  EXPECT_FALSE(unpacked("\x07zzzzzzzz"));
  EXPECT_EQ(shown(kTable, sorted[3]), "path=a, job=0");
  EXPECT_EQ(shown(kTable, {{Kind::bytes, 0, {"\0\xff", 2}}, {Kind::integer, 3, {}}}), "path=00ff, job=3");
}

TEST(TransferRows, SqlOfARange) {
  EXPECT_EQ(where_between(kTable, false, false), "");
  EXPECT_EQ(where_between(kTable, true, false), R"( WHERE ("path", "job") > ($1, $2))");
  EXPECT_EQ(where_between(kTable, false, true), R"( WHERE ("path", "job") <= ($1, $2))");
  EXPECT_EQ(where_between(kTable, true, true), R"( WHERE ("path", "job") > ($1, $2) AND ("path", "job") <= ($3, $4))");
  EXPECT_TRUE(kTable.sortable());
  EXPECT_FALSE((TransferTable{.name = "t", .columns = {{"rate", Kind::real}}, .key = {0}}.sortable()));
  EXPECT_FALSE((TransferTable{.name = "t", .columns = {{"n", Kind::integer}}, .key = {}}.sortable()));
}

}  // namespace
}  // namespace ballast::store
