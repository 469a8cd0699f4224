// A copy of a whole database, taken while others use it, and PostgreSQL's way back. (SQLite's copy is a database file: putting it in place is
// the way back.) Blocking; for command-line tools. One thread at a time.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.hpp"

namespace ballast::store {

// Called now and then while much is copied, with what is done and what there is, in bytes or rows; also to let others do what must be done meanwhile.
using CopyProgress = std::function<void(std::uint64_t done, std::uint64_t all)>;

struct TableCopy {
  std::string name;
  std::vector<std::string> columns;
  std::int64_t rows = 0;
};

// The database as it was at one moment.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  // For small answers.
  virtual Result<Rows> run(std::string_view sql) = 0;
  // Writes it into `folder`: of SQLite one file, a database of its own, looked through for damage; of PostgreSQL a file for each table, in
  // COPY's binary form. Returns the files' names. `tables` gets what was written, in order.
  virtual Result<std::vector<std::string>> write(const std::filesystem::path& folder, std::vector<TableCopy>& tables, const CopyProgress& progress) = 0;
};
// `known`: whose tables are taken. SQLite: what is written meanwhile stays in the log until the snapshot is destroyed. Fault::schema: made by a
// newer program.
Result<std::unique_ptr<Snapshot>> take_snapshot(std::string_view url, std::span<const Migration> known);

inline constexpr std::string_view kSqliteCopy = "database.sqlite";    // in the folder

// A PostgreSQL database made anew of such a copy, in one transaction: until `commit`, or without it, it is as it was.
class PostgresRestore {
 public:
  virtual ~PostgresRestore() = default;
  virtual Result<void> commit() = 0;
};
// Tables of `known` that are there already are refused (caller_conflict), or dropped if `replace`. The schema becomes that of `steps`.
struct PostgresCopy {
  std::filesystem::path folder;
  std::vector<TableCopy> tables;
  std::span<const Migration> known;
  std::vector<std::pair<std::string, std::int64_t>> steps;   // module, version
};
Result<std::unique_ptr<PostgresRestore>> begin_postgres_restore(const std::string& url, const PostgresCopy& copy, bool replace, const CopyProgress& progress);

// The tables that these migrations make, with schema_migrations; some may have been dropped again.
std::vector<std::string> tables_of(std::span<const Migration> migrations);

}  // namespace ballast::store
