// Model servers on this machine, found by asking the usual ports for their list of models. What answers costs nothing to
// call, so it is wired without a file: its models are priced at zero, and a budget lets them through.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.hpp"

namespace ballast::app {

// One place to look. Only numeric loopback addresses are asked; anything else is left out.
struct LocalServer {
  std::string name;                            // of the provider it would become
  std::string title;                           // for people
  std::string base_url;                        // "http://127.0.0.1:11434/v1"
};

// Ollama, llama.cpp, vLLM and LM Studio at their own ports, without `own_port`, which is ours.
std::vector<LocalServer> usual_local_servers(std::uint16_t own_port);
// OLLAMA_HOST as Ollama reads it ("host", ":port", "host:port" or a URL; 0.0.0.0 is this machine) as the base URL of its
// OpenAI API; empty if it is none.
std::string ollama_base_url(std::string_view ollama_host);

struct FoundServer {
  LocalServer server;
  std::vector<std::string> models;             // as it lists them; at most 256
};
// Asks all at once for GET /models and waits `patience` at most, blocking the calling thread. Found is what answers 200 with
// OpenAI's list; a Ballast is not, whose models may cost money. In the order of `servers`.
std::vector<FoundServer> find_local_servers(const std::vector<LocalServer>& servers, Duration patience);

// Makes providers of what was found, and prices of zero for their models where the file says nothing. A provider of that name
// which is there already (from the environment) is given the models; a named provider with a key is left alone.
void add_local_servers(Config& config, const std::vector<FoundServer>& found);

// What `serve` does before it starts and at each reload: nothing if the file names providers or says `probe_local: false`.
void probe_local_servers(Config& config);

}  // namespace ballast::app
