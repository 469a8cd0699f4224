// ballast.yaml as a module reads it: typed, positioned, and every mistake reported at once.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/config_node.hpp"
#include "../../support/temp_dir.hpp"

namespace ballast {
namespace {
using test::TempDir;
using namespace std::chrono_literals;

Result<ConfigNode> parse(std::string_view text, std::map<std::string, std::string> env = {}) {
  return parse_config(text, "ballast.yaml", fixed_environment(std::move(env)));
}
ConfigNode good(std::string_view text, std::map<std::string, std::string> env = {}) {
  auto root = parse(text, std::move(env));
  EXPECT_TRUE(root) << (root ? "" : root.error().message);
  return root ? *root : ConfigNode();
}

TEST(Config, ReadsEveryKindOfValue) {
  const auto root = good(R"(
listen: 127.0.0.1:8080
threads: 2
sample: 0.5
prompts: yes
limits: {body: 32MB, header: 32KB, wait: 250ms}
budget: $0.50
rate: 600/m
targets: [a/b, {model: c, weight: 3}]
providers:
  sim: {kind: simulator}
  openai: {kind: openai}
)");
  EXPECT_EQ(root.string("listen"), "127.0.0.1:8080");
  EXPECT_EQ(root.integer("threads", 8, 1, 256), 2);
  EXPECT_EQ(root.number("sample"), 0.5);
  EXPECT_TRUE(root.boolean("prompts"));
  const auto limits = root.get("limits");
  EXPECT_EQ(limits.size("body"), 32u << 20);
  EXPECT_EQ(limits.size("header"), 32u << 10);
  EXPECT_EQ(limits.duration("wait"), 250ms);
  EXPECT_EQ(root.money("budget").nano, 500'000'000);
  EXPECT_EQ(root.rate("rate"), (Rate{600, 1min}));
  const auto targets = root.list("targets");
  ASSERT_EQ(targets.size(), 2u);
  EXPECT_EQ(targets[0].as_string(), "a/b");
  EXPECT_EQ(targets[1].integer("weight"), 3);
  EXPECT_EQ(targets[1].path(), "targets[1]");
  const auto providers = root.map("providers");
  ASSERT_EQ(providers.size(), 2u);
  EXPECT_EQ(providers[0].first, "sim");
  EXPECT_EQ(providers[1].second.choice("kind", {"openai", "anthropic"}, "openai"), "openai");
  root.done();
  limits.done();
  EXPECT_TRUE(root.check());
}

TEST(Config, AbsentKeysTakeTheirDefaults) {
  for (const auto text : {"", "# nothing\n", "log:\n"}) {
    const auto root = good(text);
    EXPECT_EQ(root.string("listen", "here"), "here");
    EXPECT_EQ(root.get("log").get("deeper").string("file", "-"), "-");
    EXPECT_EQ(root.get("log").duration("every", 5s), 5s);
    EXPECT_TRUE(root.list("routes").empty());
    EXPECT_TRUE(root.map("providers").empty());
    EXPECT_FALSE(root.has("listen"));
    EXPECT_TRUE(root.check());
  }
  EXPECT_EQ(ConfigNode().get("x").integer("y", 3), 3);
}

TEST(Config, AnUnknownKeySaysWhereAndWhatWasMeant) {
  const auto root = good("listen: x\nroutes:\n  chat:\n    timout: 5s\n    weird: 1\n");
  root.string("listen");
  const auto chat = root.get("routes").get("chat");
  chat.duration("timeout", 1s);
  root.done();
  root.get("routes").done();
  chat.done();
  EXPECT_EQ(root.problems(), (std::vector<std::string>{
    "ballast.yaml:4:5: routes.chat.timout is an unknown key, did you mean \"timeout\"?",
    "ballast.yaml:5:5: routes.chat.weird is an unknown key"}));
  const auto check = root.check();
  ASSERT_FALSE(check);
  EXPECT_EQ(check.error().code, ErrorCode::caller_invalid_request);
  EXPECT_EQ(check.error().field, "");  // its lines name theirs
  const auto mistakes = root.mistakes();
  ASSERT_EQ(mistakes.size(), 2u);
  EXPECT_EQ(mistakes[1], (ConfigMistake{"ballast.yaml", 5, 5, "routes.chat.weird", "is an unknown key"}));
}

TEST(Config, ExpectKeysNamesThemBeforehand) {
  const auto root = good("a: 1\nlisten: x\nlisten2: y\n");
  root.expect_keys({"a", "listen"});
  EXPECT_EQ(root.problems(), std::vector<std::string>{"ballast.yaml:3:1: listen2 is an unknown key, did you mean \"listen\"?"});
}

TEST(Config, BadValuesAreAllReportedAndTheirDefaultsUsed) {
  const auto root = good(
      "threads: many\n"
      "wait: 5\n"
      "body: -1MB\n"
      "price: $-3\n"
      "rate: 5/y\n"
      "flag: maybe\n"
      "list: {a: 1}\n"
      "map: [1]\n"
      "text: [1]\n"
      "kind: opnai\n"
      "port: 70000\n");
  EXPECT_EQ(root.integer("threads", 4), 4);
  EXPECT_EQ(root.duration("wait", 1s), 1s);
  EXPECT_EQ(root.size("body", 7), 7u);
  EXPECT_EQ(root.money("price", Money{1}).nano, 1);
  EXPECT_EQ(root.rate("rate").count, 0u);
  EXPECT_TRUE(root.boolean("flag", true));
  EXPECT_TRUE(root.list("list").empty());
  EXPECT_TRUE(root.map("map").empty());
  EXPECT_EQ(root.string("text", "d"), "d");
  EXPECT_EQ(root.choice("kind", {"openai", "anthropic"}, "openai"), "openai");
  EXPECT_EQ(root.integer("port", 80, 1, 65535), 80);
  EXPECT_EQ(root.get("map").string("member", "d"), "d");
  root.require("database");
  const std::vector<std::string> expected = {
      "ballast.yaml:1:1: database is required",
      "ballast.yaml:1:10: threads must be an integer, not \"many\"",
      "ballast.yaml:2:7: wait must be a duration such as 250ms, 10s, 1h30m or 7d, not \"5\"",
      "ballast.yaml:3:7: body must be a size such as 512, 32KB, 10MB or 1GB, not \"-1MB\"",
      "ballast.yaml:4:8: price must be an amount such as $5 or $0.25, not \"$-3\"",
      "ballast.yaml:5:7: rate must be a rate such as 10/s, 600/m, 5000/h or 100/d, not \"5/y\"",
      "ballast.yaml:6:7: flag must be true or false, not \"maybe\"",
      "ballast.yaml:7:7: list must be a list, not a map",
      "ballast.yaml:8:6: map must be a map, not a list",
      "ballast.yaml:9:7: text must be text, not a list",
      "ballast.yaml:10:7: kind is \"opnai\", did you mean \"openai\"?",
      "ballast.yaml:11:7: port must be an integer from 1 to 65535, not \"70000\"",
  };
  EXPECT_EQ(root.problems(), expected);
}

TEST(Config, AModuleReportsItsOwnRules) {
  const auto root = good("routes:\n  chat: {weight: 0}\n");
  root.get("routes").get("chat").get("weight").problem("must be positive");
  EXPECT_EQ(root.check().error().message, "ballast.yaml:2:18: routes.chat.weight must be positive");
}

TEST(Config, SubstitutesTheEnvironmentAlsoInsideFlowMaps) {
  const auto root = good(R"(
a: ${KEY}
b: {value: ${KEY}, rpm: 5, list: [${KEY}, "${KEY}-x"]}
c: ${MISSING:-a, [b]: #c}
d: "pre ${EMPTY:-} post"
e: $${NOT} $5
f: '${EMPTY:-dflt}'
# ${UNSET} in a comment is nobody's business
g: |
  block ${KEY}
)", {{"KEY", "sk: {\"x\"} # [1"}, {"EMPTY", ""}});
  EXPECT_EQ(root.string("a"), "sk: {\"x\"} # [1");
  const auto b = root.get("b");
  EXPECT_EQ(b.string("value"), "sk: {\"x\"} # [1");
  EXPECT_EQ(b.integer("rpm"), 5);
  EXPECT_EQ(b.strings("list"), (std::vector<std::string>{"sk: {\"x\"} # [1", "sk: {\"x\"} # [1-x"}));
  EXPECT_EQ(root.string("c"), "a, [b]: #c");
  EXPECT_EQ(root.string("d"), "pre  post");
  EXPECT_EQ(root.string("e"), "${NOT} $5");
  EXPECT_EQ(root.string("f"), "dflt");
  EXPECT_EQ(root.string("g"), "block sk: {\"x\"} # [1\n");
  EXPECT_TRUE(root.check());
}

TEST(Config, AnUnsetVariableIsNamedWhereItIsRead) {
  const auto root = good("providers:\n  openai: {key: ${OPENAI_API_KEY}}\n  unused: {key: ${OTHER}}\n");
  EXPECT_EQ(root.get("providers").get("openai").string("key", "none"), "none");
  EXPECT_EQ(root.problems(), std::vector<std::string>{
    "ballast.yaml:2:17: providers.openai.key needs the environment variable OPENAI_API_KEY, which is not set, nor is there a file of it "
    "(OPENAI_API_KEY_FILE, or a credential of that name)"});
}

TEST(Config, ASecretMayBeAFileThatTheEnvironmentNames) {
  const TempDir folder;
  const auto write = [&](const std::string& name, const std::string& text) { std::ofstream(folder.path() + "/" + name, std::ios::binary) << text; };
  const auto look = system_environment();
  EXPECT_EQ(look("BALLAST_T_KEY"), std::nullopt);
  write("BALLAST_T_KEY", "of systemd\r\n");
  write("ballast_BALLAST_T_OTHER", "of its folder\n\n");
  ::setenv("CREDENTIALS_DIRECTORY", folder.path().c_str(), 1);
  EXPECT_EQ(look("BALLAST_T_KEY"), "of systemd") << "without the line's end";
  EXPECT_EQ(look("BALLAST_T_OTHER"), "of its folder\n") << "and without one only";
  EXPECT_EQ(look("../" + folder.path().substr(1) + "/BALLAST_T_KEY"), std::nullopt) << "a name, no path";
  write("file", "of a file");
  ::setenv("BALLAST_T_KEY_FILE", (folder.path() + "/file").c_str(), 1);
  EXPECT_EQ(look("BALLAST_T_KEY"), "of a file");
  write("file", std::string((64u << 10) + 1, 'x'));
  EXPECT_EQ(look("BALLAST_T_KEY"), std::nullopt) << "too long for a secret";
  write("file", std::string(64u << 10, 'x'));
  EXPECT_EQ(look("BALLAST_T_KEY")->size(), 64u << 10);
  ::setenv("BALLAST_T_KEY_FILE", folder.path().c_str(), 1);
  EXPECT_EQ(look("BALLAST_T_KEY"), std::nullopt) << "a folder";
  ::setenv("BALLAST_T_KEY", "itself", 1);
  EXPECT_EQ(look("BALLAST_T_KEY"), "itself") << "the variable wins";
  for (const char* name : {"BALLAST_T_KEY", "BALLAST_T_KEY_FILE", "CREDENTIALS_DIRECTORY"}) ::unsetenv(name);
}

TEST(Config, ASecretIsNotPrintedWhenItIsWrong) {
  const auto root = good("threads: ${T}\nkind: ${T}\n", {{"T", "sk-secret"}});
  root.integer("threads");
  root.choice("kind", {"a"}, "a");
  for (const auto& p : root.problems()) EXPECT_EQ(p.find("sk-secret"), std::string::npos) << p;
  EXPECT_EQ(root.problems()[0], "ballast.yaml:1:10: threads must be an integer, not \"${T}\"");
}

TEST(Config, AMalformedSubstitutionIsAnError) {
  const auto root = good("a: \"${}\"\nb: '${NO-NAME}'\n");
  root.string("a");
  root.string("b");
  EXPECT_EQ(root.problems().size(), 2u);
}

TEST(Config, SyntaxErrorsHaveAPosition) {
  const struct { std::string_view text, start; } table[] = {
      {"a: 1\nb: [1, 2\n", "ballast.yaml:"},
      {"a: 1\na: 2\n", "ballast.yaml:2:1: key \"a\" again, first at 1:1"},
      {"- a\n- b\n", "ballast.yaml:1:1: must be a map"},
      {"a: 1\n---\nb: 2\n", "ballast.yaml:3:1: a second document"},
      {"a: \"\xff\"\n", "ballast.yaml:1:1: not valid UTF-8"},
      {"a: 1\nb: x\x01y\n", "ballast.yaml:2:5: a control character"},
      {"a:\n\t- b\n", "ballast.yaml:2:"},
      {"{a: 1}: 2\n", "ballast.yaml:1:"},
      {"a: *nope\n", "ballast.yaml:1:"},
      {",i", "ballast.yaml:1:1: not valid YAML"},          // found by fuzzing: the parser went round for ever
      {"---\n,i", "ballast.yaml:2:1: not valid YAML"},
      {"a: 1\n---\n,i", "ballast.yaml:3:1: a second document"},
      {"a: 1\n...\n}", "ballast.yaml:3:1: not valid YAML"},
  };
  for (const auto& row : table) {
    const auto root = parse(row.text);
    ASSERT_FALSE(root) << row.text;
    EXPECT_TRUE(root.error().message.starts_with(row.start)) << root.error().message;
  }
}

TEST(Config, AliasesExpandUnderALimit) {
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'j'; ++c) {
    bomb += fmt::format("{}: &{} [", c, c);
    for (int i = 0; i < 10; ++i) bomb += fmt::format("{}*{}", i ? ", " : "", static_cast<char>(c - 1));
    bomb += "]\n";
  }
  const auto root = parse(bomb);
  ASSERT_FALSE(root);
  EXPECT_NE(root.error().message.find("more than 200000 values"), std::string::npos);
  std::string deep = "a: ";
  for (int i = 0; i < 100; ++i) deep += "[";
  for (int i = 0; i < 100; ++i) deep += "]";
  EXPECT_FALSE(parse(deep));
  EXPECT_EQ(good("x: &t {n: 1}\ny: *t\n").get("y").integer("n"), 1);
}

