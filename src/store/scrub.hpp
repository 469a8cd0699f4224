// Rewrites a database so that nothing of what was deleted is left in its files.
#pragma once
#include <span>
#include <string_view>

#include "store/database.hpp"

namespace ballast::store {

// SQLite: VACUUM, and the log is emptied; nobody else may use the file (caller_conflict). PostgreSQL: VACUUM FULL of the tables of `known`, each locked
// meanwhile. Needs the room of another copy. Blocking; for command-line tools.
Result<void> scrub_database(std::string_view url, std::span<const Migration> known);

}  // namespace ballast::store
