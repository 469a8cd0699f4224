// The two drivers, for `open_database` and `scrub_database` alone.
#pragma once
#include <memory>
#include <string>

#include "store/database.hpp"

namespace ballast::store {

Result<std::unique_ptr<Database>> open_sqlite(const std::string& path, OpenOptions options);
Result<std::unique_ptr<Database>> open_postgres(const std::string& url, OpenOptions options);
Result<void> scrub_sqlite(const std::string& path);
const Clock& system_clock();

}  // namespace ballast::store
