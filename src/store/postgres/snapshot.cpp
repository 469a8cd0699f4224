// COPY in one REPEATABLE READ transaction, and back in one transaction: needs no client tools, and no version of them.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/text.hpp"
#include "store/postgres/connection.hpp"
#include "store/snapshots.hpp"

namespace ballast::store {

namespace {

constexpr std::chrono::milliseconds kConnect{10'000};
constexpr std::size_t kPiece = 1u << 20;

class File {
 public:
  File(const std::filesystem::path& path, int flags) : path_(path), fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool is_open() const { return fd_ >= 0; }
  Error error() const { return make_error(errno == ENOSPC ? Fault::full : Fault::unavailable, path_.string() + ": " + std::strerror(errno)); }
  Result<void> write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return std::unexpected(error());
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }
  Result<std::size_t> read(std::string& into) {
    for (;;) {
      const ssize_t n = ::read(fd_, into.data(), into.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return std::unexpected(error());
      return static_cast<std::size_t>(n);
    }
  }

 private:
  const std::filesystem::path path_;
  const int fd_;
};

std::string columns_of(const TableCopy& table) {
  std::string out;
  for (const auto& c : table.columns) out += (out.empty() ? "\"" : ", \"") + c + "\"";
  return out;
}

std::string file_of(const TableCopy& table) { return "table-" + table.name + ".copy"; }

class PostgresSnapshot final : public Snapshot {
 public:
  PostgresSnapshot(std::unique_ptr<PostgresConnection> connection, std::vector<std::string> tables) : connection_(std::move(connection)), known_(std::move(tables)) {}

  Result<Rows> run(std::string_view sql) override { return connection_->run(sql, {}); }

  Result<std::vector<std::string>> write(const std::filesystem::path& folder, std::vector<TableCopy>& tables, const CopyProgress& progress) override {
    if (auto found = find_tables(tables); !found) return std::unexpected(found.error());
    std::vector<std::string> files;
    std::uint64_t bytes = 0;
    const auto all = run("SELECT CAST(pg_database_size(current_database()) AS BIGINT)");
    if (!all) return std::unexpected(all.error());
    for (TableCopy& table : tables) {
      File file(folder / file_of(table), O_WRONLY | O_CREAT | O_EXCL);
      if (!file.is_open()) return std::unexpected(file.error());
      std::string buffer;
      const auto sink = [&](std::string_view piece) -> Result<void> {
        buffer += piece;
        if (buffer.size() < kPiece) return {};
        bytes += buffer.size();
        progress(bytes, static_cast<std::uint64_t>((*all)[0].integer(0)));
        auto written = file.write(buffer);
        buffer.clear();
        return written;
      };
      auto rows = connection_->copy_out("COPY \"" + table.name + "\" (" + columns_of(table) + ") TO STDOUT (FORMAT binary)", sink);
      if (!rows) return std::unexpected(rows.error());
      if (auto rest = file.write(buffer); !rest) return std::unexpected(rest.error());
      table.rows = *rows;
      files.push_back(file_of(table));
    }
    return files;
  }

 private:
  Result<void> find_tables(std::vector<TableCopy>& tables) {
    auto columns = run("SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT) FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1, ordinal_position");
    if (!columns) return std::unexpected(columns.error());
    for (const Row r : *columns) {
      if (std::ranges::find(known_, r.string(0)) == known_.end()) continue;
      if (tables.empty() || tables.back().name != r.string(0)) tables.push_back({r.string(0), {}, 0});
      tables.back().columns.push_back(r.string(1));
    }
    return {};
  }

  const std::unique_ptr<PostgresConnection> connection_;
  const std::vector<std::string> known_;
};

class Restoring final : public PostgresRestore {
 public:
  explicit Restoring(std::unique_ptr<PostgresConnection> connection) : connection_(std::move(connection)) {}

  Result<void> make(const PostgresCopy& copy, bool replace, const CopyProgress& progress) {
    if (auto begun = connection_->simple("BEGIN"); !begun) return std::unexpected(begun.error());
    PostgresTx tx(*connection_);
    if (auto clear = clear_the_way(tx, copy, replace); !clear) return clear;
    if (auto made = make_steps_table(tx); !made) return made;
    for (const Migration& m : copy.known) {
      const auto step = std::ranges::find(copy.steps, std::pair(std::string(m.module), std::int64_t{m.version}));
      if (step == copy.steps.end()) continue;
      if (auto applied = apply_step(tx, m); !applied) return applied;
    }
    std::uint64_t done = 0;
    for (const TableCopy& table : copy.tables) {
      if (table.name == "schema_migrations") continue;
      // A step may have put rows there itself.
      if (auto emptied = connection_->simple("DELETE FROM \"" + table.name + "\""); !emptied) return std::unexpected(emptied.error());
      if (auto filled = fill(copy.folder, table); !filled) return filled;
      progress(++done, copy.tables.size());
    }
    return {};
  }
  Result<void> commit() override {
    auto done = connection_->simple("COMMIT");
    if (!done) return std::unexpected(done.error());
    return {};
  }

 private:
  static Result<void> clear_the_way(Tx& tx, const PostgresCopy& copy, bool replace) {
    auto there = tx.run("SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1");
    if (!there) return std::unexpected(there.error());
    const auto known = tables_of(copy.known);
    for (const Row r : *there) {
      const std::string name = r.string(0);
      if (std::ranges::find(known, name) == known.end() && std::ranges::find(copy.tables, name, &TableCopy::name) == copy.tables.end()) continue;
      if (!replace) return fail(ErrorCode::caller_conflict, "the database is not empty (it has a table " + name + "); --force replaces what is there", "database");
      const std::string drop = "DROP TABLE \"" + name + "\" CASCADE";
      if (auto gone = tx.run(Statement(std::string_view(drop))); !gone) return std::unexpected(gone.error());
    }
    return {};
  }

  Result<void> fill(const std::filesystem::path& folder, const TableCopy& table) {
    File file(folder / file_of(table), O_RDONLY);
    if (!file.is_open()) return std::unexpected(file.error());
    std::string piece(kPiece, '\0');
    const auto source = [&]() -> Result<std::string_view> {
      auto n = file.read(piece);
      if (!n) return std::unexpected(n.error());
      return std::string_view(piece).substr(0, *n);
    };
    auto rows = connection_->copy_in("COPY \"" + table.name + "\" (" + columns_of(table) + ") FROM STDIN (FORMAT binary)", source);
    if (!rows) return std::unexpected(rows.error());
    if (*rows != table.rows) return fail(ErrorCode::internal_error, "table " + table.name + " came back with " + std::to_string(*rows) + " rows of " + std::to_string(table.rows), "from");
    return {};
  }

  const std::unique_ptr<PostgresConnection> connection_;
};

Result<std::unique_ptr<PostgresConnection>> connect(const std::string& url) {
  auto connection = PostgresConnection::open(url, kConnect);
  if (!connection) return connection;
  if (auto patient = (*connection)->simple("SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0"); !patient) return std::unexpected(patient.error());
  return connection;
}

}  // namespace

Result<std::unique_ptr<Snapshot>> postgres_snapshot(const std::string& url, std::vector<std::string> tables) {
  auto connection = connect(url);
  if (!connection) return std::unexpected(connection.error());
  auto begun = (*connection)->simple("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1");
  if (!begun) return std::unexpected(begun.error());
  return std::make_unique<PostgresSnapshot>(std::move(*connection), std::move(tables));
}

Result<std::unique_ptr<PostgresRestore>> begin_postgres_restore(const std::string& url, const PostgresCopy& copy, bool replace, const CopyProgress& progress) {
  auto connection = connect(url);
  if (!connection) return std::unexpected(connection.error());
  auto restoring = std::make_unique<Restoring>(std::move(*connection));
  if (auto made = restoring->make(copy, replace, progress); !made) return std::unexpected(made.error());
  return restoring;
}

}  // namespace ballast::store
