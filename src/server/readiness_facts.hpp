// What readiness judges that is written down: calls, jobs, approvals, verdicts, backups. Read from the database, with bounded work.
#pragma once
#include "server/readiness.hpp"
#include "store/database.hpp"

namespace ballast::server {

// Of the last kReadinessLooksBack, of at most some 400,000 calls; `since` says how far back that was. What only a process knows (breakers, budgets)
// stays zero.
Result<SeenFacts> seen_in(store::Tx& tx, WallTime now);

// What a person may tell: the line exists and takes evidence, the day is not in the future. Errors name `line`, `at` or `note`.
Result<void> check_evidence(const records::Evidence& evidence, WallTime now);

}  // namespace ballast::server
