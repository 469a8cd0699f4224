// Whatever table any room's migrations make is carried by `ballast migrate-store`, or left out by name and with a reason.
#include "app/migrate_store.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "../../support/postgres.hpp"
#include "../../support/temp_dir.hpp"
#include "app/backup.hpp"
#include "store/transfer_side.hpp"

namespace ballast::app {
namespace {

constexpr int kRows = 25;

struct Cells {
  std::vector<std::string> kept;
  std::vector<store::Value> values;
};

Cells row_of(const store::TransferTable& table, int n, std::mt19937_64& random) {
  Cells out;
  out.kept.reserve(table.columns.size());
  for (const auto& column : table.columns) {
    std::string& bytes = out.kept.emplace_back(std::to_string(n) + "é ");
    switch (column.kind) {
      case store::Kind::integer: out.values.emplace_back(static_cast<std::int64_t>(random() >> 12) * 100 + n); break;
      case store::Kind::real: out.values.emplace_back(static_cast<double>(random()) / 7); break;
      case store::Kind::text: out.values.emplace_back(std::string_view(bytes)); break;
      case store::Kind::bytes:
        for (int i = 0; i < n; ++i) bytes += static_cast<char>(random());
        out.values.push_back(store::Value::bytes(bytes));
        break;
      case store::Kind::null: ADD_FAILURE() << table.name << "." << column.name << " is of no kind that both databases have";
    }
  }
  return out;
}

// Rows in every table; returns how many each has then.
std::map<std::string, std::int64_t> fill(store::TransferSide& side) {
  std::map<std::string, std::int64_t> out;
  std::mt19937_64 random(5);
  for (const auto& table : *side.tables()) {
    if (table.name == "schema_migrations") continue;
    std::string places;
    for (std::size_t c = 0; c < table.columns.size(); ++c) places += (c ? ", $" : "$") + std::to_string(c + 1);
    const std::string sql = "INSERT INTO " + store::in_quotes(table.name) + " (" + store::column_list(table) + ") VALUES (" + places + ")";
    for (int n = 0; n < kRows; ++n) {
      const Cells row = row_of(table, n, random);
      const auto put = side.run(sql, row.values);
      EXPECT_TRUE(put) << table.name << ": " << describe(put.error());
    }
    out[table.name] = (*side.run("SELECT COUNT(*) FROM " + store::in_quotes(table.name)))[0].integer(0);
  }
  return out;
}

TEST(MigrateStore, CarriesEveryTableOfEveryRoom) {
  const test::TempDir folder;
  const std::string from = "sqlite:" + (folder / "from.db");
  test::Postgres* server = test::Postgres::instance();
  const std::string to = server ? server->fresh_url() : "sqlite:" + (folder / "to.db");
  const auto known = all_migrations();
  ASSERT_TRUE((*store::open_database(from))->migrate(known));
  std::map<std::string, std::int64_t> filled;
  {
    auto side = store::open_side(from, store::TransferRole::source);
    ASSERT_TRUE(side);
    filled = fill(**side);
  }
  ASSERT_GT(filled.size(), 40u);
  auto transfer = store::Transfer::open(from, to, {.known = known, .left_out = left_out_tables()});
  ASSERT_TRUE(transfer) << describe(transfer.error());
  const auto moved = (*transfer)->finish();
  ASSERT_TRUE(moved) << describe(moved.error());
  EXPECT_TRUE(moved->strangers.empty()) << moved->strangers.front() << " is made by no migration";
  const auto compared = (*transfer)->verify();
  ASSERT_TRUE(compared);
  for (const auto& t : compared->tables) EXPECT_TRUE(t.same()) << t.name;
  transfer->reset();

  auto side = store::open_side(to, store::TransferRole::source);
  ASSERT_TRUE(side);
  for (const auto& [name, rows] : filled) {
    const auto left = std::ranges::find(left_out_tables(), name, &store::LeftOut::table);
    const bool carried = left == left_out_tables().end();
    if (!carried) EXPECT_FALSE(left->why.empty()) << name;
    EXPECT_EQ((*(*side)->run("SELECT COUNT(*) FROM " + store::in_quotes(name)))[0].integer(0), carried ? rows : 0) << name;
  }
}

}  // namespace
}  // namespace ballast::app
