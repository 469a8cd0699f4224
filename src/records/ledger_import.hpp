// How calls enter the ledger; for the journal's importer, which has the encoded form at hand.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "records/call_block.hpp"
#include "records/call_record.hpp"
#include "records/ledger_scan.hpp"
#include "store/database.hpp"

namespace ballast::records {

// Calls made ready outside of a transaction: packed, and what they charge summed up by budget window.
struct PreparedCalls {
  std::vector<EncodedCall> calls;          // in order of id, each once; borrowed bytes
  std::vector<CallBlock> blocks;
  std::vector<BudgetCharge> charges;
  std::vector<std::pair<EncodedCall, Error>> unreadable;   // no ledger takes them; not among `calls`
};
// Of two records of one call the one that knows more stays.
PreparedCalls prepare_calls(std::vector<EncodedCall> calls);

// Adds them with what they charge; returns the number added or replaced. `all_new`: the caller knows that the ledger has none of them, so
// nobody looks. Otherwise one that is there already is left alone, unless more of it is known now (`knows_more`): then it is replaced and
// the difference charged. `charged`: gets what was added to which window, and taken from it.
Result<std::uint64_t> add_prepared(store::Tx& tx, const PreparedCalls& prepared, bool all_new, std::vector<BudgetCharge>* charged = nullptr);

// Writes a block anew, of these calls, if its details are still those that were read. Fault::unavailable: somebody has just rewritten it.
Result<void> replace_block(store::Tx& tx, const BlockKey& key, std::string_view details, std::span<const EncodedCall> calls);

// A step of the migration from a row for every call to blocks: moves the oldest rows. False when none is left.
Result<bool> move_rows_to_blocks(store::Tx& tx);

}  // namespace ballast::records
