// Usage: sums over the ledger's blocks. Groups are numbers while it reads, texts at the end.
#include <algorithm>
#include <unordered_map>

#include "base/hash.hpp"
#include "base/money.hpp"
#include "records/ledger_scan.hpp"

namespace ballast::records {

namespace {

constexpr std::size_t kMostRows = 200'000;    // that limit and offset may reach
constexpr std::size_t kMostBy = 4;

// Every text that is a group's, with a number.
class Texts {
 public:
  std::uint64_t number(std::string_view text) {
    if (const auto found = numbers_.find(text); found != numbers_.end()) return found->second;
    numbers_.emplace(text, texts_.size());
    texts_.emplace_back(text);
    return texts_.size() - 1;
  }
  const std::string& text(std::uint64_t number) const { return texts_[number]; }

 private:
  std::unordered_map<std::string, std::uint64_t, StringHash, std::equal_to<>> numbers_;
  std::vector<std::string> texts_;
};

using GroupKey = std::array<std::uint64_t, kMostBy>;   // numbers of texts, hours, days, states
struct GroupHash {
  std::size_t operator()(const GroupKey& k) const {
    std::uint64_t h = 0;
    for (const std::uint64_t n : k) h = hash_mix(h ^ n, 0x9e3779b97f4a7c15ull);
    return h;
  }
};

// The order of rows: by status as numbered, everything else as text.
bool before(const UsageRow& a, const UsageRow& b, const std::vector<GroupBy>& by) {
  constexpr std::string_view statuses[] = {"ok", "failed", "cancelled", "unknown"};
  for (std::size_t i = 0; i < by.size(); ++i) {
    if (a.group[i] == b.group[i]) continue;
    if (by[i] != GroupBy::status) return a.group[i] < b.group[i];
    return std::find(std::begin(statuses), std::end(statuses), a.group[i]) < std::find(std::begin(statuses), std::end(statuses), b.group[i]);
  }
  return false;
}


class UsageSum {
 public:
  explicit UsageSum(const UsageQuery& query)
      : query_(query), matcher_(query.filter), wanted_(std::min(query.offset + query.limit, kMostRows)) {
    by_attempt_ = !query.filter.provider.empty() || !query.filter.model.empty() ||
                  std::any_of(query.by.begin(), query.by.end(), [](GroupBy g) { return g == GroupBy::model || g == GroupBy::provider; });
    if (query.by.empty()) groups_[GroupKey{}];  // totals of nothing are zero
  }

