#include "server/otlp.hpp"

#include <algorithm>
#include <atomic>

#include "base/log.hpp"
#include "base/queue.hpp"

namespace ballast::server {

struct OtlpExporter::State {
  State(Scheduler& l, net::Transport& transport, metrics::Registry& registry, OtlpOptions o)
      : loop(l), options(std::move(o)), queue(options.queue), sender(l, transport, options.sending, "otlp"),
        outcomes(registry.counters("ballast_spans_total", "Spans by what became of them on the way to the collector.", {"outcome"})),
        exported(outcomes.with({"exported"})), dropped(outcomes.with({"dropped"})), failed(outcomes.with({"failed"})) {}

  Scheduler& loop;
  const OtlpOptions options;
  MpscQueue<trace::SpanRecord> queue;
  std::atomic<std::size_t> waiting{0};
  std::atomic<bool> working{false};                    // a task runs, or is about to
  std::atomic<bool> closed{false};
  OtlpSender sender;                                   // the loop's

  metrics::Family<metrics::Counter>& outcomes;
  metrics::Counter &exported, &dropped, &failed;

  Task<void> work();
  Task<void> deliver(std::size_t spans, std::string body);
  std::vector<trace::SpanRecord> take();
};

// Runs while there are spans. Its end and a producer's push settle by one exchange each who starts the next.
Task<void> OtlpExporter::State::work() {
  do {
    while (!queue.empty()) {
      if (waiting.load() < options.batch) co_await sender.nap(options.every);
      const auto spans = take();
      if (!spans.empty()) co_await deliver(spans.size(), otlp_json(spans, options.resource));
    }
    working.exchange(false);
  } while (!queue.empty() && !working.exchange(true));
  sender.end();
}

std::vector<trace::SpanRecord> OtlpExporter::State::take() {
  std::vector<trace::SpanRecord> spans;
  spans.reserve(std::min(options.batch, waiting.load()));
  while (spans.size() < options.batch) {
    auto span = queue.try_pop();
    if (!span) break;
    spans.push_back(std::move(*span));
  }
  waiting.fetch_sub(spans.size());
  return spans;
}

Task<void> OtlpExporter::State::deliver(std::size_t spans, std::string body) {
  const auto outcome = co_await sender.send(std::move(body));
  if (!outcome.taken) {
    failed.add(spans);
    log::warn("spans_not_exported", {{"spans", spans}, {"attempts", outcome.attempts}, {"why", outcome.why}});
    co_return;
  }
  const auto rejected = std::min<std::uint64_t>(outcome.rejected, spans);
  exported.add(spans - rejected);
  failed.add(rejected);
  if (rejected) log::warn("spans_rejected", {{"spans", rejected}});
}

OtlpExporter::OtlpExporter(Scheduler& loop, net::Transport& transport, metrics::Registry& metrics, OtlpOptions options)
    : state_(std::make_shared<State>(loop, transport, metrics, std::move(options))) {}

OtlpExporter::~OtlpExporter() { shut_down(Duration::zero()); }

void OtlpExporter::emit(trace::SpanRecord span) {
  State& s = *state_;
  if (s.closed.load(std::memory_order_relaxed) || !s.queue.try_push(std::move(span))) return s.dropped.add();
  const auto before = s.waiting.fetch_add(1);
  if (!s.working.exchange(true))
    s.loop.post([state = state_] { state->sender.start(state->work()); });
  else if (before + 1 == s.options.batch)
    s.loop.post([state = state_] {                     // it may come late, when its batch has left
      if (state->waiting.load() >= state->options.batch) state->sender.wake();
    });
}

bool OtlpExporter::shut_down(Duration patience) {
  State& s = *state_;
  if (s.closed.exchange(true) || !s.working.load()) return s.waiting.load() == 0;
  const auto failed = s.failed.value();
  if (s.sender.shut_down(patience, state_)) return s.failed.value() == failed;
  log::error("spans_exporter_stuck", {{"spans", s.waiting.load()}});
  return false;
}

OtlpExporter::Stats OtlpExporter::stats() const {
  return {.exported = state_->exported.value(), .dropped = state_->dropped.value(), .failed = state_->failed.value()};
}

}  // namespace ballast::server
