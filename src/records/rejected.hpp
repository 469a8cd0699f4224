// Calls that no database took: the importer sets them aside in DIR/rejected, and here is their way back, once what refused them
// has been put right. Idempotent: a call that the ledger holds already is left alone.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "records/call_record.hpp"
#include "store/database.hpp"

namespace ballast::records {

struct RejectedCall {
  std::string call;                      // "call_…"; empty: unreadable
  std::string outcome;                   // "imported", "already there", "refused", "unreadable"
  std::string error;                     // of the last two
};
struct RejectedReport {
  std::vector<RejectedCall> calls;       // in the order they were set aside; at most 10,000 are listed, all are tried
  std::uint64_t imported = 0, present = 0, refused = 0, damaged_bytes = 0;
};

// Tries every call of DIRECTORY/rejected again, each in a transaction of its own. What is refused again or unreadable stays in the file,
// the rest leaves it; without a file the report is empty. A server may run on the directory and set further calls aside meanwhile.
// Blocking. Errors: internal_unavailable (the database cannot be reached, the file cannot be written): then nothing is lost, and
// what is in the ledger by then is "already there" the next time.
struct RejectedHooks {
  std::function<void(std::uint64_t done, std::uint64_t all)> progress = {};   // bytes of the file
  std::function<Result<void>(store::Tx&, std::span<const BudgetCharge>)> charged = {};   // as JournalOptions::charged; of whatever epoch
};
Result<RejectedReport> import_rejected(const std::string& directory, store::Database& database, const RejectedHooks& hooks = {});

}  // namespace ballast::records
