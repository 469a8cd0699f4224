// What the programs that measure records share: a database in a temporary place.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "../tests/support/postgres.hpp"
#include "../tests/support/temp_dir.hpp"
#include "must.hpp"
#include "records/migrations.hpp"

namespace ballast::bench {

// The ledger's tables in a fresh database; `kind` is sqlite or postgres, else the program ends and says so.
class House {
 public:
  explicit House(std::string_view kind) {
    if (kind != "sqlite" && kind != "postgres") stop("the database is sqlite or postgres");
    if (kind == "postgres" && !test::Postgres::instance()) stop("PostgreSQL is not installed (apt-get install postgresql)");
    url_ = kind == "sqlite" ? "sqlite:" + (folder / "bench.db") : test::Postgres::instance()->fresh_url();
    reopen();
    must(database->migrate(records::migrations()));
  }
  void reopen() {
    database.reset();
    database = must(store::open_database(url_));
  }
  test::TempDir folder;
  std::unique_ptr<store::Database> database;

 private:
  std::string url_;
};

}  // namespace ballast::bench
