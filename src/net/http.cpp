#include "net/http.hpp"

#include <functional>

#include "base/text.hpp"
#include "base/text_writer.hpp"
#include "net/chars.hpp"

namespace ballast::net {

bool same_field_name(std::string_view a, std::string_view b) { return iequals(a, b); }

void Headers::own() {
  if (!borrowed_) return;
  std::string text;
  std::size_t bytes = 0;
  for (const Entry& e : entries_) bytes += e.name_size + e.value_size + 4u;
  text.reserve(bytes);
  for (Entry& e : entries_) {
    const std::string_view name(borrowed_ + e.name_at, e.name_size), value(borrowed_ + e.value_at, e.value_size);
    e.name_at = static_cast<std::uint32_t>(text.size());
    text.append(name).append(": ");
    e.value_at = static_cast<std::uint32_t>(text.size());
    text.append(value).append("\r\n");
  }
  text_ = std::move(text);
  borrowed_ = nullptr;
}

Headers& Headers::operator=(const Headers& other) {
  if (this == &other) return *this;
  entries_ = other.entries_;
  text_ = other.text_;
  borrowed_ = other.borrowed_;
  own();
  return *this;
}

Headers& Headers::operator=(Headers&& other) noexcept {
  if (this == &other) return *this;
  text_ = std::move(other.text_);
  entries_ = std::move(other.entries_);
  borrowed_ = std::exchange(other.borrowed_, nullptr);
  other.clear();
  return *this;
}

bool Headers::add(std::string_view name, std::string_view value) {
  return !name.empty() && name.size() <= 0xffff && all(name, token_char) && append(name, value);
}

bool Headers::put(FieldName name, std::string_view value) { return append(name.text(), value); }

bool Headers::append(std::string_view name, std::string_view value) {
  value = trim_blanks(value);
  if (!all_value(value)) return false;
  own();
  if (entries_.capacity() == 0) { entries_.reserve(8); text_.reserve(256); }
  const auto at = static_cast<std::uint32_t>(text_.size());
  append_text(text_, name.size() + value.size() + 4, [&](TextWriter& w) { w.put(name).put(": ").put(value).put("\r\n"); });
  entries_.push_back({at, static_cast<std::uint32_t>(at + name.size() + 2), static_cast<std::uint32_t>(value.size()),
                      static_cast<std::uint16_t>(name.size())});
  return true;
}

bool Headers::set(std::string_view name, std::string_view value) {
  value = trim_blanks(value);
  if (name.empty() || !all(name, token_char) || !all_value(value)) return false;
  const std::less<const char*> before;
  const bool ours = !before(value.data(), text_.data()) && before(value.data(), text_.data() + text_.size());
  if (!ours && find(name) == npos) return add(name, value);
  const std::string kept(value);      // it may point into our own text
  remove(name);
  return add(name, kept);
}

std::size_t Headers::remove(std::string_view name) {
  if (find(name) == npos) return 0;
  const std::string wanted(name);
  Headers rest;
  std::size_t gone = 0;
  for (const Field f : *this) {
    if (same_field_name(f.name, wanted)) ++gone;
    else rest.add(f.name, f.value);
  }
  *this = std::move(rest);
  return gone;
}

void Headers::reserve(std::size_t bytes, std::size_t fields) {
  text_.reserve(bytes);
  entries_.reserve(fields);
}

void Headers::clear() {
  text_.clear();
  entries_.clear();
  borrowed_ = nullptr;
}

std::size_t Headers::find(std::string_view name, std::size_t from) const {
  for (std::size_t i = from; i < entries_.size(); ++i) {
    const Entry& e = entries_[i];
    if (e.name_size == name.size() && same_field_name({base() + e.name_at, e.name_size}, name)) return i;
  }
  return npos;
}

std::string_view Headers::get(std::string_view name) const {
  const std::size_t i = find(name);
  return i == npos ? std::string_view{} : (*this)[i].value;
}

std::size_t Headers::count(std::string_view name) const {
  std::size_t n = 0;
  for (std::size_t i = find(name); i != npos; i = find(name, i + 1)) ++n;
  return n;
}

std::string_view Headers::wire() const { return borrowed_ ? std::string_view{} : std::string_view(text_); }

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 529: return "Overloaded";
    default: return {};
  }
}

}  // namespace ballast::net
