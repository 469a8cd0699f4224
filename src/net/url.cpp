#include "net/url.hpp"

#include "base/text.hpp"
#include "net/chars.hpp"

namespace ballast::net {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// "host", "host:port", "[v6]:port"
bool read_authority(std::string_view authority, Origin& origin) {
  std::string_view host = authority, port;
  bool bracketed = false;
  if (host.starts_with('[')) {
    const auto close = host.find(']');
    if (close == host.npos) return false;
    port = host.substr(close + 1);
    host = host.substr(1, close - 1);
    bracketed = true;
    if (!port.empty() && port[0] != ':') return false;
  } else if (const auto colon = host.find(':'); colon != host.npos) {
    port = host.substr(colon);
    host = host.substr(0, colon);
  }
  if (host.empty() || host.find_first_not_of(bracketed ? "0123456789abcdefABCDEF:." :
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._") != host.npos) return false;
  if (!port.empty()) {
    port.remove_prefix(1);
    unsigned n = 0;
    if (port.empty() || port.size() > 5) return false;
    for (const char c : port) {
      if (c < '0' || c > '9') return false;
      n = n * 10 + static_cast<unsigned>(c - '0');
    }
    if (n == 0 || n > 65535) return false;
    origin.port = static_cast<std::uint16_t>(n);
  }
  origin.host = to_lower_ascii(host);
  origin.authority = bracketed ? "[" + origin.host + "]" : origin.host;
  if (origin.port != (origin.tls ? 443 : 80)) origin.authority += ":" + std::to_string(origin.port);
  return true;
}

}  // namespace

Result<Url> parse_url(std::string_view text, std::string_view field) {
  auto bad = [&](const char* why) { return fail(ErrorCode::caller_invalid_request, why, std::string(field)); };
  Url url;
  if (istarts_with(text, "https://")) { url.origin.tls = true; url.origin.port = 443; text.remove_prefix(8); }
  else if (istarts_with(text, "http://")) text.remove_prefix(7);
  else return bad("a URL begins with http:// or https://");
  text = text.substr(0, text.find('#'));
  const auto slash = text.find_first_of("/?");
  const auto authority = text.substr(0, slash);
  if (authority.find('@') != authority.npos) return bad("a URL must not carry credentials");
  if (!read_authority(authority, url.origin)) return bad("the host or port of the URL is malformed");
  if (slash != text.npos) {
    const auto rest = text.substr(slash);
    if (!all(rest, target_char)) return bad("the URL has a character that must be percent-encoded");
    url.target = rest[0] == '/' ? std::string(rest) : "/" + std::string(rest);
  }
  return url;
}

std::string to_string(const Url& url) {
  return (url.origin.tls ? "https://" : "http://") + url.origin.authority + url.target;
}

std::string percent_decode(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i] == '+' && plus_is_blank ? ' ' : text[i]);
    }
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) { out.push_back(c); continue; }
    out.push_back('%');
    out.push_back("0123456789ABCDEF"[static_cast<unsigned char>(c) >> 4]);
    out.push_back("0123456789ABCDEF"[static_cast<unsigned char>(c) & 15]);
  }
  return out;
}

bool query_value(std::string_view query, std::string_view name, std::string& value) {
  while (!query.empty()) {
    const auto amp = query.find('&');
    const auto pair = query.substr(0, amp);
    const auto equals = pair.find('=');
    if (percent_decode(pair.substr(0, equals), true) == name) {
      value = equals == pair.npos ? std::string{} : percent_decode(pair.substr(equals + 1), true);
      return true;
    }
    if (amp == query.npos) break;
    query.remove_prefix(amp + 1);
  }
  return false;
}

}  // namespace ballast::net
