// /api/usage, /api/calls, /api/decisions: who sees what, page by page, and mistakes by name.
#include "api_house.hpp"

namespace ballast::server::test {
namespace {

using ballast::test::call_id;

TEST(RecordsApi, AKeyOfItsOwnSeesItsOwn) {
  House house;
  house.calls("config:watcher", 1, 3);
  house.calls("key_of_another", 10, 4);
  EXPECT_EQ(house.ask("GET", "/api/usage").status, 401);
  EXPECT_EQ(house.ask("GET", "/api/usage", kCaller).status, 403);
  EXPECT_EQ(house.ask("GET", "/api/calls", kWatcher).count("calls"), 3u);
  EXPECT_EQ(house.ask("GET", "/api/calls?key=key_of_another", kWatcher).count("calls"), 3u) << "asking for another's changes nothing";
  EXPECT_EQ(house.ask("GET", "/api/calls", kReader).count("calls"), 7u) << "who may read everything sees all calls";
  EXPECT_EQ(house.ask("GET", "/api/calls", kAdmin).count("calls"), 7u);
  EXPECT_EQ(house.ask("GET", "/api/calls?key=key_of_another", kAdmin).count("calls"), 4u);
  const std::string mine = "/api/decisions/" + to_string(call_id(1), "call"), theirs = "/api/decisions/" + to_string(call_id(10), "call");
  EXPECT_EQ(house.ask("GET", mine, kWatcher).status, 200);
  EXPECT_EQ(house.ask("GET", theirs, kWatcher).status, 404) << "not found, not forbidden";
  EXPECT_EQ(house.ask("GET", theirs, kAdmin).status, 200);
}

TEST(RecordsApi, UsageAddsUpAndGroups) {
  House house;
  house.calls("key_a", 1, 3);
  house.calls("key_b", 10, 2);
  const auto all = house.ask("GET", "/api/usage", kAdmin).body().as_object().at("rows").as_array();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].as_object().at("calls").to_number<int>(), 5);
  EXPECT_EQ(all[0].as_object().at("billed_usd").as_string(), "0.000625000");
  EXPECT_EQ(house.ask("GET", "/api/usage?by=key,hour", kAdmin).count("rows"), 2u);
  EXPECT_EQ(house.ask("GET", "/api/usage?by=key&from=2026-11-21T12:01:00Z&to=2026-11-21T12:02:00Z", kAdmin).count("rows"), 2u);
  EXPECT_EQ(house.ask("GET", "/api/usage?by=key&from=2026-11-21T12:02:00Z", kAdmin).count("rows"), 1u);
}

TEST(RecordsApi, EveryPageComesOnceAndTheLastSaysSo) {
  House house;
  house.calls("key_a", 1, 7);
  std::vector<std::string> seen;
  std::string next;
  for (int page = 0; page < 10; ++page) {
    const auto answer = house.ask("GET", "/api/calls?limit=3" + (next.empty() ? "" : "&before=" + next), kAdmin);
    ASSERT_EQ(answer.status, 200) << answer.text;
    const json::value body = answer.body();
    for (const auto& call : body.as_object().at("calls").as_array()) seen.emplace_back(call.as_object().at("id").as_string());
    next = answer.at("next");
    if (next.empty()) break;
  }
  ASSERT_EQ(seen.size(), 7u);
  EXPECT_TRUE(std::ranges::is_sorted(seen, std::greater())) << "newest first";
  EXPECT_EQ(std::ranges::adjacent_find(seen), seen.end());
  const auto usage = house.ask("GET", "/api/usage?by=hour,status&limit=1", kAdmin);
  EXPECT_EQ(usage.at("next_offset"), "1");
  EXPECT_EQ(house.ask("GET", "/api/usage?by=hour,status&limit=1&offset=1", kAdmin).at("next_offset"), "");
}

TEST(RecordsApi, BadInputNamesItsField) {
  House house;
  struct Row { const char *target, *field; };
  for (const auto& [target, field] : {Row{"/api/usage?by=planet", "by"}, {"/api/usage?by=key,", "by"}, {"/api/usage?from=yesterday", "from"}, {"/api/usage?to=2026-02-30", "to"},
                                      {"/api/usage?limit=-1", "limit"}, {"/api/usage?limit=10001", "limit"}, {"/api/usage?limit=0", "limit"},
                                      {"/api/usage?offset=x", "offset"}, {"/api/calls?limit=0", "limit"},
                                      {"/api/calls?limit=1001", "limit"}, {"/api/calls?from=x", "from"}, {"/api/calls?before=call_", "before"},
                                      {"/api/decisions/nothing", "id"}, {"/api/decisions/", "id"}, {"/api/decisions/key_01jd0000000000000000000001", "id"}})
    expect_problem(house.ask("GET", target, kAdmin), 400, field, target);
  EXPECT_EQ(house.ask("GET", "/api/decisions/" + to_string(call_id(99), "call"), kAdmin).status, 404);
  EXPECT_EQ(house.ask("POST", "/api/usage", kAdmin).status, 405);
}

TEST(RecordsApi, ACallJustAnsweredIsWaitedForAndThenNotFound) {
  House house;
  const Id now{static_cast<std::uint64_t>(unix_ms(house.clock.wall())) << 16, 1};
  const MonoTime before = house.clock.mono();
  EXPECT_EQ(house.ask("GET", "/api/decisions/" + to_string(now, "call"), kAdmin).status, 404);
  EXPECT_GE(house.clock.mono() - before, 3s) << "the importer had time to bring it";
}

// An export takes its time: it ends with the right to it.
TEST(RecordsApi, AnExportEndsWithItsKey) {
  House house;
  std::vector<records::CallRecord> calls;
  for (std::uint64_t i = 0; i < 1200; ++i) calls.push_back(ballast::test::sample_call(i, static_cast<std::int64_t>(i)));
  ASSERT_TRUE(house.database->write_now([&](store::Tx& tx) { return records::add_calls(tx, calls); }));
  const auto made = house.ask("POST", "/api/keys", kAdmin, R"({"name":"eye","scopes":["read"]})");
  const auto lines = [](const std::string& text) { return std::ranges::count(text, '\n'); };
  const auto [cut, all] = house.stream("/api/calls/export", made.at("secret"), [](std::string_view) { return true; });
  EXPECT_FALSE(cut);
  EXPECT_EQ(lines(all), 1200);
  const auto [ended, some] = house.stream("/api/calls/export", made.at("secret"), [&](std::string_view) { return house.keys.revoke(made.at("id")).has_value(); });
  EXPECT_TRUE(ended) << "half is not told as all";
  EXPECT_EQ(lines(some), 1000);
}

// Of an answer with what callers named in it, a browser makes no page.
TEST(RecordsApi, TypesAreNotGuessed) {
  House house;
  for (const char* path : {"/api/calls", "/api/nothing", "/v1/nothing", "/healthz", "/api/session", "/openapi.json"})
    EXPECT_EQ(house.ask("GET", path, kReader).headers.get("x-content-type-options"), "nosniff") << path;
}

}  // namespace
}  // namespace ballast::server::test
