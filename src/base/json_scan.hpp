// JSON text watched while it arrives: after every byte it is known whether what came so far can still become one RFC 8259 document.
// The same grammar as parse_json, byte for byte, UTF-8 and surrogates included; two things only a whole parser sees: that a member
// repeats a name, and that a number is too large for a double.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace ballast {

// A value: copying one keeps the place. Takes a byte per open bracket of memory, and no more than `max_depth`.
class JsonScan {
 public:
  explicit JsonScan(std::size_t max_depth = 512) : max_depth_(max_depth) {}

  // The next byte. False: with it the text could not become JSON any more; the scan is as it was before it.
  bool push(char c);
  // As many bytes of `text` as can follow.
  std::size_t push(std::string_view text);

  // One whole value was read; only blanks may follow. Of a number at the top level: it may end here.
  bool complete() const;
  bool begun() const { return at_ != At::value || !open_.empty(); }   // something but blanks was read
  std::size_t depth() const { return open_.size(); }
  bool in_string() const { return at_ == At::string || at_ == At::escape || at_ == At::hex || at_ == At::low_slash || at_ == At::low_u; }
  bool expects_name() const { return at_ == At::name || at_ == At::name_or_end; }
  bool expects_value() const { return at_ == At::value || at_ == At::value_or_end; }
  // A comma may follow, or has just come. `forget_comma` takes it back: what follows may be a closing bracket then.
  bool takes_comma() const { return !open_.empty() && (at_ == At::after_value || number_may_end()); }
  bool after_comma() const { return at_ == At::name || at_ == At::item; }
  void forget_comma() { at_ = At::after_value; }

 private:
  enum class At : unsigned char {
    value, value_or_end, item, name_or_end, name, colon, after_value, done,
    string, escape, hex, low_slash, low_u, word,
    minus, zero, digits, point, fraction, exponent, exponent_sign, exponent_digits,
  };
  bool begin_value(char c);
  bool after(char c);
  bool in_text(unsigned char c);
  bool in_hex(char c);
  bool in_number(char c);
  bool number_may_end() const { return at_ == At::zero || at_ == At::digits || at_ == At::fraction || at_ == At::exponent_digits; }
  void value_ended() { at_ = open_.empty() ? At::done : At::after_value; }

  std::string open_;                       // '{' and '['
  std::size_t max_depth_;
  At at_ = At::value;
  bool naming_ = false;                    // the present string is a member's name
  bool low_ = false;                       // the present \u must be a low surrogate
  bool high_ = false;                      // it is a high one
  unsigned char hex_ = 0;                  // digits of it so far
  bool d_ = false;                         // the first of them was D
  unsigned char more_ = 0;                 // bytes of a character still to come, the next of them between:
  unsigned char least_ = 0x80, most_ = 0xBF;
  std::string_view word_;                  // what is left of true, false or null
};

}  // namespace ballast
