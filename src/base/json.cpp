#include "base/json.hpp"

#include <fmt/format.h>

#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/text.hpp"
#include "base/text_writer.hpp"

namespace ballast {
namespace {

// Builds the document. Boost.JSON 1.81 rounds doubles approximately; this handler reads their text again, exactly, so that a
// number we only pass through keeps its value.
struct DocumentHandler {
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();
  using Ec = json::error_code;

  json::value_stack stack;

  DocumentHandler(unsigned char* temp, std::size_t size) : stack({}, temp, size) {}

  bool on_document_begin(Ec&) { return true; }
  bool on_document_end(Ec&) { return true; }
  bool on_object_begin(Ec&) { return true; }
  bool on_object_end(std::size_t n, Ec&) { stack.push_object(n); return true; }
  bool on_array_begin(Ec&) { return true; }
  bool on_array_end(std::size_t n, Ec&) { stack.push_array(n); return true; }
  bool on_key_part(json::string_view s, std::size_t, Ec&) { stack.push_chars(s); return true; }
  bool on_key(json::string_view s, std::size_t, Ec&) { stack.push_key(s); return true; }
  bool on_string_part(json::string_view s, std::size_t, Ec&) { stack.push_chars(s); return true; }
  bool on_string(json::string_view s, std::size_t, Ec&) { stack.push_string(s); return true; }
  bool on_number_part(json::string_view, Ec&) { return true; }
  bool on_int64(std::int64_t v, json::string_view s, Ec&) {
    if (v == 0 && s.starts_with('-')) stack.push_double(-0.0);
    else stack.push_int64(v);
    return true;
  }
  bool on_uint64(std::uint64_t v, json::string_view, Ec&) { stack.push_uint64(v); return true; }
  bool on_double(double v, json::string_view s, Ec& ec) {
    double exact = 0;
    const auto [at, error] = std::from_chars(s.data(), s.data() + s.size(), exact);
    if (error == std::errc{} && at == s.data() + s.size()) v = exact;
    if (!std::isfinite(v) || (error == std::errc::result_out_of_range && std::abs(v) > 1)) {
      ec = json::error::exponent_overflow;
      return false;
    }
    stack.push_double(v);
    return true;
  }
  bool on_bool(bool v, Ec&) { stack.push_bool(v); return true; }
  bool on_null(Ec&) { stack.push_null(); return true; }
  bool on_comment_part(json::string_view, Ec&) { return true; }
  bool on_comment(json::string_view, Ec&) { return true; }
};

}  // namespace

Result<json::value> parse_json(std::string_view text, JsonLimits limits, json::storage_ptr storage) {
  if (text.size() > limits.max_bytes)
    return fail(ErrorCode::caller_too_large, fmt::format("JSON of {} bytes is above the limit of {}", text.size(), limits.max_bytes));
  json::parse_options options;
  options.max_depth = limits.max_depth;
  unsigned char temp[4096];
  json::basic_parser<DocumentHandler> parser(options, temp, sizeof temp);
  DocumentHandler& handler = parser.handler();
  handler.stack.reset(std::move(storage));
  json::error_code ec;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && read < text.size()) ec = json::error::extra_data;
  if (!ec) return handler.stack.release();
  if (ec == json::error::too_deep)
    return fail(ErrorCode::caller_too_large, fmt::format("JSON is nested deeper than {} levels at byte {}", limits.max_depth, read));
  if (ec == json::error::exponent_overflow)
    return fail(ErrorCode::caller_invalid_request, fmt::format("invalid JSON at byte {}: the number is out of range", read));
  return fail(ErrorCode::caller_invalid_request, fmt::format("invalid JSON at byte {}: {}", read, ec.message()));
}

// ---- Writing

namespace {

// True where `"`, `\` or a control character needs an escape; bytes from 0x80 up are judged as UTF-8 beforehand.
constexpr std::array<bool, 256> make_escaped() {
  std::array<bool, 256> t{};
  for (std::size_t i = 0; i < 0x20; ++i) t[i] = true;
  t['"'] = t['\\'] = true;
  return t;
}
constexpr auto escaped = make_escaped();

// The number of leading bytes that are printable ASCII without quotes and backslashes.
std::size_t plain_prefix(const char* p, std::size_t n) {
  constexpr std::uint64_t ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    std::uint64_t w;
    std::memcpy(&w, p + i, 8);
    const std::uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
    // Exact for words without a high bit; with one, `w & highs` is set and the word is not plain anyway.
    const std::uint64_t special = (w - ones * 0x20) | (quote - ones) | (slash - ones) | w;
    if (special & highs) break;
  }
  for (; i < n; ++i) {
    const auto c = static_cast<unsigned char>(p[i]);
    if (escaped[c] || c >= 0x80) break;
  }
  return i;
}

