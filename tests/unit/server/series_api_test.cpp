// /api/series and the rows of /api/calls: what pages read, and mistakes by name.
#include "api_house.hpp"
#include "records/rollups.hpp"
#include "server/stat_json.hpp"

namespace ballast::server::test {
namespace {

constexpr std::string_view kDay = "from=2026-11-21T00:00:00Z&to=2026-11-22T00:00:00Z";

TEST(SeriesApi, AddsUpWhatWasCalledRolledOrNot) {
  House house;
  house.calls("key_a", 1, 90);
  house.calls("key_b", 100, 30);
  std::string before;
  for (const bool rolled : {false, true}) {
    if (rolled) ASSERT_TRUE(records::Roller(*house.database).roll(house.clock.wall()));
    const auto answer = house.ask("GET", "/api/series?" + std::string(kDay) + "&step=1h&by=key", kReader);
    ASSERT_EQ(answer.status, 200) << answer.text;
    const json::value body = answer.body();
    const auto& o = body.as_object();
    EXPECT_EQ(o.at("starts").as_array().size(), 24u);
    EXPECT_EQ(o.at("step_seconds").to_number<int>(), 3600);
    EXPECT_EQ(o.at("total").as_object().at("calls").to_number<int>(), 120);
    EXPECT_EQ(o.at("total").as_object().at("billed_usd").as_string(), "0.015000000");
    const auto& groups = o.at("groups").as_array();
    ASSERT_EQ(groups.size(), 2u);
    EXPECT_EQ(groups[0].as_object().at("name").as_string(), "key_a");
    const auto& buckets = groups[0].as_object().at("buckets").as_array();
    EXPECT_EQ(buckets[12].as_object().at("calls").to_number<int>(), 60);
    EXPECT_EQ(buckets[13].as_object().at("calls").to_number<int>(), 30);
    EXPECT_TRUE(buckets[14].as_object().at("latency_ms").is_null());
    const double p95 = buckets[12].as_object().at("latency_ms").as_object().at("p95").to_number<double>();
    EXPECT_NEAR(p95, 812, 812 * records::kSketchError);
    if (rolled) EXPECT_EQ(answer.text, before) << "rolled up or not, the same";
    before = answer.text;
  }
}

TEST(SeriesApi, FiltersAndSteps) {
  House house;
  house.calls("key_a", 1, 3);
  const auto calls = [&](std::string filter) {
    const auto answer = house.ask("GET", "/api/series?" + std::string(kDay) + filter, kReader);
    EXPECT_EQ(answer.status, 200) << answer.text;
    return answer.body().as_object().at("total").as_object().at("calls").to_number<int>();
  };
  EXPECT_EQ(calls("&key=key_a&status=ok"), 3);
  EXPECT_EQ(calls("&key=key_b"), 0);
  EXPECT_EQ(calls("&user=alice&model=gpt-5-mini"), 3);
  EXPECT_EQ(calls("&error="), 3) << "an empty value is a value";
  const auto answer = house.ask("GET", "/api/series?from=2026-11-21T00:10:00Z&to=2026-11-21T02:00:00Z&by=model", kReader);
  EXPECT_LE(answer.count("starts"), 120u);
  EXPECT_GE(answer.count("starts"), 50u);
  EXPECT_EQ(house.ask("GET", "/api/series", kReader).status, 200);
  EXPECT_EQ(house.ask("GET", "/api/series", kCaller).status, 403);
  EXPECT_EQ(house.ask("GET", "/api/series").status, 401);
}

TEST(SeriesApi, BadInputNamesItsField) {
  House house;
  struct Row { const char *target, *field; };
  for (const auto& [target, field] : {Row{"/api/series?by=planet", "by"}, {"/api/series?from=x", "from"}, {"/api/series?to=x", "to"}, {"/api/series?step=90s", "step"},
                                      {"/api/series?step=0", "step"}, {"/api/series?step=soon", "step"}, {"/api/series?groups=0", "groups"}, {"/api/series?groups=1001", "groups"},
                                      {"/api/series?from=2026-11-23&to=2026-11-22", "from"}, {"/api/series?from=2020-01-01&step=1m", "step"},
                                      {"/api/series?to=9999-12-31", "to"}, {"/api/series?from=0001-01-01", "from"},
                                      {"/api/calls?view=all", "view"}, {"/api/calls?status=well", "status"}, {"/api/calls?cache=warm", "cache"},
                                      {"/api/calls?min_cost=dear", "min_cost"}, {"/api/calls?max_cost=1e3", "max_cost"}, {"/api/calls?min_latency=-1", "min_latency"},
                                      {"/api/calls?max_latency=1.5", "max_latency"}})
    expect_problem(house.ask("GET", target, kAdmin), 400, field, target);
}

// There was nothing before 1970, and an id before the first must not be the last.
TEST(SeriesApi, TheEdgesOfTimeAreEmpty) {
  House house;
  house.calls("key_a", 1, 3);
  for (const char* target : {"/api/series?to=1970-01-01", "/api/series?to=1970-01-01T00:00:01Z&step=1m", "/api/series?from=2199-12-01&to=2199-12-31", "/api/series?to=1970-01-01&by=key"}) {
    const auto answer = house.ask("GET", target, kReader);
    ASSERT_EQ(answer.status, 200) << target << answer.text;
    EXPECT_EQ(answer.body().as_object().at("total").as_object().at("calls").to_number<int>(), 0) << target;
  }
  const auto money = house.ask("GET", "/api/money?from=1970-01-01&to=1970-01-02", kReader);
  ASSERT_EQ(money.status, 200) << money.text;
  EXPECT_EQ(money.body().as_object().at("before").as_object().at("calls").to_number<int>(), 0);
}

TEST(Money, IsToldByWhatWasAskedFor) {
  House house;
  house.calls("key_a", 1, 3);
  const auto by = [&](const std::string& asked) {
    const auto answer = house.ask("GET", "/api/money?from=2026-11-01" + asked, kReader);
    EXPECT_EQ(answer.status, 200) << answer.text;
    std::map<std::string, std::size_t> rows;
    const json::value body = answer.body();
    for (const auto& each : body.as_object().at("by").as_object()) rows[each.key()] = each.value().as_array().size();
    return rows;
  };
  using Rows = std::map<std::string, std::size_t>;
  EXPECT_EQ(by("&by=key"), (Rows{{"key", 1}}));
  EXPECT_EQ(by("&by=model,%20flow"), (Rows{{"model", 1}, {"flow", 0}}));
  EXPECT_EQ(by("").size(), 7u);
  for (const char* bad : {"planet", "model,", "model,planet"}) expect_problem(house.ask("GET", "/api/money?by=" + std::string(bad), kReader), 400, "by", bad);
}

TEST(CallRows, AreShortFilteredAndPaged) {
  House house;
  house.calls("config:watcher", 1, 5);
  house.calls("key_a", 10, 4);
  const auto all = house.ask("GET", "/api/calls?view=row&limit=3", kReader);
  ASSERT_EQ(all.status, 200) << all.text;
  const json::value body = all.body();
  const auto& row = body.as_object().at("calls").as_array().at(0).as_object();
  EXPECT_EQ(row.at("model").as_string(), "gpt-5-mini");
  EXPECT_EQ(row.at("latency_ms").to_number<double>(), 812);
  EXPECT_EQ(row.at("incurred_usd").as_string(), "0.000125000");
  EXPECT_EQ(row.at("attempts").to_number<int>(), 1);
  EXPECT_FALSE(row.contains("decision"));
  EXPECT_FALSE(all.at("next").empty());
  EXPECT_EQ(house.ask("GET", "/api/calls?view=row&limit=100&before=" + all.at("next"), kReader).count("calls"), 6u);
  EXPECT_EQ(house.ask("GET", "/api/calls?view=row", kWatcher).count("calls"), 5u) << "a key of scope usage sees its own";
  EXPECT_EQ(house.ask("GET", "/api/calls?view=row", kCaller).status, 403);
  for (const auto& [filter, n] : {std::pair("status=ok&cache=miss&min_cost=0.0001&max_cost=0.000125&min_latency=800&max_latency=900", 9u),
                                  {"min_cost=0.000126", 0u}, {"max_latency=811", 0u}, {"error=provider_error", 0u}, {"key=key_a", 4u}})
    EXPECT_EQ(house.ask("GET", "/api/calls?view=row&" + std::string(filter), kAdmin).count("calls"), n) << filter;
  EXPECT_EQ(house.ask("GET", "/api/calls?view=row&from=2026-11-21T00:00:00Z", kReader).at("searched_to"), "2026-11-21T00:00:00.000Z");
}

TEST(ChartSteps, ArePlainAndFewEnough) {
  const WallTime from = WallTime(std::chrono::milliseconds(ballast::test::kNoonMs));
  for (const auto& [span, step] : {std::pair<Duration, Duration>(1h, 1min), {2h, 2min}, {24h, 15min}, {24h * 30, 12h}, {24h * 365, 24h * 7}}) {
    EXPECT_EQ(chart_step(from, from + span, 120), step) << span.count();
  }
  for (std::int64_t hours = 1; hours < 24 * 4'000; hours = hours * 3 / 2 + 1)
    EXPECT_LE((std::chrono::hours(hours)) / chart_step(from, from + std::chrono::hours(hours), 120) + 2, 121) << hours;
}

}  // namespace
}  // namespace ballast::server::test
