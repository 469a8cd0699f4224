// The dashboard's files: which address gives which, and with what headers.
#include "server/dashboard.hpp"

#include "../../support/waiting_loop.hpp"
#include "api_house.hpp"

namespace ballast::server::test {
namespace {

constexpr std::string_view kHtml = "text/html,application/xhtml+xml,*/*;q=0.8";
const UiFile kFiles[] = {{"index.html", "<!doctype html><title>x</title>", "packed index"}, {"assets/index-Bev10wYq.js", "export {}", "packed script"},
                         {"assets/icon-Bev10wYq.svg", "<svg/>", {}}, {"robots.txt", "User-agent: *", {}}};

struct PagedHouse : House {
  Dashboard dashboard{kFiles};
  Api paged;
  PagedHouse() : paged(parts_of()) {}
  Parts parts_of() {
    Parts parts = api->parts();
    parts.dashboard = &dashboard;
    return parts;
  }
  Answer get(std::string target, net::Headers headers, std::string method = "GET") {
    Asked asked(loop, std::move(method), std::move(target), {}, {}, "192.0.2.7:5000");
    for (const auto& [name, value] : headers) asked.add(name, value);
    loop.run(paged.handle(asked));
    return {asked.status, asked.type, asked.answer, asked.allow, asked.told};
  }
};

TEST(Dashboard, AnAddressOfThePageGivesThePage) {
  PagedHouse house;
  for (const char* path : {"/", "/calls", "/calls/call_01", "/jobs?state=dead", "/apiary"}) {
    const auto page = house.get(path, {{"accept", kHtml}});
    EXPECT_EQ(page.status, 200) << path;
    EXPECT_EQ(page.text, kFiles[0].bytes) << path;
    EXPECT_EQ(page.type, "text/html; charset=utf-8");
    EXPECT_EQ(page.headers.get("cache-control"), "no-cache");
  }
  EXPECT_EQ(house.get("/", {}).status, 200) << "whatever is accepted";
  EXPECT_EQ(house.get("/calls", {{"accept", "application/json"}}).status, 404) << "a program is told that there is no such path";
  for (const char* path : {"/api/nothing", "/v1/nothing", "/v1beta/x", "/pages/none/", "/metrics/x", "/assets/nothing.js", "/api"})
    EXPECT_EQ(house.get(path, {{"accept", kHtml}}).status, 404) << path;
  EXPECT_EQ(house.get("/approve/x", {{"accept", kHtml}}).status, 405) << "a path of the API that this house does not serve";
  EXPECT_EQ(house.get("/", {{"accept", kHtml}}, "POST").status, 404);
  EXPECT_EQ(house.get("/openapi.json", {{"accept", kHtml}}).type, "application/json");
}

TEST(Dashboard, FilesArePackedKeptAndCompared) {
  PagedHouse house;
  const auto script = house.get("/assets/index-Bev10wYq.js", {{"accept-encoding", "br, gzip;q=0.5"}});
  EXPECT_EQ(script.text, "packed script");
  EXPECT_EQ(script.headers.get("content-encoding"), "gzip");
  EXPECT_EQ(script.headers.get("vary"), "accept-encoding");
  EXPECT_EQ(script.headers.get("cache-control"), "public, max-age=31536000, immutable");
  EXPECT_EQ(script.type, "text/javascript; charset=utf-8");
  const auto plain = house.get("/assets/index-Bev10wYq.js", {});
  EXPECT_EQ(plain.text, "export {}");
  EXPECT_FALSE(plain.headers.has("content-encoding"));
  EXPECT_NE(plain.headers.get("etag"), script.headers.get("etag"));
  EXPECT_EQ(house.get("/assets/icon-Bev10wYq.svg", {{"accept-encoding", "gzip"}}).text, "<svg/>") << "not every file is packed";
  EXPECT_EQ(house.get("/robots.txt", {}).status, 200);
  const std::string etag(house.get("/", {}).headers.get("etag"));
  for (const std::string& sent : {etag, "\"other\", W/" + etag, std::string("*")}) {
    const auto same = house.get("/", {{"if-none-match", sent}});
    EXPECT_EQ(same.status, 304) << sent;
    EXPECT_EQ(same.text, "");
    EXPECT_EQ(same.headers.get("etag"), etag);
  }
  EXPECT_EQ(house.get("/", {{"if-none-match", "\"other\""}}).status, 200);
}

TEST(Dashboard, NothingOfElsewhereAndNothingInline) {
  PagedHouse house;
  for (const char* path : {"/", "/assets/index-Bev10wYq.js"}) {
    const auto& h = house.get(path, {}).headers;
    EXPECT_EQ(h.get("content-security-policy"),
              "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    EXPECT_EQ(h.get("x-content-type-options"), "nosniff");
    EXPECT_EQ(h.get("referrer-policy"), "no-referrer");
    EXPECT_EQ(h.get("cross-origin-opener-policy"), "same-origin");
  }
}

TEST(Dashboard, Encodings) {
  for (const char* yes : {"gzip", "deflate, gzip", "gzip;q=1.0", "*", "gzip;q=0.001"}) EXPECT_TRUE(takes_gzip(yes)) << yes;
  for (const char* no : {"", "br", "gzip;q=0", "gzip;q=0.000", "identity", "x-gzipped"}) EXPECT_FALSE(takes_gzip(no)) << no;
}

TEST(Dashboard, ThisBinaryHasOne) {
  const Dashboard built(built_ui());
  const auto* index = built.find("/", {});
  ASSERT_NE(index, nullptr);
  EXPECT_NE(index->bytes.find("<!doctype html>"), std::string_view::npos);
  EXPECT_TRUE(index->packed.starts_with("\x1f\x8b"));
  EXPECT_EQ(index->bytes.find("<style"), std::string_view::npos) << "nothing inline: the policy forbids it";
  std::size_t packed = 0;
  for (const auto& f : built_ui()) packed += f.packed.size();
  EXPECT_LT(packed, 350'000u);
}

}  // namespace
}  // namespace ballast::server::test
