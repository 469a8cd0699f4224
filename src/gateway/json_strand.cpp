#include "gateway/json_strand.hpp"

#include <algorithm>

namespace ballast::gateway {

namespace {
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
}  // namespace

std::string JsonStrand::take(std::string_view piece) {
  std::string now;
  std::size_t at = text_.size();
  text_ += piece;
  for (const char c : piece) {
    if (collecting_) break;
    ++at;
    if (!scan_.push(c)) {
      const bool dropped = scan_.after_comma() && (c == '}' || c == ']');
      if (dropped) {
        scan_.forget_comma();
        waiting_.erase(0, 1);
      }
      if (!dropped || !scan_.push(c)) {
        collecting_ = true;
        break;
      }
    }
    if (!scan_.begun()) continue;          // blanks before it are not told
    waiting_ += c;
    if (told_.empty() && now.empty() && scan_.depth() == 0) continue;   // prose may begin as a number, a text or a word does
    if (scan_.after_comma() || (scan_.complete() && is_blank(c))) continue;   // what is behind a comma or the whole is not known yet
    now += waiting_;
    waiting_.clear();
    used_ = at;
  }
  told_ += now;
  return now;
}

std::optional<std::string> JsonStrand::rest(const Verdict& verdict) const {
  // What was let through already is kept as it is: a repair of the rest goes on from there.
  const bool told_all = !collecting_ && scan_.complete() && !told_.empty() && (verdict.standing == Standing::valid || verdict.how == "comma");
  if (told_all) return std::string();
  std::string_view whole = verdict.standing == Standing::repaired ? verdict.text : text_;
  whole.remove_prefix(std::min(whole.find_first_not_of(" \t\r\n"), whole.size()));
  if (!whole.starts_with(told_)) return std::nullopt;
  return std::string(whole.substr(told_.size()));
}

}  // namespace ballast::gateway
