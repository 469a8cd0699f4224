#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "store/drivers.hpp"
#include "store/sqlite/connection.hpp"
#include "store/transfer_side.hpp"

namespace ballast::store {

namespace {

constexpr int kCheckpointPages = 4'096;

Kind kind_of(std::string_view type) {
  if (type == "INTEGER") return Kind::integer;
  if (type == "REAL") return Kind::real;
  if (type == "TEXT") return Kind::text;
  return type == "BLOB" ? Kind::bytes : Kind::null;
}

// FILE-checkpointer: whoever serves from the file holds it.
class Held {
 public:
  explicit Held(const std::string& path) : fd_(::open((path + "-checkpointer").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {}
  ~Held() {
    if (fd_ >= 0) ::close(fd_);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  bool take() { return held_ = held_ || (fd_ >= 0 && ::flock(fd_, LOCK_EX | LOCK_NB) == 0); }
  bool held() const { return held_; }

 private:
  const int fd_;
  bool held_ = false;
};

class SqliteSide final : public TransferSide {
 public:
  SqliteSide(std::unique_ptr<SqliteConnection> connection, std::string path) : path_(std::move(path)), held_(path_), connection_(std::move(connection)) {}
  ~SqliteSide() override {
    roll_back();
    checkpoint_if_more_than(0);
  }

  Result<void> own() {
    if (!held_.take()) return fail(ErrorCode::caller_conflict, "a server uses " + path_, "database");
    return {};
  }

  Dialect dialect() const override { return Dialect::sqlite; }
  Result<Rows> run(std::string_view sql, Args args) override { return connection_->run(sql, args); }
  Result<Rows> read(std::string_view sql, Args args, std::uint64_t bytes) override {
    connection_->set_max_result(bytes);
    auto rows = connection_->run(sql, args);
    connection_->set_max_result(0);
    return rows;
  }

  Result<std::vector<TransferTable>> tables() override {
    auto rows = run("SELECT m.name, p.name, p.type, p.pk FROM sqlite_master AS m, pragma_table_info(m.name) AS p "
                    "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY m.name, p.cid", {});
    if (!rows) return std::unexpected(rows.error());
    return tables_in(*rows, kind_of);
  }

  Result<std::uint64_t> rows_about(const TransferTable& table) override {
    auto rows = run("SELECT COUNT(*) FROM " + in_quotes(table.name), {});
    if (!rows) return std::unexpected(rows.error());
    return static_cast<std::uint64_t>((*rows)[0].integer(0));
  }

  Result<void> begin() override { return connection_->execute("BEGIN IMMEDIATE"); }
  Result<void> commit() override {
    auto done = connection_->execute("COMMIT");
    checkpoint_if_more_than(kCheckpointPages);
    return done;
  }
  void roll_back() override {
    if (connection_->in_transaction()) (void)connection_->execute("ROLLBACK");
  }

  Result<void> put(const TransferTable& table, const Rows& rows) override {
    std::string places;
    for (std::size_t c = 0; c < table.columns.size(); ++c) places += (c ? ", $" : "$") + std::to_string(c + 1);
    const std::string sql = "INSERT INTO " + in_quotes(table.name) + " (" + column_list(table) + ") VALUES (" + places + ")";
    for (const Row row : rows) {
      std::vector<Value> values;
      for (std::size_t c = 0; c < table.columns.size(); ++c) {
        switch (row.kind(c)) {
          case Kind::null: values.emplace_back(nullptr); break;
          case Kind::integer: values.emplace_back(row.integer(c)); break;
          case Kind::real:
            if (std::isnan(row.real(c))) return fail(ErrorCode::caller_invalid_request, "table " + table.name + ", row " + shown(table, key_of(table, row)) + ", column " +
                                                     table.columns[c].name + ": is not a number, which SQLite cannot hold; change that row, then go on with the same command", "rows");
            values.emplace_back(row.real(c));
            break;
          case Kind::text: values.emplace_back(row.text(c)); break;
          case Kind::bytes: values.push_back(Value::bytes(row.bytes(c)));
        }
      }
      if (auto put = connection_->run(sql, values); !put) return std::unexpected(put.error());
    }
    return {};
  }

  Result<void> freeze(std::span<const TransferTable>) override {
    if (auto mine = own(); !mine) return mine;
    return begin();
  }
  Result<void> wait_for_disk(bool wait) override { return connection_->execute(wait ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"); }
  Result<void> polish(const TransferTable&) override { return {}; }

 private:
  // Only in the process that holds the file's lock may the log be copied back.
  void checkpoint_if_more_than(int pages) {
    if (held_.held() && !connection_->in_transaction() && connection_->log_pages() > pages) connection_->checkpoint();
  }

  const std::string path_;
  Held held_;
  std::unique_ptr<SqliteConnection> connection_;
};

}  // namespace

Result<std::unique_ptr<TransferSide>> sqlite_side(const std::string& path, TransferRole role) {
  if (role == TransferRole::source && !std::filesystem::exists(path)) return std::unexpected(make_error(Fault::unavailable, "there is no database at " + path));
  auto connection = SqliteConnection::open(path, SqliteConnection::Use::writer, {}, system_clock());
  if (!connection) return std::unexpected(connection.error());
  auto side = std::make_unique<SqliteSide>(std::move(*connection), path);
  if (role == TransferRole::target)
    if (auto mine = side->own(); !mine) return std::unexpected(mine.error());
  return side;
}

}  // namespace ballast::store
