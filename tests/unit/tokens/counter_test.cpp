// A growing text counts, at every moment, what it counts as a whole.
#include "tokens/counter.hpp"

#include <gtest/gtest.h>

#include "texts.hpp"

namespace ballast::tokens {
namespace {

const Encoding* const kBoth[] = {&Encoding::o200k_base(), &Encoding::cl100k_base()};

TEST(TokensCounter, EveryByteOfRandomTexts) {
  SeededRandom random(5);
  for (const auto* encoding : kBoth)
    for (int i = 0; i < 400; ++i) {
      const auto text = test::random_text(random, 1 + random.below(30));
      Counter counter(*encoding);
      for (std::size_t n = 1; n <= text.size(); ++n) {
        counter.append(text.substr(n - 1, 1));
        ASSERT_EQ(counter.count(), encoding->count(text.substr(0, n))) << n << " of " << text;
      }
    }
}

TEST(TokensCounter, PiecesOfAnySizeAskedNowAndThen) {
  SeededRandom random(6);
  for (const auto* encoding : kBoth)
    for (int i = 0; i < 60; ++i) {
      const auto text = test::random_text(random, 2'000);
      Counter counter(*encoding);
      for (std::size_t at = 0; at < text.size();) {
        const auto n = std::min<std::size_t>(1 + random.below(i % 2 ? 9'000 : 40), text.size() - at);
        counter.append(std::string_view(text).substr(at, n));
        at += n;
        if (random.below(8) == 0) { ASSERT_EQ(counter.count(), encoding->count(std::string_view(text).substr(0, at))) << i << " at " << at; }
      }
      ASSERT_EQ(counter.count(), encoding->count(text));
      ASSERT_EQ(counter.count(), encoding->count(text)) << "asked again";
    }
}

// Long runs that do not end, then something that ends them, cut anywhere, characters included.
TEST(TokensCounter, PiecesThatDoNotEnd) {
  SeededRandom random(7);
  for (const auto* encoding : kBoth)
    for (const auto& hostile : test::hostile_texts())
      for (const auto* end : {"", "a", "A", "中", "\n", " ", "!", "'s", "7", "\u0301", "\xFF"}) {
        auto text = hostile.make(2'000, random) + end;
        text += hostile.make(1'000, random) + end + "x";
        Counter counter(*encoding);
        for (std::size_t at = 0; at < text.size();) {
          const auto n = std::min<std::size_t>(1 + random.below(at > 1'990 && at < 2'010 ? 2 : 300), text.size() - at);
          counter.append(std::string_view(text).substr(at, n));
          at += n;
          ASSERT_EQ(counter.count(), encoding->count(std::string_view(text).substr(0, at))) << hostile.name << " at " << at << ", then " << end;
        }
      }
}

TEST(TokensCounter, NothingYet) {
  Counter counter(Encoding::o200k_base());
  EXPECT_EQ(counter.count(), 0u);
  counter.append("");
  EXPECT_EQ(counter.count(), 0u);
}

// Asked after each of 10,000 pieces, of any harm: would take minutes if each were counted from its beginning.
TEST(TokensCounter, AskedAfterEveryPieceOfALongText) {
  for (const auto& hostile : test::hostile_texts()) {
    SeededRandom random(8);
    const auto text = hostile.make(40'000, random);
    Counter counter(Encoding::o200k_base());
    std::size_t n = 0;
    for (std::size_t at = 0; at < text.size(); at += 4) {
      counter.append(std::string_view(text).substr(at, 4));
      n = counter.count();
    }
    EXPECT_EQ(n, Encoding::o200k_base().count(text)) << hostile.name;
  }
}

}  // namespace
}  // namespace ballast::tokens
