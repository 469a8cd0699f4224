#include "schema/uri.hpp"

#include <cctype>

#include "base/hash.hpp"
#include "base/text.hpp"

namespace ballast::schema {

namespace {

struct Parts {
  std::string_view scheme, authority, path, query;  // each with its mark: "http:", "//host", "/path", "?query"
};

Parts parts_of(std::string_view uri) {
  uri = without_fragment(uri);
  Parts p;
  const auto colon = uri.find_first_of(":/?");
  if (colon != std::string_view::npos && colon > 0 && uri[colon] == ':' && std::isalpha(static_cast<unsigned char>(uri[0]))) {
    p.scheme = uri.substr(0, colon + 1);
    uri.remove_prefix(colon + 1);
  }
  const auto question = uri.find('?');
  if (question != std::string_view::npos) {
    p.query = uri.substr(question);
    uri = uri.substr(0, question);
  }
  if (uri.starts_with("//")) {
    const auto end = uri.find('/', 2);
    p.authority = uri.substr(0, end);
    uri = end == std::string_view::npos ? std::string_view{} : uri.substr(end);
  }
  p.path = uri;
  return p;
}

// RFC 3986, 5.2.4.
std::string without_dots(std::string_view path) {
  const bool rooted = path.starts_with('/');
  std::vector<std::string_view> kept;
  bool folder = false;  // the result ends with a slash
  for (const auto segment : split(rooted ? path.substr(1) : path, '/')) {
    folder = segment == "." || segment == "..";
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (segment != ".") {
      kept.push_back(segment);
    }
  }
  std::string out = rooted ? "/" : "";
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (i) out += '/';
    out += kept[i];
  }
  if (folder && !kept.empty()) out += '/';
  return out;
}

std::string joined(std::string_view scheme, std::string_view authority, std::string_view path, std::string_view query) {
  std::string out = to_lower_ascii(scheme);
  out += to_lower_ascii(authority);
  out += path;
  out += query;
  return out;
}

}  // namespace

std::string_view without_fragment(std::string_view uri) { return uri.substr(0, uri.find('#')); }

std::string fragment_of(std::string_view uri) {
  const auto hash = uri.find('#');
  std::string out;
  if (hash == std::string_view::npos) return out;
  uri.remove_prefix(hash + 1);
  for (std::size_t i = 0; i < uri.size(); ++i) {
    const auto byte = uri[i] == '%' && i + 2 < uri.size() ? from_hex(uri.substr(i + 1, 2)) : std::nullopt;
    if (byte) {
      out += *byte;
      i += 2;
    } else {
      out += uri[i];
    }
  }
  return out;
}

std::string resolve_uri(std::string_view base, std::string_view reference) {
  const Parts r = parts_of(reference), b = parts_of(base);
  const bool opaque = !r.path.starts_with('/') && r.authority.empty();  // "urn:x:y": its dots and slashes mean nothing
  if (!r.scheme.empty()) return joined(r.scheme, r.authority, opaque ? std::string(r.path) : without_dots(r.path), r.query);
  if (!r.authority.empty()) return joined(b.scheme, r.authority, without_dots(r.path), r.query);
  if (r.path.empty()) return joined(b.scheme, b.authority, b.path, r.query.empty() ? b.query : r.query);
  if (r.path.starts_with('/')) return joined(b.scheme, b.authority, without_dots(r.path), r.query);
  std::string path;
  if (!b.authority.empty() && b.path.empty()) path = "/";
  else path = b.path.substr(0, b.path.rfind('/') + 1);
  path += r.path;
  return joined(b.scheme, b.authority, without_dots(path), r.query);
}

std::vector<std::string> pointer_steps(std::string_view pointer) {
  std::vector<std::string> out;
  if (pointer.empty()) return out;
  for (const auto piece : split(pointer.substr(1), '/')) {
    std::string step;
    for (std::size_t i = 0; i < piece.size(); ++i) {
      const bool escape = piece[i] == '~' && i + 1 < piece.size() && (piece[i + 1] == '0' || piece[i + 1] == '1');
      step += escape ? (piece[++i] == '0' ? '~' : '/') : piece[i];
    }
    out.push_back(std::move(step));
  }
  return out;
}

void append_step(std::string& pointer, std::string_view step) {
  pointer += '/';
  for (const char c : step) {
    if (c == '~') pointer += "~0";
    else if (c == '/') pointer += "~1";
    else pointer += c;
  }
}

}  // namespace ballast::schema
