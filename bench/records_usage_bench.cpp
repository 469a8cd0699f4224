// What reading the ledger costs when it holds millions of calls, beside a plain table with a row for every call and an index on time:
// the same calls, the same questions, in the same run. Medians of five.
//   bench_records_usage [sqlite|postgres] [CALLS=1000000] [TOGETHER=256]
// TOGETHER: how many calls the importer finds at once; 1 is the gateway that is asked once in a while.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "records/ledger.hpp"
#include "records/ledger_import.hpp"
#include "records_house.hpp"

namespace {

using namespace ballast;
using namespace ballast::records;
using bench::must;

constexpr std::int64_t kBeginMs = 1'793'491'200'000;   // 2026-11-01
constexpr std::int64_t kDayMs = 86'400'000;
constexpr int kDays = 30, kUsers = 5'000;

std::uint64_t mixed(std::uint64_t n) {  // splitmix64
  n = (n + 1) * 0x9e3779b97f4a7c15ull;
  n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9ull;
  n = (n ^ (n >> 27)) * 0x94d049bb133111ebull;
  return n ^ (n >> 31);
}
// 0 … n-1, small numbers far more often: as keys, users and models are used.
std::uint64_t skewed(std::uint64_t random, std::uint64_t n) {
  const double u = static_cast<double>(random >> 11) * 0x1p-53;
  return std::min(n - 1, static_cast<std::uint64_t>(u * u * u * static_cast<double>(n)));
}

// The i-th of all calls: in the ten busy hours of its day, a fiftieth of them after a failed attempt elsewhere, a tenth from the cache.
CallRecord call_at(std::uint64_t i, std::uint64_t all) {
  const std::uint64_t r = mixed(i), per_day = (all + kDays - 1) / kDays;
  const auto in_day = static_cast<std::int64_t>((i % per_day) * 36'000'000 / per_day);
  const std::int64_t at = kBeginMs + static_cast<std::int64_t>(i / per_day) * kDayMs + 28'800'000 + in_day;
  static const char* const models[][2] = {{"openai", "gpt-5-mini"}, {"anthropic", "claude-sonnet-4-5"}, {"openai", "gpt-5"}, {"gemini", "gemini-2.5-flash"},
                                          {"anthropic", "claude-haiku-4-5"}, {"gemini", "gemini-2.5-pro"}, {"openai", "gpt-5-nano"}, {"ollama", "llama3.2"}};
  const auto& model = models[skewed(mixed(r + 1), 8)];
  const bool hit = r % 10 == 0;
  CallRecord c;
  c.id = {(static_cast<std::uint64_t>(at) << 16) | (i & 0xffff), r};
  c.key_id = fmt::format("key_01jd00000000000000000{:05}", skewed(mixed(r + 2), 200));
  c.key_name = "app";
  c.team = fmt::format("team-{}", skewed(mixed(r + 3), 12));
  c.user = fmt::format("user-{}", skewed(mixed(r + 4), kUsers));
  c.feature = fmt::format("feature-{}", skewed(mixed(r + 5), 9));
  c.route = c.requested_model = "chat";
  c.operation = "chat";
  c.api = "openai_chat";
  c.arrived = WallTime(std::chrono::milliseconds(at));
  c.cache = hit ? CacheState::hit : CacheState::miss;
  c.served_by = std::string(model[0]) + "/" + model[1];
  c.provider = model[0];
  c.model = model[1];
  c.usage = {.input = 200 + r % 4'000, .cached = hit ? 0 : r % 150, .output = 20 + r % 700};
  c.incurred_nano = c.billed_nano = hit ? 0 : static_cast<std::int64_t>(c.usage.input * 250 + c.usage.output * 2'000);
  c.latency_us = 300'000 + r % 4'000'000;
  c.first_token_us = 120'000 + r % 200'000;
  c.trace_id = fmt::format("{:016x}{:016x}", r, mixed(r));
  c.decision = R"([{"at_us":12,"step":"plan","targets":2},{"at_us":15,"step":"hold","nano":300000}])";
  AttemptRecord a;
  a.id = {c.id.high, mixed(r + 6)};
  a.provider = c.provider;
  a.model = c.model;
  a.credential = "openai#1";
  a.started = c.arrived;
  a.latency_us = c.latency_us;
  a.http_status = 200;
  a.usage = c.usage;
  a.incurred_nano = c.incurred_nano;
  if (!hit) c.attempts = {a};
  if (!hit && r % 50 == 1) {
    c.attempts.insert(c.attempts.begin(), a);
    c.attempts[0].outcome = "provider_overloaded";
    c.attempts[0].http_status = 503;
    c.attempts[0].incurred_nano = 0;
  }
  return c;
}

constexpr std::string_view kPeerTable =
    "CREATE TABLE peer (id {blob} NOT NULL PRIMARY KEY, at_ms {int} NOT NULL, key_id {text} NOT NULL, user_id {text} NOT NULL, feature {text} NOT NULL, "
    "team {text} NOT NULL, route {text} NOT NULL, operation {text} NOT NULL, provider {text} NOT NULL, model {text} NOT NULL, status {int} NOT NULL, "
    "cache {int} NOT NULL, incurred {int} NOT NULL, billed {int} NOT NULL, input {int} NOT NULL, cached {int} NOT NULL, output {int} NOT NULL, "
    "latency_us {int} NOT NULL, detail {blob} NOT NULL) {table};\nCREATE INDEX peer_by_time ON peer (at_ms);\n";

void fill(store::Database& db, std::uint64_t all, std::size_t together) {
  static constexpr store::Migration peer[] = {{"peer", 1, "a row for every call", kPeerTable}};
  must(db.migrate(peer));
  for (std::uint64_t first = 0; first < all; first += 8'192) {
    const std::uint64_t end = std::min(all, first + 8'192);
    std::vector<CallRecord> records;
    std::vector<std::string> bytes(end - first), ids;
    std::vector<EncodedCall> calls;
    ids.reserve(bytes.size());
    for (std::uint64_t i = first; i < end; ++i) {
      records.push_back(call_at(i, all));
      encode(bytes[i - first], records.back());
      calls.push_back({records.back().id, bytes[i - first]});
      ids.push_back(to_bytes(records.back().id));
    }
    must(db.write_now([&](store::Tx& tx) -> Result<bool> {
      for (std::size_t at = 0; at < calls.size(); at += together) {
        const auto some = std::span(calls).subspan(at, std::min(together, calls.size() - at));
        if (auto added = add_prepared(tx, prepare_calls({some.begin(), some.end()}), true); !added) return std::unexpected(added.error());
      }
      store::Batch rows(19);
      for (std::size_t i = 0; i < records.size(); ++i) {
        const CallRecord& c = records[i];
        rows.add({store::Value::bytes(ids[i]), c.id.unix_ms(), c.key_id, c.user, c.feature, c.team, c.route, c.operation, c.provider, c.model,
                  static_cast<std::int64_t>(c.status), static_cast<std::int64_t>(c.cache), c.incurred_nano, c.billed_nano,
                  static_cast<std::int64_t>(c.usage.input), static_cast<std::int64_t>(c.usage.cached), static_cast<std::int64_t>(c.usage.output),
                  static_cast<std::int64_t>(c.latency_us), store::Value::bytes(bytes[i])});
      }
      auto done = tx.run_many("INSERT INTO peer VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19)", rows);
      if (!done) return std::unexpected(done.error());
      return true;
    }));
  }
}

using Question = std::function<Result<std::uint64_t>(store::Tx&)>;   // answers with a number that both must agree on

double median_ms(store::Database& db, const Question& question, std::uint64_t& answer) {
  std::vector<double> ms;
  for (int i = 0; i < 5; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    answer = must(db.read_now([&](store::Tx& tx) { return question(tx); }, {.limit = std::chrono::minutes(5)}));
    ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count());
  }
  std::sort(ms.begin(), ms.end());
  return ms[2];
}

void compare(store::Database& db, std::string_view what, const Question& ours, const Question& theirs) {
  std::uint64_t here = 0, there = 0;
  const double a = median_ms(db, ours, here), b = median_ms(db, theirs, there);
  fmt::print("{:<44} {:>9.2f} ms {:>9.2f} ms   {:>6.2f}{}\n", what, a, b, a / b, here == there ? "" : fmt::format("   DIFFER: {} {}", here, there));
}

Question usage_of(std::vector<GroupBy> by, CallFilter filter = {}) {
  return [=](store::Tx& tx) -> Result<std::uint64_t> {
    auto rows = usage(tx, {.filter = filter, .by = by, .limit = 100'000});
    if (!rows) return std::unexpected(rows.error());
    std::uint64_t sum = 0;
    for (const UsageRow& r : *rows) sum += static_cast<std::uint64_t>(r.billed_nano);
    return sum + rows->size();
  };
}
Question sql(std::string group, std::string where = "at_ms >= 0") {
  return [=](store::Tx& tx) -> Result<std::uint64_t> {
    const std::string text = "SELECT " + group + " AS what, COUNT(*), SUM(CASE WHEN status IN (1, 3) THEN 1 ELSE 0 END), SUM(CASE WHEN cache >= 2 THEN 1 ELSE 0 END), "
                       "CAST(SUM(incurred) AS BIGINT), CAST(SUM(billed) AS BIGINT), CAST(SUM(input) AS BIGINT), CAST(SUM(cached) AS BIGINT), "
                       "CAST(SUM(output) AS BIGINT), CAST(SUM(latency_us) AS BIGINT) FROM peer WHERE " + where + " GROUP BY 1 ORDER BY 1";
    auto rows = tx.run(store::Statement(std::string_view(text)));
    if (!rows) return std::unexpected(rows.error());
    std::uint64_t sum = 0;
    for (const store::Row r : *rows) sum += static_cast<std::uint64_t>(r.integer(5));
    return sum + rows->size();
  };
}
Question listing(CallFilter filter) {
  return [=](store::Tx& tx) -> Result<std::uint64_t> {
    auto calls = list_calls(tx, filter, 100);
    if (!calls) return std::unexpected(calls.error());
    return calls->size();
  };
}
Question rows_of(std::string where) {
  return [=](store::Tx& tx) -> Result<std::uint64_t> {
    const std::string text = "SELECT detail FROM peer WHERE " + where + " ORDER BY at_ms DESC LIMIT 100";
    auto rows = tx.run(store::Statement(std::string_view(text)));
    if (!rows) return std::unexpected(rows.error());
    for (const store::Row r : *rows)
      if (auto call = decode_call(r.bytes(0)); !call) return std::unexpected(call.error());
    return rows->size();
  };
}

void ask(store::Database& db, std::uint64_t all) {
  fmt::print("{:<44} {:>12} {:>12}   {:>6}\n", "", "blocks", "rows", "ratio");
  const auto day = [](int n) { return WallTime(std::chrono::milliseconds(kBeginMs + n * kDayMs)); };
  compare(db, "usage of the month by key", usage_of({GroupBy::key}), sql("key_id"));
  compare(db, "usage of the month by model", usage_of({GroupBy::model}), sql("model"));
  compare(db, "usage of the month by user", usage_of({GroupBy::user}), sql("user_id"));
  compare(db, "usage of the month by day", usage_of({GroupBy::day}), sql("at_ms / 86400000"));
  compare(db, "usage of the month by key, of one user", usage_of({GroupBy::key}, {.user = "user-4321"}), sql("key_id", "user_id = 'user-4321'"));
  const std::string one_day = fmt::format("at_ms >= {} AND at_ms < {}", kBeginMs + 20 * kDayMs, kBeginMs + 21 * kDayMs);
  compare(db, "usage of a day by key", usage_of({GroupBy::key}, {.from = day(20), .to = day(21)}), sql("key_id", one_day));
  std::vector<Id> ids;
  for (std::uint64_t i = 0; i < 100; ++i) ids.push_back(call_at(mixed(i) % all, all).id);
  compare(db, "100 decisions by id", [&](store::Tx& tx) -> Result<std::uint64_t> {
    for (const Id id : ids)
      if (auto call = get_call(tx, id); !call) return std::unexpected(call.error());
    return 100;
  }, [&](store::Tx& tx) -> Result<std::uint64_t> {
    for (const Id id : ids) {
      const std::string bytes = to_bytes(id);
      auto row = tx.run("SELECT detail FROM peer WHERE id = $1", {store::Value::bytes(bytes)});
      if (!row) return std::unexpected(row.error());
      if (auto call = decode_call((*row)[0].bytes(0)); !call) return std::unexpected(call.error());
    }
    return 100;
  });
  compare(db, "the newest 100 calls", listing({}), rows_of("at_ms >= 0"));
  compare(db, "the newest 100 calls of a frequent user", listing({.user = "user-3"}), rows_of("user_id = 'user-3'"));
  compare(db, "the newest 100 calls of a rare user", listing({.user = "user-4321"}), rows_of("user_id = 'user-4321'"));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string kind = argc > 1 ? argv[1] : "sqlite";
  const std::uint64_t all = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  const std::size_t together = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 256;
  if (all < 1'000 || together < 1) bench::stop("bench_records_usage [sqlite|postgres] [CALLS, at least 1000] [TOGETHER]");
  const bench::House house(kind);
  store::Database& db = *house.database;
  const auto begun = std::chrono::steady_clock::now();
  fill(db, all, together);
  fmt::print("{}: {} calls over {} days, {} imported together; filled in {:.1f} s\n", kind, all, kDays, together,
             std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  const auto blocks = must(db.read_now([](store::Tx& tx) { return tx.run("SELECT COUNT(*), CAST(SUM(LENGTH(summary)) AS BIGINT), CAST(SUM(LENGTH(details)) AS BIGINT) FROM call_blocks"); }));
  fmt::print("{} blocks; bytes a call: {} of summary, {} of details\n", blocks[0].integer(0), blocks[0].integer(1) / static_cast<std::int64_t>(all),
             blocks[0].integer(2) / static_cast<std::int64_t>(all));
  ask(db, all);
}
