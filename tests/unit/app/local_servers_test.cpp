// Model servers on this machine: found by their list of models, free to call, and never a reason to wait.
#include "app/local_servers.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/wiring.hpp"
#include "base/text.hpp"
#include "net/server.hpp"

namespace ballast::app {
namespace {

using namespace std::chrono_literals;

// Answers every path with what it is told.
struct Fake final : net::Handler {
  explicit Fake(int code, std::string text) : status(code), body(std::move(text)), loops(1, clock), server(loops, {}, *this) { loops.start(); }
  Task<void> handle(net::Exchange& exchange) override {
    path = exchange.request().path;
    const auto done = co_await exchange.respond(status, {{"content-type", "application/json"}}, body);
    (void)done;
  }
  LocalServer at(std::string name, std::string_view host = "127.0.0.1") const { return {name, name, fmt::format("http://{}:{}/v1", host, server.port())}; }
  int status;
  std::string body, path;
  SystemClock clock;
  net::LoopGroup loops;
  net::Server server;
};

TEST(LocalServers, WhatListsItsModelsIsFoundAndNothingElse) {
  Fake ollama(200, R"({"object":"list","data":[{"id":"llama3.2:1b","object":"model","owned_by":"library"},{"id":"qwen3:0.6b"}]})");
  Fake page(200, "<html>hello</html>"), locked(401, R"({"data":[{"id":"x"}]})"), empty(200, R"({"object":"list","data":[]})");
  Fake gateway(200, R"({"object":"list","served_by":"ballast","data":[{"id":"openai/gpt-5"}]})");
  const auto found = find_local_servers({page.at("page"), ollama.at("ollama"), locked.at("locked"), gateway.at("gateway"), empty.at("empty")}, 10s);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].server.name, "ollama");
  EXPECT_EQ(found[0].models, (std::vector<std::string>{"llama3.2:1b", "qwen3:0.6b"}));
  EXPECT_EQ(ollama.path, "/v1/models");
}

TEST(LocalServers, OnlyThisMachineIsAsked) {
  Fake server(200, R"({"data":[{"id":"m"}]})");
  EXPECT_TRUE(find_local_servers({{"far", "far", "http://192.0.2.1:11434/v1"}, server.at("any", "0.0.0.0"), {"tls", "tls", "https://127.0.0.1:1/v1"}}, 10s).empty());
  EXPECT_EQ(server.path, "");
}

TEST(LocalServers, NobodyThereIsNoError) {
  std::uint16_t closed = 0;
  { Fake gone(200, ""); closed = gone.server.port(); }
  EXPECT_TRUE(find_local_servers({{"gone", "gone", fmt::format("http://127.0.0.1:{}/v1", closed)}}, 200ms).empty());
  EXPECT_TRUE(find_local_servers({}, 200ms).empty());
}

TEST(LocalServers, ASilentServerIsGivenUp) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);   // the kernel takes the connection, and nobody ever answers
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(fd, 4), 0);
  ASSERT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  EXPECT_TRUE(find_local_servers({{"silent", "silent", fmt::format("http://127.0.0.1:{}/v1", ntohs(address.sin_port))}}, 50ms).empty());
  ::close(fd);
}

TEST(LocalServers, OurOwnPortIsLeftOut) {
  std::string names;
  for (const auto& s : usual_local_servers(8080)) names += s.name + " ";
  EXPECT_EQ(names, "ollama vllm lmstudio ");
  EXPECT_EQ(usual_local_servers(9000).size(), 4u);
}

TEST(LocalServers, OllamaHostIsReadAsOllamaReadsIt) {
  struct Row { const char *given, *url; };
  for (const auto& [given, url] : {Row{"127.0.0.1:9999", "http://127.0.0.1:9999/v1"}, {"0.0.0.0", "http://127.0.0.1:11434/v1"}, {":7000", "http://127.0.0.1:7000/v1"},
                                   {"http://box.example/", "http://box.example:80/v1"}, {"https://box.example:444", "https://box.example:444/v1"},
                                   {"[::1]:5", "http://[::1]:5/v1"}, {"[::]", "http://127.0.0.1:11434/v1"}, {"", ""}, {"a b", ""}})
    EXPECT_EQ(ollama_base_url(given), url) << given;
}

TEST(LocalServers, WhatIsFoundIsWiredAndFreeEvenUnderABudget) {
  auto config = parse_config_text("budgets: [{name: all, scope: system, amount: $1, per: day}]", "ballast.yaml", fixed_environment({{"OLLAMA_HOST", "127.0.0.1:9"}}));
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_TRUE(config->auto_providers);
  add_local_servers(*config, {{{"ollama", "Ollama", "http://127.0.0.1:9/v1"}, {"llama3.2:1b"}}, {{"vllm", "vLLM", "http://127.0.0.1:8000/v1"}, {"org/name"}}});
  ASSERT_EQ(config->providers.size(), 3u);
  EXPECT_EQ(config->providers[1].from_environment, "OLLAMA_HOST");
  EXPECT_EQ(config->providers[1].found_here, "Ollama");
  EXPECT_TRUE(spending_providers(*config).empty());
  const SystemClock clock;
  llm::Simulator nowhere(llm::default_sim_config(), clock);
  llm::SimTransport network(nowhere);
  const auto wired = wire(*config, network, clock, nullptr);
  ASSERT_TRUE(wired) << wired.error().message;
  for (const char* name : {"ollama/llama3.2:1b", "llama3.2:1b", "vllm/org/name"}) EXPECT_TRUE((*wired)->setup.routes->resolve(name)) << name;
  const auto info = (*wired)->setup.prices->find("vllm", "openai", "org/name");
  ASSERT_TRUE(info && info->priced);
  EXPECT_EQ(llm::cost({.input_uncached = 1'000'000, .output = 1'000'000}, *info), Money{});
}

TEST(LocalServers, AFileThatNamesProvidersOrSaysNoIsNotProbed) {
  for (const char* text : {"providers: {}", "probe_local: false"}) {
    auto config = parse_config_text(text, "ballast.yaml", fixed_environment({}));
    ASSERT_TRUE(config) << config.error().message;
    const auto before = config->providers.size();
    probe_local_servers(*config);
    EXPECT_EQ(config->providers.size(), before) << text;
  }
}

}  // namespace
}  // namespace ballast::app