TEST(Config, ASubtreeBecomesJson) {
  const auto root = good("s: {a: 1, b: [true, null, 1.5, x, \"1\", ~], c: ${N}}\n", {{"N", "7"}});
  EXPECT_EQ(to_json(root.get("s").to_json()), R"({"a":1,"b":[true,null,1.5,"x","1",null],"c":"7"})");
  root.get("s").done();
  EXPECT_TRUE(root.check());
}

TEST(ConfigValues, Durations) {
  const struct { std::string_view text; Duration d; } good_ones[] = {{"0", 0s}, {"250ms", 250ms}, {"1.5s", 1500ms}, {"1h30m", 90min}, {"7d", 168h}, {"2w", 336h}, {"10us", 10us}, {"3ns", 3ns}};
  for (const auto& row : good_ones) EXPECT_EQ(parse_duration(row.text).value_or(Duration(-1)), row.d) << row.text;
  for (const auto bad : {"", "5", "ms", "-1s", "1.s", ".5s", "1 s", "1S", "1y", "99999999999d", "1s2"}) EXPECT_FALSE(parse_duration(bad)) << bad;
  for (const auto text : {"250ms", "10s", "1500us", "90m", "36h", "7d", "0s"}) EXPECT_EQ(format_duration(*parse_duration(text)), text);
}