  Result<void> add(std::string_view summary) {
    SummaryReader reader(summary);
    if (matcher_.begin(reader)) {
      names_ = reader.names();
      numbers_.assign(names_.size(), UINT64_MAX);
      for (CallRow row; reader.next(row);)
        if (matcher_.call(row)) add_call(row);
    }
    if (!reader.good()) return std::unexpected(damaged_block());
    if (groups_.size() > 2 * wanted_ + 10'000) prune();
    return {};
  }

  // In order, from the offset.
  std::vector<UsageRow> rows() {
    std::vector<UsageRow> out;
    out.reserve(groups_.size());
    for (auto& [key, sums] : groups_) {
      out.push_back(std::move(sums));
      name_groups(out.back(), key);
    }
    std::sort(out.begin(), out.end(), [&](const UsageRow& a, const UsageRow& b) { return before(a, b, query_.by); });
    if (out.size() > wanted_) out.resize(wanted_);
    out.erase(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(std::min(query_.offset, out.size())));
    return out;
  }

 private:
  void add_call(const CallRow& row) {
    if (!by_attempt_ || row.attempts.empty()) {
      const std::uint32_t provider = row.name(Name::provider), model = row.name(Name::model);
      if (by_attempt_ && !matcher_.target(provider, model)) return;
      add_amounts(row, provider, model, row.status == CallStatus::failed || row.status == CallStatus::unknown, row.amounts);
      return;
    }
    for (const AttemptRow& a : row.attempts)
      if (matcher_.target(a.provider, a.model)) add_amounts(row, a.provider, a.model, a.failed, a.amounts);
  }

  void add_amounts(const CallRow& row, std::uint32_t provider, std::uint32_t model, bool failed, const Amounts& a) {
    GroupKey key{};
    for (std::size_t i = 0; i < query_.by.size(); ++i) key[i] = group(query_.by[i], row, provider, model);
    UsageRow& sums = groups_[key];
    ++sums.calls;
    sums.failed += failed;
    sums.cache_hits += is_hit(row.cache);
    Int128* tokens[] = {&sums.input, &sums.cached, &sums.cache_write, &sums.output, &sums.reasoning, &sums.images};
    for (std::size_t i = 0; i < a.tokens.size(); ++i) *tokens[i] += a.tokens[i];
    sums.incurred_nano += a.incurred_nano;
    sums.billed_nano += a.billed_nano;
    sums.latency_us += a.latency_us;
  }

  std::uint64_t group(GroupBy by, const CallRow& row, std::uint32_t provider, std::uint32_t model) {
    switch (by) {
      case GroupBy::key: return text_number(row.name(Name::key));
      case GroupBy::user: return text_number(row.name(Name::user));
      case GroupBy::feature: return text_number(row.name(Name::feature));
      case GroupBy::team: return text_number(row.name(Name::team));
      case GroupBy::model: return text_number(model);
      case GroupBy::provider: return text_number(provider);
      case GroupBy::route: return text_number(row.name(Name::route));
      case GroupBy::operation: return text_number(row.name(Name::operation));
      case GroupBy::hour: return static_cast<std::uint64_t>(row.id.unix_ms() / 3'600'000);
      case GroupBy::day: return static_cast<std::uint64_t>(row.id.unix_ms() / 86'400'000);
      case GroupBy::status: return static_cast<std::uint64_t>(row.status);
    }
    return 0;
  }
  std::uint64_t text_number(std::uint32_t name) {
    std::uint64_t& number = numbers_[name];
    if (number == UINT64_MAX) number = texts_.number(names_[name]);
    return number;
  }

  void name_groups(UsageRow& row, const GroupKey& key) const {
    const auto time = [](std::uint64_t n, std::int64_t unit_ms) { return to_rfc3339(WallTime(std::chrono::milliseconds(static_cast<std::int64_t>(n) * unit_ms))); };
    for (std::size_t i = 0; i < query_.by.size(); ++i) {
      switch (query_.by[i]) {
        case GroupBy::hour: row.group.push_back(time(key[i], 3'600'000)); break;
        case GroupBy::day: row.group.push_back(time(key[i], 86'400'000)); break;
        case GroupBy::status: row.group.emplace_back(to_string(static_cast<CallStatus>(key[i]))); break;
        default: row.group.push_back(texts_.text(key[i]));
      }
    }
  }

  bool is_text(GroupBy by) const { return by != GroupBy::hour && by != GroupBy::day && by != GroupBy::status; }

  // Memory is bounded by the rows wanted: a group behind the last of them can never come before it, so it and its texts are forgotten.
  void prune() {
    const auto all = std::move(groups_);
    const Texts texts = std::exchange(texts_, {});
    const auto less = [&](const GroupKey& a, const GroupKey& b) {
      for (std::size_t i = 0; i < query_.by.size(); ++i) {
        if (a[i] == b[i]) continue;
        return is_text(query_.by[i]) ? texts.text(a[i]) < texts.text(b[i]) : a[i] < b[i];
      }
      return false;
    };
    std::vector<GroupKey> keys;
    for (const auto& [key, sums] : all) keys.push_back(key);
    const auto end = keys.begin() + static_cast<std::ptrdiff_t>(wanted_);
    std::nth_element(keys.begin(), end, keys.end(), less);
    groups_ = {};
    for (auto k = keys.begin(); k != end; ++k) {
      GroupKey renamed = *k;
      for (std::size_t i = 0; i < query_.by.size(); ++i)
        if (is_text(query_.by[i])) renamed[i] = texts_.number(texts.text((*k)[i]));
      groups_.emplace(renamed, all.at(*k));
    }
  }

  const UsageQuery& query_;
  CallMatcher matcher_;
  const std::size_t wanted_;
  bool by_attempt_ = false;
  Texts texts_;
  std::span<const std::string_view> names_;      // of the block in hand
  std::vector<std::uint64_t> numbers_;           // of its names in texts_
  std::unordered_map<GroupKey, UsageRow, GroupHash> groups_;
};

}  // namespace

std::string to_string(Int128 value) {
  if (value == 0) return "0";
  const bool negative = value < 0;
  auto rest = negative ? -static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value);
  std::string out;
  for (; rest > 0; rest /= 10) out.insert(out.begin(), static_cast<char>('0' + static_cast<int>(rest % 10)));
  if (negative) out.insert(out.begin(), '-');
  return out;
}

std::string nano_to_usd(Int128 nano) {
  const bool negative = nano < 0;
  std::string digits = to_string(negative ? -nano : nano);
  if (digits.size() < 10) digits.insert(0, 10 - digits.size(), '0');
  digits.insert(digits.size() - 9, 1, '.');
  return negative ? "-" + digits : digits;
}

std::string_view to_string(GroupBy by) {
  constexpr std::string_view names[] = {"key", "user", "feature", "team", "model", "provider", "route", "operation", "hour", "day", "status"};
  return names[static_cast<std::size_t>(by)];
}
std::optional<GroupBy> group_by_from(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(GroupBy::status); ++i)
    if (to_string(static_cast<GroupBy>(i)) == name) return static_cast<GroupBy>(i);
  return std::nullopt;
}

Result<std::vector<UsageRow>> usage(store::Tx& tx, const UsageQuery& query) {
  if (query.by.size() > kMostBy) return fail(ErrorCode::caller_invalid_request, "groups by at most four things", "group_by");
  UsageSum sum(query);
  if (const auto range = ids_of(query.filter)) {
    BlockScan scan(BlockScan::Order::ascending, range->first, range->second);
    for (;;) {
      auto block = scan.next(tx);
      if (!block) return std::unexpected(block.error());
      if (!*block) break;
      if (auto added = sum.add((*block)->summary); !added) return std::unexpected(added.error());
    }
  }
  return sum.rows();
}

}  // namespace ballast::records
