// One of the two databases of a transfer, for store/transfer alone: a connection of its own, used by one thread.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.hpp"
#include "store/transfer_rows.hpp"

namespace ballast::store {

class TransferSide {
 public:
  virtual ~TransferSide() = default;         // rolls back what is open
  virtual Dialect dialect() const = 0;
  // In the open transaction, else in one of its own. For small answers.
  virtual Result<Rows> run(std::string_view sql, Args args = {}) = 0;
  // Outside of any transaction; while frozen nothing changes beside it. caller_too_large: the answer has more than `bytes` (0: 1 GiB).
  virtual Result<Rows> read(std::string_view sql, Args args, std::uint64_t bytes) = 0;
  virtual Result<std::vector<TransferTable>> tables() = 0;   // all there are, by name
  virtual Result<std::uint64_t> rows_about(const TransferTable& table) = 0;   // for showing how far it is
  virtual Result<void> begin() = 0;
  virtual Result<void> commit() = 0;
  virtual void roll_back() = 0;
  // Into a table, in the open transaction. caller_invalid_request: a row that this database cannot hold, by its key.
  virtual Result<void> put(const TransferTable& table, const Rows& rows) = 0;
  // Begins a transaction beside which nobody can write. caller_conflict: somebody uses the database; then nothing is begun.
  virtual Result<void> freeze(std::span<const TransferTable> tables) = 0;
  // Whether a commit waits for the disk; the order of commits is kept either way.
  virtual Result<void> wait_for_disk(bool wait) = 0;
  virtual Result<void> polish(const TransferTable& table) = 0;   // statistics, after much was put there
};

// A target is made if it is not there (SQLite), and is this process' alone meanwhile: caller_conflict otherwise. A source must be there.
enum class TransferRole : unsigned char { source, target };
Result<std::unique_ptr<TransferSide>> open_side(std::string_view url, TransferRole role);
Result<std::unique_ptr<TransferSide>> sqlite_side(const std::string& path, TransferRole role);
Result<std::unique_ptr<TransferSide>> postgres_side(const std::string& url, TransferRole role);

}  // namespace ballast::store
