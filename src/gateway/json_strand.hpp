// One text of a stream that ought to become JSON: what of it may be told while it arrives, and what is left to tell once it is judged.
// Pure; the stream's judge (structured_stream.hpp) has one for each text it watches.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/json_scan.hpp"
#include "gateway/structured.hpp"

namespace ballast::gateway {

// What is told is at every time a beginning of JSON: blanks before it and commas before a closing bracket are left out. Takes twice the
// text of memory, and time that grows with it.
class JsonStrand {
 public:
  // The next piece; what may be told now, behind all that was told before.
  std::string take(std::string_view piece);
  // Nothing more is told before the end.
  void hold() { collecting_ = true; }
  // What is left to tell of an answer that was judged good; nothing where what was told is no beginning of what is to be served.
  std::optional<std::string> rest(const Verdict& verdict) const;
  // What is left of the text as it came, but for a comma that was left out before.
  std::string rest_as_it_came() const { return text_.substr(used_); }

  const std::string& text() const { return text_; }     // all of it, as it came
  bool told_any() const { return !told_.empty(); }

 private:
  JsonScan scan_{kMaxAnswerDepth};
  std::string text_;
  std::string told_;
  std::string waiting_;                // a comma and blanks, until it is known whether a bracket follows; a value that is no object or list
  std::size_t used_ = 0;               // bytes of the text that were told, or left out
  bool collecting_ = false;            // what came is no beginning of JSON any more
};

}  // namespace ballast::gateway
