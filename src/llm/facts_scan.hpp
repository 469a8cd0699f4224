// What the three fast readers share. simdjson reports malformed input by exceptions here (the code reads twice as well);
// they never leave FactsReader's functions.
#pragma once
#include <cstring>
#include <simdjson.h>
#include <string>
#include <string_view>

#include "llm/facts.hpp"
#include "llm/wire/usage.hpp"

namespace ballast::llm::scan {

namespace od = simdjson::ondemand;

inline od::field checked(simdjson::simdjson_result<od::field>& result) {
  if (result.error() != simdjson::SUCCESS) throw simdjson::simdjson_error(result.error());
  return result.value_unsafe();
}

// The member's key. A key with escapes is decoded, so that "mod\u0065l" is `model` to us as it is to the provider.
inline std::string_view key_of(od::field& field) {
  const char* p = field.key().raw();
  for (const char* q = p;; ++q) {
    if (*q == '"') return {p, static_cast<std::size_t>(q - p)};
    if (*q == '\\') return field.unescaped_key();
  }
}

// The bytes of a scalar, trailing white space removed.
inline std::string_view token(od::value& value) {
  std::string_view t = value.raw_json_token();
  while (!t.empty() && static_cast<unsigned char>(t.back()) <= ' ') t.remove_suffix(1);
  return t;
}

// The content of a string token, escapes undecoded: never shorter than the decoded text.
inline std::string_view raw_string(od::value& value) {
  auto t = token(value);
  return t.size() >= 2 && t.front() == '"' ? t.substr(1, t.size() - 2) : std::string_view{};
}
inline std::string decoded(od::value& value) {
  const auto raw = raw_string(value);
  if (std::memchr(raw.data(), '\\', raw.size()) == nullptr) return std::string(raw);
  return std::string(std::string_view(value.get_string()));
}
inline bool is_string(od::value& v) { return v.type() == od::json_type::string; }
inline bool is_object(od::value& v) { return v.type() == od::json_type::object; }
inline bool is_array(od::value& v) { return v.type() == od::json_type::array; }
inline bool is_null(od::value& v) { return v.type() == od::json_type::null; }

// The bytes of any value; consumes it.
inline std::string_view raw_json(od::value& value) {
  switch (value.type()) {
    case od::json_type::object: { od::object o = value.get_object(); return o.raw_json(); }
    case od::json_type::array: { od::array a = value.get_array(); return a.raw_json(); }
    default: return token(value);
  }
}

// A non-negative integer, or nothing. 3.0 counts as 3 elsewhere; providers write integers.
inline bool integer(od::value& value, std::uint64_t& out) {
  if (value.type() != od::json_type::number) return false;
  return value.get_uint64().get(out) == simdjson::SUCCESS;
}

void read_usage(UsageCounts& counts, Wire wire, od::object usage);

inline ByteRange range_of(const char* base, std::string_view bytes) {
  return {static_cast<std::uint32_t>(bytes.data() - base), static_cast<std::uint32_t>(bytes.size())};
}

}  // namespace ballast::llm::scan

namespace ballast::llm {

struct FactsReader::State {
  simdjson::ondemand::parser parser;
  std::string scratch;                 // a padded copy, where the caller's bytes have no padding

  simdjson::padded_string_view padded(std::string_view body, std::size_t readable);
};

}  // namespace ballast::llm
