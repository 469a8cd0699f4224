// Text written by the piece, on the hot road: room for all of it is made once, so that a piece is a copy and not a call with a check.
//
//   append_text(line, 64 + json_string_room(name), [&](TextWriter& w) { w.put(",\"name\":").json_string(name).put(",\"n\":").number(n); });
#pragma once
#include <algorithm>
#include <cassert>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "base/money.hpp"

namespace ballast {

// The most bytes that a text takes as a JSON string: six for each of its own ("\u001f"), and its quotes.
constexpr std::size_t json_string_room(std::string_view text) { return 6 * text.size() + 2; }
// Of an integer in decimal, with its sign.
inline constexpr std::size_t kNumberRoom = 20;
inline constexpr std::size_t kUsdRoom = 24;

// Writes to where it was made for. What is put must fit there (asserted in debug builds); what does not is cut off, never written past the end.
class TextWriter {
 public:
  TextWriter(char* begin, std::size_t room) : begin_(begin), at_(begin), end_(begin + room) {}

  template <std::size_t N>
  TextWriter& put(const char (&literal)[N]) {
    return copy(literal, N - 1);
  }
  TextWriter& put(std::string_view text) { return copy(text.data(), text.size()); }
  TextWriter& put(char c) { return copy(&c, 1); }
  template <std::integral T>
  TextWriter& number(T value) {
    const auto [end, error] = std::to_chars(at_, end_, value);
    assert(error == std::errc{});
    if (error == std::errc{}) at_ = end;
    return *this;
  }
  // At least `digits` of them: 7 in three is "007". `value` has no more.
  TextWriter& padded(std::uint64_t value, unsigned digits) {
    assert(digits <= room());
    digits = static_cast<unsigned>(std::min<std::size_t>(digits, room()));
    for (unsigned i = digits; i-- > 0; value /= 10) at_[i] = static_cast<char>('0' + value % 10);
    at_ += digits;
    return *this;
  }
  // With its quotes; invalid UTF-8 is replaced, as by `append_json_string`.
  TextWriter& json_string(std::string_view text);

  // An amount of money, as by `to_usd`; at most kUsdRoom.
  TextWriter& usd(Money m);

  std::string_view written() const { return {begin_, static_cast<std::size_t>(at_ - begin_)}; }
  std::size_t room() const { return static_cast<std::size_t>(end_ - at_); }

 private:
  TextWriter& copy(const char* text, std::size_t size) {
    assert(size <= room());
    size = std::min(size, room());
    if (size != 0) std::memcpy(at_, text, size);      // an empty view may point nowhere
    at_ += size;
    return *this;
  }
  char* begin_;
  char* at_;
  char* end_;
};

// Appends to `out` what `write(TextWriter&)` puts, at most `room` bytes. `out` grows for what is put, not for the room, while that is small.
template <class Write>
void append_text(std::string& out, std::size_t room, Write&& write) {
  const std::size_t before = out.size();
  if (out.capacity() - before < room) {
    if (char text[1024]; room <= sizeof text) {
      TextWriter writer(text, room);
      write(writer);
      out.append(writer.written());
      return;
    }
    out.reserve(std::max(before + room, 2 * out.capacity()));
  }
  out.resize_and_overwrite(before + room, [&](char* text, std::size_t) {
    TextWriter writer(text + before, room);
    write(writer);
    return before + writer.written().size();
  });
}

}  // namespace ballast
