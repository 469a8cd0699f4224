// Pieces of the JSON encoding of OTLP that spans and metrics share: hex ids, 64-bit integers as strings. Private to the exporters.
#pragma once
#include <charconv>
#include <span>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/trace.hpp"
#include "server/otlp_sender.hpp"

namespace ballast::server::otlp {

inline void append_number(std::string& out, auto value) {
  char digits[32];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}
// "NaN", "Infinity" and "-Infinity" for what is not finite, as protobuf's JSON has it.
void append_double(std::string& out, double value);

inline void append_string_field(std::string& out, std::string_view name, std::string_view value) {
  out += '"';
  out += name;
  out += "\":";
  append_json_string(out, value);
}
inline void append_count_field(std::string& out, std::string_view name, auto value) {
  out += '"';
  out += name;
  out += "\":\"";
  append_number(out, value);
  out += '"';
}
void append_time_field(std::string& out, std::string_view name, WallTime at);
void append_attributes(std::string& out, std::span<const trace::Attribute> attributes);   // "attributes":[…]
void append_resource(std::string& out, const OtlpResource& resource);                     // "resource":{…}
void append_scope(std::string& out, const OtlpResource& resource);                        // "scope":{…}

}  // namespace ballast::server::otlp
