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
};
Result<std::vector<SchemaStep>> schema_steps(Tx& tx);
// Fault::schema: a step that this program does not know, or that was changed after it was applied. Modules that are not among `known` are let be.
Result<void> check_steps(std::span<const Migration> known, std::span<const SchemaStep> applied);
// The table of steps, if it is not there.
Result<void> make_steps_table(Tx& tx);
Result<void> apply_step(Tx& tx, const Migration& migration);
// Database::migrate, also of a database that `refuse_moved` would refuse.
Result<void> apply_steps(Database& database, std::span<const Migration> migrations);

}  // namespace ballast::store
