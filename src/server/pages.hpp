// Pages: folders of static files that the configuration serves beside the API, each under /pages/NAME/. For the front of a system built on Ballast: its
// script calls the API of the same origin with a key that the user has. A page gets no more than any stranger's program would.
//
// Files are read when the configuration is, and served from memory: no path reaches the disk, and a reload swaps all at once. Thread-safe.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "net/http.hpp"

namespace ballast::server {

inline constexpr std::size_t kMaxPageFiles = 500;         // of one page
inline constexpr std::size_t kMaxPageBytes = 16u << 20;   // of one page, all files together

struct PageFile {
  std::string bytes, type, etag;
};
struct Page {
  std::map<std::string, PageFile, std::less<>> files;     // by path in the folder, "style/main.css"
};
using PageBook = std::map<std::string, Page, std::less<>>; // by name

// Reads a folder. Names that begin with a dot, links and files of unknown types are left out. caller_not_found: no such folder, or it has no
// index.html; caller_too_large.
Result<Page> read_page(const std::string& folder);

// Of each name its folder; the error's field is pages.NAME.
Result<PageBook> read_pages(const std::map<std::string, std::string>& folders);

class Pages {
 public:
  void use(PageBook book);
  std::shared_ptr<const PageBook> book() const;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const PageBook> book_ = std::make_shared<const PageBook>();
};

// The content type of a file's name; empty: of none that is served.
std::string_view type_of_file(std::string_view name);

// What every answer of a page carries: scripts, styles and requests of its own origin alone, nothing inline, no frames, no referrer.
net::Headers headers_of(const PageFile& file);

}  // namespace ballast::server
