// Metrics in the JSON encoding of OTLP (opentelemetry/proto/metrics/v1/metrics.proto).
#include <algorithm>
#include <cmath>

#include "server/otlp_json.hpp"
#include "server/otlp_metrics.hpp"

namespace ballast::server {

using namespace otlp;

// What the last body that arrived said of a series.
struct OtlpMetricsBody::Before {
  std::uint64_t counter = 0;
  std::unique_ptr<metrics::Histogram::Snapshot> histogram;
};

namespace {

using metrics::Histogram;

constexpr int kScale = 4;                                // of exponential histograms: 16 buckets for every power of two, as ours
constexpr int kDelta = 1, kCumulative = 2;

// As the conventions advise: seconds, tokens.
constexpr double kDurations[] = {0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92};
constexpr double kFirstTokens[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10};
constexpr double kTokens[] = {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864};

std::uint64_t middle_of(std::size_t bucket) {
  const auto low = Histogram::lower_bound_of(bucket);
  return bucket + 1 < Histogram::bucket_count ? low + (Histogram::lower_bound_of(bucket + 1) - low) / 2 : low;
}

std::string_view unit_of(std::string_view name) {
  if (name.ends_with("_total")) name.remove_suffix(std::string_view("_total").size());
  if (name.ends_with("_seconds")) return "s";
  if (name.ends_with("_bytes")) return "By";
  if (name.ends_with("_usd")) return "{USD}";
  return name.ends_with("_tokens") ? "{token}" : "1";
}

// The bounds of /metrics: 2^k - 1 in the unit of the name.
std::vector<double> own_bounds(metrics::Shape shape) {
  std::vector<double> out;
  for (unsigned bit = shape.first_bit; bit <= std::min(shape.last_bit, Histogram::max_bits); ++bit)
    out.push_back(metrics::scaled((std::uint64_t{1} << bit) - 1, shape.scale));
  return out;
}

void append_counts(std::string& out, std::string_view name, const std::vector<std::uint64_t>& counts) {
  out += ",\"";
  out += name;
  out += "\":[";
  for (std::size_t i = 0; i < counts.size(); ++i) {
    out += i ? ",\"" : "\"";
    append_number(out, counts[i]);
    out += '"';
  }
  out += ']';
}

void append_explicit(std::string& out, const Histogram::Snapshot& s, double scale, std::span<const double> bounds) {
  std::vector<std::uint64_t> counts(bounds.size() + 1);
  for (std::size_t i = 0; i < Histogram::bucket_count; ++i)
    if (s.buckets[i]) {
      const auto at = std::ranges::lower_bound(bounds, metrics::scaled(middle_of(i), scale)) - bounds.begin();
      counts[static_cast<std::size_t>(at)] += s.buckets[i];
    }
  out += ",\"explicitBounds\":[";
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (i) out += ',';
    append_number(out, bounds[i]);
  }
  out += ']';
  append_counts(out, "bucketCounts", counts);
}

void append_exponential(std::string& out, const Histogram::Snapshot& s, double scale) {
  std::vector<std::uint64_t> counts;
  std::int64_t offset = 0;
  for (std::size_t i = 1; i < Histogram::bucket_count; ++i) {
    if (!s.buckets[i]) continue;
    const auto index = static_cast<std::int64_t>(std::ceil(std::ldexp(std::log2(metrics::scaled(middle_of(i), scale)), kScale))) - 1;
    if (counts.empty()) offset = index;
    counts.resize(static_cast<std::size_t>(index - offset) + 1);
    counts.back() += s.buckets[i];
  }
  out += ",\"scale\":";
  append_number(out, kScale);
  out += ',';
  append_count_field(out, "zeroCount", s.buckets[0]);
  out += ",\"positive\":{\"offset\":";
  append_number(out, offset);
  append_counts(out, "bucketCounts", counts);
  out += '}';
}

void append_exemplars(std::string& out, const Histogram& h, double scale, WallTime since) {
  out += ",\"exemplars\":[";
  bool first = true;
  for (const auto& e : h.exemplars()) {
    if (e.at < since) continue;
    out += std::exchange(first, false) ? "{" : ",{";
    append_time_field(out, "timeUnixNano", e.at);
    out += ",\"asDouble\":";
    append_double(out, metrics::scaled(e.value, scale));
    out += ',';
    append_string_field(out, "spanId", trace::span_id_hex(e.span));
    out += ',';
    append_string_field(out, "traceId", trace::trace_id_hex({.trace_high = e.trace_high, .trace_low = e.trace_low}));
    out += '}';
  }
  out += ']';
}

}  // namespace

