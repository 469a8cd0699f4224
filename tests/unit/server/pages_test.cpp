// Pages: folders of static files beside the API.
#include "server/pages.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "api_house.hpp"

namespace ballast::server::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

struct Folder {
  ballast::test::TempDir root;
  void put(const std::string& name, std::string_view text) const {
    fs::create_directories(fs::path(root / name).parent_path());
    std::ofstream(root / name, std::ios::binary) << text;
  }
};

std::vector<std::string> names(const Page& page) {
  std::vector<std::string> out;
  for (const auto& [name, file] : page.files) out.push_back(name);
  return out;
}

TEST(Pages, AFolderIsReadWithItsFoldersAndWithoutWhatIsHiddenOrLinked) {
  const Folder folder;
  folder.put("index.html", "<!doctype html>");
  folder.put("style/main.css", "body{}");
  folder.put(".git/config.json", "{}");
  folder.put("notes.bak", "not a type that is served");
  folder.put("secret.txt", "kept elsewhere");
  fs::create_symlink(folder.root / "secret.txt", folder.root / "link.txt");
  const auto page = read_page(folder.root.path());
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_THAT(names(*page), ElementsAre("index.html", "secret.txt", "style/main.css"));
  EXPECT_EQ(page->files.at("style/main.css").type, "text/css; charset=utf-8");
}

TEST(Pages, AFolderWithoutAnIndexOrWithTooMuchIsRefused) {
  const Folder folder;
  folder.put("main.js", "1");
  EXPECT_THAT(read_page(folder.root.path()).error().message, HasSubstr("index.html"));
  EXPECT_EQ(read_page(folder.root / "absent").error().code, ErrorCode::caller_not_found);
  folder.put("index.html", "x");
  folder.put("large.json", std::string(kMaxPageBytes, ' '));
  EXPECT_EQ(read_page(folder.root.path()).error().code, ErrorCode::caller_too_large);
  const auto book = read_pages({{"shop", folder.root.path()}});
  EXPECT_EQ(book.error().field, "pages.shop");
}

struct Served {
  Folder folder;
  Pages pages;
  House house;
  Served() {
    folder.put("index.html", "<h1>Shop</h1>");
    folder.put("app.js", "let a = 1;");
    pages.use(*read_pages({{"shop", folder.root.path()}}));
    auto parts = house.api->parts();
    parts.pages = &pages;
    house.api = std::make_unique<Api>(std::move(parts));
  }
};

TEST(Pages, AreServedUnderTheirNameWithoutAKey) {
  Served served;
  const auto index = served.house.ask("GET", "/pages/shop/");
  EXPECT_EQ(index.status, 200);
  EXPECT_EQ(index.text, "<h1>Shop</h1>");
  EXPECT_EQ(index.type, "text/html; charset=utf-8");
  EXPECT_EQ(served.house.ask("GET", "/pages/shop/app.js").text, "let a = 1;");
  EXPECT_EQ(served.house.ask("GET", "/pages/shop").status, 308) << "names in a page are relative to its folder";
  for (const char* path : {"/pages/shop/absent.js", "/pages/other/", "/pages/", "/pages/shop/../../etc/passwd", "/pages/shop/%2e%2e/x", "/pages/shop//index.html"})
    EXPECT_EQ(served.house.ask("GET", path).status, 404) << path;
  EXPECT_EQ(served.house.ask("POST", "/pages/shop/").status, 404);
}

TEST(Pages, MayLoadAndAskNothingButTheirOwnOrigin) {
  Served served;
  const auto& file = served.pages.book()->at("shop").files.at("index.html");
  const auto headers = headers_of(file);
  EXPECT_THAT(std::string(headers.get("content-security-policy")), HasSubstr("default-src 'none'; script-src 'self'"));
  EXPECT_EQ(std::string(headers.get("content-security-policy")).find("unsafe"), std::string::npos);
  EXPECT_EQ(headers.get("x-content-type-options"), "nosniff");
  EXPECT_EQ(headers.get("etag"), file.etag);
}

TEST(Pages, AreSwappedAllAtOnce) {
  Served served;
  served.folder.put("index.html", "<h1>Shop, new</h1>");
  const auto before = served.pages.book();
  served.pages.use(*read_pages({{"shop", served.folder.root.path()}}));
  EXPECT_EQ(served.house.ask("GET", "/pages/shop/").text, "<h1>Shop, new</h1>");
  EXPECT_EQ(before->at("shop").files.at("index.html").bytes, "<h1>Shop</h1>") << "who has it in hand keeps it";
}

}  // namespace
}  // namespace ballast::server::test
