// Keys that are none: they are counted and told of, and whoever has a good one notices nothing.
#include "server/refused_keys.hpp"

#include "api_house.hpp"
#include "records/audit.hpp"

namespace ballast::server::test {
namespace {

std::uint64_t counted(House& house, std::string_view where) { return house.registry.counters("ballast_keys_refused_total", "", {"where"}).with({where}).value(); }

std::vector<records::AuditRow> told(House& house) {
  auto rows = house.database->read_now([](store::Tx& tx) { return records::list_audit(tx, records::admin_chain("0"), 0, 100); });
  EXPECT_TRUE(rows);
  std::erase_if(*rows, [](const auto& r) { return r.entry.action != records::audit::keys_refused; });
  return *rows;
}

TEST(RefusedKeys, WhoHasAGoodKeyIsLetInBesideWhoeverTries) {
  House house;
  for (int i = 0; i < 300; ++i) ASSERT_EQ(house.ask("GET", "/api/breakers", "sk-guess-" + std::to_string(i)).status, 401);
  EXPECT_EQ(house.ask("GET", "/api/breakers", kReader).status, 200);
  EXPECT_EQ(counted(house, "header"), 300u);
}

TEST(RefusedKeys, EveryRoadIsCounted) {
  House house;
  const std::string chat = R"({"model":"m","messages":[{"role":"user","content":"x"}]})";
  EXPECT_EQ(house.ask("POST", "/v1/chat/completions", "sk-guess", chat).status, 401);
  EXPECT_EQ(house.ask("POST", "/v1beta/models/m:generateContent", "sk-guess", R"({"contents":[]})").status, 401);
  EXPECT_EQ(house.ask("GET", "/v1/models", "sk-guess").status, 401);
  EXPECT_EQ(house.ask("GET", "/api/session", "sk-guess").status, 401);
  EXPECT_EQ(house.ask("GET", "/metrics", "sk-guess").status, 401);
  EXPECT_EQ(counted(house, "header"), 5u);
  EXPECT_EQ(house.browse("POST", "/api/session", {{"content-type", "application/json"}}, R"({"key":"sk-guess"})").status, 401);
  EXPECT_EQ(counted(house, "sign_in"), 1u);
}

TEST(RefusedKeys, ThoseWithoutAKeyOrWithoutTheRightAreNoneOfThem) {
  House house;
  EXPECT_EQ(house.ask("GET", "/api/breakers").status, 401);
  EXPECT_EQ(house.ask("GET", "/api/breakers", kCaller).status, 403);
  EXPECT_EQ(house.ask("POST", "/v1/chat/completions", kCaller, R"({"model":"m","messages":[{"role":"user","content":"x"}]})").status, 404);
  EXPECT_EQ(counted(house, "header"), 0u);
}

TEST(RefusedKeys, ABurstIsToldOfOnceInTheAuditTrail) {
  House house;
  for (int i = 0; i < 150; ++i) house.ask("GET", "/api/breakers", "sk-guess", {}, "192.0.2.7:" + std::to_string(5000 + i));
  for (int i = 0; i < 20; ++i) house.ask("GET", "/api/breakers", "sk-old", {}, "192.0.2.8:5000");
  ASSERT_TRUE(tell_bursts(house.refused, *house.database, house.clock.wall()));
  EXPECT_TRUE(told(house).empty()) << "the minute is not over";
  house.clock.advance(1min);
  ASSERT_TRUE(tell_bursts(house.refused, *house.database, house.clock.wall()));
  ASSERT_TRUE(tell_bursts(house.refused, *house.database, house.clock.wall()));
  const auto rows = told(house);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].entry.subject, "192.0.2.7");
  EXPECT_NE(rows[0].entry.outcome.find(R"("refused":170,"addresses":2,"most":[{"address":"192.0.2.7","refused":150},{"address":"192.0.2.8","refused":20}])"), std::string::npos)
      << rows[0].entry.outcome;
}

TEST(RefusedKeys, AFewMistakesAreNoBurst) {
  House house;
  for (int i = 0; i < 99; ++i) house.ask("GET", "/api/breakers", "sk-old");
  house.clock.advance(1min);
  EXPECT_FALSE(house.refused.take(house.clock.wall()));
}

}  // namespace
}  // namespace ballast::server::test
