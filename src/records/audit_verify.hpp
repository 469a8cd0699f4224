// Verifying the audit trail: reads all of it, in bounded memory, and says what does not fit and where.
//
// Within the database: each entry against its hash, its place, the entry before it and the chain's head. Against the files of anchors:
// every head that was ever anchored is still an entry of that hash, or its chain has a tombstone. The anchors among themselves and against
// how far the database says they go. What can be proven without an anchor kept elsewhere: everything, unless somebody had both the
// database and the files; then the newest hash that was shipped away (`expect`) tells.
//
// May run beside writers, which it does not wait for.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/result.hpp"
#include "records/audit_anchors.hpp"
#include "store/database.hpp"

namespace ballast::records {

enum class AuditFault : unsigned char {
  deleted,            // entries are missing between others
  edited,             // an entry is not what its hash says
  moved,              // an entry stands at another's place
  unlinked,           // an entry does not follow the one before it: one of the two was put in, exchanged or written anew
  inserted,           // an entry stands where none can: before the first, or behind the head
  truncated,          // the newest entries are missing
  head,               // the head is missing, or is not the newest entry's
  rewritten,          // an entry has another hash than was anchored: the chain was written anew from there or before
  chain_deleted,      // a chain that was anchored is gone, and no tombstone says why
  anchors_damaged,    // bytes of a file of anchors are no anchors
  anchors_edited,     // an anchor is not what it was, or does not follow the one before it
  anchors_truncated,  // anchors that are known to have been there are missing
  anchors_missing,    // a node's file of anchors was not given
};
std::string_view to_string(AuditFault fault);

struct AuditFinding {
  AuditFault fault;
  std::string chain;          // or the file, for faults of anchors
  std::int64_t seq = 0;       // of the entry, or the anchor's number; zero: of none
  std::string what;           // a sentence
};

struct AuditReport {
  std::vector<AuditFinding> findings;       // the first `most`, of one chain at most 20
  std::uint64_t found = 0;                  // all of them
  std::uint64_t chains = 0, entries = 0, retired = 0, anchors = 0, anchored_heads = 0;      // what was looked at; retired: of anchored heads
  std::vector<NewestAnchor> newest;          // of each file
  bool clean() const { return found == 0; }
};

struct AuditVerification {
  std::string chain;                        // only this one; empty: all
  std::optional<Digest> expect;             // the hash of an anchor that must be in one of the files
  std::size_t most = 1000;
  std::function<void(std::uint64_t done, std::uint64_t all)> progress = {};   // entries read, of those that the heads count; may be empty
};
// Blocking; for tools and threads of their own. Error: something could not be read; nothing is said about the trail then.
Result<AuditReport> verify_audit(store::Database& database, std::span<const std::string> anchor_files, const AuditVerification& asked = {});

}  // namespace ballast::records
