#include "app/local_servers.hpp"

#include <algorithm>
#include <future>

#include "base/task_group.hpp"
#include "base/text.hpp"
#include "net/client.hpp"

namespace ballast::app {

namespace {

using namespace std::chrono_literals;

constexpr Duration kPatience = 200ms;
constexpr std::size_t kMostModels = 256, kMostBytes = 1u << 20, kLongestName = 200;

bool is_loopback(std::string_view host) { return host == "::1" || host == "localhost" || (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos); }

// The ids of OpenAI's list; empty if `body` is something else, or another gateway's, whose models may cost money.
std::vector<std::string> models_of(std::string_view body) {
  const auto document = parse_json(body);
  if (!document) return {};
  const JsonRef root(*document);
  const auto data = root.find("data");
  if (root.find("served_by")) return {};
  std::vector<std::string> models;
  for (std::size_t i = 0; data && data->is_array() && i < data->size() && models.size() < kMostModels; ++i) {
    const JsonRef item = data->item(i);
    auto id = item.maybe<std::string>("id").value_or(std::nullopt);
    if (id && !id->empty() && id->size() <= kLongestName && std::ranges::none_of(*id, [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
      models.push_back(std::move(*id));
  }
  return models;
}

Task<void> ask(net::Client& client, Scheduler& loop, const LocalServer& server, Duration patience, std::vector<std::string>& models) {
  const auto until = net::deadline_after(loop, patience);
  const auto url = net::parse_url(server.base_url + "/models");
  if (!url || url->origin.tls || !is_loopback(url->origin.host)) co_return;
  const net::ClientRequest request{.method = "GET", .url = &*url, .headers = {{"accept", "application/json"}}, .body = {}};
  auto reply = co_await client.send(loop, request, {.connect = patience, .headers = patience}, nullptr);
  if (!reply || (*reply)->head().status != 200) co_return;
  const auto body = co_await (*reply)->read_all(kMostBytes, until);
  if (body) models = models_of(*body);
}

Task<void> ask_all(net::Client& client, Scheduler& loop, const std::vector<LocalServer>& servers, Duration patience,
                   std::vector<std::vector<std::string>>& models, std::promise<void>& done) {
  TaskGroup group("local_servers");
  for (std::size_t i = 0; i < servers.size(); ++i) group.spawn(ask(client, loop, servers[i], patience, models[i]));
  co_await group.join();
  done.set_value();
}

}  // namespace

std::vector<LocalServer> usual_local_servers(std::uint16_t own_port) {
  struct Usual { const char *name, *title; std::uint16_t port; };
  static constexpr Usual usual[] = {{"ollama", "Ollama", 11434}, {"llamacpp", "llama.cpp", 8080}, {"vllm", "vLLM", 8000}, {"lmstudio", "LM Studio", 1234}};
  std::vector<LocalServer> out;
  for (const auto& u : usual)
    if (u.port != own_port) out.push_back({u.name, u.title, fmt::format("http://127.0.0.1:{}/v1", u.port)});
  return out;
}

std::string ollama_base_url(std::string_view host) {
  while (host.ends_with('/')) host.remove_suffix(1);
  if (host.empty()) return {};
  const bool scheme = host.contains("://");
  std::string text = scheme ? std::string(host) : (host.starts_with(':') ? "http://127.0.0.1" : "http://") + std::string(host);
  auto url = net::parse_url(text, "OLLAMA_HOST");
  if (!url) return {};
  const std::string_view rest = std::string_view(text).substr(text.find("://") + 3);
  const bool port = rest.find(':', rest.starts_with('[') ? rest.find(']') : 0) != std::string_view::npos;
  std::string name = url->origin.host == "0.0.0.0" || url->origin.host == "::" ? "127.0.0.1" : url->origin.host;
  if (name.contains(':')) name = "[" + name + "]";
  const unsigned at = port || scheme ? url->origin.port : 11434;
  return fmt::format("{}://{}:{}{}/v1", url->origin.tls ? "https" : "http", name, at, url->target == "/" ? "" : url->target);
}

std::vector<FoundServer> find_local_servers(const std::vector<LocalServer>& servers, Duration patience) {
  std::vector<std::vector<std::string>> models(servers.size());
  const SystemClock clock;
  net::LoopGroup loops(1, clock);
  {
    net::Client client(loops, net::ClientOptions{.tls = {.verify = false}});   // plain HTTP only: no authorities to read
    loops.start();
    std::promise<void> done;
    loops.at(0).post([&] {
      detach(ask_all(client, loops.at(0), servers, patience, models, done), [](std::exception_ptr) { std::terminate(); });
    });
    done.get_future().wait();
    loops.stop();
  }
  std::vector<FoundServer> found;
  for (std::size_t i = 0; i < servers.size(); ++i)
    if (!models[i].empty()) found.push_back({servers[i], std::move(models[i])});
  return found;
}

void add_local_servers(Config& config, const std::vector<FoundServer>& found) {
  for (const auto& f : found) {
    auto at = std::ranges::find(config.providers, f.server.name, &ProviderConfig::name);
    if (at == config.providers.end()) {
      config.providers.push_back({.name = f.server.name, .kind = "openai", .base_url = f.server.base_url});
      at = config.providers.end() - 1;
    } else if (!at->keys.empty() || at->base_url != f.server.base_url) {
      continue;
    }
    at->found_here = f.server.title;
    at->models = f.models;
    for (const auto& model : f.models) {
      auto known = std::ranges::find_if(config.models, [&](const auto& m) { return m.provider == at->name && m.model == model; });
      if (known == config.models.end()) known = config.models.insert(known, {.provider = at->name, .model = model});
      if (!known->price) known->price = llm::PriceSet{};
    }
  }
}

void probe_local_servers(Config& config) {
  if (!config.auto_providers || !config.probe_local) return;
  auto servers = usual_local_servers(config.listen.port);
  for (auto& server : servers)
    if (const auto p = std::ranges::find(config.providers, server.name, &ProviderConfig::name); p != config.providers.end()) server.base_url = p->base_url;
  add_local_servers(config, find_local_servers(servers, kPatience));
}

}  // namespace ballast::app
