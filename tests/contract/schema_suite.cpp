// The official JSON Schema test suite, every required case of both drafts, with the suite's remotes as registered documents; and the
// schemas that SchemaStore publishes, with their publishers' good and bad examples.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "../support/unzipped.hpp"
#include "schema/schema.hpp"

namespace ballast::schema {
namespace {

namespace fs = std::filesystem;
const fs::path kData = fs::path(BALLAST_SHARED_DATA) / "json-schema";

json::value read_json(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  auto document = parse_json(text.str());
  EXPECT_TRUE(document.has_value()) << path;
  return document.value_or(nullptr);
}

CompileOptions with_remotes(Draft draft) {
  CompileOptions options;
  options.default_draft = draft;
  const fs::path root = kData / "suite" / "remotes";
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.path().extension() == ".json")
      options.documents.emplace("http://localhost:1234/" + fs::relative(entry.path(), root).generic_string(), read_json(entry.path()));
  return options;
}

struct Tally {
  int cases = 0, wrong = 0;
};

void judge(const json::object& group, const CompileOptions& options, const std::string& name, Tally& tally) {
  const auto schema = Schema::compile(group.at("schema"), options);
  for (const auto& test : group.at("tests").as_array()) {
    ++tally.cases;
    const bool wanted = test.at("valid").as_bool();
    const auto what = name + ": " + std::string(group.at("description").as_string()) + ": " + std::string(test.at("description").as_string());
    if (!schema) {
      ++tally.wrong;
      ADD_FAILURE() << what << ": does not compile: " << describe(schema.error());
      continue;
    }
    const bool valid = schema->valid(test.at("data"));
    const auto violations = schema->check(test.at("data"));
    if (valid == wanted && violations.empty() == wanted) continue;
    ++tally.wrong;
    ADD_FAILURE() << what << ": is " << (valid ? "valid" : "invalid") << (violations.empty() ? "" : ": " + violations[0].schema_path + " " + violations[0].message);
  }
}

void run_suite(const char* folder, Draft draft, int least, bool formats = false, const std::set<std::string>& without = {}) {
  const fs::path root = kData / "suite" / "tests" / folder;
  if (!fs::is_directory(root)) GTEST_SKIP() << "the official suite is not in " << root;
  auto options = with_remotes(draft);
  options.assert_format = formats;
  Tally tally;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.path().extension() != ".json" || without.contains(entry.path().filename().string())) continue;
    const auto groups = read_json(entry.path());
    for (const auto& group : groups.as_array()) judge(group.as_object(), options, entry.path().filename().string(), tally);
  }
  EXPECT_EQ(tally.wrong, 0);
  EXPECT_GE(tally.cases, least);
  ::testing::Test::RecordProperty("cases", tally.cases);
}

TEST(SchemaSuite, EveryRequiredCaseOfDraft2020_12) { run_suite("draft2020-12", Draft::d2020_12, 900); }
TEST(SchemaSuite, EveryRequiredCaseOfDraft7) { run_suite("draft7", Draft::d7, 600); }

// What the drafts leave free, and we do too: the content of strings, `dependencies` after draft 7, and the characters that IDNA forbids.
TEST(SchemaSuite, OptionalCasesOfDraft2020_12) { run_suite("draft2020-12/optional", Draft::d2020_12, 90, false, {"dependencies-compatibility.json"}); }
TEST(SchemaSuite, OptionalCasesOfDraft7) { run_suite("draft7/optional", Draft::d7, 40, false, {"content.json"}); }
TEST(SchemaSuite, FormatsOfDraft2020_12) { run_suite("draft2020-12/optional/format", Draft::d2020_12, 300, true, {"hostname.json", "idn-hostname.json"}); }
TEST(SchemaSuite, FormatsOfDraft7) { run_suite("draft7/optional/format", Draft::d7, 250, true, {"hostname.json", "idn-hostname.json"}); }

TEST(SchemaSuite, PublishedSchemasJudgeTheirPublishersExamples) {
  const auto text = test::unzipped((kData / "schemastore.jsonl.gz").string());
  if (text.empty()) GTEST_SKIP() << "the published schemas are not in " << kData;
  std::istringstream lines(text);
  int cases = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto row = parse_json(line);
    ASSERT_TRUE(row.has_value());
    const std::string name(row->at("schema_name").as_string());
    const auto schema = Schema::compile(row->at("schema"));
    EXPECT_TRUE(schema.has_value()) << name << ": " << (schema ? "" : describe(schema.error()));
    if (!schema) continue;
    for (const auto& test : row->at("tests").as_array()) {
      ++cases;
      const bool wanted = test.at("valid").as_bool();
      const auto violations = schema->check(test.at("data"));
      EXPECT_EQ(schema->valid(test.at("data")), wanted) << name << " " << test.at("name").as_string().c_str();
      EXPECT_EQ(violations.empty(), wanted) << name << " " << test.at("name").as_string().c_str() << (violations.empty() ? "" : ": " + violations[0].message);
    }
  }
  EXPECT_GE(cases, 1000);
}

}  // namespace
}  // namespace ballast::schema
