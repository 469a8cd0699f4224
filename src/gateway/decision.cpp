#include "gateway/decision.hpp"

#include <charconv>

#include "base/json.hpp"
#include "base/text.hpp"

namespace ballast::gateway {

namespace {

void append_number(std::string& out, std::int64_t v) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, v).ptr;
  out.append(digits, end);
}

// Names come from callers: any bytes, any length.
constexpr std::size_t kLongestText = 1024;
void append_quoted(std::string& out, std::string_view s) { append_json_string(out, utf8_prefix(s, kLongestText)); }

}  // namespace

void DecisionLog::step(MonoTime now, std::string_view what, std::initializer_list<Fact> facts) {
  if (dropped_ > 0 || text_.size() > limit) {              // once one is missing, none follows: what is kept is a whole beginning
    ++dropped_;
    return;
  }
  const std::size_t before = text_.size();
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
  if (text_.size() > limit + kLongestText) {
    text_.resize(before);
    ++dropped_;
  }
}

std::string DecisionLog::take() {
  if (text_.empty() && dropped_ == 0) return "[]";
  if (dropped_ > 0) {
    text_ += text_.empty() ? '[' : ',';
    text_ += "{\"step\":\"truncated\",\"steps\":";
    append_number(text_, dropped_);
    text_ += '}';
  }
  text_ += ']';
  return std::move(text_);
}

}  // namespace ballast::gateway