// One body: metrics one after the other, each with its points.
class OtlpMetricsBody::Writer {
 public:
  Writer(const OtlpMetricsShape& shape, const std::map<std::string, Before, std::less<>>& before, std::map<std::string, Before, std::less<>>& now,
         WallTime since, WallTime at)
      : shape_(shape), before_(before), now_(now), since_(since), at_(at) {}

  void series(const metrics::Series& s) {
    attributes_.clear();
    for (std::size_t i = 0; i < s.labels.size(); ++i) attributes_.emplace_back(s.labels[i], std::string(s.values[i]));
    if (const auto* counter = std::get_if<std::uint64_t>(&s.value)) return sum(s, *counter);
    if (const auto* value = std::get_if<double>(&s.value)) return gauge(s, *value);
    const auto bounds = shape_.histograms == HistogramForm::explicit_bounds ? own_bounds(s.shape) : std::vector<double>();
    histogram(s.name, s.help, unit_of(s.name), *std::get<const Histogram*>(s.value), s.shape.scale, bounds);
  }

  void genai(const gateway::GenaiMetrics& m) {
    const auto family = [&](std::string_view name, std::string_view help, const metrics::Family<Histogram>& of, std::string_view last,
                            std::string_view unit, double scale, std::span<const double> bounds) {
      of.each([&](metrics::LabelValues v, const Histogram& h) {
        genai_attributes(v, last);
        histogram(name, help, unit, h, scale, bounds);
      });
    };
    family("gen_ai.client.token.usage", "Number of input and output tokens used.", m.tokens, "gen_ai.token.type", "{token}", 1, kTokens);
    family("gen_ai.client.operation.duration", "GenAI operation duration.", m.operation, "error.type", "s", 1e-9, kDurations);
    if (gateway::says_newer(shape_.genai_names))
      family("gen_ai.client.operation.time_to_first_chunk", "Time to receive the first chunk of a streamed answer.", m.first_chunk, "error.type", "s", 1e-9, kDurations);
    family("gen_ai.server.time_to_first_token", "Time to generate first token for successful responses.", m.server_first_token, "", "s", 1e-9, kFirstTokens);
  }

  std::string take(const OtlpResource& resource) {
    if (body_.empty()) return {};
    close();
    std::string out = "{\"resourceMetrics\":[{";
    append_resource(out, resource);
    out += ",\"scopeMetrics\":[{";
    append_scope(out, resource);
    out += ",\"metrics\":[";
    out += body_;
    out += "]}]}]}";
    return out;
  }

 private:
  bool delta() const { return shape_.temporality == Temporality::delta; }

  // The metric whose points follow, unless it is the one under way.
  void open(std::string_view name, std::string_view help, std::string_view unit, std::string_view kind, std::string_view more) {
    if (name == open_) {
      body_ += ",{";
      return;
    }
    close();
    open_ = name;
    body_ += body_.empty() ? "{" : ",{";
    append_string_field(body_, "name", name);
    body_ += ',';
    append_string_field(body_, "description", help);
    body_ += ',';
    append_string_field(body_, "unit", unit);
    body_ += ",\"";
    body_ += kind;
    body_ += "\":{";
    if (kind != "gauge") {
      body_ += "\"aggregationTemporality\":";
      append_number(body_, delta() ? kDelta : kCumulative);
      body_ += ',';
    }
    body_ += more;
    body_ += "\"dataPoints\":[{";
  }
  void close() {
    if (!open_.empty()) body_ += "]}}";
    open_.clear();
  }

  // What every point begins with.
  void point(bool since) {
    append_attributes(body_, attributes_);
    body_ += ',';
    if (since) {
      append_time_field(body_, "startTimeUnixNano", since_);
      body_ += ',';
    }
    append_time_field(body_, "timeUnixNano", at_);
    body_ += ',';
  }

  std::string key(std::string_view name) const {
    std::string out(name);
    for (const auto& [ignored, value] : attributes_) {
      out += '\0';
      if (const auto* text = std::get_if<std::string>(&value)) out += *text;
      else append_number(out, std::get<std::int64_t>(value));
    }
    return out;
  }

