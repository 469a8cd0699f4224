// Spans in the JSON encoding of OTLP.
#include "server/otlp_json.hpp"

#include <algorithm>

#include "server/otlp.hpp"

namespace ballast::server {

namespace {

using namespace otlp;

// Numbers of the protocol's enums (opentelemetry/proto/trace/v1/trace.proto).
constexpr int kKinds[] = {1, 2, 3};                    // internal, server, client
constexpr int kStatusError = 2;
constexpr int kFlagSampled = 1;

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

std::string otlp_json(std::span<const trace::SpanRecord> spans, const OtlpResource& resource) {
  std::string out;
  out.reserve(256 + spans.size() * 1024);
  out += "{\"resourceSpans\":[{";
  append_resource(out, resource);
  out += ",\"scopeSpans\":[{";
  append_scope(out, resource);
  out += ",\"spans\":[";
  for (std::size_t i = 0; i < spans.size(); ++i) {
    if (i) out += ',';
    append_span(out, spans[i]);
  }
  out += "]}]}]}";
  return out;
}

}  // namespace ballast::server
