#include "records/ledger_scan.hpp"

#include <algorithm>

namespace ballast::records {

namespace {

constexpr std::size_t kLargestPage = 64;   // blocks, about 1 MB of summaries
constexpr std::size_t kLargestZonePage = 2'048, kZonesAtOnce = 1'024;
constexpr Id kLastId{UINT64_MAX, UINT64_MAX};

// The last id that a block may end with when it begins at `id`.
Id end_of_span(Id id) {
  constexpr std::uint64_t span = static_cast<std::uint64_t>(kBlockSpanMs) << 16;
  return id.high > UINT64_MAX - span ? kLastId : Id{id.high + span, UINT64_MAX};
}

}  // namespace

Id after_id(Id id) { return {id.high + (id.low == UINT64_MAX), id.low + 1}; }
Id before_id(Id id) { return {id.high - (id.low == 0), id.low - 1}; }

BlockScan::BlockScan(Order order, Id from, Id to) : order_(order), low_(from), high_(end_of_span(to)), to_(to) {}

Result<bool> BlockScan::read_page(store::Tx& tx) {
  if (!more_ || low_ > high_) return false;
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
  return !rows_.empty();
}

Result<const BlockScan::Block*> BlockScan::next(store::Tx& tx) {
  if (at_ == rows_.size())
    if (auto read = read_page(tx); !read || !*read) return read ? Result<const Block*>(nullptr) : std::unexpected(read.error());
  return next_read();
}

Result<const BlockScan::Block*> BlockScan::next_read() {
  if (at_ == rows_.size()) return nullptr;
  const store::Row row = rows_[at_++];
  const auto last = id_from_bytes(row.bytes(0));
  if (!last) return std::unexpected(damaged_block());
  if (order_ == Order::ascending) {
    low_ = after_id(*last);
    more_ = more_ && *last != kLastId;
  } else {
    high_ = before_id(*last);
    more_ = more_ && *last != Id{};
  }
  block_ = {{row.string(0), row.string(1)}, row.bytes(2), *last};
  return &block_;
}

ZoneScan::ZoneScan(const CallFilter& filter, Id from, Id to)
    : probe_(filter), all_(BlockScan::Order::descending, from, to), low_(from), high_(end_of_span(to)), to_(to) {}

Result<void> ZoneScan::read_page(store::Tx& tx) {
  const std::string low = to_bytes(low_), high = to_bytes(high_), to = to_bytes(to_);
  auto rows = tx.run("SELECT b.last_id, b.first_id, z.zone FROM call_blocks AS b LEFT JOIN call_zones AS z ON z.last_id = b.last_id AND z.first_id = b.first_id "
                     "WHERE b.last_id >= $1 AND b.last_id <= $2 AND b.first_id <= $3 ORDER BY b.last_id DESC, b.first_id DESC LIMIT $4",
                     {store::Value::bytes(low), store::Value::bytes(high), store::Value::bytes(to), page_});
  if (!rows) return std::unexpected(rows.error());
  rows_ = std::move(*rows);
  at_ = 0;
  more_ = rows_.size() == page_;
  page_ = std::min(page_ * 2, kLargestZonePage);
  return {};
}

Result<const BlockScan::Block*> ZoneScan::next(store::Tx& tx) {
  if (probe_.idle()) {
    ++blocks_;
    return all_.next(tx);
  }
  for (;;) {
    if (at_ == rows_.size()) {
      if (!more_ || low_ > high_) return nullptr;
      if (auto read = read_page(tx); !read) return std::unexpected(read.error());
      if (rows_.empty()) return nullptr;
    }
    const store::Row row = rows_[at_++];
    const auto last = id_from_bytes(row.bytes(0));
    if (!last) return std::unexpected(damaged_block());
    high_ = before_id(*last);
    more_ = more_ && *last != Id{};
    ++blocks_;
    block_ = {{row.string(0), row.string(1)}, {}, *last};
    if (row.null(2) || probe_.may_match(row.bytes(2))) break;
    if (blocks_ % kZonesAtOnce == 0) return &block_;   // without a summary: whoever searches may stop here
  }
  auto summary = tx.run("SELECT summary FROM call_blocks WHERE last_id = $1 AND first_id = $2", {store::Value::bytes(block_.key.last), store::Value::bytes(block_.key.first)});
  if (!summary) return std::unexpected(summary.error());
  if (summary->empty()) return std::unexpected(store::make_error(store::Fault::unavailable, "another node changed the ledger at the same place"));
  summary_ = std::move(*summary);
  block_.summary = summary_[0].bytes(0);
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
  return std::pair(from, before_id(to));
}

std::optional<std::pair<Id, Id>> page_of(const CallFilter& f, std::optional<Id> cursor) {
  auto range = ids_of(f);
  if (!range || (cursor && !*cursor)) return std::nullopt;
  if (cursor) range->second = std::min(range->second, before_id(*cursor));
  if (range->second < range->first) return std::nullopt;
  return range;
}

CallMatcher::CallMatcher(const CallFilter& f)
    : filter_(f), bounded_(f.cache || f.min_cost_nano || f.max_cost_nano || f.min_latency_us || f.max_latency_us) {
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
  want(texts_, Name::error, f.error);
  want(targets_, Name::provider, f.provider);
  want(targets_, Name::model, f.model);
}

bool CallMatcher::begin(const SummaryReader& block) {
  const auto names = block.names();
  any_error_ = !block.tells_errors();
  for (std::vector<Wanted>* list : {&texts_, &targets_}) {
    for (Wanted& w : *list) {
      if (w.name == Name::error && any_error_) continue;
      const auto at = std::find(names.begin(), names.end(), *w.text);
      if (at == names.end()) return false;
      w.number = static_cast<std::uint32_t>(at - names.begin());
    }
  }
  return !none_;
}

bool CallMatcher::within(const CallRow& row) const {
  const Amounts& a = row.amounts;
  const CallFilter& f = filter_;
  return (!f.cache || row.cache == *f.cache) && (!f.min_cost_nano || a.incurred_nano >= *f.min_cost_nano) &&
         (!f.max_cost_nano || a.incurred_nano <= *f.max_cost_nano) && (!f.min_latency_us || a.latency_us >= *f.min_latency_us) &&
         (!f.max_latency_us || a.latency_us <= *f.max_latency_us);
}

bool CallMatcher::call(const CallRow& row) const {
  return row.id >= from_ && row.id <= to_ && (!filter_.status || row.status == *filter_.status) && (!bounded_ || within(row)) &&
         std::all_of(texts_.begin(), texts_.end(), [&](const Wanted& w) { return row.name(w.name) == w.number || (any_error_ && w.name == Name::error); });
}

bool CallMatcher::target(std::uint32_t provider, std::uint32_t model) const {
  return std::all_of(targets_.begin(), targets_.end(), [&](const Wanted& w) { return (w.name == Name::provider ? provider : model) == w.number; });
}

}  // namespace ballast::records
