#include "store/transfer_tables.hpp"

#include <algorithm>

namespace ballast::store {

namespace {

constexpr std::uint64_t kMostAtOnce = 32u << 20;             // bytes of a page; beyond it a smaller one is asked for

}  // namespace

Result<PageReader::Page> PageReader::read(const Key* above, const Key* upto) {
  const std::string sql = "SELECT " + column_list(table_) + " FROM " + in_quotes(table_.name) + where_between(table_, above, upto) + " ORDER BY " + key_list(table_) + " LIMIT $" +
                          std::to_string((above ? table_.key.size() : 0) + (upto ? table_.key.size() : 0) + 1);
  for (;;) {
    std::vector<Value> values = bounds(above, upto);
    values.emplace_back(next_);
    auto rows = side_.read(sql, values, next_ > 1 ? kMostAtOnce : 0);
    if (!rows && rows.error().code == ErrorCode::caller_too_large && next_ > 1) {
      next_ = std::max<std::size_t>(1, next_ / 16);
      continue;
    }
    if (!rows) return std::unexpected(rows.error());
    Page page{.rows = std::move(*rows), .sum = {}, .last = {}};
    page.end = page.rows.size() < next_;
    for (const Row row : page.rows) {
      encoded_.clear();
      encode_row(encoded_, row, table_.columns.size());
      page.sum.add(encoded_);
    }
    if (page.rows.empty()) return page;
    page.last = key_of(table_, page.rows[page.rows.size() - 1]);
    const std::size_t fit = limits_.bytes / std::max<std::size_t>(1, page.sum.bytes / page.rows.size());
    next_ = std::clamp<std::size_t>(fit, 1, std::min(limits_.rows, next_ * 4));
    return page;
  }
}

Result<RowSum> PageReader::add_up(const Key* above, const Key* upto, const std::function<void(const RowSum&)>& seen) {
  RowSum sum;
  Key last;
  for (bool end = false; !end;) {
    const auto page = read(last.empty() ? above : &last, upto);
    if (!page) return std::unexpected(page.error());
    sum.add(page->sum);
    seen(page->sum);
    end = page->end;
    last = page->last;
  }
  return sum;
}

TableTransfer::TableTransfer(TransferSide& from, TransferSide& to, TransferTable table, PageLimits limits)
    : from_(from), to_(to), table_(std::move(table)), limits_(limits), source_(from_, table_, limits), target_(to_, table_, limits) {}

Result<void> TableTransfer::load() {
  auto rows = to_.run("SELECT upper, n, bytes, high, low, checked FROM store_move_ranges WHERE table_name = $1", {table_.name});
  if (!rows) return std::unexpected(rows.error());
  ranges_.clear();
  for (const Row r : *rows) {
    auto upper = unpacked(r.bytes(0));
    if (!upper || upper->size() != table_.key.size()) return std::unexpected(make_error(Fault::broken, "store_move_ranges has a key of " + table_.name + " that is none"));
    const auto number = [&](std::size_t c) { return static_cast<std::uint64_t>(r.integer(c)); };
    ranges_.push_back({.upper = std::move(*upper), .sum = {.rows = number(1), .bytes = number(2), .high = number(3), .low = number(4)}, .checked = r.boolean(5)});
  }
  std::ranges::sort(ranges_, {}, &Range::upper);
  return {};
}

Result<void> TableTransfer::pass(const Watch& watch) {
  for (std::size_t at = 0; at < ranges_.size();) {
    const auto sum = source_.add_up(below(at), &ranges_[at].upper, watch.seen);
    if (!sum) return std::unexpected(sum.error());
    if (*sum == ranges_[at].sum) {
      ++at;
      continue;
    }
    const auto next = copy_range(at, watch);
    if (!next) return std::unexpected(next.error());
    at = *next;
  }
  return copy_tail(watch);
}

// Puts the range anew, as one or several, or as none; returns the place of the next.
Result<std::size_t> TableTransfer::copy_range(std::size_t at, const Watch& watch) {
  const Range old = ranges_[at];
  ranges_.erase(ranges_.begin() + static_cast<std::ptrdiff_t>(at));
  for (bool end = false; !end;) {
    auto page = source_.read(below(at), &old.upper);
    if (!page) return std::unexpected(page.error());
    watch.seen(page->sum);
    end = page->end;
    const bool none = page->rows.empty();    // what was there is gone: the next range reaches down to the one before
    if (none && at > 0 && ranges_[at - 1].upper == old.upper) break;
    if (end) page->last = old.upper;
    if (auto done = put(below(at), &page->last, *page, watch); !done) return std::unexpected(done.error());
    if (!none) ranges_.insert(ranges_.begin() + static_cast<std::ptrdiff_t>(at++), {.upper = page->last, .sum = page->sum});
  }
  return at;
}

// What is behind the last range. A small last one is put anew with it, so that many passes do not make many ranges.
Result<void> TableTransfer::copy_tail(const Watch& watch) {
  for (bool first = true;; first = false) {
    auto page = source_.read(below(ranges_.size()), nullptr);
    if (!page) return std::unexpected(page.error());
    watch.seen(page->sum);
    if (page->rows.empty()) break;
    if (first && !ranges_.empty() && is_small(ranges_.back())) {
      if (auto forgotten = forget(ranges_.back().upper); !forgotten) return forgotten;
      ranges_.pop_back();
      continue;
    }
    if (auto done = put(below(ranges_.size()), &page->last, *page, watch); !done) return done;
    ranges_.push_back({.upper = page->last, .sum = page->sum});
    if (page->end) break;
  }
  if (tail_clear_) return {};
  auto cleared = put(below(ranges_.size()), nullptr, {}, watch);
  tail_clear_ = cleared.has_value();
  return cleared;
}

Result<void> TableTransfer::put(const Key* above, const Key* upto, const PageReader::Page& page, const Watch& watch) {
  const auto all = [&]() -> Result<void> {
    if (auto begun = to_.begin(); !begun) return begun;
    const std::string clear = "DELETE FROM " + in_quotes(table_.name) + where_between(table_, above, upto);
    if (auto cleared = to_.run(clear, bounds(above, upto)); !cleared) return std::unexpected(cleared.error());
    if (!page.rows.empty()) {
      if (auto rows = to_.put(table_, page.rows); !rows) return rows;
      const std::string key = packed(*upto);
      auto noted = to_.run("INSERT INTO store_move_ranges (table_name, upper, n, bytes, high, low, checked) VALUES ($1, $2, $3, $4, $5, $6, 0) ON CONFLICT (table_name, upper) "
                           "DO UPDATE SET n = excluded.n, bytes = excluded.bytes, high = excluded.high, low = excluded.low, checked = 0",
                           {table_.name, Value::bytes(key), page.sum.rows, page.sum.bytes, page.sum.high, page.sum.low});
      if (!noted) return std::unexpected(noted.error());
    } else if (upto) {
      if (auto forgotten = forget(*upto); !forgotten) return forgotten;
    }
    return to_.commit();
  }();
  if (!all) to_.roll_back();
  else watch.put(page.sum);
  return all;
}

Result<void> TableTransfer::forget(const Key& upper) {
  const std::string key = packed(upper);
  auto done = to_.run("DELETE FROM store_move_ranges WHERE table_name = $1 AND upper = $2", {table_.name, Value::bytes(key)});
  return done ? Result<void>{} : std::unexpected(done.error());
}

Result<bool> TableTransfer::check(const Watch& watch) {
  bool fine = true, looked = false;
  for (std::size_t at = 0; at < ranges_.size(); ++at) {
    if (ranges_[at].checked) continue;
    const auto sum = target_.add_up(below(at), &ranges_[at].upper, watch.seen);
    if (!sum) return std::unexpected(sum.error());
    looked = ranges_[at].checked = true;
    if (*sum == ranges_[at].sum) continue;
    fine = false;
    ranges_[at].sum = {.rows = ~std::uint64_t{0}};           // what no range adds up to
    ranges_[at].checked = false;
  }
  if (!looked || !fine) return fine;
  auto noted = to_.run("UPDATE store_move_ranges SET checked = 1 WHERE table_name = $1", {table_.name});
  if (!noted) return std::unexpected(noted.error());
  return true;
}

RowSum TableTransfer::sum() const {
  RowSum out;
  for (const Range& range : ranges_) out.add(range.sum);
  return out;
}

Result<std::uint64_t> TableTransfer::target_rows() {
  auto rows = to_.run("SELECT COUNT(*) FROM " + in_quotes(table_.name));
  if (!rows) return std::unexpected(rows.error());
  return static_cast<std::uint64_t>((*rows)[0].integer(0));
}

Result<std::pair<RowSum, RowSum>> TableTransfer::compare(const Watch& watch) {
  auto source = source_.add_up(nullptr, nullptr, watch.seen);
  if (!source) return std::unexpected(source.error());
  auto target = target_.add_up(nullptr, nullptr, watch.seen);
  if (!target) return std::unexpected(target.error());
  return std::pair(*source, *target);
}

}  // namespace ballast::store
