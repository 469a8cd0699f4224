#include "base/trace.hpp"

namespace ballast::trace {
namespace {

// Lower-case hexadecimal only, as the standard demands.
std::optional<std::uint64_t> read_hex(std::string_view text) {
  std::uint64_t v = 0;
  for (const char c : text) {
    unsigned digit;
    if (c >= '0' && c <= '9') digit = static_cast<unsigned>(c - '0');
    else if (c >= 'a' && c <= 'f') digit = static_cast<unsigned>(c - 'a' + 10);
    else return std::nullopt;
    v = v << 4 | digit;
  }
  return v;
}

void append_hex(std::string& out, std::uint64_t v) {
  constexpr char digits[] = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) out += digits[v >> shift & 15];
}

std::uint64_t nonzero(Random& random) {
  std::uint64_t v;
  do v = random.next();
  while (v == 0);
  return v;
}

}  // namespace

std::optional<SpanContext> parse_traceparent(std::string_view header) {
  constexpr std::size_t size = 55;
  if (header.size() < size || header[2] != '-' || header[35] != '-' || header[52] != '-') return std::nullopt;
  const auto version = read_hex(header.substr(0, 2));
  if (!version || *version == 0xFF) return std::nullopt;
  if (header.size() > size && (*version == 0 || header[size] != '-')) return std::nullopt;
  const auto high = read_hex(header.substr(3, 16));
  const auto low = read_hex(header.substr(19, 16));
  const auto span = read_hex(header.substr(36, 16));
  const auto flags = read_hex(header.substr(53, 2));
  if (!high || !low || !span || !flags) return std::nullopt;
  const SpanContext context{.trace_high = *high, .trace_low = *low, .span = *span, .sampled = (*flags & 1) != 0};
  if (!context.valid()) return std::nullopt;
  return context;
}

std::string format_traceparent(const SpanContext& context) {
  std::string out;
  out.reserve(55);
  out += "00-";
  append_hex(out, context.trace_high);
  append_hex(out, context.trace_low);
  out += '-';
  append_hex(out, context.span);
  out += context.sampled ? "-01" : "-00";
  return out;
}

std::string trace_id_hex(const SpanContext& context) {
  std::string out;
  out.reserve(32);
  append_hex(out, context.trace_high);
  append_hex(out, context.trace_low);
  return out;
}

std::string span_id_hex(std::uint64_t span) {
  std::string out;
  append_hex(out, span);
  return out;
}

SpanContext new_trace(Random& random, double ratio) {
  const bool sampled = random.chance(ratio);
  const auto high = random.next();
  return {.trace_high = high, .trace_low = nonzero(random), .span = nonzero(random), .sampled = sampled};
}

SpanContext child_of(const SpanContext& parent, Random& random) {
  SpanContext child = parent;
  child.span = nonzero(random);
  return child;
}

}  // namespace ballast::trace
