// What a page waits for over millions of calls: charts from the rollups, searches past the zones. And what making them costs.
//   bench_records_rollup [sqlite|postgres] [CALLS=5000000]
//   bench_records_rollup soak [sqlite|postgres] [SECONDS=20] [RATE=5000]: imports at that rate, rolls and asks for charts beside it, and watches
//   the memory; fails where it falls behind or the last third's memory is above the middle third's by more than a tenth and 8 MB.
//   bench_records_rollup make sqlite FILE [CALLS=5000000]: leaves the calls, rolled up, and their keys in FILE, the newest of just now: a database
//   that `ballast serve` begins on (tests/ui/test_speed.py looks at it in a browser).
// Keys belong to teams and have a few features, features a route, routes a few models; users are many.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "base/hash.hpp"
#include "records/keys.hpp"
#include "records/ledger.hpp"
#include "records/ledger_import.hpp"
#include "records/rollups.hpp"
#include "records_house.hpp"
#include "records_soak.hpp"

namespace {

using namespace ballast;
using namespace ballast::records;
using bench::must;
using Clocks = std::chrono::steady_clock;

constexpr std::int64_t kBeginMs = 1'793'491'200'000;   // 2026-11-01
constexpr std::int64_t kDayMs = 86'400'000;
constexpr int kDays = 30;
constexpr std::uint64_t kUsers = 100'000, kKeys = 200;

std::uint64_t mixed(std::uint64_t n) {  // splitmix64
  n = (n + 1) * 0x9e3779b97f4a7c15ull;
  n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9ull;
  n = (n ^ (n >> 27)) * 0x94d049bb133111ebull;
  return n ^ (n >> 31);
}
std::uint64_t skewed(std::uint64_t random, std::uint64_t n) {   // 0 … n-1, small numbers far more often
  const double u = static_cast<double>(random >> 11) * 0x1p-53;
  return std::min(n - 1, static_cast<std::uint64_t>(u * u * u * static_cast<double>(n)));
}

std::string key_id(std::uint64_t n) { return fmt::format("key_01jd00000000000000000{:05}", n); }

// A call at this time, number i.
CallRecord call_at(std::uint64_t i, std::int64_t at) {
  const std::uint64_t r = mixed(i);
  static const char* const models[][2] = {{"openai", "gpt-5-mini"}, {"anthropic", "claude-sonnet-4-5"}, {"openai", "gpt-5"}, {"gemini", "gemini-2.5-flash"},
                                          {"anthropic", "claude-haiku-4-5"}, {"gemini", "gemini-2.5-pro"}, {"openai", "gpt-5-nano"}, {"ollama", "llama3.2"}};
  const std::uint64_t key = skewed(mixed(r + 2), kKeys), feature = (key + mixed(r + 5) % 3) % 9, route = feature % 4;
  const auto& model = models[(route * 2 + (mixed(r + 1) % 20 == 0)) % 8];
  const bool hit = r % 10 == 0, failed = !hit && r % 50 == 3;
  CallRecord c;
  c.id = {(static_cast<std::uint64_t>(at) << 16) | (i & 0xffff), r};
  c.key_id = key_id(key);
  c.key_name = fmt::format("app-{}", key);
  c.team = fmt::format("team-{}", key % 12);
  c.user = fmt::format("user-{}", skewed(mixed(r + 4), kUsers));
  c.feature = fmt::format("feature-{}", feature);
  c.route = c.requested_model = fmt::format("route-{}", route);
  c.operation = "chat";
  c.api = "openai_chat";
  c.arrived = WallTime(std::chrono::milliseconds(at));
  c.cache = hit ? CacheState::hit : CacheState::miss;
  c.served_by = hit ? "cache" : std::string(model[0]) + "/" + model[1];
  if (!hit) {
    c.provider = model[0];
    c.model = model[1];
  }
  c.usage = {.input = 200 + r % 4'000, .cached = hit ? 0 : r % 150, .output = 20 + r % 700};
  const auto cost = static_cast<std::int64_t>(c.usage.input * 250 + c.usage.output * 2'000) * (r % 100'000 == 7 ? 1'000 : 1);
  c.incurred_nano = c.billed_nano = hit || failed ? 0 : cost;
  c.saved_nano = hit ? cost : 0;
  c.latency_us = hit ? 900 : 300'000 + r % 4'000'000 * (r % 1'000 == 11 ? 20 : 1);
  c.first_token_us = 120'000 + r % 200'000;
  if (failed) {
    c.status = CallStatus::failed;
    c.error = r % 5'000 == 3 ? "provider_content_filtered" : r % 3 ? "provider_overloaded" : "provider_timeout";
    c.http_status = 503;
  }
  c.trace_id = fmt::format("{:016x}{:016x}", r, mixed(r));
  c.decision = R"([{"at_us":12,"step":"plan","targets":2},{"at_us":15,"step":"hold","nano":300000}])";
  AttemptRecord a{.id = {c.id.high, mixed(r + 6)}, .provider = c.provider, .model = c.model, .credential = "openai#1", .started = c.arrived,
                  .latency_us = c.latency_us, .outcome = failed ? c.error : "ok", .http_status = c.http_status, .usage = c.usage, .incurred_nano = c.incurred_nano};
  if (!hit) c.attempts = {a};
  return c;
}

// In the ten busy hours of its day.
std::int64_t time_of(std::uint64_t i, std::uint64_t all) {
  const std::uint64_t per_day = (all + kDays - 1) / kDays;
  return kBeginMs + static_cast<std::int64_t>(i / per_day) * kDayMs + 28'800'000 + static_cast<std::int64_t>((i % per_day) * 36'000'000 / per_day);
}

void add(store::Database& db, std::uint64_t first, std::uint64_t end, const std::function<std::int64_t(std::uint64_t)>& time) {
  std::vector<std::string> bytes(end - first);
  std::vector<EncodedCall> calls;
  for (std::uint64_t i = first; i < end; ++i) {
    const CallRecord c = call_at(i, time(i));
    encode(bytes[i - first], c);
    calls.push_back({c.id, bytes[i - first]});
  }
  const PreparedCalls prepared = prepare_calls(std::move(calls));
  must(db.write_now([&](store::Tx& tx) { return add_prepared(tx, prepared, true); }));
}

double seconds_since(Clocks::time_point begun) { return std::chrono::duration<double>(Clocks::now() - begun).count(); }

using Question = std::function<Result<std::uint64_t>(store::Tx&, std::uint64_t round)>;   // answers with how much it found
void time_it(store::Database& db, std::string_view what, const Question& question) {
  std::vector<double> ms;
  std::uint64_t found = 0;
  for (std::uint64_t round = 0; round < 21; ++round) {
    const auto begun = Clocks::now();
    found += must(db.read_now([&](store::Tx& tx) { return question(tx, round); }, {.limit = std::chrono::minutes(1)}));
    if (round > 0) ms.push_back(seconds_since(begun) * 1'000);
  }
  std::ranges::sort(ms);
  fmt::print("{:<64} {:>8.1f} {:>8.1f} ms   {}\n", what, ms[10], ms[18], found / 21);
}

Question chart(std::int64_t days, Duration step, std::optional<Dimension> by, std::function<std::vector<std::pair<Dimension, std::string>>(std::uint64_t)> where = {}) {
  return [=](store::Tx& tx, std::uint64_t round) -> Result<std::uint64_t> {
    const WallTime to = WallTime(std::chrono::milliseconds(kBeginMs + kDays * kDayMs));
    auto series = range(tx, {.from = to - std::chrono::hours(24 * days), .to = to, .step = step, .where = where ? where(round) : SeriesQuery{}.where, .by = by, .errors = !by});
    if (!series) return std::unexpected(series.error());
    return series->total.calls;
  };
}
// The pages' charts of everybody end where the clock stands: on no day's, hour's or minute's end.
Question of_users(Duration length, Duration step, std::size_t groups) {
  return [=](store::Tx& tx, std::uint64_t round) -> Result<std::uint64_t> {
    const WallTime to = WallTime(std::chrono::milliseconds(kBeginMs + (kDays - 1) * kDayMs + 57'000'123)) - std::chrono::minutes(round * 11);
    auto series = range(tx, {.from = to - length, .to = to, .step = step, .by = Dimension::user, .groups = groups});
    if (!series) return std::unexpected(series.error());
    return series->total.calls;
  };
}
// As /api/money asks: the days, the time before, and the fifty largest of each kind.
Question money(std::int64_t days) {
  return [=](store::Tx& tx, std::uint64_t round) -> Result<std::uint64_t> {
    using enum Dimension;
    const WallTime to = WallTime(std::chrono::milliseconds(kBeginMs + (kDays - 1) * kDayMs + 57'000'123)) - std::chrono::minutes(round * 11), from = to - std::chrono::hours(24 * days);
    auto series = range(tx, {.from = from, .to = to, .step = std::chrono::hours(24), .errors = true});
    auto before = range(tx, {.from = from - (to - from), .to = from, .errors = true});
    for (const Dimension by : {model, key, user, feature, team, route})
      if (auto some = range(tx, {.from = from, .to = to, .by = by, .groups = 50}); !some) return std::unexpected(some.error());
    if (!series || !before) return std::unexpected(series ? before.error() : series.error());
    return series->total.calls;
  };
}
// And the hours of nine days of each budget that it forecasts, twenty of them.
Question budgets(Dimension of, std::function<std::string(std::uint64_t)> name) {
  return [=](store::Tx& tx, std::uint64_t round) -> Result<std::uint64_t> {
    const WallTime to = WallTime(std::chrono::milliseconds(kBeginMs + (kDays - 1) * kDayMs + 57'000'123)) - std::chrono::minutes(round * 11);
    std::uint64_t calls = 0;
    for (std::uint64_t n = 0; n < 20; ++n) {
      auto series = range(tx, {.from = std::chrono::floor<std::chrono::hours>(to - std::chrono::hours(24 * 9)), .to = to, .step = std::chrono::hours(1), .where = {{of, name(n)}}});
      if (!series) return std::unexpected(series.error());
      calls += series->total.calls;
    }
    return calls;
  };
}
Question search(std::function<CallFilter(std::uint64_t)> filter) {
  return [=](store::Tx& tx, std::uint64_t round) -> Result<std::uint64_t> {
    auto page = search_calls(tx, filter(round), 50);
    if (!page) return std::unexpected(page.error());
    return page->calls.size();
  };
}

void ask(store::Database& db) {
  using std::chrono::hours;
  using std::chrono::minutes;
  const auto key = [](std::uint64_t n) { return key_id(n * 7); };
  fmt::print("{:<64} {:>8} {:>8}\n", "charts", "p50", "p95");
  time_it(db, "30 days by 6 hours, with errors", chart(30, hours(6), {}));
  time_it(db, "30 days by 6 hours, by model", chart(30, hours(6), Dimension::model));
  time_it(db, "30 days by day, by key", chart(30, hours(24), Dimension::key));
  time_it(db, "30 days by day, by user", chart(30, hours(24), Dimension::user));
  time_it(db, "30 days in one, by user", chart(30, {}, Dimension::user));
  time_it(db, "30 days until now by day, by user", of_users(hours(24 * 30), hours(24), 10));
  time_it(db, "30 days until now by 6 hours, by user", of_users(hours(24 * 30), hours(6), 10));
  time_it(db, "30 days until now by day, the 1000 largest users", of_users(hours(24 * 30), hours(24), 1'000));
  time_it(db, "7 days until now by day, by user", of_users(hours(24 * 7), hours(24), 10));
  time_it(db, "7 days until now by hour, by user", of_users(hours(24 * 7), hours(1), 10));
  time_it(db, "12 hours until now by 5 minutes, by user", of_users(hours(12), minutes(5), 10));
  time_it(db, "money of 30 days", money(30));
  time_it(db, "the hours of 20 keys' budgets", budgets(Dimension::key, key));
  time_it(db, "the hours of 20 users' budgets", budgets(Dimension::user, [](std::uint64_t n) { return fmt::format("user-{}", n); }));
  time_it(db, "30 days by 6 hours, of a user", chart(30, hours(6), Dimension::user, [](std::uint64_t n) -> std::vector<std::pair<Dimension, std::string>> { return {{Dimension::user, fmt::format("user-{}", n * 97)}}; }));
  time_it(db, "30 days by 6 hours, of a key by model", chart(30, hours(6), Dimension::model, [=](std::uint64_t n) -> std::vector<std::pair<Dimension, std::string>> { return {{Dimension::key, key(n)}}; }));
  time_it(db, "30 days by day, failed of a team by error", chart(30, hours(24), Dimension::error, [](std::uint64_t) -> std::vector<std::pair<Dimension, std::string>> { return {{Dimension::team, "team-3"}, {Dimension::status, "failed"}}; }));
  time_it(db, "the last day by 15 minutes, by model", chart(1, minutes(15), Dimension::model));
  fmt::print("{:<64} {:>8} {:>8}\n", "a page of 50 calls", "p50", "p95");
  const auto at = [](int day) { return WallTime(std::chrono::milliseconds(kBeginMs + day * kDayMs)); };
  time_it(db, "the newest", search([](std::uint64_t) { return CallFilter{}; }));
  time_it(db, "of a frequent user", search([](std::uint64_t n) { return CallFilter{.user = fmt::format("user-{}", n)}; }));
  time_it(db, "of a rare user", search([](std::uint64_t n) { return CallFilter{.user = fmt::format("user-{}", 99'000 - n * 131)}; }));
  time_it(db, "of a user who never was", search([](std::uint64_t n) { return CallFilter{.user = fmt::format("nobody-{}", n)}; }));
  time_it(db, "of a rare key", search([=](std::uint64_t n) { return CallFilter{.key_id = key(28 - n % 3)}; }));
  time_it(db, "with a rare error", search([](std::uint64_t) { return CallFilter{.error = "provider_content_filtered"}; }));
  time_it(db, "failed", search([](std::uint64_t) { return CallFilter{.status = CallStatus::failed}; }));
  time_it(db, "dearer than almost all", search([](std::uint64_t) { return CallFilter{.min_cost_nano = 500'000'000}; }));
  time_it(db, "slower than almost all", search([](std::uint64_t) { return CallFilter{.min_latency_us = 70'000'000}; }));
  time_it(db, "hits of a key on a day three weeks ago", search([=](std::uint64_t n) { return CallFilter{.from = at(8), .to = at(9), .key_id = key(n), .cache = CacheState::hit}; }));
  time_it(db, "of a key, failed, slow, of one model", search([=](std::uint64_t n) { return CallFilter{.key_id = key(n), .model = "gpt-5", .status = CallStatus::failed, .min_latency_us = 3'000'000}; }));
  time_it(db, "cheaper than a hundredth of a cent, of a model", search([](std::uint64_t) { return CallFilter{.model = "claude-sonnet-4-5", .max_cost_nano = 100'000}; }));
}

std::int64_t now_ms() { return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()).time_since_epoch().count(); }

int soak(std::string_view kind, std::uint64_t seconds, std::uint64_t rate) {
  const bench::House house(kind);
  const auto add_calls = [&](std::uint64_t first, std::uint64_t end, const std::function<std::int64_t(std::uint64_t)>& time) { add(*house.database, first, end, time); };
  return bench::Soak(*house.database, seconds, rate, add_calls).run(kind);
}

void fill(store::Database& db, std::uint64_t all, std::int64_t later_ms) {
  for (std::uint64_t first = 0; first < all; first += 8'192)
    add(db, first, std::min(all, first + 8'192), [&](std::uint64_t i) { return time_of(i, all) + later_ms; });
}

int make(std::string_view kind, const std::string& file, std::uint64_t all) {
  if (kind != "sqlite" || file.empty() || all < 1'000) bench::stop("bench_records_rollup make sqlite FILE [CALLS, at least 1000]");
  const auto database = must(store::open_database("sqlite:" + file));
  must(database->migrate(records::migrations()));
  const std::int64_t until = now_ms();
  must(database->write_now([&](store::Tx& tx) -> Result<void> {
    for (std::uint64_t n = 0; n < kKeys; ++n) {
      const std::string name = fmt::format("app-{}", n);
      if (auto made = insert_key(tx, {.id = key_id(n), .name = name, .digest = sha256(name), .prefix = name, .team = fmt::format("team-{}", n % 12),
                                      .created = WallTime(std::chrono::milliseconds(until - kDays * kDayMs))});
          !made)
        return made;
    }
    return {};
  }));
  fill(*database, all, until - time_of(all - 1, all));
  const std::size_t minutes = must(Roller(*database).roll(WallTime(std::chrono::milliseconds(until))));
  fmt::print("{}: {} calls over {} days, {} minutes rolled\n", file, all, kDays, minutes);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::vector<std::string> args(argv + 1, argv + argc);
  const auto arg = [&](std::size_t n, std::string_view fallback) { return n < args.size() ? args[n] : std::string(fallback); };
  if (arg(0, "") == "make") return make(arg(1, ""), arg(2, ""), std::strtoull(arg(3, "5000000").c_str(), nullptr, 10));
  if (arg(0, "") == "soak") return soak(arg(1, "sqlite"), std::strtoull(arg(2, "20").c_str(), nullptr, 10), std::strtoull(arg(3, "5000").c_str(), nullptr, 10));
  const std::string kind = arg(0, "sqlite");
  const std::uint64_t all = std::strtoull(arg(1, "5000000").c_str(), nullptr, 10);
  if (all < 1'000) bench::stop("bench_records_rollup [sqlite|postgres] [CALLS, at least 1000]");
  const bench::House house(kind);
  store::Database& db = *house.database;
  auto begun = Clocks::now();
  fill(db, all, 0);
  fmt::print("{}: {} calls over {} days; filled in {:.1f} s\n", kind, all, kDays, seconds_since(begun));
  begun = Clocks::now();
  const std::size_t minutes = must(Roller(db).roll(WallTime(std::chrono::milliseconds(kBeginMs + kDays * kDayMs))));
  const double rolled = seconds_since(begun);
  const auto sizes = must(db.read_now([](store::Tx& tx) {
    return tx.run("SELECT (SELECT CAST(SUM(LENGTH(sums)) AS BIGINT) FROM rollups), (SELECT CAST(SUM(LENGTH(cells)) AS BIGINT) FROM rollups), "
                  "(SELECT CAST(SUM(LENGTH(users)) AS BIGINT) FROM rollup_users), (SELECT CAST(SUM(LENGTH(zone)) AS BIGINT) FROM call_zones)");
  }));
  fmt::print("{} minutes rolled in {:.1f} s, {:.2f} µs a call; MB of sums {}, of cells {}, of users {}, of zones {}\n", minutes, rolled,
             rolled * 1e6 / static_cast<double>(all), sizes[0].integer(0) >> 20, sizes[0].integer(1) >> 20, sizes[0].integer(2) >> 20, sizes[0].integer(3) >> 20);
  ask(db);
}
