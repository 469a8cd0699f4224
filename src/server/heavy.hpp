// Reads that may take long: they come after those that somebody looks at (store::Priority), and where they can, in steps that take turns.
#pragma once
#include <cstddef>

#include "records/ledger.hpp"
#include "store/database.hpp"

namespace ballast::server {

// For sums over all that was asked for, in one read, since they must be of one moment.
inline constexpr store::ReadOptions kHeavy{.priority = store::Priority::low};
// For what goes on for as long as it takes: exports, erasing.
inline constexpr store::ReadOptions kPatient{.limit = std::chrono::minutes(2), .priority = store::Priority::low};

// A search goes in steps of about 15 ms; a page of a list has as many as SearchBound's own bound takes.
inline constexpr std::size_t kSearchSteps = 16;
inline constexpr records::SearchBound kSearchStep{.blocks = records::SearchBound{}.blocks / kSearchSteps, .bytes = records::SearchBound{}.bytes / kSearchSteps};

}  // namespace ballast::server
