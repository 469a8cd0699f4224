// What an export of a user holds is told in three places: they say the same.
#include "server/export_kinds.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <sstream>

#include "base/json.hpp"
#include "server/server.hpp"

namespace ballast::server::test {
namespace {

std::vector<std::string> matches(const std::string& text, const std::regex& what) {
  std::vector<std::string> out;
  for (std::sregex_iterator at(text.begin(), text.end(), what), end; at != end; ++at) out.push_back((*at)[1]);
  return out;
}

const std::vector<std::string>& kinds() {
  static const std::vector<std::string> all(std::begin(kExportKinds), std::end(kExportKinds));
  return all;
}

TEST(ExportKinds, AreWhatTheApiTells) {
  const json::value document = parse_json(openapi_document("test")).value();
  const std::string told(document.at("paths").at("/api/export/user").at("get").at("description").as_string());
  const auto from = told.find("kind is one of ");
  ASSERT_NE(from, std::string::npos) << told;
  EXPECT_EQ(matches(told.substr(from + 15, told.find('.', from) - from - 15), std::regex("(\\w+)")), kinds());
}

TEST(ExportKinds, AreWhatThePageOnPrivacyTells) {
  std::ifstream in(std::string(BALLAST_SOURCE_DIR) + "/docs/privacy.md");
  std::stringstream page;
  page << in.rdbuf();
  const std::string text = page.str();
  const auto from = text.find("`{kind, id, at, data}`: ");
  ASSERT_NE(from, std::string::npos);
  EXPECT_EQ(matches(text.substr(from + 24, text.find("; jobs as", from) - from - 24), std::regex("`(\\w+)`")), kinds());
}

}  // namespace
}  // namespace ballast::server::test
