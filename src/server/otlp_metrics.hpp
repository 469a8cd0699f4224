// OtlpMetrics: the registry's figures, and those of the GenAI conventions, to an OpenTelemetry collector every so often, by the same sender
// and with the same manners as spans (`OtlpSender`). Names are those of /metrics.
//
// A counter is a Sum, a gauge a Gauge. A histogram is an exponential one of scale 4, or has explicit bounds at the powers of two that
// /metrics has (there the counts are exact). Our buckets are linear inside a power of two and the protocol's are not, so what is in one
// of ours goes where its middle belongs: a quantile that is read as the middle of a bucket is within 5.4 % of the value (1/32 by our
// bucket, 2.2 % by the protocol's). The conventions' own histograms have the bounds that the conventions advise: a value within 1/16 of a
// bound may be counted on its other side.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/metrics.hpp"
#include "gateway/genai.hpp"
#include "server/otlp_sender.hpp"

namespace ballast::server {

enum class Temporality : std::uint8_t { cumulative, delta };
enum class HistogramForm : std::uint8_t { exponential, explicit_bounds };

struct OtlpMetricsShape {
  Temporality temporality = Temporality::cumulative;
  HistogramForm histograms = HistogramForm::exponential;
  gateway::GenaiNames genai_names = gateway::GenaiNames::both;
  WallTime started{};                                  // since when cumulative figures count
};

// Makes the bodies. Delta needs to know what has arrived: about 6 KB a series of a histogram. One thread at a time.
class OtlpMetricsBody {
 public:
  explicit OtlpMetricsBody(OtlpMetricsShape shape);
  ~OtlpMetricsBody();
  // Empty: nothing to tell. `genai` may be null.
  std::string write(const metrics::Registry& registry, const gateway::GenaiMetrics* genai, const OtlpResource& resource, WallTime now);
  // The last body arrived: the next delta begins where it ended. Otherwise the next one tells of both.
  void taken();

  struct Before;
  class Writer;

 private:
  const OtlpMetricsShape shape_;
  WallTime since_, written_;
  std::map<std::string, Before, std::less<>> before_, now_;
};

struct OtlpMetricsOptions {
  OtlpSending sending;                                 // to the collector's metrics
  OtlpResource resource;
  OtlpMetricsShape shape;
  Duration every = std::chrono::seconds(60);
  std::function<Task<void>(Scheduler&)> refresh;       // before each: gauges that are made on demand. May be empty
};

class OtlpMetrics {
 public:
  // Counts in `registry` as ballast_metrics_exports_total{outcome="exported|failed"}. All are borrowed and outlive it.
  OtlpMetrics(Scheduler& loop, net::Transport& transport, metrics::Registry& registry, const gateway::GenaiMetrics* genai, OtlpMetricsOptions options);
  ~OtlpMetrics();                                      // shut_down without patience

  void start();                                        // once; from any thread
  // Sends the last figures and returns when they are sent or `patience` is over. Blocks: from outside the loop, which still runs.
  // Idempotent. True if they were sent.
  bool shut_down(Duration patience);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ballast::server
