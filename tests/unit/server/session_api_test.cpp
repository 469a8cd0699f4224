// Signing in to the dashboard: what a session may do, what no other site's page may do with it, and when it ends.
#include "api_house.hpp"
#include "base/text.hpp"
#include "records/audit.hpp"

namespace ballast::server::test {
namespace {

std::string key_body(std::string_view key) { return fmt::format(R"({{"key":"{}"}})", key); }
const net::Headers kPage{{"content-type", "application/json"}, {"sec-fetch-site", "same-origin"}};

// A browser that is signed in: its cookie and what its page knows.
struct Browser {
  House& house;
  std::string cookie, csrf;

  Browser(House& h, std::string_view key) : house(h) {
    const auto in = house.browse("POST", "/api/session", kPage, key_body(key));
    EXPECT_EQ(in.status, 200) << in.text;
    const std::string_view set = in.headers.get("set-cookie");
    cookie = set.substr(0, set.find(';'));
    csrf = in.at("csrf");
  }
  Answer ask(std::string method, std::string target, std::string body = {}, bool with_csrf = true, std::string_view from = "same-origin") {
    net::Headers headers{{"cookie", cookie}, {"sec-fetch-site", from}};
    if (with_csrf) headers.add("x-ballast-csrf", csrf);
    return house.browse(std::move(method), std::move(target), headers, std::move(body));
  }
};

TEST(SessionApi, AKeyGoesInOnceAndACookieComesBack) {
  House house;
  const auto in = house.browse("POST", "/api/session", kPage, key_body(kReader));
  ASSERT_EQ(in.status, 200) << in.text;
  const std::string_view cookie = in.headers.get("set-cookie");
  EXPECT_TRUE(cookie.starts_with("ballast_session=")) << cookie;
  EXPECT_TRUE(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800")) << cookie;
  EXPECT_EQ(in.text.find(kReader), std::string::npos);
  EXPECT_EQ(in.text.find(cookie.substr(16, 43)), std::string::npos) << "no script sees the token";
  net::Headers proxied = kPage;
  proxied.add("x-forwarded-proto", "https");
  EXPECT_TRUE(house.browse("POST", "/api/session", proxied, key_body(kReader)).headers.get("set-cookie").ends_with("; Secure"));
  Browser browser(house, kReader);
  const auto who = browser.ask("GET", "/api/session");
  EXPECT_EQ(who.at("csrf"), browser.csrf);
  EXPECT_EQ(who.at("key"), R"({"id":"config:reader","name":"reader","scopes":"read"})");
  const auto by_header = house.ask("GET", "/api/session", kReader);
  EXPECT_EQ(by_header.status, 200);
  EXPECT_EQ(by_header.at("csrf"), "");
  EXPECT_EQ(house.ask("GET", "/api/session").status, 401);
}

TEST(SessionApi, ASessionMayWhatItsKeyMay) {
  House house;
  Browser reader(house, kReader), admin(house, kAdmin);
  EXPECT_EQ(reader.ask("GET", "/api/breakers").status, 200);
  EXPECT_EQ(reader.ask("GET", "/v1/models").status, 403) << "it may read, not call";
  EXPECT_EQ(reader.ask("POST", "/api/keys", R"({"name":"x"})").status, 403);
  EXPECT_EQ(admin.ask("POST", "/api/keys", R"({"name":"x"})").status, 201);
  EXPECT_EQ(admin.ask("GET", "/metrics").status, 401) << "a cookie is for /api/ and /v1/ alone";
}

TEST(SessionApi, NobodyElsesPageChangesAnything) {
  House house;
  Browser admin(house, kAdmin);
  const std::string body = R"({"name":"x"})";
  expect_problem(admin.ask("POST", "/api/keys", body, false), 403, "x-ballast-csrf");
  for (const char* from : {"cross-site", "same-site", "none"}) expect_problem(admin.ask("POST", "/api/keys", body, true, from), 403, "sec-fetch-site", from);
  std::swap(admin.csrf.front(), admin.csrf.back());
  if (admin.csrf.front() != admin.csrf.back()) expect_problem(admin.ask("POST", "/api/keys", body), 403, "x-ballast-csrf");
  Browser other(house, kAdmin), third(house, kAdmin);
  other.csrf = third.csrf;
  expect_problem(other.ask("POST", "/api/keys", body), 403, "x-ballast-csrf", "another session's");
  EXPECT_EQ(house.ask("GET", "/api/keys", kAdmin).count("keys"), 4u) << "those of the configuration, none beside them";
  const auto called = third.ask("POST", "/v1/chat/completions", R"({"model":"m","messages":[]})", false);
  EXPECT_EQ(called.status, 403) << called.text;
  EXPECT_NE(called.text.find(R"({"error":{"message":)"), std::string::npos) << "in the words of its API";
  const auto own = third.ask("POST", "/v1/chat/completions", R"({"model":"m","messages":[{"role":"user","content":"x"}]})");
  EXPECT_EQ(own.status, 404) << "the road says that there is no such model: " << own.text;
}

// A browser sends such a call without asking first; where no key is needed it would cost money.
TEST(SessionApi, AnotherSitesPageCallsNothingWithoutAKey) {
  House house;
  const std::string body = R"({"model":"m","messages":[{"role":"user","content":"x"}]})";
  for (const char* path : {"/v1/chat/completions", "/v1/messages", "/v1beta/models/m:generateContent"})
    for (const char* from : {"cross-site", "same-site"}) {
      const auto refused = house.browse("POST", path, {{"content-type", "text/plain"}, {"sec-fetch-site", from}}, body);
      EXPECT_EQ(refused.status, 403) << path << refused.text;
      EXPECT_NE(house.browse("POST", path, {{"sec-fetch-site", from}, {"authorization", "Bearer " + std::string(kCaller)}}, body).status, 403) << path;
    }
  EXPECT_NE(house.browse("POST", "/v1/chat/completions", {{"sec-fetch-site", "same-origin"}}, body).status, 403);
}

TEST(SessionApi, SigningInWantsAPageOfThisServer) {
  House house;
  expect_problem(house.browse("POST", "/api/session", {{"content-type", "application/json"}, {"sec-fetch-site", "cross-site"}}, key_body(kAdmin)), 403, "sec-fetch-site");
  expect_problem(house.browse("POST", "/api/session", {{"content-type", "text/plain"}}, key_body(kAdmin)), 400, "content-type");
  for (const char* body : {"", "[]", "{}", R"({"key":7})", R"({"key":"a","b":1})"}) EXPECT_EQ(house.browse("POST", "/api/session", kPage, body).status, 400) << body;
  EXPECT_EQ(house.sessions.size(), 0u);
}

TEST(SessionApi, AHeadersKeyWinsOverACookie) {
  House house;
  Browser admin(house, kAdmin);
  const auto answer = house.browse("GET", "/api/keys", {{"cookie", admin.cookie}, {"authorization", "Bearer " + std::string(kReader)}});
  EXPECT_EQ(answer.status, 403) << answer.text;
}

TEST(SessionApi, SigningOutEndsItHereToo) {
  House house;
  Browser admin(house, kAdmin);
  expect_problem(admin.ask("DELETE", "/api/session", {}, false), 403, "x-ballast-csrf");
  const auto out = admin.ask("DELETE", "/api/session");
  EXPECT_EQ(out.status, 204);
  EXPECT_NE(out.headers.get("set-cookie").find("ballast_session=; "), std::string::npos);
  expect_problem(admin.ask("GET", "/api/keys"), 401, "cookie");
  const auto rows = house.database->read_now([&](store::Tx& tx) { return records::list_sessions(tx, house.clock.wall(), 10); });
  EXPECT_TRUE(rows && rows->empty());
  const auto told = house.database->read_now([](store::Tx& tx) { return records::list_audit(tx, records::admin_chain("0"), 0, 10); });
  ASSERT_TRUE(told && told->size() == 2u);
  EXPECT_EQ((*told)[0].entry.action, "session.opened");
  EXPECT_EQ((*told)[1].entry.action, "session.closed");
  EXPECT_EQ((*told)[1].entry.outcome, R"({"name":"admin","address":"192.0.2.7"})");
}

TEST(SessionApi, ItEndsWithItsKeyAndWithTheSecretItWasMadeBy) {
  House house;
  const auto make = [&] {
    const auto made = house.ask("POST", "/api/keys", kAdmin, R"({"name":"one","scopes":["read"]})");
    return std::pair(made.at("id"), made.at("secret"));
  };
  const auto [revoked, first] = make();
  Browser one(house, first);
  EXPECT_EQ(house.ask("DELETE", "/api/keys/" + revoked, kAdmin).status, 200);
  expect_problem(one.ask("GET", "/api/budgets"), 401, "cookie");

  const auto [rotated, second] = make();
  Browser two(house, second);
  EXPECT_EQ(house.ask("POST", "/api/keys/" + rotated + "/rotate", kAdmin, R"({"overlap":60})").status, 200);
  EXPECT_EQ(two.ask("GET", "/api/budgets").status, 200) << "as long as the secret itself";
  house.clock.advance(61s);
  expect_problem(two.ask("GET", "/api/budgets"), 401, "cookie");

  const auto [expiring, third] = make();
  Browser three(house, third);
  EXPECT_EQ(house.ask("PATCH", "/api/keys/" + expiring, kAdmin, fmt::format(R"({{"expires":"{}"}})", to_rfc3339(house.clock.wall() + 5min))).status, 200);
  house.clock.advance(6min);
  expect_problem(three.ask("GET", "/api/budgets"), 401, "cookie");
}

TEST(SessionApi, ItEndsUnusedAfterTwelveHoursAndAtLastAfterAWeek) {
  House house;
  Browser idle(house, kReader), busy(house, kReader);
  for (int hours = 0; hours < 7 * 24 - 6; hours += 6) {
    EXPECT_EQ(busy.ask("GET", "/api/budgets").status, 200) << hours;
    house.clock.advance(6h);
    if (hours == 6) EXPECT_EQ(idle.ask("GET", "/api/session").status, 401) << "nobody used it";
  }
  EXPECT_EQ(busy.ask("GET", "/api/session").at("expires"), to_rfc3339(house.clock.wall() + 6h));
  house.clock.advance(6h);
  expect_problem(busy.ask("GET", "/api/budgets"), 401, "cookie");
}

TEST(SessionApi, GuessingKeysIsLimited) {
  House house;
  for (int i = 0; i < 20; ++i) expect_problem(house.browse("POST", "/api/session", kPage, key_body("sk-guess")), 401, "key");
  expect_problem(house.browse("POST", "/api/session", kPage, key_body(kAdmin)), 429, "key", "the right one too, where it is short");
  house.clock.advance(1min);
  EXPECT_EQ(house.browse("POST", "/api/session", kPage, key_body(kAdmin)).status, 200);
}

// Whoever guesses keeps nobody out who has a key that no guessing finds.
TEST(SessionApi, SomebodyElsesGuessesLockNobodyOut) {
  House house;
  const auto made = house.ask("POST", "/api/keys", kAdmin, R"({"name":"one","scopes":["read"]})");
  for (int i = 0; i < 30; ++i) house.browse("POST", "/api/session", kPage, key_body("sk-guess"));
  EXPECT_EQ(house.browse("POST", "/api/session", kPage, key_body("sk-guess")).status, 429);
  EXPECT_EQ(house.browse("POST", "/api/session", kPage, key_body("sk-guess-that-is-as-long-as-a-made-one-is-000")).status, 429);
  EXPECT_EQ(house.browse("POST", "/api/session", kPage, key_body(made.at("secret"))).status, 200);
}

// By TLS the cookie's name says that no other host, neighbour or clear connection has put it there.
TEST(SessionApi, OverTlsTheCookieIsThisHostsAlone) {
  House house;
  net::Headers proxied = kPage;
  proxied.add("x-forwarded-proto", "https");
  const auto in = house.browse("POST", "/api/session", proxied, key_body(kReader));
  const std::string set(in.headers.get("set-cookie")), cookie = set.substr(0, set.find(';')), token = cookie.substr(cookie.find('=') + 1);
  EXPECT_TRUE(cookie.starts_with("__Host-ballast_session=")) << set;
  EXPECT_TRUE(set.ends_with("; Secure")) << set;
  const auto ask = [&](std::string_view cookies, std::string_view proto) {
    return house.browse("GET", "/api/budgets", {{"cookie", cookies}, {"x-forwarded-proto", proto}}).status;
  };
  EXPECT_EQ(ask(cookie, "https"), 200);
  EXPECT_EQ(ask("ballast_session=" + token, "https"), 401) << "a neighbour may have set that one";
  EXPECT_EQ(ask("ballast_session=" + token, "http"), 200);
  EXPECT_EQ(ask("ballast_session=" + std::string(43, 'x') + "; " + cookie, "https"), 200);
  const auto out = house.browse("DELETE", "/api/session", {{"cookie", cookie}, {"x-forwarded-proto", "https"}, {"sec-fetch-site", "same-origin"}, {"x-ballast-csrf", in.at("csrf")}});
  EXPECT_EQ(out.status, 204);
  EXPECT_TRUE(out.headers.get("set-cookie").starts_with("__Host-ballast_session=; "));
}

// Signing in again and again fills neither the table nor the room of others.
TEST(SessionApi, OneKeyTakesNobodysRoom) {
  House house;
  Browser admin(house, kAdmin);
  const std::size_t most = house.sessions.options().most_of_a_key;
  for (std::size_t i = 0; i < most + 20; ++i) {
    house.clock.advance(1s);
    ASSERT_EQ(house.browse("POST", "/api/session", kPage, key_body(kCaller)).status, 200);
  }
  const auto rows = house.database->read_now([&](store::Tx& tx) { return records::list_sessions(tx, house.clock.wall(), 1000); });
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->size(), most + 1);
  house.sessions.look();
  house.sessions.follow(*rows);
  EXPECT_EQ(house.sessions.size(), most + 1);
  EXPECT_EQ(admin.ask("GET", "/api/budgets").status, 200);
}

TEST(SessionApi, OneThatAnotherNodeMadeIsFound) {
  House house;
  Sessions elsewhere(house.keys, {});
  const auto made = elsewhere.make(*house.keys.find("config:reader"), kReader, house.clock.wall());
  const net::Headers cookie{{"cookie", "other=1; ballast_session=" + made.token}};
  EXPECT_EQ(house.browse("GET", "/api/budgets", cookie).status, 401);
  ASSERT_TRUE(house.database->write_now([&](store::Tx& tx) { return records::insert_session(tx, made.row); }));
  EXPECT_EQ(house.browse("GET", "/api/budgets", cookie).status, 200);
  house.sessions.look();
  house.sessions.follow({});
  EXPECT_EQ(house.sessions.size(), 0u) << "signed out over there";
}

// A look at the database takes a while, and who signs in is written a while after he asked: neither undoes the other.
TEST(Sessions, WhatChangesDuringALookStaysChanged) {
  House house;
  Sessions here(house.keys, {});
  const WallTime now = house.clock.wall();
  const auto early = here.make(*house.keys.find("config:reader"), kReader, now), gone = here.make(*house.keys.find("config:caller"), kCaller, now);
  ASSERT_TRUE(here.put(gone.row));
  here.look();
  ASSERT_TRUE(here.put(early.row)) << "asked for before the look, committed after it";
  here.drop(gone.row.digest);
  here.follow({gone.row});
  EXPECT_TRUE(here.knows(early.token));
  EXPECT_FALSE(here.knows(gone.token));
  here.look();
  here.follow({early.row});
  EXPECT_EQ(here.size(), 1u);
  here.look();
  here.follow({});
  EXPECT_EQ(here.size(), 0u);
}

TEST(Sessions, AreBounded) {
  House house;
  Sessions few(house.keys, {.most = 3, .most_of_a_key = 2, .asked_a_second = 2});
  const auto open = [&](std::string_view id, std::string_view key) {
    const auto made = few.make(*house.keys.find(id), key, house.clock.wall());
    house.clock.advance(1s);
    return std::pair(made.token, few.put(made.row));
  };
  const auto first = open("config:reader", kReader), second = open("config:reader", kReader), third = open("config:reader", kReader);
  EXPECT_FALSE(few.find(first.first, house.clock.wall())) << "a key's longest unused makes way";
  EXPECT_TRUE(few.find(second.first, house.clock.wall()) && few.find(third.first, house.clock.wall()));
  EXPECT_TRUE(open("config:caller", kCaller).second);
  EXPECT_EQ(open("config:watcher", kWatcher).second.error().code, ErrorCode::internal_unavailable);
  const WallTime now = house.clock.wall();
  EXPECT_TRUE(few.may_ask(now) && few.may_ask(now));
  EXPECT_FALSE(few.may_ask(now));
  EXPECT_EQ(few.take_uses().size(), 2u);
  EXPECT_TRUE(few.take_uses().empty());
}

TEST(Sessions, AddressesAreOfAHousehold) {
  for (const auto& [peer, address] : {std::pair("192.0.2.7:5000", "192.0.2.7"), {"[2001:db8:1:2:3:4:5:6]:80", "2001:db8:1:2"}, {"[2001:db8::6]:80", "2001:db8"}, {"[::1]:80", "::"},
                                        {"[::ffff:192.0.2.7]:80", "192.0.2.7"}})
    EXPECT_EQ(address_of(peer), address) << peer;
}

}  // namespace
}  // namespace ballast::server::test
