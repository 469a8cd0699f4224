// Searching: zones let blocks be passed over, never a match; a page may end because it searched enough.
#include <fmt/format.h>

#include <algorithm>

#include "../../support/databases.hpp"
#include "../../support/records_samples.hpp"
#include "base/random.hpp"
#include "records/ledger.hpp"
#include "records/ledger_import.hpp"
#include "records/migrations.hpp"
#include "records/zones.hpp"

namespace ballast::records {
namespace {

WallTime at(std::int64_t ms) { return WallTime(std::chrono::milliseconds(test::kNoonMs + ms)); }

std::vector<CallRecord> random_calls(std::uint64_t n, std::int64_t span_ms) {
  SeededRandom random(31);
  std::vector<CallRecord> out;
  for (std::uint64_t i = 0; i < n; ++i) {
    CallRecord& c = out.emplace_back(test::sample_call(i, static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(span_ms)))));
    c.id.low = i;
    c.user = fmt::format("user-{}", random.below(400));
    c.key_id = fmt::format("key_{}", random.below(5));
    c.feature = random.below(50) ? "search" : fmt::format("rare-{}", random.below(20));
    if (random.below(40) == 0) c.model = "opus";
    c.status = static_cast<CallStatus>(random.below(20) ? 0 : random.below(3));
    if (c.status == CallStatus::failed) c.error = random.below(5) ? "provider_overloaded" : "provider_timeout";
    c.cache = random.below(10) ? CacheState::miss : static_cast<CacheState>(random.below(8));
    c.incurred_nano = c.billed_nano = static_cast<std::int64_t>(std::uint64_t{1} << random.below(34));
    c.latency_us = std::uint64_t{1} << random.below(24);
    c.charges.clear();
    c.attempts.clear();
  }
  std::ranges::sort(out, {}, &CallRecord::id);
  return out;
}

bool matches(const CallRecord& c, const CallFilter& f) {
  const WallTime t = WallTime(std::chrono::milliseconds(c.id.unix_ms()));
  const auto is = [](const std::string& wanted, const std::string& has) { return wanted.empty() || wanted == has; };
  return t >= f.from && t < f.to && is(f.key_id, c.key_id) && is(f.user, c.user) && is(f.feature, c.feature) && is(f.model, c.model) && is(f.error, c.error) &&
         (!f.status || c.status == *f.status) && (!f.cache || c.cache == *f.cache) && (!f.min_cost_nano || c.incurred_nano >= *f.min_cost_nano) &&
         (!f.max_cost_nano || c.incurred_nano <= *f.max_cost_nano) && (!f.min_latency_us || c.latency_us >= *f.min_latency_us) &&
         (!f.max_latency_us || c.latency_us <= *f.max_latency_us);
}

CallFilter random_filter(SeededRandom& random) {
  CallFilter f;
  if (random.below(3) == 0) f.from = at(static_cast<std::int64_t>(random.below(500'000)));
  if (random.below(3) == 0) f.to = at(static_cast<std::int64_t>(500'000 + random.below(500'000)));
  if (random.below(3) == 0) f.user = fmt::format("user-{}", random.below(420));
  if (random.below(5) == 0) f.key_id = fmt::format("key_{}", random.below(6));
  if (random.below(5) == 0) f.feature = fmt::format("rare-{}", random.below(22));
  if (random.below(6) == 0) f.model = "opus";
  if (random.below(5) == 0) f.status = static_cast<CallStatus>(random.below(4));
  if (random.below(6) == 0) f.error = random.below(2) ? "provider_timeout" : "nothing_like_it";
  if (random.below(5) == 0) f.cache = static_cast<CacheState>(random.below(8));
  if (random.below(5) == 0) f.min_cost_nano = static_cast<std::int64_t>(std::uint64_t{1} << random.below(36));
  if (random.below(6) == 0) f.max_cost_nano = static_cast<std::int64_t>(std::uint64_t{1} << random.below(36));
  if (random.below(5) == 0) f.min_latency_us = std::uint64_t{1} << random.below(26);
  if (random.below(6) == 0) f.max_latency_us = std::uint64_t{1} << random.below(26);
  return f;
}

class SearchTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(migrations()));
  }
  void add(const std::vector<CallRecord>& calls) {
    // As the importer finds them: some at a time.
    for (std::size_t i = 0; i < calls.size(); i += 60) {
      const auto some = std::span(calls).subspan(i, std::min<std::size_t>(60, calls.size() - i));
      ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return add_calls(tx, some); }));
    }
  }
  CallPage search(const CallFilter& f, std::size_t limit, std::optional<Id> before, SearchBound bound) {
    auto page = database().read_now([&](store::Tx& tx) { return search_calls(tx, f, limit, before, bound); });
    EXPECT_TRUE(page) << describe(page.error());
    return page ? std::move(*page) : CallPage{};
  }
};

