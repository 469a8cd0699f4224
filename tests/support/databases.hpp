// Every test of stored things runs on both databases:
//   class LedgerTest : public test::OnBothDatabases {};   TEST_P(LedgerTest, …) { auto& db = database(); … }
//   BALLAST_ON_BOTH_DATABASES(LedgerTest);
#pragma once
#include <gtest/gtest.h>

#include "postgres.hpp"
#include "temp_dir.hpp"
#include "waiting_loop.hpp"

namespace ballast::test {

class OnBothDatabases : public ::testing::TestWithParam<store::Dialect> {
 protected:
  void SetUp() override {
    if (!sqlite()) return use(Postgres::instance());
    url_ = "sqlite:" + (directory_ / "test.db");
    reopen();
  }
  // A fresh database of this server, in place of the one before.
  void use(Postgres* server) {
    if (!server) GTEST_SKIP() << kNoPostgres;
    url_ = server->fresh_url();
    reopen();
  }
  // Closes and opens again, as a restart does.
  void reopen(store::OpenOptions options = {}) {
    database_.reset();
    auto opened = store::open_database(url_, options);
    ASSERT_TRUE(opened) << describe(opened.error());
    database_ = std::move(*opened);
  }
  store::Database& database() { return *database_; }
  const std::string& url() const { return url_; }
  const TempDir& directory() const { return directory_; }
  bool sqlite() const { return GetParam() == store::Dialect::sqlite; }

 private:
  TempDir directory_;
  std::string url_;
  std::unique_ptr<store::Database> database_;
};

}  // namespace ballast::test

#define BALLAST_ON_BOTH_DATABASES(suite)                                                                                        \
  INSTANTIATE_TEST_SUITE_P(Databases, suite, ::testing::Values(::ballast::store::Dialect::sqlite, ::ballast::store::Dialect::postgres), \
                           [](const auto& info) { return info.param == ::ballast::store::Dialect::sqlite ? "SQLite" : "PostgreSQL"; })
