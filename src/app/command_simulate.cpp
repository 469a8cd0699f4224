#include <signal.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <thread>

#include "app/cli.hpp"
#include "app/config.hpp"
#include "app/runtime.hpp"
#include "base/log.hpp"
#include "llm/simulator/simulator.hpp"

namespace ballast::app {

namespace {

struct Flags {
  std::string config, listen = "127.0.0.1:8090", provider;
};

// The simulator of the file; with several, the one that --provider names.
Result<llm::SimConfig> sim_of(const Config& config, const std::string& provider) {
  for (const auto& p : config.providers)
    if (p.kind == "simulator" && (provider.empty() || p.name == provider)) return p.sim;
  if (!provider.empty()) return fail(ErrorCode::caller_not_found, fmt::format("there is no simulator called \"{}\"", provider), "--provider");
  return llm::default_sim_config();
}

int simulate(const Flags& flags) {
  auto config = load_config(flags.config, system_environment());
  if (!config) {
    complain(config.error());
    return kBadConfig;
  }
  auto listen = parse_listen(flags.listen);
  auto sim = sim_of(*config, flags.provider);
  if (!listen || !sim) {
    complain(listen ? sim.error() : listen.error());
    return kUsage;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  raise_descriptor_limit();

  const SystemClock clock;
  net::LoopGroup loops(config->threads ? config->threads : std::max(1u, std::thread::hardware_concurrency()), clock);
  loops.start();
  llm::Simulator simulator(std::move(*sim), clock);
  llm::SimHandler handler(simulator);
  {
    net::Server server(loops, {.address = listen->host, .port = listen->port}, handler);
    listen->port = server.port();
    std::cout << "the simulator is at http://" << to_string(*listen) << "/v1, its books at /sim/counts; models:";
    for (const auto& [name, model] : simulator.config().models) std::cout << ' ' << name;
    std::cout << std::endl;
    int signal = 0;
    sigwait(&signals, &signal);
    server.stop_accepting();
    server.drain(std::chrono::seconds(2));
  }
  loops.stop();
  for (const auto& [name, count] : simulator.counts())
    std::cout << fmt::format("{}: {} requests, {} tokens in, {} out\n", name, count.requests, count.input_tokens, count.output_tokens);
  return kOk;
}

}  // namespace

void add_simulate(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("simulate", "Run the model simulator as an HTTP server: a provider that costs nothing and fails on command.");
  auto flags = std::make_shared<Flags>();
  command->add_option("-c,--config", flags->config, "Configuration file, for its simulator's models and faults.")->envname("BALLAST_CONFIG");
  command->add_option("-l,--listen", flags->listen, "ADDRESS:PORT.")->capture_default_str();
  command->add_option("--provider", flags->provider, "Which of the file's simulators.");
  command->callback([&run, flags] { run = [flags] { return simulate(*flags); }; });
}

}  // namespace ballast::app