void append_escape(std::string& out, unsigned char c) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    default: {
      constexpr char digits[] = "0123456789abcdef";
      const char text[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
      out.append(text, sizeof text);
    }
  }
}

// The length of the well-formed UTF-8 character at `p`, or 0.
std::size_t character_length(const char* p, std::size_t n) {
  const auto lead = static_cast<unsigned char>(*p);
  const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  return length <= n && is_utf8({p, length}) ? length : 0;
}

void append_double(std::string& out, double v) {
  if (!std::isfinite(v)) {
    out += "null";
    return;
  }
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, v).ptr;
  out.append(text, end);
  // Stays a double when it is read again.
  if (std::string_view(text, static_cast<std::size_t>(end - text)).find_first_of(".e") == std::string_view::npos) out += ".0";
}

template <class T>
void append_integer(std::string& out, T v) {
  char text[24];
  out.append(text, std::to_chars(text, text + sizeof text, v).ptr);
}

// What holds an escape or a byte from 0x80 up, after its plain beginning.
void append_special(std::string& out, std::string_view text) {
  const bool valid = is_utf8(text);
  std::size_t run = 0;  // start of what is not yet copied
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    std::size_t length = 1;
    if (escaped[c]) {
      out.append(text.data() + run, i - run);
      append_escape(out, c);
      run = i + 1;
    } else if (c >= 0x80 && !valid) {
      length = character_length(text.data() + i, text.size() - i);
      if (length == 0) {
        out.append(text.data() + run, i - run);
        out += "\xEF\xBF\xBD";
        run = i + 1;
        length = 1;
      }
    }
    i += length;
  }
  out.append(text.data() + run, text.size() - run);
}

}  // namespace

TextWriter& TextWriter::json_string(std::string_view text) {
  const std::size_t plain = plain_prefix(text.data(), text.size());
  put('"').put(text.substr(0, plain));
  if (plain < text.size()) {
    std::string rest;
    append_special(rest, text.substr(plain));
    put(rest);
  }
  return put('"');
}

void append_json_string(std::string& out, std::string_view text) {
  const std::size_t plain = plain_prefix(text.data(), text.size());
  if (plain == text.size()) return append_text(out, plain + 2, [&](TextWriter& w) { w.put('"').put(text).put('"'); });
  out += '"';
  out.append(text.data(), plain);
  append_special(out, text.substr(plain));
  out += '"';
}

// Not boost::json::serialize: it prints 0.7 as 7E-1, which is valid and surprises everyone who reads it.
void append_json(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: out += "null"; return;
    case json::kind::bool_: out += value.get_bool() ? "true" : "false"; return;
    case json::kind::int64: return append_integer(out, value.get_int64());
    case json::kind::uint64: return append_integer(out, value.get_uint64());
    case json::kind::double_: return append_double(out, value.get_double());
    case json::kind::string: {
      const auto& s = value.get_string();
      return append_json_string(out, {s.data(), s.size()});
    }
    case json::kind::array: {
      char separator = '[';
      for (const auto& element : value.get_array()) {
        out += separator;
        append_json(out, element);
        separator = ',';
      }
      out += separator == '[' ? "[]" : "]";
      return;
    }
    case json::kind::object: {
      char separator = '{';
      for (const auto& member : value.get_object()) {
        out += separator;
        append_json_string(out, {member.key().data(), member.key().size()});
        out += ':';
        append_json(out, member.value());
        separator = ',';
      }
      out += separator == '{' ? "{}" : "}";
      return;
    }
  }
}

std::string to_json(const json::value& value) {
  std::string out;
  append_json(out, value);
  return out;
}

// ---- Reading

namespace {
std::string_view kind_name(const json::value& v) {
  switch (v.kind()) {
    case json::kind::null: return "null";
    case json::kind::bool_: return "a boolean";
    case json::kind::string: return "a string";
    case json::kind::array: return "an array";
    case json::kind::object: return "an object";
    default: return "a number";
  }
}
}  // namespace

