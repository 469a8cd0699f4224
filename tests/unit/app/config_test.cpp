#include "app/config.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "app/wiring.hpp"

namespace ballast::app {
namespace {

Result<Config> parsed(std::string_view text, std::map<std::string, std::string> env = {}) {
  return parse_config_text(text, "ballast.yaml", fixed_environment(std::move(env)));
}
std::string mistake(std::string_view text) {
  const auto config = parsed(text);
  return config ? std::string("(none)") : config.error().message;
}

TEST(Config, AnEmptyFileHasTheSimulator) {
  const auto config = parsed("");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->providers.size(), 1u);
  EXPECT_EQ(config->providers[0].kind, "simulator");
  EXPECT_TRUE(config->providers[0].sim.models.contains("sim-small"));
  EXPECT_EQ(to_string(config->listen), "127.0.0.1:8080");
  EXPECT_TRUE(spending_providers(*config).empty());
}

TEST(Config, ProvidersComeFromTheEnvironmentUntilAFileNamesSome) {
  const std::map<std::string, std::string> env{{"OPENAI_API_KEY", "sk-1234567890"}, {"ANTHROPIC_API_KEY", "sk-ant-1234567890"}};
  const auto config = parsed("", env);
  ASSERT_TRUE(config);
  EXPECT_EQ(spending_providers(*config), (std::vector<std::string>{"openai", "anthropic"}));
  const auto named = parsed("providers: {local: {base_url: 'http://127.0.0.1:11434/v1'}}", env);
  ASSERT_TRUE(named) << named.error().message;
  ASSERT_EQ(named->providers.size(), 1u);
  EXPECT_EQ(named->providers[0].name, "local");
}

TEST(Config, EveryMistakeIsAValueToo) {
  std::vector<ConfigMistake> mistakes;
  EXPECT_FALSE(parse_config_text("threads: -2\nroutes:\n  chat:\n    targts: [sim/sim-small]\n", "b.yaml", fixed_environment({}), &mistakes));
  ASSERT_EQ(mistakes.size(), 3u);
  EXPECT_EQ(mistakes[0].field, "threads");
  EXPECT_EQ(std::pair(mistakes[0].line, mistakes[0].column), std::pair(1, 10));
  EXPECT_EQ(mistakes[1].field, "routes.chat");
  EXPECT_EQ(mistakes[2], (ConfigMistake{"b.yaml", 4, 5, "routes.chat.targts", "is an unknown key, did you mean \"targets\"?"}));
  mistakes.clear();
  EXPECT_FALSE(parse_config_text("listen: [\n", "b.yaml", fixed_environment({}), &mistakes));
  ASSERT_EQ(mistakes.size(), 1u);
  EXPECT_GT(mistakes[0].line, 0);
  EXPECT_TRUE(to_string(mistakes[0]).starts_with("b.yaml:")) << to_string(mistakes[0]);
}

TEST(Config, ExtraHeadersOfAProvider) {
  const auto config = parsed("providers: {up: {base_url: 'http://x/v1', headers: {OpenAI-Organization: '${ORG}', X-Title: ours}}}", {{"ORG", "org-secret-1"}});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->providers[0].headers, (std::vector<std::pair<std::string, std::string>>{{"OpenAI-Organization", "org-secret-1"}, {"X-Title", "ours"}}));
  EXPECT_EQ(provider_spec(config->providers[0])->headers, config->providers[0].headers);
  for (const char* bad : {"Authorization: x", "Host: x", "'a b': x", "X-A: ''", "X-A: [x]", "X-A: x, x-a: y", "X-A: \"a\\r\\nb\""}) {
    const auto said = mistake(fmt::format("providers: {{up: {{base_url: 'http://x/v1', headers: {{{}}}}}}}", bad));
    EXPECT_NE(said.find("providers.up.headers."), std::string::npos) << bad << ": " << said;
  }
  const auto secret = parsed("providers: {up: {base_url: 'http://x/v1', headers: {X-A: '${ORG}'}}}", {{"ORG", "org\nsecret"}});
  ASSERT_FALSE(secret);
  EXPECT_EQ(secret.error().message.find("secret"), std::string::npos);
}

