#include <algorithm>
#include <cmath>
#include <utility>

#include "server/otlp_json.hpp"

namespace ballast::server::otlp {

void append_double(std::string& out, double value) {
  if (std::isfinite(value)) return append_number(out, value);
  out += std::isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
}

void append_time_field(std::string& out, std::string_view name, WallTime at) {
  append_count_field(out, name, std::max<std::int64_t>(at.time_since_epoch().count(), 0));
}

namespace {

struct ValueWriter {
  std::string& out;
  void operator()(const std::string& v) const { append_string_field(out, "stringValue", v); }
  void operator()(bool v) const { out += v ? "\"boolValue\":true" : "\"boolValue\":false"; }
  void operator()(std::int64_t v) const { append_count_field(out, "intValue", v); }
  void operator()(double v) const {
    out += "\"doubleValue\":";
    append_double(out, v);
  }
  void operator()(const std::vector<std::string>& v) const {
    out += "\"arrayValue\":{\"values\":[";
    for (std::size_t i = 0; i < v.size(); ++i) {
      out += i ? ",{" : "{";
      append_string_field(out, "stringValue", v[i]);
      out += '}';
    }
    out += "]}";
  }
};

}  // namespace

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

void append_resource(std::string& out, const OtlpResource& resource) {
  std::vector<trace::Attribute> attributes;
  for (const auto& [key, value] : resource.attributes) attributes.emplace_back(key, value);
  out += "\"resource\":{";
  append_attributes(out, attributes);
  out += '}';
}

void append_scope(std::string& out, const OtlpResource& resource) {
  out += "\"scope\":{\"name\":\"ballast\"";
  if (!resource.version.empty()) {
    out += ',';
    append_string_field(out, "version", resource.version);
  }
  out += '}';
}

}  // namespace ballast::server::otlp
