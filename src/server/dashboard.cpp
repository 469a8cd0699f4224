#include "server/dashboard.hpp"

#include <algorithm>
#include <array>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "server/pages.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"

namespace ballast::server {

namespace {

constexpr std::string_view kIndex = "index.html", kAssets = "assets/";
// Addresses that are others': an unknown one among them is told so, and never a page.
constexpr std::array<std::string_view, 10> kTaken = {"/api", "/v1", "/v1beta", "/pages", "/metrics", "/healthz", "/readyz", "/openapi.json", "/approve", "/assets"};

bool taken(std::string_view path) {
  return std::ranges::any_of(kTaken, [&](std::string_view t) { return path.starts_with(t) && (path.size() == t.size() || path[t.size()] == '/'); });
}

// "gzip;q=0" takes none.
bool refused(std::string_view parameters) {
  const auto q = parameters.find("q=0");
  return q != std::string_view::npos && parameters.find_first_of("123456789", q + 3) == std::string_view::npos;
}

bool known(std::string_view if_none_match, std::string_view etag) {
  for (const auto one : split(if_none_match, ',')) {
    std::string_view tag = trim(one);
    if (tag.starts_with("W/")) tag.remove_prefix(2);
    if (tag == "*" || (tag.size() == etag.size() + 2 && tag.substr(1, etag.size()) == etag)) return true;
  }
  return false;
}

std::string tag_of(const Dashboard::File& file, bool packed) { return packed ? file.etag + "-gz" : file.etag; }

}  // namespace

Dashboard::Dashboard(std::span<const UiFile> files) {
  for (const auto& f : files) {
    File file{.bytes = f.bytes, .packed = f.packed, .type = type_of_file(f.path), .etag = to_hex(sha256(f.bytes)).substr(0, 32), .immutable = f.path.starts_with(kAssets)};
    files_.emplace(std::string(f.path), std::move(file));
  }
}

const Dashboard::File* Dashboard::find(std::string_view path, std::string_view accept) const {
  const auto index = files_.find(kIndex);
  if (index == files_.end() || !path.starts_with('/')) return nullptr;
  if (path == "/") return &index->second;
  if (const auto at = files_.find(path.substr(1)); at != files_.end()) return &at->second;
  if (taken(path) || accept.find("text/html") == std::string_view::npos) return nullptr;
  return &index->second;
}

bool takes_gzip(std::string_view accept_encoding) {
  for (const auto one : split(accept_encoding, ',')) {
    const auto semicolon = one.find(';');
    const std::string_view name = trim(one.substr(0, semicolon));
    if (name == "gzip" || name == "*") return semicolon == std::string_view::npos || !refused(one.substr(semicolon));
  }
  return false;
}

net::Headers headers_of(const Dashboard::File& file, bool packed) {
  const std::string etag = fmt::format("\"{}\"", tag_of(file, packed));
  net::Headers headers{{"content-type", file.type},
                       {"etag", etag},
                       {"cache-control", file.immutable ? "public, max-age=31536000, immutable" : "no-cache"},
                       {"vary", "accept-encoding"},
                       {"content-security-policy",
                        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
                        "frame-ancestors 'none'"},
                       {"referrer-policy", "no-referrer"},
                       {"x-content-type-options", "nosniff"},
                       {"x-frame-options", "DENY"},
                       {"cross-origin-opener-policy", "same-origin"},
                       {"cross-origin-resource-policy", "same-origin"}};
  if (packed) headers.put("content-encoding", "gzip");
  return headers;
}

Task<bool> dashboard_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  if (!parts.dashboard || (request.method != "GET" && request.method != "HEAD")) co_return false;
  const Dashboard::File* file = parts.dashboard->find(request.path, request.headers.get("accept"));
  if (!file) co_return false;
  const bool packed = !file->packed.empty() && takes_gzip(request.headers.get("accept-encoding"));
  const net::Headers headers = headers_of(*file, packed);
  const bool same = known(request.headers.get("if-none-match"), tag_of(*file, packed));
  const auto sent = co_await exchange.respond(same ? 304 : 200, headers, same ? std::string_view() : packed ? file->packed : file->bytes);
  (void)sent;                            // a browser that left wants nothing
  co_return true;
}

}  // namespace ballast::server