TEST_P(SearchTest, NoPageHidesAMatchWhateverIsAsked) {
  const std::vector<CallRecord> calls = random_calls(3'000, 1'000'000);
  add(calls);
  SeededRandom random(8);
  std::size_t found = 0, short_pages = 0;
  for (int round = 0; round < 150; ++round) {
    const CallFilter f = random_filter(random);
    const std::size_t limit = 1 + random.below(100);
    const SearchBound bound{.blocks = 1 + random.below(60), .bytes = random.below(40'000)};
    std::vector<Id> expected, told;
    for (auto c = calls.rbegin(); c != calls.rend(); ++c)
      if (matches(*c, f)) expected.push_back(c->id);
    std::optional<Id> before;
    for (int pages = 0; pages < 5'000; ++pages) {
      const CallPage page = search(f, limit, before, bound);
      for (const CallRecord& c : page.calls) told.push_back(c.id);
      // What a page says it has searched is told: the newest of what is looked for, newest first.
      const auto searched = std::ranges::partition_point(expected, [&](Id id) { return WallTime(std::chrono::milliseconds(id.unix_ms())) > page.searched_to; });
      ASSERT_GE(std::ssize(told), searched - expected.begin()) << round;
      ASSERT_TRUE(told.size() <= expected.size() && std::equal(told.begin(), told.end(), expected.begin())) << round;
      if (!page.next) break;
      short_pages += page.calls.size() < limit;
      ASSERT_TRUE(!before || *page.next < *before) << "a page moves on";
      before = page.next;
    }
    ASSERT_EQ(told, expected) << round;
    found += told.size();
  }
  EXPECT_GT(found, 1'000u);
  EXPECT_GT(short_pages, 100u);
}

TEST_P(SearchTest, BlocksWithoutAZoneAreRead) {
  const std::vector<CallRecord> calls = random_calls(300, 100'000);
  add(calls);
  ASSERT_TRUE(database().write_now([](store::Tx& tx) { return tx.run("DELETE FROM call_zones"); }));
  const CallFilter f{.user = calls[7].user};
  const auto expected = std::ranges::count_if(calls, [&](const CallRecord& c) { return matches(c, f); });
  EXPECT_EQ(search(f, 100, {}, {}).calls.size(), static_cast<std::size_t>(expected));
}

// Zones come and go with their blocks.
TEST_P(SearchTest, AZoneForEveryBlock) {
  const auto count = [&](const char* sql) { return (*database().read_now([&](store::Tx& tx) { return tx.run(sql); }))[0].integer(0); };
  add(random_calls(1'000, 300'000));
  EXPECT_GT(count("SELECT COUNT(*) FROM call_blocks"), 4);
  EXPECT_EQ(count("SELECT COUNT(*) FROM call_zones"), count("SELECT COUNT(*) FROM call_blocks"));
  ASSERT_TRUE(database().write_now([](store::Tx& tx) { return delete_calls(tx, at(150'000), 300); }));
  EXPECT_EQ(count("SELECT COUNT(*) FROM call_zones"), count("SELECT COUNT(*) FROM call_blocks"));
}

BALLAST_ON_BOTH_DATABASES(SearchTest);

TEST(Zones, PassOverMostBlocksThatHaveNoMatch) {
  const std::vector<CallRecord> calls = random_calls(256, 50'000);
  std::vector<std::string> bytes(calls.size());
  std::vector<EncodedCall> encoded;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    encode(bytes[i], calls[i]);
    encoded.push_back({calls[i].id, bytes[i]});
  }
  const auto blocks = pack(encoded);
  ASSERT_EQ(blocks.size(), 1u);
  EXPECT_LT(blocks[0].zone.size(), 500u);
  int passed = 0;
  for (int i = 0; i < 10'000; ++i) {
    const CallFilter f{.user = fmt::format("stranger-{}", i)};
    passed += ZoneProbe(f).may_match(blocks[0].zone);
  }
  EXPECT_LT(passed, 200) << "one in fifty at most is read in vain";
  SeededRandom random(4);
  const CallFilter f{.user = calls[0].user, .min_latency_us = 1};
  EXPECT_TRUE(ZoneProbe(f).may_match(blocks[0].zone));
  EXPECT_TRUE(ZoneProbe(f).may_match("")) << "without a zone a block is read";
  for (int i = 0; i < 2'000; ++i) {
    std::string zone = blocks[0].zone;
    zone[random.below(zone.size())] = static_cast<char>(random.below(256));
    zone.resize(random.below(zone.size() + 1));
    (void)ZoneProbe(f).may_match(zone);
  }
}

}  // namespace
}  // namespace ballast::records
