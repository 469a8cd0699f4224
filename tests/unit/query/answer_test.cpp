#include "query/answer.hpp"

#include <gtest/gtest.h>

#include "../../support/shop.hpp"

namespace ballast::query {
namespace {

Answer answer_of(std::vector<OutputColumn> columns, std::string_view rows, bool truncated = false) {
  return {.columns = std::move(columns), .rows = test::doc(rows).as_array(), .truncated = truncated};
}
const OutputColumn kCity{"city", Type::text, Mask::none}, kSold{"sold", Type::number, Mask::none}, kMonth{"month", Type::date, Mask::none};

TEST(QueryAnswer, IsToldPlainly) {
  EXPECT_EQ(text_of(answer_of({kCity}, "[]")), "No rows.");
  EXPECT_EQ(text_of(answer_of({kSold}, "[[45.5]]")), "sold: 45.5");
  EXPECT_EQ(text_of(answer_of({kCity, kSold}, R"([["Paris",1],["a|b\n<i>",null],["Rome",3]])"), 2),
            "| city | sold |\n| --- | ---: |\n| Paris | 1 |\n| a\\|b \\<i> | – |\n2 of 3 rows are shown.\n");
  EXPECT_TRUE(text_of(answer_of({kCity}, R"([["Paris"],["Rome"]])", true)).ends_with("2 rows are shown; there are more.\n"));
}

TEST(QueryAnswer, ItsShapeSaysHowItIsDrawn) {
  EXPECT_EQ(chart_of(answer_of({kSold}, "[[1]]")), Chart::number);
  EXPECT_EQ(chart_of(answer_of({kMonth, kSold}, R"([["2026-01-01",1],["2026-02-01",2]])")), Chart::line);
  EXPECT_EQ(chart_of(answer_of({kCity, kSold, kSold}, R"([["a",1,2],["b",2,3]])")), Chart::bar);
  EXPECT_EQ(chart_of(answer_of({kCity, kSold}, R"([["a",1],["b",2]])", true)), Chart::table);
  EXPECT_EQ(chart_of(answer_of({kCity, kCity}, R"([["a","b"],["c","d"]])")), Chart::table);
  EXPECT_EQ(chart_of(answer_of({kCity, {"wage", Type::number, Mask::hide}}, R"([["a","•••"],["c","•••"]])")), Chart::table);
}

TEST(QueryAnswer, MasksHideAndKeepApart) {
  const Masker masker("key"), other("another key");
  EXPECT_EQ(masker.apply(Mask::partial, "Émile"), json::value("É•••"));
  EXPECT_EQ(masker.apply(Mask::partial, "ada@a.example"), json::value("a•••@a.example"));
  EXPECT_EQ(masker.apply(Mask::partial, "x"), json::value("•••"));
  EXPECT_EQ(masker.apply(Mask::partial, 1234), json::value("•••"));
  EXPECT_EQ(masker.apply(Mask::hide, "x"), json::value("•••"));
  EXPECT_EQ(masker.apply(Mask::none, 5), json::value(5));
  EXPECT_TRUE(masker.apply(Mask::hash, nullptr).is_null());
  EXPECT_EQ(masker.apply(Mask::hash, "x"), masker.apply(Mask::hash, "x"));
  EXPECT_NE(masker.apply(Mask::hash, "x"), masker.apply(Mask::hash, "y"));
  EXPECT_NE(masker.apply(Mask::hash, "x"), other.apply(Mask::hash, "x"));
}

TEST(QueryAnswer, TheRecordSaysWhatHappened) {
  Record r{.dataset = "shop", .question = "how many?", .intent = test::doc(R"({"from":"orders"})"), .sql = "SELECT 1", .parameters = {1}, .rows = 1, .running = std::chrono::microseconds(1500)};
  EXPECT_EQ(to_json(r.to_json_value()), R"({"dataset":"shop","question":"how many?","intent":{"from":"orders"},"sql":"SELECT 1","parameters":[1],"rows":1,"truncated":false,"ms":{"reading":0.0,"building":0.0,"running":1.5}})");
  EXPECT_EQ(to_json((Record{.dataset = "shop", .refused = "no weather here"}).to_json_value().at("refused")), "\"no weather here\"");
}

}  // namespace
}  // namespace ballast::query
