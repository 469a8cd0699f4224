// What it costs to move a database from a file to PostgreSQL, beside PostgreSQL's own COPY of the same rows into the same tables.
//   bench_store_transfer [ROWS=200000] [ROUNDS=3]
// A round moves all of it into an empty database, then has what arrived copied into another empty one, out of memory, a table at a time and all in one
// transaction: what COPY cannot do without. A move reads the file, adds up every row on both sides and reads back what it wrote. The server is private and
// does not wait for the disk, for neither.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../tests/support/postgres.hpp"
#include "../tests/support/temp_dir.hpp"
#include "must.hpp"
#include "store/postgres/connection.hpp"
#include "store/schema_steps.hpp"
#include "store/transfer.hpp"
#include "store/transfer_side.hpp"

namespace {

using namespace ballast;
using namespace ballast::store;
using bench::must, bench::stop;
using Clocks = std::chrono::steady_clock;

// As jobs and the blocks of calls are: a narrow table with two indexes, and a wide one whose rows are bytes.
constexpr Migration kSchema[] = {
    {"bench", 1, "tables", "CREATE TABLE jobs (id {int} NOT NULL PRIMARY KEY, state {int} NOT NULL, queue {text} NOT NULL, tenant {text} NOT NULL, due_us {int} NOT NULL, input {blob} NOT NULL) {table};\n"
                           "CREATE INDEX jobs_by_state ON jobs (state, due_us);\nCREATE INDEX jobs_by_queue ON jobs (queue, id);\n"
                           "CREATE TABLE blocks (last_id {blob} NOT NULL, first_id {blob} NOT NULL, calls {int} NOT NULL, packed {blob} NOT NULL, PRIMARY KEY (last_id, first_id)) {clustered};\n"},
};
constexpr std::string_view kTables[] = {"blocks", "jobs"};
constexpr std::int64_t kAtOnce = 5'000;
constexpr std::int64_t kJobsInBlock = 50;                  // so many rows of jobs for each block

std::string noise(std::uint64_t seed, std::size_t size) {
  std::string out;
  for (std::uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1; out.size() < size;) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    out.append(reinterpret_cast<const char*>(&x), sizeof x);
  }
  out.resize(size);
  return out;
}

