// OtlpExporter: finished spans to an OpenTelemetry collector, by OTLP/HTTP with JSON bodies
// (hex ids, 64-bit integers as strings, enums as numbers).
//
//   emit (any thread) → bounded queue → one task on one loop: a batch a second, or sooner when one is full → POST /v1/traces
//
// Telemetry never costs a call anything: `emit` is a push to a lock-free ring, and what does not fit is dropped and counted.
// `OtlpSender` says what is tried again; a batch that is given up is counted and told in the log.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/metrics.hpp"
#include "base/scheduler.hpp"
#include "base/trace.hpp"
#include "server/otlp_sender.hpp"

namespace ballast::server {

struct OtlpOptions {
  OtlpSending sending;                                 // to the collector's traces
  OtlpResource resource;
  std::size_t queue = 8192;                            // spans; rounded up to a power of two
  std::size_t batch = 512;                             // spans a request
  Duration every = std::chrono::seconds(1);            // the longest a span waits for company
};

// The body of one request. Pure.
std::string otlp_json(std::span<const trace::SpanRecord> spans, const OtlpResource& resource);

class OtlpExporter final : public trace::SpanSink {
 public:
  // Counts in `metrics` as ballast_spans_total{outcome="exported|dropped|failed"}: dropped for want of room, failed to be
  // delivered. All are borrowed and outlive it. Nothing runs on `loop` until the first span, nor while there is none.
  OtlpExporter(Scheduler& loop, net::Transport& transport, metrics::Registry& metrics, OtlpOptions options);
  ~OtlpExporter() override;                            // shut_down without patience

  void emit(trace::SpanRecord span) override;

  // Sends what waits, at once, and returns when all is sent or `patience` is over; the rest counts as failed. Blocks: from
  // outside the loop, which still runs. Nobody emits meanwhile; later spans are dropped. Idempotent. True if all was sent.
  bool shut_down(Duration patience);

  struct Stats { std::uint64_t exported = 0, dropped = 0, failed = 0; };
  Stats stats() const;                                 // any thread

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ballast::server
