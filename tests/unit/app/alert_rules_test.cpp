// The alert rules that ship: every one is complete, and looks at metrics that exist. (promtool, where it is installed, checks their expressions:
// tests/e2e/test_deploy.py.)
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "base/config_node.hpp"

namespace ballast {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream in(std::string(BALLAST_SOURCE_DIR) + "/" + path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::set<std::string> names_in(const std::string& text) {
  const std::regex name("ballast_[a-z_]+"), of_histogram("_(bucket|count)$");
  std::set<std::string> out;
  for (std::sregex_token_iterator at(text.begin(), text.end(), name), end; at != end; ++at) out.insert(std::regex_replace(at->str(), of_histogram, ""));
  return out;
}

// Parentheses, braces and brackets close in order.
bool balanced(const std::string& text) {
  std::string open;
  for (const char c : text) {
    if (c == '(' || c == '{' || c == '[') open += c == '(' ? ')' : c == '{' ? '}' : ']';
    if (c != ')' && c != '}' && c != ']') continue;
    if (open.empty() || open.back() != c) return false;
    open.pop_back();
  }
  return open.empty();
}

class AlertRules : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Files, AlertRules, testing::Values("ballast.rules.yaml", "ballast-jobs.rules.yaml"));

TEST_P(AlertRules, EachIsCompleteAndLooksAtDocumentedMetrics) {
  const auto root = parse_config(text_of(std::string("deploy/prometheus/") + GetParam()), "rules", fixed_environment({}));
  ASSERT_TRUE(root) << root.error().message;
  const auto documented = names_in(text_of("docs/operations.md"));
  std::set<std::string> alerts;
  for (const ConfigNode& group : root->list("groups")) {
    EXPECT_FALSE(group.string("name").empty());
    for (const ConfigNode& rule : group.list("rules")) {
      const bool recorded = rule.has("record");          // a ratio that alerts are made of: "ballast:what:how"
      const std::string alert = rule.require(recorded ? "record" : "alert").as_string(), expr = rule.require("expr").as_string();
      EXPECT_TRUE(alerts.insert(alert).second) << alert << " is there twice";
      EXPECT_TRUE(balanced(expr)) << alert;
      EXPECT_FALSE(names_in(expr).empty()) << alert;
      EXPECT_EQ(recorded, alert.starts_with("ballast:")) << alert;
      for (const std::string& name : names_in(expr)) EXPECT_TRUE(documented.contains(name)) << alert << " looks at " << name;
      if (recorded) {
        rule.done();
        continue;
      }
      (void)rule.duration("for");
      const std::string severity = rule.get("labels").choice("severity", {"warning", "critical"}, "");
      EXPECT_FALSE(severity.empty()) << alert;
      for (const char* key : {"summary", "description"}) EXPECT_FALSE(rule.get("annotations").string(key).empty()) << alert << ": " << key;
      for (const ConfigNode& part : {rule.get("labels"), rule.get("annotations"), rule}) part.done();
    }
    group.done();
  }
  root->done();
  const auto fine = root->check();
  EXPECT_TRUE(fine) << fine.error().message;
  EXPECT_GE(alerts.size(), 8u);
}

}  // namespace
}  // namespace ballast
