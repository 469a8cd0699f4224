// Transfer: all rows of an installation from one database into another, SQLite or PostgreSQL, while the source serves, and to the end when it has stopped.
//
// Each table is cut into ranges of its primary key. Of every range that was put into the target the target keeps what its rows add up to, in the transaction
// that put them there. A pass reads the source and puts anew what differs: so the first pass copies all, each later one copies what changed, and one
// that was killed goes on where it was. Every range is also read back from the target. When nobody uses the source, one more pass under its lock makes them equal,
// row counts are compared, and the source is marked as left and the target as the installation (store/moves.hpp), in an order in which a kill leaves
// neither both nor, without another run, none.
//
// Blocking, one thread. Memory: a few pages of some megabytes, whatever the tables' size; one row may be larger. Bounded by the primary key's order,
// which both databases have alike for integers, texts (by their bytes) and bytes; a table without such a key is refused.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.hpp"

namespace ballast::store {

struct TransferReport;

// A table that is not carried, and why.
struct LeftOut {
  std::string_view table, why;
};

struct TransferOptions {
  std::span<const Migration> known;          // the whole schema of this program; the source must be at it
  std::span<const LeftOut> left_out;
  bool only_known = false;                   // nothing is begun: caller_conflict if no transfer of the two is known
  bool start_over = false;                   // a target that an unfinished transfer has begun to fill is emptied first
  std::uint64_t bytes_per_second = 0;        // read from the source while it serves; 0: as fast as it goes
  std::size_t range_rows = 8'192, range_bytes = std::size_t{2} << 20;     // about
  // For whoever works with the target first (take_note), kept there in the transaction that says it is whole. Empty: nothing.
  std::function<std::string(const TransferReport&)> note = {};
  // What is being done, with rows done and rows in all (about; 0 unknown).
  std::function<void(std::string_view what, std::uint64_t done, std::uint64_t all)> progress = [](std::string_view, std::uint64_t, std::uint64_t) {};
};

struct TransferredTable {
  std::string name;
  std::uint64_t rows = 0, bytes = 0;         // bytes in canonical form
  std::string checksum;                      // of the source; 32 hex digits, of rows in any order
  std::uint64_t target_rows = 0;             // verify
  std::string target_checksum;
  std::uint64_t copied = 0;                  // rows put into the target, by this process
  bool same() const { return rows == target_rows && checksum == target_checksum; }
};

struct TransferReport {
  std::string id;
  std::vector<TransferredTable> tables;      // by name
  std::vector<std::string> strangers;        // tables of the source that are not Ballast's: they stay behind
  std::uint64_t rows = 0, bytes = 0, copied_rows = 0, copied_bytes = 0;
};

class Transfer {
 public:
  // Caller's errors name what to do: the source is not at this program's schema, or was left; the target holds an installation, or another transfer's part
  // of one, or is being filled by another process. An empty target is marked and given its schema.
  static Result<std::unique_ptr<Transfer>> open(std::string_view from, std::string_view to, TransferOptions options);
  virtual ~Transfer() = default;

  // This transfer was finished before. `used`: and the target has been worked with since, so that it cannot be compared any more.
  virtual bool finished() const = 0;
  virtual bool used() const = 0;
  // Beside a serving source; what changes meanwhile is for the next pass. The rows that had to be put anew are in the report's `copied`.
  // caller_invalid_request, field "rows": a row that the target cannot hold, by its key.
  virtual Result<TransferReport> pass() = 0;
  // caller_conflict, field "database": somebody uses the source; nothing has happened then. Otherwise all is moved when this returns.
  // The caller holds whatever keeps a server from starting on the source.
  virtual Result<TransferReport> finish() = 0;
  // Reads all of both; changes nothing.
  virtual Result<TransferReport> verify() = 0;
  // The source counts again, and the target is a part of an installation as before `finish`. caller_conflict: it was used.
  virtual Result<void> take_back() = 0;
};

}  // namespace ballast::store