  void sum(const metrics::Series& s, std::uint64_t value) {
    if (delta()) {
      const auto known = key(s.name);
      now_[known].counter = value;
      if (const auto at = before_.find(known); at != before_.end()) value -= std::min(value, at->second.counter);
      if (value == 0) return;
    }
    open(s.name, s.help, unit_of(s.name), "sum", "\"isMonotonic\":true,");
    point(true);
    if (s.shape.scale == 1) {
      append_count_field(body_, "asInt", value);
    } else {
      body_ += "\"asDouble\":";
      append_double(body_, metrics::scaled(value, s.shape.scale));
    }
    body_ += '}';
  }

  void gauge(const metrics::Series& s, double value) {
    open(s.name, s.help, unit_of(s.name), "gauge", "");
    point(false);
    body_ += "\"asDouble\":";
    append_double(body_, value);
    body_ += '}';
  }

  // Without bounds: exponential.
  void histogram(std::string_view name, std::string_view help, std::string_view unit, const Histogram& h, double scale, std::span<const double> bounds) {
    auto s = h.snapshot();
    if (delta()) {
      const auto known = key(name);
      now_[known].histogram = std::make_unique<Histogram::Snapshot>(s);
      if (const auto at = before_.find(known); at != before_.end()) subtract(s, *at->second.histogram);
      if (s.count == 0) return;
    }
    open(name, help, unit, bounds.empty() ? "exponentialHistogram" : "histogram", "");
    point(true);
    append_count_field(body_, "count", s.count);
    body_ += ",\"sum\":";
    append_double(body_, metrics::scaled(s.sum, scale));
    if (bounds.empty()) append_exponential(body_, s, scale);
    else append_explicit(body_, s, scale, bounds);
    append_exemplars(body_, h, scale, since_);
    body_ += '}';
  }

  static void subtract(Histogram::Snapshot& from, const Histogram::Snapshot& what) {
    for (std::size_t i = 0; i < Histogram::bucket_count; ++i) from.buckets[i] -= std::min(from.buckets[i], what.buckets[i]);
    from.count -= std::min(from.count, what.count);
    from.sum -= std::min(from.sum, what.sum);
  }

  // `v`: operation, provider, model, server, and what `last` names, where it names anything.
  void genai_attributes(metrics::LabelValues v, std::string_view last) {
    attributes_.clear();
    attributes_.emplace_back("gen_ai.operation.name", std::string(v[0]));
    if (gateway::says_newer(shape_.genai_names)) attributes_.emplace_back("gen_ai.provider.name", std::string(v[1]));
    if (gateway::says_older(shape_.genai_names)) attributes_.emplace_back("gen_ai.system", std::string(gateway::genai_system(v[1])));
    attributes_.emplace_back("gen_ai.request.model", std::string(v[2]));
    if (const auto colon = v[3].rfind(':'); colon != std::string_view::npos) {
      const auto port = v[3].substr(colon + 1);
      std::int64_t number = 0;
      std::from_chars(port.data(), port.data() + port.size(), number);
      attributes_.emplace_back("server.address", std::string(v[3].substr(0, colon)));
      attributes_.emplace_back("server.port", number);
    }
    if (!last.empty() && !v[4].empty()) attributes_.emplace_back(last, std::string(v[4]));
  }

  const OtlpMetricsShape& shape_;
  const std::map<std::string, Before, std::less<>>& before_;
  std::map<std::string, Before, std::less<>>& now_;
  const WallTime since_, at_;
  std::string body_, open_;
  std::vector<trace::Attribute> attributes_;
};

OtlpMetricsBody::OtlpMetricsBody(OtlpMetricsShape shape) : shape_(shape), since_(shape.started), written_(shape.started) {}
OtlpMetricsBody::~OtlpMetricsBody() = default;

std::string OtlpMetricsBody::write(const metrics::Registry& registry, const gateway::GenaiMetrics* genai, const OtlpResource& resource, WallTime now) {
  now_.clear();
  written_ = now;
  Writer writer(shape_, before_, now_, since_, now);
  registry.each([&](const metrics::Series& s) { writer.series(s); });
  if (genai) writer.genai(*genai);
  return writer.take(resource);
}

void OtlpMetricsBody::taken() {
  if (shape_.temporality == Temporality::cumulative) return;
  before_.swap(now_);
  since_ = written_;
}

}  // namespace ballast::server
