// Trace: who called us and what we did meanwhile. W3C Trace Context (https://www.w3.org/TR/trace-context/) and span records
// that an exporter (OTLP, server/) turns into its wire form. Values; nothing here does input or output.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/random.hpp"

namespace ballast::trace {

struct SpanContext {
  std::uint64_t trace_high = 0, trace_low = 0;  // the 128-bit trace id; all zero is invalid
  std::uint64_t span = 0;                       // zero is invalid
  bool sampled = false;
  bool valid() const { return (trace_high | trace_low) != 0 && span != 0; }
  friend bool operator==(const SpanContext&, const SpanContext&) = default;
};

// "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01". Nothing for a malformed header (the trace then starts anew, as the
// standard says): upper case, zero ids, version ff, a version 00 of another length. Later versions are read by their first 55 bytes.
std::optional<SpanContext> parse_traceparent(std::string_view header);
// 55 characters, version 00.
std::string format_traceparent(const SpanContext& context);
std::string trace_id_hex(const SpanContext& context);  // 32 characters
std::string span_id_hex(std::uint64_t span);           // 16 characters

// A new trace; `ratio` of them sampled.
SpanContext new_trace(Random& random, double ratio);
// A span below `parent`, in its trace and with its sampling.
SpanContext child_of(const SpanContext& parent, Random& random);

using Attribute = std::pair<std::string_view, std::variant<std::string, std::int64_t, double, bool, std::vector<std::string>>>;  // key: a literal

enum class Kind : unsigned char { internal, server, client };

struct SpanEvent {
  WallTime at{};
  std::string_view name;  // a literal
};

// A finished span. Names follow OpenTelemetry's GenAI conventions where one exists.
struct SpanRecord {
  SpanContext context;
  std::uint64_t parent = 0;  // 0: the root
  std::string name;
  Kind kind = Kind::internal;
  WallTime start{}, end{};
  bool failed = false;
  std::string error;         // an error code's name when failed
  std::vector<Attribute> attributes;
  std::vector<SpanEvent> events;
};

// Takes finished, sampled spans. `emit` is thread-safe, does not block or throw, and drops (and counts) at its limit.
class SpanSink {
 public:
  virtual ~SpanSink() = default;
  virtual void emit(SpanRecord span) = 0;
};

}  // namespace ballast::trace