void fill(const std::string& url, std::int64_t rows) {
  auto database = must(open_database(url));
  must(database->migrate(kSchema));
  for (std::int64_t at = 0; at < rows; at += kAtOnce) {
    const std::int64_t end = std::min(rows, at + kAtOnce);
    std::vector<std::string> bytes, names;
    bytes.reserve(static_cast<std::size_t>(3 * kAtOnce)), names.reserve(static_cast<std::size_t>(2 * kAtOnce));
    Batch jobs(6), blocks(4);
    for (std::int64_t i = at; i < end; ++i) {
      const auto seed = static_cast<std::uint64_t>(i);
      names.push_back(fmt::format("queue-{}", i % 7));
      names.push_back(fmt::format("key_01jd00000000000000000{:05}", i % 200));
      bytes.push_back(noise(seed, 100 + seed % 300));
      jobs.add({i * 1'024, i % 5, names[names.size() - 2], names.back(), 1'793'491'200'000'000 + i * 1'000, Value::bytes(bytes.back())});
      if (i % kJobsInBlock != 0) continue;
      for (const std::size_t size : {std::size_t{16}, std::size_t{16}, std::size_t{12'000}}) bytes.push_back(noise(seed + size, size));
      blocks.add({Value::bytes(bytes[bytes.size() - 3]), Value::bytes(bytes[bytes.size() - 2]), 256, Value::bytes(bytes.back())});
    }
    must(database->write_now([&](Tx& tx) -> Result<void> {
      if (auto put = tx.run_many("INSERT INTO jobs (id, state, queue, tenant, due_us, input) VALUES ($1, $2, $3, $4, $5, $6)", jobs); !put) return std::unexpected(put.error());
      auto put = tx.run_many("INSERT INTO blocks (last_id, first_id, calls, packed) VALUES ($1, $2, $3, $4)", blocks);
      return put ? Result<void>{} : std::unexpected(put.error());
    }));
  }
}

double seconds_of(const std::function<void()>& what) {
  const auto begun = Clocks::now();
  what();
  return std::chrono::duration<double>(Clocks::now() - begun).count();
}

double median(std::vector<double> of) {
  std::ranges::sort(of);
  return of[of.size() / 2];
}

std::unique_ptr<PostgresConnection> connected(const std::string& url) { return must(PostgresConnection::open(url, std::chrono::milliseconds(5'000))); }

struct Copied {
  std::vector<std::string> pieces;
  std::size_t bytes = 0;
};
Copied copied_out(const std::string& url, std::string_view table) {
  Copied out;
  must(connected(url)->copy_out(fmt::format("COPY {} TO STDOUT (FORMAT binary)", table), [&](std::string_view piece) -> Result<void> {
    if (out.pieces.empty() || out.pieces.back().size() > 60'000) out.pieces.emplace_back().reserve(1 << 17);
    out.pieces.back() += piece;
    out.bytes += piece.size();
    return {};
  }));
  return out;
}

void copy_in(PostgresConnection& to, std::string_view table, const Copied& rows) {
  auto at = rows.pieces.begin();
  must(to.copy_in(fmt::format("COPY {} FROM STDIN (FORMAT binary)", table),
                  [&]() -> Result<std::string_view> { return at == rows.pieces.end() ? std::string_view() : std::string_view(*at++); }));
}

double move_all(const std::string& from, const std::string& to, TransferReport& report) {
  return seconds_of([&] {
    auto transfer = must(Transfer::open(from, to, {.known = kSchema, .left_out = {}}));
    report = must(transfer->finish());
  });
}

double copy_all(const std::string& from, const std::string& to, std::size_t& bytes) {
  {
    auto database = must(open_database(to, {.readers = 1}));
    must(apply_steps(*database, kSchema));
  }
  std::vector<Copied> tables;
  bytes = 0;
  for (const auto table : kTables) {
    tables.push_back(copied_out(from, table));
    bytes += tables.back().bytes;
  }
  auto connection = connected(to);
  return seconds_of([&] {
    must(connection->simple("BEGIN"));
    for (std::size_t i = 0; i < std::size(kTables); ++i) copy_in(*connection, kTables[i], tables[i]);
    must(connection->simple("COMMIT"));
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t rows = argc > 1 ? std::atoll(argv[1]) : 200'000;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 3;
  if (rows <= 0 || rounds <= 0) stop("bench_store_transfer [ROWS] [ROUNDS]");
  test::Postgres* server = test::Postgres::instance();
  if (!server) stop("PostgreSQL is not installed (apt-get install postgresql)");
  std::vector<double> ratios;
  for (int round = 0; round < rounds; ++round) {
    const test::TempDir folder;                              // a source can be left once
    const std::string from = "sqlite:" + (folder / "from.db"), moved_to = server->fresh_url(), copied_to = server->fresh_url();
    fill(from, rows);
    TransferReport report;
    const double moving = move_all(from, moved_to, report);
    std::size_t bytes = 0;
    const double copying = copy_all(moved_to, copied_to, bytes);
    ratios.push_back(moving / copying);
    fmt::print("{} rows, {:.0f} MB: moved in {:.2f} s ({:.0f} rows/s, {:.0f} MB/s), COPY {:.2f} s: {:.2f} times as long\n", report.rows, static_cast<double>(bytes) / 1e6, moving,
               static_cast<double>(report.rows) / moving, static_cast<double>(bytes) / 1e6 / moving, copying, ratios.back());
  }
  fmt::print("median: {:.2f} times as long as COPY\n", median(ratios));
}
