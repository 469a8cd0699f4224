// The bytes of a record: little-endian numbers, LEB128 varints, length-prefixed strings. For this room's codecs.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/ids.hpp"

namespace ballast::records {

// Writes into space that the caller has made sure of: no checks on the way.
class ByteWriter {
 public:
  explicit ByteWriter(char* at) : at_(at) {}
  void byte(std::uint8_t v) { *at_++ = static_cast<char>(v); }
  void varint(std::uint64_t v) {
    while (v >= 0x80) {
      *at_++ = static_cast<char>(v | 0x80);
      v >>= 7;
    }
    *at_++ = static_cast<char>(v);
  }
  void zigzag(std::int64_t v) { varint((static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63)); }
  void text(std::string_view s) {
    varint(s.size());
    std::memcpy(at_, s.data(), s.size());
    at_ += s.size();
  }
  void half(std::uint64_t v) {  // of an id: big-endian
    const std::uint64_t big = __builtin_bswap64(v);
    std::memcpy(at_, &big, 8);
    at_ += 8;
  }
  void id(Id id) {
    half(id.high);
    half(id.low);
  }
  char* at() const { return at_; }

 private:
  char* at_;
};

// Reads what may be anything. After the first impossible field every read gives zero or empty and `good` is false.
// At the end of the bytes optional fields read as zero: `more` tells.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  bool good() const { return good_; }
  bool more() const { return good_ && at_ < end_; }
  std::uint8_t byte() {
    if (at_ >= end_) return bad<std::uint8_t>();
    return static_cast<std::uint8_t>(*at_++);
  }
  std::uint64_t varint() {
    std::uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at_ >= end_) return bad<std::uint64_t>();
      const auto b = static_cast<std::uint8_t>(*at_++);
      v |= static_cast<std::uint64_t>(b & 0x7f) << shift;
      if (b < 0x80) return v;
    }
    return bad<std::uint64_t>();
  }
  std::int64_t zigzag() {
    const std::uint64_t v = varint();
    return static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);
  }
  std::string_view view() {
    const std::uint64_t n = varint();
    if (!good_ || n > static_cast<std::uint64_t>(end_ - at_)) return bad<std::string_view>();
    const std::string_view v(at_, n);
    at_ += n;
    return v;
  }
  std::string text() { return std::string(view()); }
  std::uint64_t half() {
    if (end_ - at_ < 8) return bad<std::uint64_t>();
    std::uint64_t v;
    std::memcpy(&v, at_, 8);
    at_ += 8;
    return __builtin_bswap64(v);
  }
  Id id() {
    if (end_ - at_ < 16) return bad<Id>();
    const std::uint64_t high = half();
    return {high, half()};
  }
  std::string_view rest() const { return {at_, static_cast<std::size_t>(end_ - at_)}; }

 private:
  template <class T>
  T bad() {
    good_ = false;
    at_ = end_;
    return T{};
  }
  const char* at_;
  const char* end_;
  bool good_ = true;
};

}  // namespace ballast::records
