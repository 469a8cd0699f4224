// The simulator: a provider that costs nothing and fails on command. It speaks all four conversation wires, embeddings and
// images. The default when no provider is configured, the fake upstream of tests, the far end of load rehearsals.
//
// `plan` is pure: a request becomes a script of waits and bytes. Two performers follow scripts: SimTransport in process and
// SimHandler over HTTP (`ballast simulate`). Tokens are counted by one stated rule, ⌈UTF-8 bytes / 4⌉, for usage and for the
// simulator's own counters alike.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/config_node.hpp"
#include "base/random.hpp"
#include "llm/prices.hpp"
#include "llm/provider.hpp"
#include "net/server.hpp"
#include "net/transport.hpp"

namespace ballast::llm {

// A duration drawn anew each time: fixed, uniform between two, or lognormal by median and sigma.
struct SimDelay {
  enum class Kind : std::uint8_t { fixed, uniform, lognormal } kind = Kind::fixed;
  Duration low{}, high{};                // fixed: low; uniform: both; lognormal: low is the median
  double sigma = 0.5;                    // lognormal
  Duration draw(Random& random) const;
};

enum class SimFaultKind : std::uint8_t {
  http_429, http_429_billing, http_401, http_500, http_502, http_503, http_504, http_529,
  reset, silence, slow_first_token, cut, stall, malformed_chunk, missing_terminator, context_length, content_filter,
  prefill_rejected, over_report_usage, error_in_stream, wrong_content_length,
  json_fenced, json_trailing_comma, json_truncated, json_wrong_type, json_prose,   // lies about the JSON that was asked for
};
std::string_view to_string(SimFaultKind kind);
std::optional<SimFaultKind> sim_fault_from(std::string_view name);

struct SimFault {
  SimFaultKind kind = SimFaultKind::http_500;
  double rate = 1.0;                     // probability while it is active
  std::optional<std::uint64_t> first;    // only the model's first so many requests
  std::optional<std::uint64_t> every;    // only each so-manieth request
  Duration from{};                       // active since, after the simulator's start
  Duration until = Duration::max();
  Duration period{};                     // flapping: on for the first half of each period, off for the second
  std::optional<Duration> retry_after;
  std::uint64_t after_tokens = 8;        // cut, stall, malformed_chunk, error_in_stream
  Duration delay = std::chrono::seconds(20);   // slow_first_token
};

struct SimAnswer {
  std::string match;                     // text that the last user message contains; empty: any
  std::string text;
  std::string tool;                      // call this tool instead …
  std::string arguments = "{}";          // … with this JSON
};

struct SimModel {
  std::string name;
  SimDelay latency;                      // before the response head
  SimDelay ttft{.low = std::chrono::milliseconds(20)};   // head to first token
  double tokens_per_second = 100;        // 0: as fast as possible
  std::uint64_t output_tokens = 60;      // of the default answer, unless max_tokens is less
  std::optional<std::string> answer;     // the default answer's text
  std::vector<SimAnswer> answers;        // scripted; the first that matches
  bool prefill = true;                   // continues an assistant message; false: refuses it as some providers do
  std::uint32_t dimensions = 64;         // of embeddings
  std::vector<SimFault> faults;          // the first that strikes
  std::optional<PriceSet> price;
  std::optional<Price> per_image;
  std::uint64_t context = 128'000;       // a longer prompt is refused as providers do
};

struct SimConfig {
  std::map<std::string, SimModel, std::less<>> models;
  std::uint64_t seed = 1;
};
SimConfig default_sim_config();                          // sim-small and sim-large, sim-embed, sim-image
SimModel parse_sim_model(std::string name, const ConfigNode& node);   // mistakes are recorded in the document
std::vector<ModelOverride> sim_prices(std::string_view provider, const SimConfig& config);

struct SimRequest {
  Operation operation = Operation::chat;
  Wire wire = Wire::openai_chat;
  std::string model;                     // Gemini: from the path; image edits: from the form; else, if empty, the body's
  bool stream = false;                   // Gemini: from the path
  std::string_view body, content_type;   // image edits: a form, or JSON
};
// Where a request goes, by path. nullopt: no such path.
std::optional<SimRequest> sim_route(std::string_view method, std::string_view target, std::string_view body, std::string_view content_type = {});

struct SimWait { Duration time; };
struct SimHead { int status = 200; std::vector<std::pair<std::string, std::string>> headers; bool stream = false; };
struct SimBytes { std::string bytes; };
struct SimReset {};                      // the connection dies
struct SimSilence {};                    // nothing more, ever
using SimStep = std::variant<SimWait, SimHead, SimBytes, SimReset, SimSilence>;

struct SimScript {
  std::vector<SimStep> steps;            // ends cleanly after the last one, unless that is a reset or silence
  std::string model;
  std::uint64_t input_tokens = 0, output_tokens = 0;     // what this script's usage says: what was served
  std::uint64_t images = 0;              // made
};

// `request_number` counts the model's requests from 1. `since_start`: of the simulator.
SimScript plan(const SimRequest& request, const SimConfig& config, std::uint64_t request_number, Duration since_start, std::int64_t unix_seconds,
               Random& random);

std::uint64_t sim_tokens(std::string_view text);
inline constexpr Duration kSimBatchTime = std::chrono::milliseconds(300);
inline constexpr unsigned kSimBatchPercent = 50;        // of the price
inline constexpr std::uint64_t kSimImageTokens = 256;   // each, in and out

// The simulator's own books: what it served, for tests to hold against the ledger. Thread-safe.
class Simulator {
 public:
  Simulator(SimConfig config, const Clock& clock);
  // `batch`: charged as a line of a batch.
  SimScript script(const SimRequest& request, bool batch = false);
  // The batch APIs, by path; nullopt: it is none of theirs. What was made is kept in memory, the newest 200.
  std::optional<SimScript> batch(std::string_view method, std::string_view target, std::string_view body, std::string_view content_type);
  const SimConfig& config() const { return config_; }
  struct Count { std::uint64_t requests = 0, input_tokens = 0, output_tokens = 0, images = 0; Money cost; };
  std::map<std::string, Count> counts() const;

