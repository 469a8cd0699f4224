// The dashboard's files: built of ui/ by tools/ui.sh, taken into the binary's read-only data when it is linked, sent as they are. No path reaches
// the disk. The page holds no data: what it shows it asks of the API, as whoever signed in (session_api.cpp).
//
// Names below assets/ carry a hash of what they hold, and are kept by browsers for ever; index.html is asked for anew each time, and answered with
// 304 while it is the same. Every answer forbids scripts, styles and requests of elsewhere, and anything inline.
#pragma once
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "net/http.hpp"

namespace ballast::server {

// As it was built; `packed`: the same as gzip, empty if there is none.
struct UiFile {
  std::string_view path, bytes, packed;              // "assets/index-BjS8ra9M.js"
};
// Those of this binary.
std::span<const UiFile> built_ui();

// Immutable, thread-safe.
class Dashboard {
 public:
  // `files` and what they view outlive it. Without an index.html nothing is served.
  explicit Dashboard(std::span<const UiFile> files);

  struct File {
    std::string_view bytes, packed, type;
    std::string etag;                                // without its quotes
    bool immutable = false;
  };
  // What a GET of `path` is answered with, where its Accept header is `accept`: a file, or index.html for an address of the page's own. Null: not ours.
  const File* find(std::string_view path, std::string_view accept) const;

 private:
  std::map<std::string, File, std::less<>> files_;
};

// The headers of an answer, with or without gzip.
net::Headers headers_of(const Dashboard::File& file, bool packed);
// Does an Accept-Encoding header take gzip?
bool takes_gzip(std::string_view accept_encoding);

}  // namespace ballast::server
