// What a database knows of its own schema, for migrating it and for putting back a copy of it.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "store/database.hpp"

namespace ballast::store {

// A row of schema_migrations.
struct SchemaStep {
  std::string module, checksum;
  std::int64_t version = 0;
  std::int64_t oldest_beside = 0;   // as Migration says; of a step that was applied before steps said it, its own version
};
Result<std::vector<SchemaStep>> schema_steps(Tx& tx);
// Those that this program does not know, of modules that it does.
std::vector<SchemaStep> newer_steps(std::span<const Migration> known, std::span<const SchemaStep> applied);
// The same of an open database, which has been migrated.
Result<std::vector<SchemaStep>> newer_steps(Database& database, std::span<const Migration> known);
// Fault::schema: a step was changed after it was applied, or is newer than this program and says that it is too old.
Result<void> check_beside(std::span<const Migration> known, std::span<const SchemaStep> applied);
// Fault::schema: a step that this program does not know, or that was changed after it was applied. Modules that are not among `known` are let be.
Result<void> check_steps(std::span<const Migration> known, std::span<const SchemaStep> applied);
// The table of steps, if it is not there, with what it says today.
Result<void> make_steps_table(Tx& tx);
Result<void> apply_step(Tx& tx, const Migration& migration);
// Database::migrate, also of a database that `refuse_moved` would refuse.
Result<void> apply_steps(Database& database, std::span<const Migration> migrations);

}  // namespace ballast::store
