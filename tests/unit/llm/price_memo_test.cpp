#include "llm/price_memo.hpp"

#include <gtest/gtest.h>

namespace ballast::llm {
namespace {

constexpr std::string_view kTable = R"({"as_of": "2026-01-01", "models": {
  "openai/steady": {"input": "1", "output": "2"},
  "openai/changing": {"input": "1", "output": "2", "later": [{"from": "2026-06-01", "input": "3", "output": "4"},
                                                             {"from": "2026-09-01", "input": "5", "output": "6"}]}}})";

WallTime day(int month, int of_month) {
  return WallTime(std::chrono::sys_days(std::chrono::year(2026) / month / of_month).time_since_epoch());
}

class PriceMemos : public testing::Test {
 protected:
  std::int64_t input(std::string_view model, WallTime when) {
    const auto found = memo.find(book, "mine", "openai", model, when);
    return found ? found->price.input.nano_per_million / 1'000'000'000 : -1;
  }
  std::shared_ptr<const PriceBook> book = *PriceBook::parse(kTable);
  PriceMemo memo;
};

TEST_F(PriceMemos, AnswerAsTheBookDoesAndRememberIt) {
  EXPECT_EQ(input("steady", day(1, 1)), 1);
  EXPECT_EQ(input("nobody", day(1, 1)), -1);
  EXPECT_EQ(input("nobody", day(1, 1)), -1);
  EXPECT_EQ(memo.find(book, "mine", "openai", "steady", day(1, 2)), memo.find(book, "mine", "openai", "steady", day(1, 3)));
  EXPECT_EQ(memo.find(book, "mine", "gemini", "steady", day(1, 3)), nullptr);
}

TEST_F(PriceMemos, ForgetWhenAnAnnouncedPriceComesIntoForceAndWhenTheClockGoesBack) {
  EXPECT_EQ(input("changing", day(5, 31)), 1);
  EXPECT_EQ(input("changing", day(6, 1)), 3);
  EXPECT_EQ(input("changing", day(8, 31)), 3);
  EXPECT_EQ(input("changing", day(9, 1)), 5);
  EXPECT_EQ(input("changing", day(12, 31)), 5);
  EXPECT_EQ(input("changing", day(5, 1)), 1);
}

TEST_F(PriceMemos, ForgetAnotherBookAndLetWhatTheyGaveLive) {
  const auto before = memo.find(book, "mine", "openai", "steady", day(1, 1));
  ModelOverride dearer{.provider = "mine", .model = "steady"};
  dearer.context = 77;
  book = book->with({dearer});
  EXPECT_EQ(memo.find(book, "mine", "openai", "steady", day(1, 1))->context, 77u);
  EXPECT_EQ(memo.find(book, "another", "openai", "steady", day(1, 1))->context, 0u);
  EXPECT_EQ(before->context, 0u);
}

TEST_F(PriceMemos, HoldABoundedNumberOfNames) {
  for (std::size_t i = 0; i < 3 * PriceMemo::kMost; ++i) {
    EXPECT_EQ(input("name-" + std::to_string(i), day(1, 1)), -1);
    ASSERT_LE(memo.size(), PriceMemo::kMost);
  }
}

}  // namespace
}  // namespace ballast::llm
