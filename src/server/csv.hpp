// CSV as RFC 4180 has it, made safe to open in a spreadsheet: a field that would be taken for a formula (it begins with = + - @, a tab or a
// carriage return) gets an apostrophe before it. Numbers that we write ourselves are no such fields: negative ones do not occur.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace ballast::server {

inline void append_csv_field(std::string& out, std::string_view field) {
  const bool formula = !field.empty() && std::string_view("=+-@\t\r").contains(field.front());
  if (!formula && field.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += field;
    return;
  }
  out += '"';
  if (formula) out += '\'';
  for (const char c : field) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

// With its CRLF.
inline void append_csv_row(std::string& out, std::span<const std::string> fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out += ',';
    append_csv_field(out, fields[i]);
  }
  out += "\r\n";
}

}  // namespace ballast::server
