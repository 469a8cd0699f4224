#include "records/ledger_scan.hpp"

#include <algorithm>

namespace ballast::records {

namespace {

constexpr std::size_t kLargestPage = 64;   // blocks, about 1 MB of summaries
constexpr Id kLastId{UINT64_MAX, UINT64_MAX};

Id after(Id id) { return {id.high + (id.low == UINT64_MAX), id.low + 1}; }
Id before(Id id) { return {id.high - (id.low == 0), id.low - 1}; }

// The last id that a block may end with when it begins at `id`.
Id end_of_span(Id id) {
  constexpr std::uint64_t span = static_cast<std::uint64_t>(kBlockSpanMs) << 16;
  return id.high > UINT64_MAX - span ? kLastId : Id{id.high + span, UINT64_MAX};
}

}  // namespace

BlockScan::BlockScan(Order order, Id from, Id to) : order_(order), low_(from), high_(end_of_span(to)), to_(to) {}

Result<void> BlockScan::read_page(store::Tx& tx) {
  constexpr const char* ascending =
      "SELECT last_id, first_id, summary FROM call_blocks WHERE last_id >= $1 AND last_id <= $2 AND first_id <= $3 ORDER BY last_id, first_id LIMIT $4";
  constexpr const char* descending =
      "SELECT last_id, first_id, summary FROM call_blocks WHERE last_id >= $1 AND last_id <= $2 AND first_id <= $3 ORDER BY last_id DESC, first_id DESC LIMIT $4";
  const std::string low = to_bytes(low_), high = to_bytes(high_), to = to_bytes(to_);
  auto rows = tx.run(order_ == Order::ascending ? ascending : descending,
                     {store::Value::bytes(low), store::Value::bytes(high), store::Value::bytes(to), page_});
  if (!rows) return std::unexpected(rows.error());
  rows_ = std::move(*rows);
  at_ = 0;
  more_ = rows_.size() == page_;
  page_ = std::min(page_ * 2, kLargestPage);
  return {};
}

Result<const BlockScan::Block*> BlockScan::next(store::Tx& tx) {
  if (at_ == rows_.size()) {
    if (!more_ || low_ > high_) return nullptr;
    if (auto read = read_page(tx); !read) return std::unexpected(read.error());
    if (rows_.empty()) return nullptr;
  }
  const store::Row row = rows_[at_++];
  const auto last = id_from_bytes(row.bytes(0));
  if (!last) return std::unexpected(damaged_block());
  if (order_ == Order::ascending) {
    low_ = after(*last);
    more_ = more_ && *last != kLastId;
  } else {
    high_ = before(*last);
    more_ = more_ && *last != Id{};
  }
  block_ = {{row.string(0), row.string(1)}, row.bytes(2), *last};
  return &block_;
}

Result<std::optional<CallPlace>> find_call(store::Tx& tx, Id id) {
  BlockScan scan(BlockScan::Order::ascending, id, id);
  for (;;) {
    auto block = scan.next(tx);
    if (!block) return std::unexpected(block.error());
    if (!*block) return std::nullopt;
    SummaryReader reader((*block)->summary);
    std::size_t position = 0;
    for (CallRow row; reader.next(row); ++position)
      if (row.id == id) return CallPlace{(*block)->key, position};
    if (!reader.good()) return std::unexpected(damaged_block());
  }
}

Result<std::string> read_details(store::Tx& tx, const BlockKey& key) {
  auto rows = tx.run("SELECT details FROM call_blocks WHERE last_id = $1 AND first_id = $2", {store::Value::bytes(key.last), store::Value::bytes(key.first)});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::unexpected(store::make_error(store::Fault::unavailable, "another node changed the ledger at the same place"));
  return (*rows)[0].string(0);
}

Id first_id(WallTime t) {
  const std::int64_t ns = std::max<std::int64_t>(0, t.time_since_epoch().count());
  return {static_cast<std::uint64_t>(ns / 1'000'000 + (ns % 1'000'000 != 0)) << 16, 0};
}

std::optional<std::pair<Id, Id>> ids_of(const CallFilter& f) {
  const Id from = f.from > WallTime{} ? first_id(f.from) : Id{};
  if (f.to == WallTime::max()) return std::pair(from, kLastId);
  const Id to = first_id(f.to);
  if (to <= from) return std::nullopt;
  return std::pair(from, before(to));
}

std::optional<std::pair<Id, Id>> page_of(const CallFilter& f, std::optional<Id> cursor) {
  auto range = ids_of(f);
  if (!range || (cursor && !*cursor)) return std::nullopt;
  if (cursor) range->second = std::min(range->second, before(*cursor));
  if (range->second < range->first) return std::nullopt;
  return range;
}

CallMatcher::CallMatcher(const CallFilter& f) : status_(f.status) {
  const auto range = ids_of(f);
  none_ = !range;
  if (range) std::tie(from_, to_) = *range;
  const auto want = [](std::vector<Wanted>& list, Name name, const std::string& text) {
    if (!text.empty()) list.push_back({name, &text});
  };
  want(texts_, Name::key, f.key_id);
  want(texts_, Name::user, f.user);
  want(texts_, Name::feature, f.feature);
  want(texts_, Name::team, f.team);
  want(texts_, Name::route, f.route);
  want(texts_, Name::operation, f.operation);
  want(targets_, Name::provider, f.provider);
  want(targets_, Name::model, f.model);
}

bool CallMatcher::begin(std::span<const std::string_view> names) {
  for (std::vector<Wanted>* list : {&texts_, &targets_}) {
    for (Wanted& w : *list) {
      const auto at = std::find(names.begin(), names.end(), *w.text);
      if (at == names.end()) return false;
      w.number = static_cast<std::uint32_t>(at - names.begin());
    }
  }
  return !none_;
}

bool CallMatcher::call(const CallRow& row) const {
  return row.id >= from_ && row.id <= to_ && (!status_ || row.status == *status_) &&
         std::all_of(texts_.begin(), texts_.end(), [&](const Wanted& w) { return row.name(w.name) == w.number; });
}

bool CallMatcher::target(std::uint32_t provider, std::uint32_t model) const {
  return std::all_of(targets_.begin(), targets_.end(), [&](const Wanted& w) { return (w.name == Name::provider ? provider : model) == w.number; });
}

}  // namespace ballast::records
