// Reading the ledger's blocks: in order, page by page, and only the calls that a filter takes. For the ledger's own files.
#pragma once
#include <array>
#include <compare>
#include <optional>
#include <string>

#include "records/call_block.hpp"
#include "records/ledger.hpp"
#include "records/zones.hpp"
#include "store/database.hpp"

namespace ballast::records {

// The next id and the one before.
Id after_id(Id id);
Id before_id(Id id);

struct BlockKey {
  std::string last, first;   // ids as bytes
  friend auto operator<=>(const BlockKey&, const BlockKey&) = default;
};

// The blocks that may hold calls of [from, to], by their last call.
class BlockScan {
 public:
  enum class Order : std::uint8_t { ascending, descending };
  BlockScan(Order order, Id from, Id to);
  struct Block {
    BlockKey key;
    std::string_view summary;    // valid until the next call of `next`
    Id last;
  };
  // Null at the end.
  Result<const Block*> next(store::Tx& tx);
  // The same in two steps, so that blocks can be looked at outside of the transaction that read them. False: there are no more.
  Result<bool> read_page(store::Tx& tx);
  Result<const Block*> next_read();        // null after the page's last

 private:
  const Order order_;
  Id low_, high_;                // what is left of the range of last ids
  const Id to_;
  std::size_t page_ = 8, at_ = 0;
  bool more_ = true;
  store::Rows rows_;
  Block block_;
};
// As BlockScan, newest first, of those whose zones may match.
class ZoneScan {
 public:
  ZoneScan(const CallFilter& filter, Id from, Id to);
  // Now and then a block without a summary: no match is newer than it but in those before.
  Result<const BlockScan::Block*> next(store::Tx& tx);
  std::size_t blocks() const { return blocks_; }   // looked at so far

 private:
  Result<void> read_page(store::Tx& tx);
  const ZoneProbe probe_;
  BlockScan all_;                // where there is nothing to probe for
  Id low_, high_;
  const Id to_;
  std::size_t page_ = 64, at_ = 0, blocks_ = 0;
  bool more_ = true;
  store::Rows rows_, summary_;
  BlockScan::Block block_;
};
// Where a call is; nullopt: the ledger does not hold it.
struct CallPlace {
  BlockKey block;
  std::size_t position = 0;
};
Result<std::optional<CallPlace>> find_call(store::Tx& tx, Id id);
// The compressed records of a block; Fault::unavailable when another node has just rewritten it.
Result<std::string> read_details(store::Tx& tx, const BlockKey& key);

// A filter's times as ids, both inclusive; nullopt: no call can match.
std::optional<std::pair<Id, Id>> ids_of(const CallFilter& filter);
// The same for a page of calls, newest first, that follows the call `before`.
std::optional<std::pair<Id, Id>> page_of(const CallFilter& filter, std::optional<Id> before);
// The first id of the first whole millisecond not before `t`.
Id first_id(WallTime t);

// Which calls of a block a filter takes.
class CallMatcher {
 public:
  explicit CallMatcher(const CallFilter& filter);
  // To be told of each block. False: none of its calls can match. Of a block that does not tell errors, calls of any error are taken.
  bool begin(const SummaryReader& block);
  // All but provider and model.
  bool call(const CallRow& row) const;
  // Provider and model, of the call or of an attempt.
  bool target(std::uint32_t provider, std::uint32_t model) const;

 private:
  struct Wanted {
    Name name;
    const std::string* text;
    std::uint32_t number = 0;    // in the block
  };
  bool within(const CallRow& row) const;
  const CallFilter& filter_;
  Id from_, to_;
  bool none_ = false, bounded_ = false, any_error_ = false;
  std::vector<Wanted> texts_, targets_;
};

}  // namespace ballast::records
