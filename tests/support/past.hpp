// A database as it was a moment ago: what a standby has that takes over and had not heard of the rest.
#pragma once
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "store/database.hpp"

namespace ballast::test {

// Of all tables that there are. Nobody else writes meanwhile.
class Past {
 public:
  explicit Past(store::Database& database) : database_(database) {
    static constexpr store::Statement all("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'past_of_%'",
                                          "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename NOT LIKE 'past_of_%'");
    auto rows = database_.read_now([](store::Tx& tx) { return tx.run(all); });
    EXPECT_TRUE(rows);
    if (!rows) return;
    for (const store::Row r : *rows) tables_.push_back(r.string(0));
    for (const auto& t : tables_) {
      run("DROP TABLE IF EXISTS past_of_" + t);
      run("CREATE TABLE past_of_" + t + " AS SELECT * FROM " + t);
    }
  }
  void come_back() {
    for (const auto& t : tables_) {
      run("DELETE FROM " + t);
      run("INSERT INTO " + t + " SELECT * FROM past_of_" + t);
    }
  }

 private:
  void run(std::string sql) {
    static std::deque<std::string> texts;                // statements borrow them
    const std::string& text = texts.emplace_back(std::move(sql));
    auto done = database_.write_now([&](store::Tx& tx) { return tx.run(store::Statement(std::string_view(text))); });
    EXPECT_TRUE(done) << text << (done ? "" : describe(done.error()));
  }
  store::Database& database_;
  std::vector<std::string> tables_;
};

}  // namespace ballast::test
