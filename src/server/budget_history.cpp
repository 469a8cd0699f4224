#include "server/budget_history.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "records/rollups.hpp"

namespace ballast::server {

namespace {

using records::Dimension;
using std::chrono::hours;

constexpr Duration kHistory = hours(24 * 9);

records::SeriesQuery by_hour(WallTime now) { return {.from = std::chrono::floor<hours>(now - kHistory), .to = now, .step = hours(1)}; }

// What a budget's value is a value of; nothing: it is no dimension's.
std::optional<Dimension> dimension_of(const gateway::BudgetStatus& b) {
  using enum gateway::BudgetScope;
  switch (b.scope) {
    case key: return Dimension::key;
    case user: return Dimension::user;
    case feature: return Dimension::feature;
    case team: return Dimension::team;
    case model: return b.value.find('/') == std::string::npos ? std::optional(Dimension::model) : std::nullopt;
    case system:
    case request: break;
  }
  return std::nullopt;
}

std::vector<std::int64_t> hours_of(const records::SeriesGroup& group, WallTime now) {
  std::vector<std::int64_t> out;
  for (const auto& f : group.buckets) out.push_back(f.incurred_nano);
  if (now == std::chrono::floor<hours>(now)) out.push_back(0);   // the hour that has just begun
  return out;
}

// Of all calls, or of a provider's model.
std::vector<std::int64_t> history_alone(store::Tx& tx, const gateway::BudgetStatus& b, WallTime now) {
  if (b.scope == gateway::BudgetScope::request) return {};
  records::SeriesQuery q = by_hour(now);
  if (b.scope == gateway::BudgetScope::model) {
    const auto slash = b.value.find('/');
    q.where = {{Dimension::provider, b.value.substr(0, slash)}, {Dimension::model, b.value.substr(slash + 1)}};
  }
  const auto series = records::range(tx, q);
  return series ? hours_of(series->groups.front(), now) : std::vector<std::int64_t>();
}

}  // namespace

std::vector<std::vector<std::int64_t>> budget_histories(store::Tx& tx, std::span<const gateway::BudgetStatus> budgets, WallTime now) {
  std::map<Dimension, std::set<std::string>> values;
  for (const auto& b : budgets)
    if (const auto d = dimension_of(b)) values[*d].insert(b.value);
  std::map<std::pair<Dimension, std::string>, std::vector<std::int64_t>> known;
  for (const auto& [d, names] : values) {
    records::SeriesQuery q = by_hour(now);
    q.by = d;
    q.names.assign(names.begin(), names.end());
    const auto series = records::range(tx, q);
    if (!series) continue;
    for (const auto& group : series->groups) known[{d, group.name}] = hours_of(group, now);
  }
  std::vector<std::vector<std::int64_t>> out;
  for (const auto& b : budgets) {
    const auto d = dimension_of(b);
    out.push_back(d ? known[{*d, b.value}] : history_alone(tx, b, now));
  }
  return out;
}

std::vector<std::int64_t> even_history(const gateway::BudgetStatus& b, WallTime now) {
  const auto start = parse_int<std::int64_t>(std::string_view(b.window).substr(b.window.rfind('|') + 1));
  const WallTime from = std::min(start ? WallTime(std::chrono::seconds(*start)) : now, now - std::chrono::minutes(1));
  const auto whole = std::max<std::int64_t>(1, (std::chrono::floor<hours>(now) - std::chrono::floor<hours>(from)) / hours(1) + 1);
  const double rate = static_cast<double>(b.spent.nano) / std::max(std::chrono::duration<double>(now - from).count() / 3600, 1.0 / 60);
  std::vector<std::int64_t> out(static_cast<std::size_t>(std::min<std::int64_t>(whole, 24)), static_cast<std::int64_t>(rate));
  out.back() = static_cast<std::int64_t>(rate * std::chrono::duration<double>(now - std::chrono::floor<hours>(now)).count() / 3600);
  return out;
}

}  // namespace ballast::server