TEST(Config, PricesOfServiceTiersOfCallsAndOfRegions) {
  const auto config = parsed(R"(
providers:
  eu: {kind: openai, base_url: https://eu.api.openai.com/v1, key: sk-1234567890, price_multiplier: 1.1}
models:
  eu/a: {price: {input: $1, output: $2, flex: {input: $0.5, output: $1}, priority: {input: $2, output: $4, cache_read: $0.2}}, per_request: $0.005, batch_percent: 40}
)");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->providers[0].price_millionths, 1'100'000u);
  const auto& m = config->models[0];
  ASSERT_TRUE(m.flex && m.priority && m.per_request && m.batch_percent);
  EXPECT_EQ(m.flex->price.input, Price{500'000'000});
  EXPECT_EQ(m.priority->price.cache_read, Price{200'000'000});
  EXPECT_EQ(m.per_request->nano_per_million, 5'000'000ll * 1'000'000);
  EXPECT_EQ(*m.batch_percent, 40u);
  for (const char* bad : {"providers: {eu: {base_url: 'http://x', price_multiplier: -1}}", "models: {sim/a: {batch_percent: 101}}",
                          "models: {sim/a: {price: {input: $1, flex: {output: $1}}}}", "models: {sim/a: {per_request: free}}"})
    EXPECT_NE(mistake(bad), "(none)") << bad;
}

TEST(Config, ReadsWhatThePlanShows) {
  const auto config = parsed(R"(
listen: 127.0.0.1:9090
database: sqlite:x.db
ledger: {mode: strict, sync_every: 20ms}
providers:
  openai: {kind: openai, keys: [{value: "${K}", rpm: 500}, plain-secret], timeouts: {connect: 2s}}
  sim: {kind: simulator, models: {sim-small: {ttft: 5ms, price: {input: $0.10, output: $0.40}, faults: [{kind: http_429, retry_after: 1s}]}}}
models:
  openai/local: {price: {input: $1, output: $2}, context: 32768}
routes:
  chat:
    targets: [{model: openai/gpt-5-mini, weight: 3}, sim/sim-small]
    strategy: weighted
    retries: {attempts: 3, deadline: 20s}
    hedge: {after: 800ms}
    stream: {rescue: restart, hold_back: 32}
    cache: {ttl: 1h, scope: shared}
    queue: {wait: 5s}
    on_content_filter: next
    degrade: {stale: 24h, template: "Busy"}
aliases: {fast: chat}
limits: [{scope: key, requests: 600/m, tokens: 200000/m, concurrency: 50}]
budgets: [{scope: key, amount: $5, per: month}, {scope: request, amount: $0.50}, {scope: system, amount: 9, from: 2026-11-01, to: 2026-12-01}]
keys: [{name: app, value: sk-0123456789abcdef, scopes: [call], models: [chat], team: web}]
)", {{"K", "sk-from-env-000000"}});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_TRUE(config->ledger.strict);
  const auto& openai = config->providers[0];
  ASSERT_EQ(openai.keys.size(), 2u);
  EXPECT_EQ(openai.keys[0].value, "sk-from-env-000000");
  EXPECT_EQ(openai.keys[0].rpm, 500u);
  EXPECT_EQ(openai.keys[1].name, "openai#2");
  EXPECT_EQ(openai.timeouts.connect, std::chrono::seconds(2));
  const auto& route = config->routes.at(0);
  EXPECT_EQ(route.targets[0].weight, 3u);
  EXPECT_EQ(route.strategy, gateway::Strategy::weighted);
  EXPECT_EQ(route.rescue.mode, gateway::RescueMode::restart);
  EXPECT_EQ(route.cache.scope, gateway::CacheScope::shared);
  EXPECT_EQ(route.degrade.answer, "Busy");
  EXPECT_EQ(config->limits[0].tokens->count, 200000u);
  EXPECT_EQ(config->budgets[0].amount.nano, 5'000'000'000);
  EXPECT_EQ(config->budgets[2].period, gateway::BudgetPeriod::fixed);
  EXPECT_EQ(config->models[0].price->output.nano_per_million, 2'000'000'000);
  EXPECT_EQ(config->keys[0].team, "web");
}

struct Mistake {
  const char *text, *told;
};

class Mistakes : public testing::TestWithParam<Mistake> {};

TEST_P(Mistakes, AreNamedWithTheirPlace) {
  const std::string told = mistake(GetParam().text);
  EXPECT_NE(told.find(GetParam().told), std::string::npos) << told;
  EXPECT_NE(told.find("ballast.yaml:"), std::string::npos) << told;
}

INSTANTIATE_TEST_SUITE_P(Config, Mistakes, testing::Values(
  Mistake{"routs: {}\n", "did you mean \"routes\""},
  Mistake{"log: {levl: info}\n", "did you mean \"level\""},
  Mistake{"listen: 127.0.0.1\n", "listen"},
  Mistake{"threads: -2\n", "threads"},
  Mistake{"database: mysql://x\n", "must be sqlite:PATH or postgres"},
  Mistake{"ledger: {mode: strct}\n", "strict"},
  Mistake{"providers: {a: {kind: simulatr}}\n", "simulator"},
  Mistake{"providers: {a: {kind: azure}}\n", "needs base_url"},
  Mistake{"providers: {sim: {kind: simulator}}\nroutes: {chat: {targets: [sm/sim-small]}}\n", "did you mean \"sim\""},
  Mistake{"routes: {chat: {targets: [sim/sim-smal]}}\n", "did you mean \"sim-small\""},
  Mistake{"routes: {chat: {}}\n", "needs targets"},
  Mistake{"routes: {chat: {targets: [sim/sim-small]}}\naliases: {fast: chta}\n", "did you mean \"chat\""},
  Mistake{"limits: [{scope: planet, requests: 5/m}]\n", "scope"},
  Mistake{"limits: [{scope: key}]\n", "limits nothing"},
  Mistake{"budgets: [{scope: key, amount: five}]\n", "amount"},
  Mistake{"budgets: [{scope: key, amount: $1, from: 2026-12-01, to: 2026-11-01}]\n", "from before to"},
  Mistake{"keys: [{name: a, value: short}]\n", "at least 16"},
  Mistake{"keys: [{name: a, value: sk-0123456789abcdef, scopes: [everything]}]\n", "unknown scope"},
  Mistake{"admin_key: ${BALLAST_TEST_UNSET}\n", "BALLAST_TEST_UNSET"},
  Mistake{"log: {prompts: true}\n", "never logged"},
  Mistake{"alerts: {rules: {cost_spike: {burns: [{rate: 2, over: 1h, now: 5m}]}}}\n", "error_budget and latency_budget"},
  Mistake{"alerts: {rules: {errors_fast: {burns: [{rate: 2, over: 1h}]}}}\n", "burns[0]"},
  Mistake{"alerts: {rules: {errors_fast: {burns: [{rate: 2, over: 5m, now: 1h}]}}}\n", "over longer than now"},
  Mistake{"alerts: {rules: {errors_fast: {burns: [{rate: 120, over: 1h, now: 5m}]}}}\n", "never reached"},
  Mistake{"alerts: {rules: {errors_fast: {burns: [{rate: 2, over: 1h, now: 5m, then: 1m}]}}}\n", "then"},
  Mistake{"models: {gpt: {price: {input: 1, output: 2}}}\n", "PROVIDER/MODEL"}));

TEST(Config, BurnsOfARuleReplaceTheDefaults) {
  const auto config = parsed("alerts: {rules: {errors_fast: {objective: 0.999, burns: [{rate: 10, over: 2h, now: 10m}]}, mine: {kind: latency_budget, bound: 30s}}}\n");
  ASSERT_TRUE(config) << config.error().message;
  const auto rule = [&](std::string_view name) { return *std::ranges::find(config->alerts.rules, name, &watch::Rule::name); };
  ASSERT_EQ(rule("errors_fast").burns.size(), 1u);
  EXPECT_EQ(rule("errors_fast").burns[0].rate, 10);
  EXPECT_EQ(rule("errors_fast").burns[0].over, std::chrono::hours(2));
  EXPECT_EQ(rule("errors_fast").burns[0].now, std::chrono::minutes(10));
  EXPECT_EQ(rule("errors_slow").burns.size(), 2u);
  EXPECT_EQ(rule("mine").burns.size(), 2u) << "those of the default rule of its kind";
}

TEST(Config, EveryMistakeOfAFileIsToldAtOnce) {
  const std::string told = mistake("routs: {}\nlisten: nowhere\nlog: {level: loud}\n");
  for (const char* part : {"routs", "listen", "level"}) EXPECT_NE(told.find(part), std::string::npos) << told;
  EXPECT_EQ(std::ranges::count(told, '\n'), 2) << told;
}

TEST(Config, Listen) {
  EXPECT_EQ(to_string(*parse_listen("[::1]:80")), "[::1]:80");
  EXPECT_EQ(parse_listen(":8080")->host, "0.0.0.0");
  EXPECT_EQ(parse_listen("localhost:1")->host, "127.0.0.1");
  for (const char* bad : {"", "8080", "a:", "a:70000", "a:-1"}) EXPECT_FALSE(parse_listen(bad)) << bad;
}

TEST(Wiring, AReloadKeepsWhatDidNotChange) {
  const SystemClock clock;
  llm::Simulator sim(llm::default_sim_config(), clock);
  llm::SimTransport network(sim);
  const std::string budget = "budgets: [{name: all, scope: system, amount: $5, per: day}]\n";
  const auto first = wire(*parsed(budget), network, clock, nullptr);
  ASSERT_TRUE(first) << first.error().message;
  const auto same = wire(*parsed(budget + "aliases: {fast: sim/sim-small}\n"), network, clock, first->get());
  ASSERT_TRUE(same) << same.error().message;
  EXPECT_EQ((*same)->setup.budgets, (*first)->setup.budgets);
  EXPECT_EQ((*same)->setup.limits, (*first)->setup.limits);
  EXPECT_NE((*same)->setup.routes, (*first)->setup.routes);
}

TEST(Wiring, AChangedBudgetKeepsWhatWasSpent) {
  const SystemClock clock;
  llm::Simulator sim(llm::default_sim_config(), clock);
  llm::SimTransport network(sim);
  const auto first = wire(*parsed("budgets: [{name: all, scope: system, amount: $5, per: month}]\n"), network, clock, nullptr);
  ASSERT_TRUE(first);
  auto hold = (*first)->setup.budgets->hold({}, "call_1", Money{2'000'000'000});
  ASSERT_TRUE(hold) << hold.error().message;
  const auto second = wire(*parsed("budgets: [{name: all, scope: system, amount: $3, per: month}]\n"), network, clock, first->get());
  ASSERT_TRUE(second);
  Carried carried;
  carry_budgets(*(*first)->setup.budgets, *(*second)->setup.budgets, carried);
  carry_budgets(*(*first)->setup.budgets, *(*second)->setup.budgets, carried);   // twice charges once
  EXPECT_EQ((*second)->setup.budgets->remaining({}, "sim/sim-small"), Money{1'000'000'000});
  hold->settle();
}

}  // namespace
}  // namespace ballast::app
