// The ids that the reference gave for a thousand texts, in both encodings.
#include <gtest/gtest.h>

#include "../../support/unzipped.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "tokens/tokens.hpp"

namespace ballast::tokens {
namespace {

struct Case {
  std::string id, text;
  std::vector<std::uint32_t> o200k, cl100k;
};

std::vector<std::uint32_t> ids_in(const json::value& of) {
  std::vector<std::uint32_t> out;
  for (const auto& id : of.at("ids").as_array()) out.push_back(id.to_number<std::uint32_t>());
  return out;
}

const std::vector<Case>& cases() {
  static const auto all = [] {
    std::vector<Case> out;
    const auto lines = test::unzipped(std::string(BALLAST_SHARED_DATA) + "/tokenizer/truth.jsonl.gz");
    for (std::string_view rest = lines; !rest.empty();) {
      const auto row = parse_json(take_until(rest, '\n'));
      if (!row) break;
      out.push_back({to_json(row->at("id")), json::value_to<std::string>(row->at("text")), ids_in(row->at("o200k_base")), ids_in(row->at("cl100k_base"))});
    }
    return out;
  }();
  return all;
}

class TokensTruth : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (cases().empty()) GTEST_SKIP() << "no truth cases under " << BALLAST_SHARED_DATA << "/tokenizer";
  }
  const Encoding& encoding = *Encoding::from_name(GetParam());
  const std::vector<std::uint32_t>& truth(const Case& c) const { return encoding.name() == "o200k_base" ? c.o200k : c.cl100k; }
};
INSTANTIATE_TEST_SUITE_P(, TokensTruth, testing::Values("o200k_base", "cl100k_base"), [](const auto& info) { return std::string(info.param); });

TEST_P(TokensTruth, EveryIdIsTheReferences) {
  ASSERT_GE(cases().size(), 1000u);
  for (const auto& c : cases()) {
    std::vector<std::uint32_t> ids{7};
    encoding.encode(c.text, ids);
    ASSERT_EQ(ids.front(), 7u) << "encode appends";
    ids.erase(ids.begin());
    EXPECT_EQ(ids, truth(c)) << c.id << ": " << c.text.substr(0, 200);
  }
}

TEST_P(TokensTruth, CountingIsEncodingWithoutTheIds) {
  for (const auto& c : cases()) {
    const auto n = truth(c).size();
    EXPECT_EQ(encoding.count(c.text), n) << c.id;
    EXPECT_EQ(encoding.count_until(c.text, n), n) << c.id;
    EXPECT_EQ(encoding.count_until(c.text, n + 100), n) << c.id;
    if (n > 0) { EXPECT_EQ(encoding.count_until(c.text, n - 1), std::nullopt) << c.id; }
  }
}

TEST_P(TokensTruth, DecodingGivesTheTextBack) {
  for (const auto& c : cases()) EXPECT_EQ(encoding.decode(truth(c)).value_or("?"), c.text) << c.id;
}

}  // namespace
}  // namespace ballast::tokens
