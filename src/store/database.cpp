#include "store/database.hpp"

#include <algorithm>

#include "base/hash.hpp"
#include "store/drivers.hpp"
#include "store/moves.hpp"
#include "store/schema_steps.hpp"

namespace ballast::store {

namespace {

struct FaultName {
  Fault fault;
  std::string_view field;
  ErrorCode code;
  bool retryable;
};
constexpr FaultName kFaults[] = {
    {Fault::conflict, "database.conflict", ErrorCode::caller_conflict, false},
    {Fault::full, "database.full", ErrorCode::internal_unavailable, true},
    {Fault::unavailable, "database.unavailable", ErrorCode::internal_unavailable, true},
    {Fault::commit_unknown, "database.commit_unknown", ErrorCode::internal_unavailable, false},
    {Fault::timeout, "database.timeout", ErrorCode::internal_unavailable, true},
    {Fault::schema, "database.schema", ErrorCode::internal_error, false},
    {Fault::broken, "database.broken", ErrorCode::internal_error, false},
};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

// Statements end with a semicolon at the end of a line; lines that start with `--` are comments.
std::vector<std::string> statements_of(std::string_view sql) {
  std::vector<std::string> out(1);
  while (!sql.empty()) {
    const auto end = sql.find('\n');
    std::string_view line = sql.substr(0, end);
    sql = end == std::string_view::npos ? std::string_view{} : sql.substr(end + 1);
    const auto first = line.find_first_not_of(" \t");
    if (first == std::string_view::npos || line.substr(first, 2) == "--") continue;
    const auto last = line.find_last_not_of(" \t\r");
    const bool ends = line[last] == ';';
    out.back().append(line.substr(0, ends ? last : last + 1)).push_back('\n');
    if (ends) out.emplace_back();
  }
  std::erase_if(out, [](const std::string& s) { return s.empty(); });
  return out;
}

constexpr const char* kMigrationTable =
    "CREATE TABLE IF NOT EXISTS schema_migrations (module {text} NOT NULL, version {int} NOT NULL, name {text} NOT NULL, "
    "checksum {text} NOT NULL, applied_ms {int} NOT NULL, PRIMARY KEY (module, version)) {table}";

}  // namespace

Error make_error(Fault fault, std::string message) {
  for (const FaultName& f : kFaults)
    if (f.fault == fault) return Error{.code = f.code, .message = std::move(message), .field = std::string(f.field), .retryable = f.retryable};
  return Error{.message = std::move(message)};
}

Fault fault_of(const Error& error) {
  for (const FaultName& f : kFaults)
    if (error.field == f.field) return f.fault;
  return Fault::none;
}

std::string expand_sql(Dialect dialect, std::string_view sql) {
  const bool lite = dialect == Dialect::sqlite;
  std::string out(sql);
  replace_all(out, "{int}", lite ? "INTEGER" : "BIGINT");
  replace_all(out, "{real}", lite ? "REAL" : "DOUBLE PRECISION");
  replace_all(out, "{text}", lite ? "TEXT" : "TEXT COLLATE \"C\"");
  replace_all(out, "{blob}", lite ? "BLOB" : "BYTEA");
  replace_all(out, "{table}", lite ? "STRICT" : "");
  replace_all(out, "{clustered}", lite ? "STRICT, WITHOUT ROWID" : "");
  return out;
}

Result<std::vector<SchemaStep>> schema_steps(Tx& tx) {
  auto rows = tx.run("SELECT module, version, checksum, oldest_beside FROM schema_migrations ORDER BY module, version");
  if (!rows) return std::unexpected(rows.error());
  std::vector<SchemaStep> out;
  for (Row r : *rows) out.push_back({.module = r.string(0), .checksum = r.string(2), .version = r.integer(1), .oldest_beside = r.maybe_integer(3).value_or(r.integer(1))});
  return out;
}

Result<void> make_steps_table(Tx& tx) {
  const std::string table = expand_sql(tx.dialect(), kMigrationTable);
  auto made = tx.run(Statement(std::string_view(table)));
  if (!made) return std::unexpected(made.error());
  // Looked for first: adding it would wait for a backup that reads the table.
  const bool lite = tx.dialect() == Dialect::sqlite;
  auto there = tx.run(lite ? "SELECT 1 FROM pragma_table_info('schema_migrations') WHERE name = 'oldest_beside'"
                           : "SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'schema_migrations' AND column_name = 'oldest_beside'");
  if (!there) return std::unexpected(there.error());
  if (!there->empty()) return {};
  auto added = tx.run(lite ? "ALTER TABLE schema_migrations ADD COLUMN oldest_beside INTEGER" : "ALTER TABLE schema_migrations ADD COLUMN oldest_beside BIGINT");
  if (!added) return std::unexpected(added.error());
  return {};
}

namespace {

int newest_known(std::span<const Migration> known, std::string_view module) {
  int newest = 0;
  for (const Migration& m : known)
    if (m.module == module) newest = std::max(newest, m.version);
  return newest;
}

Error written_by_newer(const SchemaStep& step, int newest) {
  return make_error(Fault::schema, "the database was written by a newer Ballast: its schema \"" + step.module + "\" is at version " + std::to_string(step.version) +
                                   ", this program knows version " + std::to_string(newest));
}

}  // namespace

std::vector<SchemaStep> newer_steps(std::span<const Migration> known, std::span<const SchemaStep> applied) {
  std::vector<SchemaStep> out;
  for (const SchemaStep& step : applied)
    if (const int newest = newest_known(known, step.module); newest > 0 && step.version > newest) out.push_back(step);
  return out;
}

Result<std::vector<SchemaStep>> newer_steps(Database& database, std::span<const Migration> known) {
  auto applied = database.read_now([](Tx& tx) { return schema_steps(tx); });
  if (!applied) return std::unexpected(applied.error());
  return newer_steps(known, *applied);
}

Result<void> check_beside(std::span<const Migration> known, std::span<const SchemaStep> applied) {
  for (const SchemaStep& step : newer_steps(known, applied))
    if (const int newest = newest_known(known, step.module); step.oldest_beside > newest) return std::unexpected(written_by_newer(step, newest));
  std::vector<SchemaStep> ours;
  for (const SchemaStep& step : applied)
    if (step.version <= newest_known(known, step.module)) ours.push_back(step);
  return check_steps(known, ours);
}

Result<void> check_steps(std::span<const Migration> known, std::span<const SchemaStep> applied) {
  for (const SchemaStep& row : applied) {
    const int newest = newest_known(known, row.module);
    if (newest == 0) continue;  // of a room that this program does not use
    const auto match = std::ranges::find_if(known, [&](const Migration& m) { return m.module == row.module && m.version == row.version; });
    if (match == known.end()) return std::unexpected(written_by_newer(row, newest));
    if (row.checksum != to_hex(sha256(match->sql)))
      return std::unexpected(make_error(Fault::schema, "migration " + row.module + "/" + std::to_string(row.version) + " (" + std::string(match->name) +
                                        ") is recorded with another checksum: it was changed after it was applied"));
  }
  return {};
}

Result<void> apply_step(Tx& tx, const Migration& m) {
  for (const std::string& sql : statements_of(expand_sql(tx.dialect(), m.sql))) {
    auto done = tx.run(Statement(std::string_view(sql)));
    if (!done) {
      Error e = done.error();
      e.message = "migration " + std::string(m.module) + "/" + std::to_string(m.version) + ": " + e.message;
      return std::unexpected(std::move(e));
    }
  }
  auto noted = tx.run("INSERT INTO schema_migrations (module, version, name, checksum, applied_ms, oldest_beside) VALUES ($1, $2, $3, $4, $5, $6)",
                      {m.module, m.version, m.name, to_hex(sha256(m.sql)), unix_ms(tx.now()), m.oldest_beside});
  if (!noted) return std::unexpected(noted.error());
  return {};
}

Result<void> Database::migrate(std::span<const Migration> migrations) {
  if (auto ours = write_now([](Tx& tx) { return refuse_moved(tx); }); !ours) return ours;
  return apply_steps(*this, migrations);
}

Result<void> apply_steps(Database& database, std::span<const Migration> migrations) {
  std::vector<const Migration*> ordered;
  for (const Migration& m : migrations) ordered.push_back(&m);
  std::sort(ordered.begin(), ordered.end(), [](auto* a, auto* b) { return a->version < b->version; });
  // Modules in the order given, versions within a module ascending: a higher room may refer to tables of a lower one.
  std::vector<std::string_view> modules;
  for (const Migration& m : migrations)
    if (std::find(modules.begin(), modules.end(), m.module) == modules.end()) modules.push_back(m.module);

  auto lock = [](Tx& tx) -> Result<void> {  // one node at a time; SQLite's writer is alone already
    if (tx.dialect() == Dialect::sqlite) return {};
    auto locked = tx.run("SELECT pg_advisory_xact_lock(7308327815)");
    if (!locked) return std::unexpected(locked.error());
    return {};
  };
  auto prepared = database.write_now([&](Tx& tx) -> Result<void> {
    if (auto l = lock(tx); !l) return l;
    return make_steps_table(tx);
  });
  if (!prepared) return prepared;

  for (std::string_view module : modules) {
    for (const Migration* m : ordered) {
      if (m->module != module) continue;
      for (bool more = true; more;) {
        auto applied = database.write_now([&](Tx& tx) -> Result<bool> {
          if (auto l = lock(tx); !l) return std::unexpected(l.error());
          auto rows = schema_steps(tx);
          if (!rows) return std::unexpected(rows.error());
          if (auto ok = check_beside(migrations, *rows); !ok) return std::unexpected(ok.error());
          for (const SchemaStep& row : *rows)
            if (row.module == m->module && row.version == m->version) return false;
          if (m->move)
            if (auto moved = m->move(tx); !moved || *moved) return moved;
          if (auto done = apply_step(tx, *m); !done) return std::unexpected(done.error());
          return false;
        });
        if (!applied) return std::unexpected(applied.error());
        more = *applied;
      }
    }
  }
  return {};
}

Result<std::unique_ptr<Database>> open_database(std::string_view url, OpenOptions options) {
  if (url.starts_with("sqlite:")) {
    url.remove_prefix(7);
    if (url.empty()) return fail(ErrorCode::caller_invalid_request, "must name a file, as in sqlite:ballast.db", "database");
    return open_sqlite(std::string(url), options);
  }
  if (url.starts_with("postgres://") || url.starts_with("postgresql://")) return open_postgres(std::string(url), options);
  return fail(ErrorCode::caller_invalid_request, "must be sqlite:FILE or postgres://…", "database");
}

}  // namespace ballast::store
