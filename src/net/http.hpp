// HTTP/1.1 messages (RFC 9110, RFC 9112) as values: header fields, request and response heads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ballast::net {

// Bytes handed over in several pieces, sent with one gathered write and never copied. The caller keeps the array and
// the bytes alive until the awaited operation ends.
using Pieces = std::span<const std::string_view>;

// The name of a field that we write ourselves: a literal, checked where it is compiled.
class FieldName {
 public:
  template <std::size_t N>
  consteval FieldName(const char (&literal)[N]) : text_(literal, N - 1) {
    for (const char c : text_)
      if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) throw "a field's name is of small letters, digits and dashes";
  }
  constexpr std::string_view text() const { return text_; }

 private:
  std::string_view text_;
};

// Header fields in order; names compare without regard to ASCII case, duplicates are kept. The text is one flat buffer in
// wire form ("name: value\r\n"…), so sending it is one piece of a gathered write.
//
// A parsed Headers borrows the text of its connection's buffer: cheap, and valid as long as the exchange or the response.
// Copying it, or changing it, makes it own its text. Not thread-safe.
class Headers {
 public:
  struct Field { std::string_view name, value; };

  Headers() = default;
  Headers(std::initializer_list<Field> fields) { for (const auto& f : fields) add(f.name, f.value); }
  Headers(const Headers& other) { *this = other; }
  Headers& operator=(const Headers& other);
  Headers(Headers&& other) noexcept { *this = std::move(other); }
  Headers& operator=(Headers&& other) noexcept;

  // Appends a field. A name that is no token, or a value with CR, LF, NUL or another control, is refused: returns false
  // and adds nothing. So text from a provider or a user can never split a message.
  bool add(std::string_view name, std::string_view value);
  // The same, of a name that needs no check.
  bool put(FieldName name, std::string_view value);
  // Replaces every field of that name by one.
  bool set(std::string_view name, std::string_view value);
  std::size_t remove(std::string_view name);
  void clear();
  // Room for so many bytes in wire form and so many fields, made at once.
  void reserve(std::size_t bytes, std::size_t fields);

  // The first value of that name, trimmed of blanks; empty if absent (see `has`).
  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != npos; }
  std::size_t count(std::string_view name) const;
  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  Field operator[](std::size_t i) const {
    const Entry& e = entries_[i];
    return {{base() + e.name_at, e.name_size}, {base() + e.value_at, e.value_size}};
  }

  class Iterator {
   public:
    Iterator(const Headers* h, std::size_t i) : headers_(h), i_(i) {}
    Field operator*() const { return (*headers_)[i_]; }
    Iterator& operator++() { ++i_; return *this; }
    bool operator!=(const Iterator& o) const { return i_ != o.i_; }
    bool operator==(const Iterator& o) const { return i_ == o.i_; }
   private:
    const Headers* headers_;
    std::size_t i_;
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, entries_.size()}; }

  // The fields as they are sent. Owning Headers only (what `add` built, or a copy).
  std::string_view wire() const;

 private:
  friend class RequestParser;
  friend class ResponseParser;
  friend class HeadParser;
  struct Entry { std::uint32_t name_at, value_at, value_size; std::uint16_t name_size; };
  static constexpr std::size_t npos = ~std::size_t{0};
  const char* base() const { return borrowed_ ? borrowed_ : text_.data(); }
  std::size_t find(std::string_view name, std::size_t from = 0) const;
  bool append(std::string_view name, std::string_view value);
  void own();

  std::string text_;
  std::vector<Entry> entries_;
  const char* borrowed_ = nullptr;
};

// What a message is allowed to be. One above the limit is refused with 413, 414, 417 or 431 before more is read.
struct HttpLimits {
  std::size_t head_bytes = 32 * 1024;        // request line or status line, and fields
  std::size_t target_bytes = 8 * 1024;
  std::size_t fields = 100;
  std::uint64_t body_bytes = 32ull * 1024 * 1024;
  std::string upload_path = {};              // not empty: to this path alone, a body with a Content-Length may have `upload_bytes`
  std::uint64_t upload_bytes = 0;
  std::size_t trailer_bytes = 8 * 1024;      // trailers are read, bounded and thrown away: they never become headers
  std::size_t chunk_line_bytes = 256;        // a chunk's size and extensions
};

// How the body that follows a head is delimited (RFC 9112, section 6.3).
struct Framing {
  enum class Kind : std::uint8_t { none, length, chunked, until_close };
  Kind kind = Kind::none;
  std::uint64_t length = 0;                  // Kind::length
};

struct RequestHead {
  std::string_view method;                   // "GET", "POST", … as sent: case matters
  std::string_view target;                   // as sent
  std::string_view path;                     // before '?', not decoded; always begins with '/', except "*" of OPTIONS
  std::string_view query;                    // after '?', not decoded
  Headers headers;
  Framing framing;
  int minor_version = 1;                     // HTTP/1.minor
  bool keep_alive = true;
  bool expect_continue = false;
};

struct ResponseHead {
  int status = 0;
  std::string_view reason;
  Headers headers;
  Framing framing;
  int minor_version = 1;
  bool keep_alive = true;
};

// "OK", "Not Found", …; empty if unknown.
std::string_view reason_phrase(int status);
// ASCII case-insensitive.
bool same_field_name(std::string_view a, std::string_view b);

}  // namespace ballast::net