JsonRef JsonRef::below(Step step, const json::value& value) const {
  JsonRef r(*this);
  r.value_ = &value;
  r.steps_[std::min<std::size_t>(depth_, max_steps - 1)] = step;
  ++r.depth_;
  return r;
}

std::string JsonRef::path() const {
  std::string out;
  const std::size_t kept = std::min<std::size_t>(depth_, max_steps);
  for (std::size_t i = 0; i < kept; ++i) {
    if (depth_ > max_steps && i == max_steps - 1) out += "…";
    const Step& s = steps_[i];
    if (s.key) {
      if (!out.empty()) out += '.';
      out.append(s.key, s.size_or_index);
    } else {
      out += fmt::format("[{}]", s.size_or_index);
    }
  }
  return out;
}

std::unexpected<Error> JsonRef::error(std::string message) const {
  return fail(ErrorCode::caller_invalid_request, std::move(message), path());
}
Error JsonRef::wrong_type(std::string_view wanted) const {
  return error(fmt::format("must be {}, not {}", wanted, kind_name(*value_))).error();
}

JsonRef JsonRef::item(std::size_t index) const { return below({nullptr, index}, value_->get_array()[index]); }
JsonRef JsonRef::child(std::string_view key, const json::value& value) const { return below({key.data(), key.size()}, value); }

Result<JsonRef> JsonRef::at(std::string_view key) const {
  const auto* object = value_->if_object();
  if (!object) return std::unexpected(wrong_type("an object"));
  const auto* member = object->if_contains({key.data(), key.size()});
  if (!member) return child(key, *value_).error("is required");
  return child(key, *member);
}

std::optional<JsonRef> JsonRef::find(std::string_view key) const {
  const auto* object = value_->if_object();
  const auto* member = object ? object->if_contains({key.data(), key.size()}) : nullptr;
  if (!member || member->is_null()) return std::nullopt;
  return child(key, *member);
}

Result<std::optional<std::int64_t>> JsonRef::maybe_int(std::string_view key, std::int64_t low, std::int64_t high) const {
  auto v = maybe<std::int64_t>(key);
  if (v && *v && (**v < low || **v > high)) return find(key)->error(fmt::format("must be between {} and {}", low, high));
  return v;
}

template <> Result<std::string_view> JsonRef::as() const {
  const auto* s = value_->if_string();
  if (!s) return std::unexpected(wrong_type("a string"));
  return std::string_view(s->data(), s->size());
}
template <> Result<std::string> JsonRef::as() const {
  const auto* s = value_->if_string();
  if (!s) return std::unexpected(wrong_type("a string"));
  return std::string(s->data(), s->size());
}
template <> Result<bool> JsonRef::as() const {
  if (!value_->is_bool()) return std::unexpected(wrong_type("a boolean"));
  return value_->get_bool();
}
template <> Result<std::int64_t> JsonRef::as() const {
  if (value_->is_int64()) return value_->get_int64();
  if (const auto* u = value_->if_uint64()) {
    if (*u > static_cast<std::uint64_t>(INT64_MAX)) return error("is too large");
    return static_cast<std::int64_t>(*u);
  }
  if (const auto* d = value_->if_double()) {
    if (std::trunc(*d) != *d) return error("must be an integer");
    if (!(*d >= -0x1p63 && *d < 0x1p63)) return error("is too large");
    return static_cast<std::int64_t>(*d);
  }
  return std::unexpected(wrong_type("an integer"));
}
template <> Result<std::uint64_t> JsonRef::as() const {
  if (const auto* u = value_->if_uint64()) return *u;
  auto v = as<std::int64_t>();
  if (!v) return std::unexpected(std::move(v.error()));
  if (*v < 0) return error("must not be negative");
  return static_cast<std::uint64_t>(*v);
}
template <> Result<double> JsonRef::as() const {
  if (const auto* d = value_->if_double()) return *d;
  if (const auto* i = value_->if_int64()) return static_cast<double>(*i);
  if (const auto* u = value_->if_uint64()) return static_cast<double>(*u);
  return std::unexpected(wrong_type("a number"));
}
template <> Result<const json::object*> JsonRef::as() const {
  if (const auto* o = value_->if_object()) return o;
  return std::unexpected(wrong_type("an object"));
}
template <> Result<const json::array*> JsonRef::as() const {
  if (const auto* a = value_->if_array()) return a;
  return std::unexpected(wrong_type("an array"));
}
template <> Result<JsonRef> JsonRef::as() const { return *this; }

}  // namespace ballast
