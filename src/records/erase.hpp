// Erasure of a user from what is on record of calls: the money stays where it is, under a pseudonym; what answers were kept for repeats goes.
//
// Repositories take a Tx and never begin one. Each may run again: what is done already is passed over.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "records/ledger_scan.hpp"
#include "store/database.hpp"

namespace ballast::records {

// From now on in this transaction SQLite overwrites what is deleted. `false` at its end. Elsewhere nothing happens.
Result<void> overwrite_deleted(store::Tx& tx, bool on);

// The blocks after `after` (empty: from the first), in order: how many calls of theirs are the user's. `next` is empty at the end.
struct UserBlocks {
  std::vector<BlockKey> blocks;
  std::uint64_t calls = 0;
  BlockKey next;
};
Result<UserBlocks> blocks_of_user(store::Tx& tx, std::string_view user, const BlockKey& after, std::size_t limit);

struct ErasedCalls {
  std::uint64_t calls = 0, replies = 0, windows = 0;     // replies: kept under an Idempotency-Key; windows: of budgets per user
};
// The user's calls of a block: their user becomes `pseudonym`, also in the names of budget windows; the record of decisions, which may name
// him, is emptied. Fault::unavailable: somebody has just rewritten the block; look again.
Result<ErasedCalls> erase_from_block(store::Tx& tx, const BlockKey& key, std::string_view user, std::string_view pseudonym);

// What the user's calls add up to goes under the pseudonym too, also where the calls are gone: up to `limit` of the rollups after `after`, in
// order. `next` is empty at the end. To be run when his blocks are done, in passes.
struct ErasedRollups {
  std::uint64_t rows = 0;
  std::optional<std::pair<int, std::int64_t>> next;      // level and start
};
Result<ErasedRollups> erase_from_rollups(store::Tx& tx, std::string_view user, std::string_view pseudonym, std::pair<int, std::int64_t> after, std::size_t limit);

// Revoked keys forget whose they were. Returns how many; `active` gets how many that are not revoked are the user's: they stay.
Result<std::uint64_t> erase_from_keys(store::Tx& tx, std::string_view user, std::string_view pseudonym, std::uint64_t& active);

}  // namespace ballast::records
