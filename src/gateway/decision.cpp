#include "gateway/decision.hpp"

#include <charconv>

namespace ballast::gateway {

namespace {

void append_number(std::string& out, std::int64_t v) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, v).ptr;
  out.append(digits, end);
}

void append_quoted(std::string& out, std::string_view s) {
  static constexpr char hex[] = "0123456789abcdef";
  out += '"';
  for (const char c : s) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20) {
      out += "\\u00";
      out += hex[u >> 4];
      out += hex[u & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace

void DecisionLog::step(MonoTime now, std::string_view what, std::initializer_list<Fact> facts) {
  if (text_.size() > limit) {
    ++dropped_;
    return;
  }
  text_ += text_.empty() ? "[{\"at_us\":" : ",{\"at_us\":";
  append_number(text_, std::chrono::duration_cast<std::chrono::microseconds>(now - started_).count());
  text_ += ",\"step\":";
  append_quoted(text_, what);
  for (const Fact& f : facts) {
    text_ += ",\"";
    text_ += f.name;
    text_ += "\":";
    switch (f.kind) {
      case Fact::Kind::text: append_quoted(text_, f.text); break;
      case Fact::Kind::number: append_number(text_, f.number); break;
      case Fact::Kind::flag: text_ += f.number ? "true" : "false"; break;
    }
  }
  text_ += '}';
}

std::string DecisionLog::take() {
  if (text_.empty()) return "[]";
  if (dropped_ > 0) {
    text_ += ",{\"step\":\"truncated\",\"steps\":";
    append_number(text_, dropped_);
    text_ += '}';
  }
  text_ += ']';
  return std::move(text_);
}

}  // namespace ballast::gateway
