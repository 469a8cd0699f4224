#include "net/sse.hpp"

#include <algorithm>
#include <cassert>

namespace ballast::net {
namespace {

// Where the first CR or LF is; the text's size if there is none. Two searches of the C library are many times faster than a look at each
// byte; block by block, so that lines which end in the one are not searched to the text's end for the other, each anew.
std::size_t line_end(std::string_view text) {
  constexpr std::size_t block = 512;
  for (std::size_t at = 0; at < text.size(); at += block) {
    const auto here = text.substr(at, block);
    const auto lf = std::min(here.find('\n'), here.size());
    const auto end = std::min(here.substr(0, lf).find('\r'), lf);
    if (end < here.size()) return at + end;
  }
  return text.size();
}

}  // namespace

void SseParser::push(std::string_view bytes) {
  assert(input_.empty() && "call next() until it is empty before the next push");
  input_ = bytes;
}

void SseParser::reset() { *this = SseParser(max_event_); }

std::optional<std::size_t> SseParser::find_end() {
  for (std::size_t i = 0; i < input_.size(); ++i) {
    const char c = input_[i];
    if (after_cr_) {
      after_cr_ = false;
      if (c == '\n') continue;
    }
    if (c != '\r' && c != '\n') {
      line_start_ = false;
      any_line_ = true;
      i += line_end(input_.substr(i)) - 1;
    } else if (!line_start_) {
      line_start_ = true;
      after_cr_ = c == '\r';
    } else {
      if (c == '\r') {
        if (i + 1 == input_.size()) swallow_lf_ = true;
        else if (input_[i + 1] == '\n') ++i;
      }
      return i + 1;
    }
  }
  return std::nullopt;
}

Result<std::optional<SseEvent>> SseParser::next() {
  for (;;) {
    if (!failed_ && swallow_lf_ && !input_.empty()) {
      if (input_.front() == '\n') input_.remove_prefix(1);
      swallow_lf_ = false;
    }
    const auto end = failed_ ? std::nullopt : find_end();
    const std::size_t size = kept_.size() + end.value_or(input_.size());
    if (failed_ || size > max_event_) {
      failed_ = true;
      input_ = {};
      return fail(ErrorCode::provider_bad_response, "an event of the stream is larger than the limit", "sse");
    }
    if (!end) {
      kept_.append(input_);
      input_ = {};
      return std::nullopt;
    }
    std::string_view raw = input_.substr(0, *end);
    input_.remove_prefix(*end);
    if (!kept_.empty()) {
      kept_.append(raw);
      whole_.swap(kept_);
      kept_.clear();
      raw = whole_;
    }
    const bool any = any_line_;
    line_start_ = true;
    after_cr_ = any_line_ = false;
    if (any) return read(raw);
  }
}

SseEvent SseParser::read(std::string_view raw) {
  SseEvent event;
  event.raw = raw;
  std::string_view rest = raw;
  if (begin_ && rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
  begin_ = false;
  bool joined = false;
  while (!rest.empty()) {
    const auto end = line_end(rest);
    const auto line = rest.substr(0, end);
    if (end == rest.size()) rest = {};
    else rest.remove_prefix(rest[end] == '\r' && end + 1 < rest.size() && rest[end + 1] == '\n' ? end + 2 : end + 1);
    const auto colon = line.find(':');
    const auto name = line.substr(0, colon);
    auto value = colon == line.npos ? std::string_view{} : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (name == "data") {
      if (!event.has_data) {
        event.has_data = true;
        event.data = value;
        continue;
      }
      if (!joined) {
        joined_.assign(event.data);
        joined = true;
      }
      joined_.append(1, '\n').append(value);
    } else if (name == "event") {
      event.event = value;
    } else if (name == "id" && value.find('\0') == value.npos) {
      event.id = value;
    }
  }
  if (joined) event.data = joined_;
  return event;
}

void sse_write(std::string& out, std::string_view event, std::string_view data) {
  if (!event.empty()) out.append("event: ").append(event.substr(0, line_end(event))).append(1, '\n');
  for (;;) {
    const auto end = line_end(data);
    out.append("data: ").append(data.substr(0, end)).append(1, '\n');
    if (end == data.size()) break;
    data.remove_prefix(data[end] == '\r' && end + 1 < data.size() && data[end + 1] == '\n' ? end + 2 : end + 1);
  }
  out.append(1, '\n');
}

}  // namespace ballast::net
