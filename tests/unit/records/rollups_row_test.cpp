// The form of a rollup's row.
#include "records/rollups_row.hpp"

#include <gtest/gtest.h>

namespace ballast::records {
namespace {

Figures some() {
  Figures f{.calls = 3, .failed = 1, .cache_hits = 1, .attempts = 2, .attempts_failed = 1, .tokens = {.input = 300, .output = 40}, .incurred_nano = 5'000,
            .billed_nano = 4'000, .saved_nano = 70};
  f.latency.add(20, 3);
  f.first_token.add(7);
  return f;
}

// As rows were written before they told what routing saved.
TEST(RollupsRow, WhatAnEarlierVersionWroteIsRead) {
  constexpr std::string_view before(
      "\x01"                                                   // the version
      "\x01"                                                   // entries
      "\x00\x17" "\x03\xbd\xf2\x03" "\x01\x01\x02\x01" "\xac\x02\x28" "\x90\x4e\xc0\x3e\x8c\x01" "\x01\x14\x03" "\x01\x07\x01", 27);
  Section section;
  ASSERT_TRUE(decode_section(before, section));
  ASSERT_EQ(section.size(), 1u);
  EXPECT_EQ(section.at(""), some());
  EXPECT_EQ(encode_section(section), before) << "what knows of no such saving is written as it was";
  // Added to what is told of it.
  Section sum;
  sum[""].calls = 1;
  sum[""].routing_saved_nano = 9;
  ASSERT_TRUE(decode_section(before, sum));
  EXPECT_EQ(sum.at("").routing_saved_nano, 9);
  EXPECT_EQ(sum.at("").calls, 4u);
}

TEST(RollupsRow, WhatRoutingSavedComesBackAndCutsAreNoticed) {
  Section section;
  for (const std::int64_t saved : {std::int64_t{1}, std::int64_t{-5}, INT64_MAX}) {
    section[std::to_string(saved)] = some();
    section[std::to_string(saved)].routing_saved_nano = saved;
  }
  const std::string bytes = encode_section(section);
  Section back;
  ASSERT_TRUE(decode_section(bytes, back));
  EXPECT_EQ(back, section);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    Section cut;
    EXPECT_FALSE(decode_section(std::string_view(bytes).substr(0, n), cut)) << n;
  }
}

TEST(RollupsRow, EachCallsSavingIsTheCachesOrRoutings) {
  CallRow hit{.cache = CacheState::semantic_hit}, routed{.cache = CacheState::miss}, past{.cache = CacheState::none};
  hit.saved_nano = 100;
  routed.saved_nano = 20;
  past.saved_nano = 3;
  Figures f;
  for (const CallRow* row : {&hit, &routed, &past}) add_call(f, *row);
  EXPECT_EQ(f.saved_nano, 100);
  EXPECT_EQ(f.routing_saved_nano, 23);
  Figures less;
  add_call(less, routed);
  f -= less;
  EXPECT_EQ(f.saved_nano, 100);
  EXPECT_EQ(f.routing_saved_nano, 3);
}

}  // namespace
}  // namespace ballast::records