 private:
  struct Made {                          // a batch
    bool anthropic = false;
    std::size_t lines = 0;
    std::string results;
    json::value metadata;
    MonoTime ends{};
  };
  std::string batch_line(std::string_view id, std::string_view url, std::string_view body, bool anthropic);
  SimScript keep_file(std::string_view body, std::string_view content_type);
  SimScript make_batch(std::string_view body, bool anthropic);
  SimScript tell_batch(std::string_view rest, bool anthropic);
  json::object batch_json(const std::string& id, const Made& made) const;

  const SimConfig config_;
  const Clock& clock_;
  const MonoTime started_;
  mutable std::mutex mutex_;             // guards the rest
  std::uint64_t kept_ = 0;
  std::map<std::string, std::string, std::less<>> files_;
  std::map<std::string, Made, std::less<>> batches_;
  std::deque<std::string> file_order_, batch_order_;
  SeededRandom random_;
  std::map<std::string, Count> counts_;
};

// In process: no sockets. The simulator outlives it.
class SimTransport final : public net::Transport {
 public:
  explicit SimTransport(Simulator& simulator) : simulator_(simulator) {}
  Task<Result<std::unique_ptr<net::ClientResponse>>> send(Scheduler& loop, const net::ClientRequest& request, net::Timeouts timeouts,
                                                          CancelToken cancel) override;
 private:
  Simulator& simulator_;
};

// Over HTTP. GET /sim/counts tells the books.
class SimHandler final : public net::Handler {
 public:
  explicit SimHandler(Simulator& simulator) : simulator_(simulator) {}
  Task<void> handle(net::Exchange& exchange) override;

 private:
  Simulator& simulator_;
};

}  // namespace ballast::llm
