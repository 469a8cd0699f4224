#include "app/restart.hpp"

namespace ballast::app {

std::vector<std::string> needs_restart(const Config& a, const Config& b) {
  std::vector<std::string> out;
  const auto compare = [&](const char* name, const auto& one, const auto& other) {
    if (!(one == other)) out.emplace_back(name);
  };
  compare("listen", to_string(a.listen), to_string(b.listen));
  compare("share_port", a.share_port, b.share_port);
  compare("database", a.database, b.database);
  compare("data_dir", a.data_dir, b.data_dir);
  compare("threads", a.threads, b.threads);
  compare("cache_size", a.cache_bytes, b.cache_bytes);
  compare("tls.cert", a.tls_cert, b.tls_cert);
  compare("tls.key", a.tls_key, b.tls_key);
  compare("tls.ca_file", a.ca_file, b.ca_file);
  compare("ledger.sync_every", a.ledger.sync_every, b.ledger.sync_every);
  compare("ledger.segment", a.ledger.segment, b.ledger.segment);
  compare("ledger.max", a.ledger.max, b.ledger.max);
  compare("log.file", a.log.file, b.log.file);
  compare("telemetry.otlp", a.telemetry.otlp, b.telemetry.otlp);
  compare("telemetry.sample", a.telemetry.sample, b.telemetry.sample);
  compare("telemetry.headers", a.telemetry.headers, b.telemetry.headers);
  compare("telemetry.gzip", a.telemetry.gzip, b.telemetry.gzip);
  compare("telemetry.metrics_every", a.telemetry.metrics_every, b.telemetry.metrics_every);
  compare("telemetry.temporality", a.telemetry.delta, b.telemetry.delta);
  compare("telemetry.histograms", a.telemetry.explicit_buckets, b.telemetry.explicit_buckets);
  compare("telemetry.resource", a.telemetry.resource, b.telemetry.resource);
  compare("telemetry.genai", a.telemetry.genai, b.telemetry.genai);
  compare("limits_http.body", a.http.body, b.http.body);
  compare("limits_http.header", a.http.header, b.http.header);
  compare("limits_http.header_timeout", a.http.header_timeout, b.http.header_timeout);
  compare("limits_http.body_timeout", a.http.body_timeout, b.http.body_timeout);
  compare("limits_http.idle_timeout", a.http.idle_timeout, b.http.idle_timeout);
  compare("limits_http.write_timeout", a.http.write_timeout, b.http.write_timeout);
  compare("limits_http.connections", a.http.connections, b.http.connections);
  compare("breakers.consecutive", a.breakers.consecutive, b.breakers.consecutive);
  compare("breakers.ratio", a.breakers.ratio, b.breakers.ratio);
  compare("breakers.minimum", a.breakers.minimum, b.breakers.minimum);
  compare("breakers.window", a.breakers.window, b.breakers.window);
  compare("breakers.cool_down", a.breakers.cool_down, b.breakers.cool_down);
  compare("breakers.max_cool_down", a.breakers.max_cool_down, b.breakers.max_cool_down);
  compare("breakers.early_every", a.breakers.early_every, b.breakers.early_every);
  compare("work.concurrency", a.work.concurrency, b.work.concurrency);
  compare("work.max_jobs", a.work.max_jobs, b.work.max_jobs);
  compare("work.retention", a.work.retention, b.work.retention);
  compare("work.timeout", a.work.timeout, b.work.timeout);
  compare("cluster.stale_after", a.cluster.stale_after, b.cluster.stale_after);
  compare("batches.file", a.batches.file_bytes, b.batches.file_bytes);
  compare("batches.requests", a.batches.options.max_lines, b.batches.options.max_lines);
  compare("batches.concurrency", a.batches.options.concurrency, b.batches.options.concurrency);
  compare("batches.gather", a.batches.provider.gather, b.batches.provider.gather);
  compare("batches.retention", a.batches.options.retention, b.batches.options.retention);
  compare("webhooks.allow", a.webhooks.allow, b.webhooks.allow);
  compare("idempotency.retention", a.idempotency.retention, b.idempotency.retention);
  compare("idempotency.unknown", a.idempotency.unknown, b.idempotency.unknown);
  compare("idempotency.body", a.idempotency.max_body_bytes, b.idempotency.max_body_bytes);
  return out;
}

}  // namespace ballast::app
