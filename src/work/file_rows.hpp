// The rows of files: what was uploaded for batches, and what batches made. A file's bytes are kept in compressed pieces, so that none is ever
// held whole but by who wants it whole. Repositories take a `Tx&`, never begin one.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.hpp"
#include "work/job.hpp"

namespace ballast::work {

inline constexpr std::size_t kFilePiece = 256u << 10;    // bytes of a file in one row, before compression

// A file's id is a number as a job's is, printed "file-0123456789abc". Nothing: it does not look like one.
std::string file_id(JobId id);
std::optional<JobId> parse_file_id(std::string_view text);

struct FileRow {
  JobId id;
  std::string owner;                         // the id of the key whose it is
  std::string name, purpose;
  std::uint64_t bytes = 0;
  WallTime created{};
  std::optional<WallTime> expires;
};

// A file that is being written is nobody's to see; `finish_file` makes it one.
Result<void> begin_file(store::Tx& tx, const FileRow& row);
// `packed` by `pack` (base/compress.hpp), of kFilePiece bytes each but the last; the first is number `n`.
Result<void> put_pieces(store::Tx& tx, JobId file, std::size_t n, std::span<const std::string> packed);
Result<void> finish_file(store::Tx& tx, JobId file, std::uint64_t bytes);
// With all its pieces. False: there was none.
Result<bool> delete_file(store::Tx& tx, JobId file);

Result<std::optional<FileRow>> get_file(store::Tx& tx, JobId file);
struct FileFilter {
  std::string owner, purpose;                // purpose empty: any
  JobId after;                               // the last of the page before; zero: from the beginning
  bool ascending = false;                    // by age; else the newest first
  std::size_t limit = 100;
};
Result<std::vector<FileRow>> list_files(store::Tx& tx, const FileFilter& filter);
// The bytes of pieces n, n+1, … (`most` of them), whole; empty at the end. internal_error: damaged.
Result<std::string> read_pieces(store::Tx& tx, JobId file, std::size_t n, std::size_t most);

// Files whose time is over, and what was begun before `begun_before` and never finished.
Result<std::uint64_t> sweep_files(store::Tx& tx, WallTime now, WallTime begun_before, std::size_t limit);

}  // namespace ballast::work
