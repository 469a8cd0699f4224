#include <bit>
#include <cstring>
#include <thread>

#include "base/text.hpp"
#include "store/postgres/connection.hpp"
#include "store/transfer_side.hpp"

namespace ballast::store {

namespace {

constexpr std::chrono::milliseconds kConnect{10'000};
constexpr std::size_t kPiece = 1u << 20;
constexpr int kLooks = 40;
constexpr std::chrono::milliseconds kBetweenLooks{50};

Kind kind_of(std::string_view type) {
  if (type == "bigint") return Kind::integer;
  if (type == "double precision") return Kind::real;
  if (type == "text") return Kind::text;
  return type == "bytea" ? Kind::bytes : Kind::null;
}

template <class T>
void put_number(std::string& out, T v) {
  if constexpr (std::endian::native == std::endian::little) v = std::byteswap(v);
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

Result<void> check_text(const TransferTable& table, const Row& row, std::size_t column) {
  const std::string_view text = row.text(column);
  const bool zero = text.find('\0') != std::string_view::npos;
  if (!zero && is_utf8(text)) return {};
  return fail(ErrorCode::caller_invalid_request, "table " + table.name + ", row " + shown(table, key_of(table, row)) + ", column " + table.columns[column].name +
              (zero ? ": has a zero byte" : ": is no UTF-8") + ", which PostgreSQL cannot hold; change or delete that row, then go on with the same command", "rows");
}

// COPY's binary form.
Result<std::string> copy_of(const TransferTable& table, const Rows& rows) {
  std::string out("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
  out.reserve(rows.arena_bytes() + rows.cell_count() * 12 + 64);
  for (const Row row : rows) {
    put_number(out, static_cast<std::uint16_t>(table.columns.size()));
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
      switch (row.kind(c)) {
        case Kind::null: put_number(out, ~std::uint32_t{0}); break;
        case Kind::integer: put_number(out, std::uint32_t{8}), put_number(out, static_cast<std::uint64_t>(row.integer(c))); break;
        case Kind::real: put_number(out, std::uint32_t{8}), put_number(out, std::bit_cast<std::uint64_t>(row.real(c))); break;
        case Kind::text:
          if (auto fine = check_text(table, row, c); !fine) return std::unexpected(fine.error());
          [[fallthrough]];
        case Kind::bytes:
          put_number(out, static_cast<std::uint32_t>(row.text(c).size()));
          out += row.text(c);
      }
    }
  }
  put_number(out, static_cast<std::uint16_t>(0xffff));
  return out;
}

class PostgresSide final : public TransferSide {
 public:
  // A source is read beside the transaction that keeps others out: an answer that is broken off would end that.
  PostgresSide(std::unique_ptr<PostgresConnection> connection, std::unique_ptr<PostgresConnection> reader) : connection_(std::move(connection)), reader_(std::move(reader)) {}
  ~PostgresSide() override { roll_back(); }

  Result<void> own() {
    auto mine = run("SELECT pg_try_advisory_lock(73083278, hashtext(current_schema()))", {});
    if (!mine) return std::unexpected(mine.error());
    if (!(*mine)[0].boolean(0)) return fail(ErrorCode::caller_conflict, "another `ballast migrate-store` fills this database", "database");
    return {};
  }

  Dialect dialect() const override { return Dialect::postgres; }
  Result<Rows> run(std::string_view sql, Args args) override { return connection_->run(sql, args); }
  Result<Rows> read(std::string_view sql, Args args, std::uint64_t bytes) override {
    PostgresConnection& by = reader_ ? *reader_ : *connection_;
    by.set_max_result(bytes);
    auto rows = by.run(sql, args);
    by.set_max_result(0);
    return rows;
  }

  Result<std::vector<TransferTable>> tables() override {
    auto rows = run("SELECT c.relname, a.attname, CAST(format_type(a.atttypid, NULL) AS TEXT), "
                    "COALESCE((SELECT k.place FROM unnest(CAST(i.indkey AS int2[])) WITH ORDINALITY AS k (att, place) WHERE k.att = a.attnum), 0) "
                    "FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
                    "LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary "
                    "WHERE c.relkind = 'r' AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) ORDER BY c.relname, a.attnum", {});
    if (!rows) return std::unexpected(rows.error());
    return tables_in(*rows, kind_of);
  }

  Result<std::uint64_t> rows_about(const TransferTable& table) override {
    auto rows = run("SELECT CAST(GREATEST(reltuples, 0) AS BIGINT) FROM pg_class WHERE oid = CAST($1 AS regclass)", {in_quotes(table.name)});
    if (!rows) return std::unexpected(rows.error());
    return rows->empty() ? 0 : static_cast<std::uint64_t>((*rows)[0].integer(0));
  }

  Result<void> begin() override { return simply("BEGIN"); }
  Result<void> commit() override {
    auto said = connection_->simple("COMMIT");
    if (!said) return std::unexpected(said.error());
    return *said == "COMMIT" ? Result<void>{} : std::unexpected(make_error(Fault::unavailable, "PostgreSQL rolled back instead of committing"));
  }
  void roll_back() override { connection_->roll_back(); }

  Result<void> put(const TransferTable& table, const Rows& rows) override {
    const auto copy = copy_of(table, rows);
    if (!copy) return std::unexpected(copy.error());
    std::string_view left = *copy;
    const auto source = [&]() -> Result<std::string_view> {
      const std::string_view piece = left.substr(0, kPiece);
      left.remove_prefix(piece.size());
      return piece;
    };
    auto done = connection_->copy_in("COPY " + in_quotes(table.name) + " (" + column_list(table) + ") FROM STDIN (FORMAT binary)", source);
    if (!done) return std::unexpected(done.error());
    return {};
  }

  // Whoever starts from here on waits at the table that it looks into first; who started before is seen.
  Result<void> freeze(std::span<const TransferTable> tables) override {
    if (auto begun = begin(); !begun) return begun;
    const auto locked = [&]() -> Result<void> {
      if (auto door = simply("LOCK TABLE store_moves IN ACCESS EXCLUSIVE MODE"); !door) return door;
      if (auto alone = wait_until_alone(); !alone) return alone;
      std::string names;
      for (const auto& table : tables) names += (names.empty() ? "" : ", ") + in_quotes(table.name);
      return names.empty() ? Result<void>{} : simply("LOCK TABLE " + names + " IN SHARE MODE");
    }();
    if (!locked) roll_back();
    return locked;
  }
  Result<void> wait_for_disk(bool wait) override { return simply(wait ? "SET synchronous_commit = on" : "SET synchronous_commit = off"); }
  Result<void> polish(const TransferTable& table) override { return simply("ANALYZE " + in_quotes(table.name)); }

 private:
  // Who has just gone is seen for a moment more.
  Result<void> wait_until_alone() {
    for (int looks = 1;; ++looks) {
      if (auto anew = run("SELECT pg_stat_clear_snapshot()", {}); !anew) return std::unexpected(anew.error());
      auto others = run("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ballast'", {});
      if (!others) return std::unexpected(others.error());
      const std::int64_t n = (*others)[0].integer(0);
      if (n == 0) return {};
      if (looks == kLooks) return fail(ErrorCode::caller_conflict, std::to_string(n) + " connections of Ballast's servers or commands use it", "database");
      std::this_thread::sleep_for(kBetweenLooks);
    }
  }
  Result<void> simply(const std::string& sql) {
    auto done = connection_->simple(sql);
    return done ? Result<void>{} : std::unexpected(done.error());
  }

  const std::unique_ptr<PostgresConnection> connection_, reader_;
};

// Answers come by the key's index: without statistics a page would else be a scan and a sort of all.
Result<std::unique_ptr<PostgresConnection>> connect(const std::string& url) {
  auto connection = PostgresConnection::open(url, kConnect);
  if (!connection) return connection;
  auto set = (*connection)->simple("SET application_name = 'ballast migrate-store'; SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0; SET lock_timeout = '10s'; "
                                   "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off");
  if (!set) return std::unexpected(set.error());
  return connection;
}

}  // namespace

Result<std::unique_ptr<TransferSide>> postgres_side(const std::string& url, TransferRole role) {
  auto connection = connect(url);
  if (!connection) return std::unexpected(connection.error());
  if (role == TransferRole::source) {
    auto reader = connect(url);
    if (!reader) return std::unexpected(reader.error());
    return std::make_unique<PostgresSide>(std::move(*connection), std::move(*reader));
  }
  auto side = std::make_unique<PostgresSide>(std::move(*connection), nullptr);
  if (auto mine = side->own(); !mine) return std::unexpected(mine.error());
  return side;
}

}  // namespace ballast::store
