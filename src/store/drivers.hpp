// The two drivers, for `open_database`, `open_foreign` and `scrub_database` alone.
#pragma once
#include <memory>
#include <string>

#include "store/database.hpp"
#include "store/foreign.hpp"

namespace ballast::store {

Result<std::unique_ptr<Database>> open_sqlite(const std::string& path, OpenOptions options);
Result<std::unique_ptr<Database>> open_postgres(const std::string& url, OpenOptions options);
Result<std::unique_ptr<Database>> open_foreign_sqlite(const std::string& path, ForeignOptions options);
Result<void> scrub_sqlite(const std::string& path);
const Clock& system_clock();
Error too_large_result(std::uint64_t bytes);

}  // namespace ballast::store
