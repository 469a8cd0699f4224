// One table's part of a transfer, for store/transfer alone.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "store/transfer_rows.hpp"
#include "store/transfer_side.hpp"

namespace ballast::store {

struct PageLimits {
  std::size_t rows = 8'192, bytes = std::size_t{2} << 20;
};

// Reads ranges of a table page by page; a page has about so many bytes, as those before it had.
class PageReader {
 public:
  PageReader(TransferSide& side, const TransferTable& table, PageLimits limits) : side_(side), table_(table), limits_(limits), next_(limits.rows < 64 ? limits.rows : 64) {}
  struct Page {
    Rows rows;
    RowSum sum;
    Key last;                                // of the last row; empty if there is none
    bool end = false;                        // nothing is behind it
  };
  // Rows above `above` (null: from the first), up to and with `upto` (null: to the last).
  Result<Page> read(const Key* above, const Key* upto);
  // What all of them add up to.
  Result<RowSum> add_up(const Key* above, const Key* upto, const std::function<void(const RowSum& page)>& seen);

 private:
  TransferSide& side_;
  const TransferTable& table_;
  const PageLimits limits_;
  std::size_t next_;                         // rows to ask for
  std::string encoded_;
};

class TableTransfer {
 public:
  // `seen`: of every page that was read from the source; `put`: of what was written.
  struct Watch {
    std::function<void(const RowSum& page)> seen, put;
  };
  TableTransfer(TransferSide& from, TransferSide& to, TransferTable table, PageLimits limits);

  const TransferTable& table() const { return table_; }
  // What an earlier process has put there.
  Result<void> load();
  Result<void> pass(const Watch& watch);
  // Reads back what was not yet; false: a range was not what it must be, and is forgotten, so that the next pass puts it anew.
  Result<bool> check(const Watch& watch);
  RowSum sum() const;                        // after a pass: of the source, and so of the target
  Result<std::uint64_t> target_rows();
  // Both sides anew, without what is known. source, target.
  Result<std::pair<RowSum, RowSum>> compare(const Watch& watch);

 private:
  struct Range {
    Key upper;
    RowSum sum;
    bool checked = false;
  };
  bool is_small(const Range& range) const { return range.sum.rows < limits_.rows / 2 && range.sum.bytes < limits_.bytes / 2; }
  const Key* below(std::size_t range) const { return range ? &ranges_[range - 1].upper : nullptr; }
  Result<std::size_t> copy_range(std::size_t at, const Watch& watch);
  Result<void> copy_tail(const Watch& watch);
  // In one transaction: the target's rows between the two (of `upto` null: all behind) give way to the page's, and what is known of the range to theirs.
  Result<void> put(const Key* above, const Key* upto, const PageReader::Page& page, const Watch& watch);
  Result<void> forget(const Key& upper);

  TransferSide& from_;
  TransferSide& to_;
  const TransferTable table_;
  const PageLimits limits_;
  PageReader source_, target_;
  std::vector<Range> ranges_;                // by upper; each reaches down to the one before
  bool tail_clear_ = false;                  // the target has nothing behind the last
};

}  // namespace ballast::store
