#include "server/pages.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"

namespace ballast::server {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "/pages/";
constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
    {".html", "text/html; charset=utf-8"}, {".js", "text/javascript; charset=utf-8"}, {".mjs", "text/javascript; charset=utf-8"}, {".css", "text/css; charset=utf-8"},
    {".json", "application/json"}, {".svg", "image/svg+xml"}, {".png", "image/png"}, {".jpg", "image/jpeg"}, {".webp", "image/webp"}, {".ico", "image/x-icon"},
    {".woff2", "font/woff2"}, {".txt", "text/plain; charset=utf-8"}};

bool hidden(const fs::path& relative) {
  for (const auto& part : relative)
    if (part.string().starts_with('.')) return true;
  return false;
}

Result<std::string> whole_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  if (!in && !in.eof()) return fail(ErrorCode::caller_not_found, "cannot be read", path.string());
  return bytes;
}

}  // namespace

std::string_view type_of_file(std::string_view name) {
  const std::string extension = fs::path(name).extension().string();
  for (const auto& [ending, type] : kTypes)
    if (extension == ending) return type;
  return {};
}

Result<Page> read_page(const std::string& folder) {
  Page page;
  std::size_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code unknown;
    const fs::path relative = fs::path(at->path()).lexically_relative(folder);
    const std::string_view type = type_of_file(at->path().native());
    if (type.empty() || hidden(relative) || fs::is_symlink(at->symlink_status(unknown)) || !fs::is_regular_file(at->symlink_status(unknown))) continue;
    const auto size = fs::file_size(at->path(), unknown);
    bytes += unknown ? 0 : size;
    if (page.files.size() >= kMaxPageFiles || bytes > kMaxPageBytes)
      return fail(ErrorCode::caller_too_large, fmt::format("a page has at most {} files and {} MB in all", kMaxPageFiles, kMaxPageBytes >> 20), folder);
    auto content = whole_file(at->path());
    if (!content) return fail(std::move(content.error()));
    const auto etag = fmt::format("\"{}\"", to_hex(sha256(*content)).substr(0, 32));
    page.files.emplace(relative.generic_string(), PageFile{std::move(*content), std::string(type), etag});
  }
  if (error) return fail(ErrorCode::caller_not_found, "cannot be read: " + error.message(), folder);
  if (!page.files.contains("index.html")) return fail(ErrorCode::caller_not_found, "a page's folder needs an index.html", folder);
  return page;
}

Result<PageBook> read_pages(const std::map<std::string, std::string>& folders) {
  PageBook book;
  for (const auto& [name, folder] : folders) {
    auto page = read_page(folder);
    if (!page) {
      page.error().message = fmt::format("{}: {}", page.error().field, page.error().message);
      page.error().field = "pages." + name;
      return fail(std::move(page.error()));
    }
    book.emplace(name, std::move(*page));
  }
  return book;
}

void Pages::use(PageBook book) {
  auto next = std::make_shared<const PageBook>(std::move(book));
  const std::lock_guard lock(mutex_);
  book_ = std::move(next);
}

std::shared_ptr<const PageBook> Pages::book() const {
  const std::lock_guard lock(mutex_);
  return book_;
}

net::Headers headers_of(const PageFile& file) {
  return {{"content-type", file.type},
          {"etag", file.etag},
          {"cache-control", "no-cache"},
          {"content-security-policy",
           "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"},
          {"referrer-policy", "no-referrer"},
          {"x-content-type-options", "nosniff"},
          {"x-frame-options", "DENY"},
          {"cross-origin-opener-policy", "same-origin"},
          {"cross-origin-resource-policy", "same-origin"}};
}

// GET and HEAD of /pages/NAME/FILE. The folder's own address ends with a slash, so that names in the page are relative to it.
Task<bool> pages_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  if (!request.path.starts_with(kPrefix) || !parts.pages || (request.method != "GET" && request.method != "HEAD")) co_return false;
  const auto book = parts.pages->book();
  std::string_view rest = request.path.substr(kPrefix.size());
  const std::string_view name = rest.substr(0, rest.find('/'));
  const auto page = book->find(name);
  if (page == book->end()) co_return false;
  if (rest.size() == name.size()) {
    const net::Headers headers{{"location", fmt::format("{}{}/", kPrefix, name)}};
    const auto sent = co_await exchange.respond(308, headers, "");
    (void)sent;                            // a caller that left wants nothing
    co_return true;
  }
  rest.remove_prefix(name.size() + 1);
  const auto file = page->second.files.find(rest.empty() ? "index.html" : rest);
  if (file == page->second.files.end()) {
    co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "the page has no such file"});
    co_return true;
  }
  const bool same = request.headers.get("if-none-match") == file->second.etag;
  const auto sent = co_await exchange.respond(same ? 304 : 200, headers_of(file->second), same ? std::string_view() : std::string_view(file->second.bytes));
  (void)sent;
  co_return true;
}

}  // namespace ballast::server
