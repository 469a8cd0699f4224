#include "store/scrub.hpp"

#include <algorithm>

#include "store/backup.hpp"
#include "store/drivers.hpp"
#include "store/postgres/connection.hpp"

namespace ballast::store {

namespace {

Result<void> scrub_postgres(const std::string& url, std::span<const Migration> known) {
  auto connection = PostgresConnection::open(url, std::chrono::seconds(10));
  if (!connection) return std::unexpected(connection.error());
  if (auto patient = (*connection)->simple("SET statement_timeout = 0"); !patient) return std::unexpected(patient.error());
  auto there = (*connection)->run("SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1", {});
  if (!there) return std::unexpected(there.error());
  const auto tables = tables_of(known);
  for (const Row r : *there) {
    if (std::ranges::find(tables, r.string(0)) == tables.end()) continue;
    if (auto done = (*connection)->simple("VACUUM FULL \"" + r.string(0) + "\""); !done) return std::unexpected(done.error());
  }
  return {};
}

}  // namespace

Result<void> scrub_database(std::string_view url, std::span<const Migration> known) {
  constexpr std::string_view lite = "sqlite:";
  return url.starts_with(lite) ? scrub_sqlite(std::string(url.substr(lite.size()))) : scrub_postgres(std::string(url), known);
}

}  // namespace ballast::store
