// The two kinds of snapshots, for `take_snapshot` alone.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "store/backup.hpp"
#include "store/schema_steps.hpp"

namespace ballast::store {

Result<std::unique_ptr<Snapshot>> sqlite_snapshot(const std::string& path);
Result<std::unique_ptr<Snapshot>> postgres_snapshot(const std::string& url, std::vector<std::string> tables);

}  // namespace ballast::store
