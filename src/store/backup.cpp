#include "store/backup.hpp"

#include "store/snapshots.hpp"

namespace ballast::store {

std::vector<std::string> tables_of(std::span<const Migration> migrations) {
  constexpr std::string_view kCreate = "CREATE TABLE ";
  std::vector<std::string> out{"schema_migrations"};
  for (const Migration& m : migrations)
    for (std::size_t at = m.sql.find(kCreate); at != std::string_view::npos; at = m.sql.find(kCreate, at + 1)) {
      const std::size_t from = at + kCreate.size();
      out.emplace_back(m.sql.substr(from, m.sql.find_first_of(" (", from) - from));
    }
  return out;
}

Result<std::unique_ptr<Snapshot>> take_snapshot(std::string_view url, std::span<const Migration> known) {
  constexpr std::string_view lite = "sqlite:";
  auto taken = url.starts_with(lite) ? sqlite_snapshot(std::string(url.substr(lite.size()))) : postgres_snapshot(std::string(url), tables_of(known));
  if (!taken) return taken;
  const auto rows = (*taken)->run("SELECT module, version, checksum FROM schema_migrations ORDER BY module, version");
  if (!rows) return std::unexpected(rows.error());
  std::vector<SchemaStep> steps;
  for (const Row r : *rows) steps.push_back({.module = r.string(0), .checksum = r.string(2), .version = r.integer(1)});
  if (auto fine = check_steps(known, steps); !fine) return std::unexpected(std::move(fine.error()));
  return taken;
}

}  // namespace ballast::store