TEST(ConfigValues, SizesMoneyAndRates) {
  EXPECT_EQ(parse_size("512"), 512u);
  EXPECT_EQ(parse_size("1.5KB"), 1536u);
  EXPECT_EQ(parse_size("64 MiB"), 64u << 20);
  EXPECT_EQ(parse_size("1gb"), 1u << 30);
  for (const auto bad : {"", "MB", "-1", "1.5", "1XB", "99999999TB"}) EXPECT_FALSE(parse_size(bad)) << bad;
  EXPECT_EQ(parse_money("$5")->nano, 5'000'000'000);
  EXPECT_EQ(parse_money("0.05")->nano, 50'000'000);
  for (const auto bad : {"$", "-1", "$-1", "five", "-0"}) EXPECT_FALSE(parse_money(bad)) << bad;
  EXPECT_EQ(*parse_rate("10/s"), (Rate{10, 1s}));
  EXPECT_EQ(*parse_rate("10 / s"), (Rate{10, 1s}));
  EXPECT_EQ(*parse_rate("600/m"), (Rate{600, 1min}));
  for (const auto bad : {"", "10", "10/", "/s", "10/ms", "x/s", "-1/s", "0/m", "5/w", "99999999999999/s"}) {
    const auto rate = parse_rate(bad, "limits[0].requests");
    ASSERT_FALSE(rate) << bad;
    EXPECT_EQ(rate.error().field, "limits[0].requests");
  }
  EXPECT_EQ(parse_duration("x", "timeout").error().field, "timeout");
}

TEST(ConfigValues, Times) {
  const auto noon = WallTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 21).time_since_epoch()) + 12h;
  EXPECT_EQ(parse_time("2026-11-21T12:00:00Z").value_or(WallTime{}), noon);
  EXPECT_EQ(parse_time("2026-11-21").value_or(WallTime{}), noon - 12h);
  EXPECT_EQ(parse_time("2026-11-21T12:00:00.250Z").value_or(WallTime{}), noon + 250ms) << "as to_rfc3339 and JavaScript write it";
  EXPECT_EQ(parse_time("2026-11-21T12:00:00.000000001Z").value_or(WallTime{}), noon + 1ns);
  for (const char* bad : {"2026-11-21T12:00:00.Z", "2026-11-21T12:00:00.1234567890Z", "2026-11-21T12:00:00.1xZ", "2026-11-21T12:00:001Z", "2026-11-21T12:00:00.1"})
    EXPECT_FALSE(parse_time(bad, "from")) << bad;
  for (const auto bad : {"", "tomorrow", "2026-13-01", "2026-02-30", "2026-1-1", "2026-11-21T12:00", "2026-11-21T12:00:00", "2026-11-21T12:00:00+01:00",
                         "2026-11-21T25:00:00Z", "2026-11-21 12:00:00Z", "2026-11-21T12:00:00Zz", "9999-12-31", "2200-01-01", "1969-12-31", "0001-01-01", "-999-01-01"}) {
    const auto at = parse_time(bad, "from");
    ASSERT_FALSE(at) << bad;
    EXPECT_EQ(at.error().field, "from");
  }
}

}  // namespace
}  // namespace ballast
