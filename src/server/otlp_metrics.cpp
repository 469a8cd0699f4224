#include "server/otlp_metrics.hpp"

#include <atomic>

#include "base/log.hpp"

namespace ballast::server {

struct OtlpMetrics::State {
  State(Scheduler& l, net::Transport& transport, metrics::Registry& r, const gateway::GenaiMetrics* g, OtlpMetricsOptions o)
      : loop(l), registry(r), genai(g), options(std::move(o)), body(options.shape), sender(l, transport, options.sending, "otlp_metrics"),
        outcomes(r.counters("ballast_metrics_exports_total", "Bodies of metrics by what became of them on the way to the collector.", {"outcome"})),
        exported(outcomes.with({"exported"})), failed(outcomes.with({"failed"})) {}

  Scheduler& loop;
  metrics::Registry& registry;
  const gateway::GenaiMetrics* genai;
  const OtlpMetricsOptions options;
  std::atomic<bool> started{false}, closed{false};
  std::atomic<bool> last_arrived{false};
  OtlpMetricsBody body;                                // this and the sender are the loop's
  OtlpSender sender;
  metrics::Family<metrics::Counter>& outcomes;
  metrics::Counter &exported, &failed;

  Task<void> run();
  Task<void> tell();
};

// The last figures are told when the shutdown has begun.
Task<void> OtlpMetrics::State::run() {
  for (bool last = false; !last;) {
    co_await sender.nap(options.every);
    last = sender.ending();
    co_await tell();
  }
  sender.end();
}

Task<void> OtlpMetrics::State::tell() {
  if (options.refresh && !sender.ending()) co_await options.refresh(loop);
  std::string text = body.write(registry, genai, options.resource, loop.clock().wall());
  if (text.empty()) {
    last_arrived = true;
    co_return;
  }
  const auto outcome = co_await sender.send(std::move(text));
  last_arrived = outcome.taken;
  if (!outcome.taken) {
    failed.add();
    log::warn("metrics_not_exported", {{"attempts", outcome.attempts}, {"why", outcome.why}});
    co_return;
  }
  body.taken();
  exported.add();
  if (outcome.rejected) log::warn("data_points_rejected", {{"points", outcome.rejected}});
}

OtlpMetrics::OtlpMetrics(Scheduler& loop, net::Transport& transport, metrics::Registry& registry, const gateway::GenaiMetrics* genai, OtlpMetricsOptions options)
    : state_(std::make_shared<State>(loop, transport, registry, genai, std::move(options))) {}

OtlpMetrics::~OtlpMetrics() { shut_down(Duration::zero()); }

void OtlpMetrics::start() {
  if (!state_->started.exchange(true)) state_->loop.post([state = state_] { state->sender.start(state->run()); });
}

bool OtlpMetrics::shut_down(Duration patience) {
  State& s = *state_;
  if (s.closed.exchange(true) || !s.started.load()) return true;
  if (s.sender.shut_down(patience, state_)) return s.last_arrived.load();
  log::error("metrics_exporter_stuck");
  return false;
}

}  // namespace ballast::server
