// A route's `record`, as the file says it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "app/config.hpp"
#include "gateway/recorder.hpp"

namespace ballast::app {
namespace {

Result<Config> with(std::string_view record) {
  return parse_config_text(fmt::format("routes: {{chat: {{targets: [sim/sim-small], record: {}}}}}\n", record), "ballast.yaml", fixed_environment({}));
}

TEST(ConfigRecord, OffIsTheDefault) {
  for (const char* off : {"off", "null", "{mode: off}"}) {
    const auto config = with(off);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->routes[0].record, nullptr) << off;
  }
  const auto config = parse_config_text("direct: {record: full}\nretention: {messages: 1d}\n", "ballast.yaml", fixed_environment({}));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->direct.record->mode, gateway::RecordMode::full);
  EXPECT_EQ(config->retention.messages, std::chrono::hours(24));
}

TEST(ConfigRecord, AWordOrAllOfIt) {
  const auto word = with("sampled");
  ASSERT_TRUE(word) << word.error().message;
  const gateway::RecordRule& plain = *word->routes[0].record;
  EXPECT_EQ(plain.mode, gateway::RecordMode::sampled);
  EXPECT_DOUBLE_EQ(plain.share, 0.01);
  EXPECT_TRUE(plain.errors);
  EXPECT_EQ(plain.redactor->text("ann@example.com 192.168.0.1"), "[email] [ip]");
  const auto exact = with("{mode: full, share: 0.5, errors: false, max_bytes: 64KB, redact: [email, {name: badge, pattern: 'B-[0-9]+'}]}");
  ASSERT_TRUE(exact) << exact.error().message;
  const gateway::RecordRule& rule = *exact->routes[0].record;
  EXPECT_EQ(rule.max_bytes, 64u << 10);
  EXPECT_FALSE(rule.errors);
  EXPECT_EQ(rule.redactor->text("ann@example.com 192.168.0.1 B-12 sk-abcdefghijkl"), "[email] 192.168.0.1 [badge] sk-[redacted]");
  EXPECT_EQ(with("{redact: [none]}")->routes[0].record->redactor->text("ann@example.com sk-abcdefghijkl"), "ann@example.com sk-[redacted]") << "secrets are always taken out";
}

TEST(ConfigRecord, MistakesNameTheirPlace) {
  constexpr std::pair<std::string_view, std::string_view> rows[] = {
      {"everything", "record"}, {"{mode: al}", "record.mode"}, {"{share: 2}", "record.share must be 0 to 1"}, {"{max_bytes: 2MB}", "from 1KB to 1MB"},
      {"{redact: [e-mail]}", "\"e-mail\" is no kind"}, {"{redact: [{name: x, pattern: '('}]}", "record.redact[0]"}, {"{redact: [{name: x, pattern: 'a*'}]}", "matches the empty text"},
      {"{redact: [{name: 'A b', pattern: a}]}", "a-z, 0-9 and _"}, {"{keep: 1}", "unknown key"}};
  for (const auto& [record, said] : rows) {
    const auto config = with(record);
    ASSERT_FALSE(config) << record;
    EXPECT_TRUE(config.error().message.contains(said)) << record << ": " << config.error().message;
  }
}

}  // namespace
}  // namespace ballast::app
