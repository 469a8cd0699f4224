// Spans in the JSON encoding of OTLP.
#include <charconv>
#include <cmath>

#include "base/json.hpp"
#include "server/otlp.hpp"

namespace ballast::server {

namespace {

// Numbers of the protocol's enums (opentelemetry/proto/trace/v1/trace.proto).
constexpr int kKinds[] = {1, 2, 3};                    // internal, server, client
constexpr int kStatusError = 2;
constexpr int kFlagSampled = 1;

void append_number(std::string& out, auto value) {
  char digits[32];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

void append_string_field(std::string& out, std::string_view name, std::string_view value) {
  out += '"';
  out += name;
  out += "\":";
  append_json_string(out, value);
}

void append_time_field(std::string& out, std::string_view name, WallTime at) {
  out += '"';
  out += name;
  out += "\":\"";
  append_number(out, std::max<std::int64_t>(at.time_since_epoch().count(), 0));
  out += '"';
}

struct ValueWriter {
  std::string& out;
  void operator()(const std::string& v) const { append_string_field(out, "stringValue", v); }
  void operator()(bool v) const { out += v ? "\"boolValue\":true" : "\"boolValue\":false"; }
  void operator()(std::int64_t v) const {
    out += "\"intValue\":\"";
    append_number(out, v);
    out += '"';
  }
  void operator()(double v) const {
    out += "\"doubleValue\":";
    if (std::isfinite(v))
      append_number(out, v);
    else
      out += std::isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"";   // as protobuf's JSON has it
  }
};

void append_attributes(std::string& out, std::span<const trace::Attribute> attributes) {
  out += "\"attributes\":[";
  bool first = true;
  for (const auto& [key, value] : attributes) {
    if (!std::exchange(first, false)) out += ',';
    out += '{';
    append_string_field(out, "key", key);
    out += ",\"value\":{";
    std::visit(ValueWriter{out}, value);
    out += "}}";
  }
  out += ']';
}

void append_span(std::string& out, const trace::SpanRecord& span) {
  out += '{';
  append_string_field(out, "traceId", trace::trace_id_hex(span.context));
  out += ',';
  append_string_field(out, "spanId", trace::span_id_hex(span.context.span));
  if (span.parent != 0) {
    out += ',';
    append_string_field(out, "parentSpanId", trace::span_id_hex(span.parent));
  }
  out += ",\"flags\":";
  append_number(out, span.context.sampled ? kFlagSampled : 0);
  out += ',';
  append_string_field(out, "name", span.name);
  out += ",\"kind\":";
  append_number(out, kKinds[static_cast<std::size_t>(span.kind)]);
  out += ',';
  append_time_field(out, "startTimeUnixNano", span.start);
  out += ',';
  append_time_field(out, "endTimeUnixNano", std::max(span.start, span.end));
  out += ',';
  append_attributes(out, span.attributes);
  out += ",\"events\":[";
  for (std::size_t i = 0; i < span.events.size(); ++i) {
    out += i ? ",{" : "{";
    append_time_field(out, "timeUnixNano", span.events[i].at);
    out += ',';
    append_string_field(out, "name", span.events[i].name);
    out += '}';
  }
  out += "],\"status\":{";
  if (span.failed) {
    out += "\"code\":";
    append_number(out, kStatusError);
    out += ',';
    append_string_field(out, "message", span.error);
  }
  out += "}}";
}

}  // namespace

std::string otlp_json(std::span<const trace::SpanRecord> spans, std::string_view service_name, std::string_view service_version) {
  std::vector<trace::Attribute> resource{{"service.name", std::string(service_name)}};
  if (!service_version.empty()) resource.emplace_back("service.version", std::string(service_version));
  std::string out;
  out.reserve(256 + spans.size() * 1024);
  out += "{\"resourceSpans\":[{\"resource\":{";
  append_attributes(out, resource);
  out += "},\"scopeSpans\":[{\"scope\":{\"name\":\"ballast\"";
  if (!service_version.empty()) {
    out += ',';
    append_string_field(out, "version", service_version);
  }
  out += "},\"spans\":[";
  for (std::size_t i = 0; i < spans.size(); ++i) {
    if (i) out += ',';
    append_span(out, spans[i]);
  }
  out += "]}]}]}";
  return out;
}

}  // namespace ballast::server
