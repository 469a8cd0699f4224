// The section `telemetry`, and what OpenTelemetry's environment adds to it.
#include <gtest/gtest.h>

#include "app/config.hpp"

namespace ballast::app {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Result<Config> parsed(std::string_view text, std::map<std::string, std::string> env = {}) {
  return parse_config_text(text, "ballast.yaml", fixed_environment(std::move(env)));
}

TEST(Telemetry, TheEnvironmentSpeaksWhereTheFileIsSilent) {
  const std::map<std::string, std::string> env{{"OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example/otlp"},
                                               {"OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%2Cb, x-team = ops ,broken"},
                                               {"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"},
                                               {"OTEL_SERVICE_NAME", "gateway"},
                                               {"OTEL_RESOURCE_ATTRIBUTES", "service.name=loses,deployment.environment.name=prod%20eu"},
                                               {"OTEL_SEMCONV_STABILITY_OPT_IN", "http, gen_ai_latest_experimental"}};
  const auto silent = parsed("", env);
  ASSERT_TRUE(silent) << silent.error().message;
  EXPECT_EQ(silent->telemetry.otlp, "https://collector.example/otlp");
  EXPECT_EQ(silent->telemetry.headers, (Pairs{{"api-key", "a,b"}, {"x-team", "ops"}}));
  EXPECT_TRUE(silent->telemetry.gzip);
  EXPECT_EQ(silent->telemetry.resource, (Pairs{{"service.name", "gateway"}, {"deployment.environment.name", "prod eu"}}));
  EXPECT_EQ(silent->telemetry.genai, gateway::GenaiNames::newer);

  const auto said = parsed("telemetry: {otlp: 'http://127.0.0.1:4318', headers: {api-key: c}, gzip: false, service_name: mine, resource: {region: eu}, genai: older}", env);
  ASSERT_TRUE(said) << said.error().message;
  EXPECT_EQ(said->telemetry.otlp, "http://127.0.0.1:4318");
  EXPECT_EQ(said->telemetry.headers, (Pairs{{"api-key", "c"}}));
  EXPECT_FALSE(said->telemetry.gzip);
  EXPECT_EQ(said->telemetry.resource, (Pairs{{"service.name", "mine"}, {"deployment.environment.name", "prod eu"}, {"region", "eu"}}));
  EXPECT_EQ(said->telemetry.genai, gateway::GenaiNames::older);

  EXPECT_EQ(parsed("telemetry: {otlp: ''}", env)->telemetry.otlp, "") << "an empty one switches it off";
}

TEST(Telemetry, WithoutBothThereAreTheDefaults) {
  const auto config = parsed("");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->telemetry.otlp, "");
  EXPECT_EQ(config->telemetry.metrics_every, std::chrono::seconds(60));
  EXPECT_EQ(config->telemetry.resource, (Pairs{{"service.name", "ballast"}}));
  EXPECT_EQ(config->telemetry.genai, gateway::GenaiNames::both);
}

TEST(Telemetry, MistakesNameTheirFieldAndNoSecret) {
  struct Row { std::string text, said; };
  for (const auto& [text, said] : {Row{"telemetry: {metrics_every: 10ms}", "telemetry.metrics_every"}, Row{"telemetry: {genai: newest}", "telemetry.genai"},
                                   Row{"telemetry: {headers: {api-key: \"se\\ncret\"}}", "telemetry.headers.api-key"}, Row{"telemetry: {temporality: both}", "telemetry.temporality"}}) {
    const auto config = parsed(text);
    ASSERT_FALSE(config) << text;
    EXPECT_NE(config.error().message.find(said), std::string::npos) << config.error().message;
    EXPECT_EQ(config.error().message.find("cret"), std::string::npos);
  }
  const auto outside = parsed("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"}});
  ASSERT_FALSE(outside);
  EXPECT_NE(outside.error().message.find("OTEL_EXPORTER_OTLP_ENDPOINT"), std::string::npos);
}

}  // namespace
}  // namespace ballast::app
