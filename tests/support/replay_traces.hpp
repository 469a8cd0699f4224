// The traffic traces, read: each client's arrival law by ten minutes (ServeGen), and the rows of Azure's and Mooncake's own arrivals.
#pragma once
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "unzipped.hpp"

namespace ballast::test {

inline constexpr int kWindowSeconds = 600;

struct ReplayWindow { double rate = 0, shape = 1, scale = 1; bool weibull = false; };
struct ReplayClient { int id = 0; std::vector<ReplayWindow> windows; };   // of ten minutes each; rate 0: no call
struct ReplayRow { double at = 0; std::uint32_t input = 0, output = 0; };

struct Traces {
  std::vector<ReplayClient> clients;
  std::vector<std::vector<ReplayRow>> rows;      // Azure's conversations and code, Mooncake's conversations and synthetic mix
  std::size_t windows = 0;
  double hours() const { return static_cast<double>(windows) * kWindowSeconds / 3600; }
};

inline std::vector<ReplayRow> load_rows(const std::string& file) {
  std::ifstream in(file);
  std::vector<ReplayRow> rows;
  std::string line;
  for (std::getline(in, line); std::getline(in, line);) {
    ReplayRow r;
    unsigned input = 0, output = 0;
    if (std::sscanf(line.c_str(), "%lf,%u,%u", &r.at, &input, &output) != 3) continue;
    r.input = input, r.output = output;
    rows.push_back(r);
  }
  return rows;
}

inline constexpr const char* kRowTraces[] = {"azure2023_conv", "azure2023_code", "mooncake_conversation", "mooncake_synthetic"};

// `which`: "m-small" (its first three days) or "deepseek-r1" (one day). Nothing where the files are absent.
inline Traces load_traces(const std::string& folder, const std::string& which) {
  constexpr std::size_t kMost = 3 * 144;
  Traces t;
  std::map<int, ReplayClient> clients;
  std::istringstream rates(unzipped(folder + "/servegen_" + which + "_clients.csv.gz"));
  std::string line;
  for (std::getline(rates, line); std::getline(rates, line);) {
    double at = 0, rate = 0, cv = 0, p1 = 1, p2 = 1;
    int id = 0;
    char law[16] = {};
    if (std::sscanf(line.c_str(), "%lf,%d,%lf,%lf,%15[^,],%lf,%lf", &at, &id, &rate, &cv, law, &p1, &p2) != 7) continue;
    const auto window = static_cast<std::size_t>(at) / kWindowSeconds;
    if (window >= kMost) continue;
    ReplayClient& c = clients[id];
    c.id = id;
    if (c.windows.size() <= window) c.windows.resize(window + 1);
    c.windows[window] = {rate, p1, p2, std::string(law) == "Weibull"};
    t.windows = std::max(t.windows, window + 1);
  }
  for (auto& [id, c] : clients) t.clients.push_back(std::move(c));
  for (const char* name : kRowTraces)
    if (auto rows = load_rows(folder + "/" + name + ".csv"); !rows.empty()) t.rows.push_back(std::move(rows));
  return t;
}

}  // namespace ballast::test
