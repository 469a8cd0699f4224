#include "records/ledger.hpp"

#include <algorithm>

#include "base/money.hpp"

namespace ballast::records {

namespace {

// SQL under construction with its arguments, which own their bytes.
class Query {
 public:
  std::string sql;
  void text(std::string_view condition, const std::string& value) {
    if (!value.empty()) add(condition, store::Value(value));
  }
  void bytes(std::string_view condition, std::string value) {
    kept_.push_back(std::make_unique<std::string>(std::move(value)));
    add(condition, store::Value::bytes(*kept_.back()));
  }
  // Appends `condition` with `?` replaced by the argument's number.
  void add(std::string_view condition, store::Value value) {
    values_.push_back(value);
    sql += std::exchange(first_, false) ? " WHERE " : " AND ";
    sql += condition;
    sql.append(" $").append(std::to_string(values_.size()));
  }
  void also(std::string_view condition) {
    sql += std::exchange(first_, false) ? " WHERE " : " AND ";
    sql += condition;
  }
  std::string number(store::Value value) {
    values_.push_back(value);
    return "$" + std::to_string(values_.size());
  }
  void begin_where() { first_ = true; }
  Result<store::Rows> run(store::Tx& tx) const { return tx.run(store::Statement(std::string_view(sql)), values_); }

 private:
  std::vector<store::Value> values_;
  std::vector<std::unique_ptr<std::string>> kept_;
  bool first_ = true;
};

// The first id of the first whole millisecond not before `t`.
std::string first_id(WallTime t) {
  const std::int64_t ns = std::max<std::int64_t>(0, t.time_since_epoch().count());
  const std::uint64_t ms = static_cast<std::uint64_t>(ns / 1'000'000 + (ns % 1'000'000 != 0));
  return to_bytes({ms << 16, 0});
}

// Conditions on the call (`c.`). Provider and model are the caller's business: of the call or of the attempt.
void where_call(Query& q, const CallFilter& f) {
  q.begin_where();
  if (f.from > WallTime{}) q.bytes("c.id >=", first_id(f.from));
  if (f.to != WallTime::max()) q.bytes("c.id <", first_id(f.to));
  q.text("c.key_id =", f.key_id);
  if (!f.user.empty()) {
    q.text("c.user_id =", f.user);
    q.also("c.user_id <> ''");  // so that the partial index counts
  }
  q.text("c.feature =", f.feature);
  q.text("c.team =", f.team);
  q.text("c.route =", f.route);
  q.text("c.operation =", f.operation);
  if (f.status) q.add("c.status =", static_cast<int>(*f.status));
}

std::string_view column_of(GroupBy by) {
  switch (by) {
    case GroupBy::key: return "c.key_id";
    case GroupBy::user: return "c.user_id";
    case GroupBy::feature: return "c.feature";
    case GroupBy::team: return "c.team";
    case GroupBy::model: return "a.model";
    case GroupBy::provider: return "a.provider";
    case GroupBy::route: return "c.route";
    case GroupBy::operation: return "c.operation";
    case GroupBy::hour: return "c.at_ms / 3600000";
    case GroupBy::day: return "c.at_ms / 86400000";
    case GroupBy::status: return "c.status";
  }
  return "c.key_id";
}

std::string group_text(GroupBy by, const store::Row& r, std::size_t column) {
  const auto at = [&](std::int64_t unit_ms) { return to_rfc3339(WallTime(std::chrono::milliseconds(r.integer(column) * unit_ms))); };
  switch (by) {
    case GroupBy::hour: return at(3'600'000);
    case GroupBy::day: return at(86'400'000);
    case GroupBy::status: return std::string(to_string(static_cast<CallStatus>(r.integer(column))));
    default: return r.string(column);
  }
}

constexpr std::string_view kSummed[] = {"input", "cached", "cache_write", "output", "reasoning", "images", "incurred", "billed", "latency_us"};

// Sums that cannot overflow: of the upper and of the lower 32 bits, apart.
void append_sums(std::string& sql, std::string_view source) {
  for (const std::string_view name : kSummed) {
    const std::string column = std::string(source) + "." + std::string(name);
    sql.append(", CAST(SUM(").append(column).append(" / 4294967296) AS BIGINT), CAST(SUM(").append(column).append(" % 4294967296) AS BIGINT)");
  }
}

// One SELECT of `GROUP, calls, failed, hits, sums…`. By attempt: half of it from calls that are their only attempt, half from call_attempts.
void append_part(Query& q, const UsageQuery& u, bool by_attempt, bool split) {
  const std::string_view source = split ? "a" : "c";
  q.sql += "SELECT ";
  for (const GroupBy by : u.by) {
    std::string column(column_of(by));
    if (!split && column.starts_with("a.")) column[0] = 'c';
    q.sql.append(column).append(" AS g").append(std::to_string(&by - u.by.data())).append(", ");
  }
  q.sql += "COUNT(*) AS n, CAST(SUM(CASE WHEN ";
  q.sql += split ? "a.failed = 1" : "c.status IN (1, 3)";
  q.sql += " THEN 1 ELSE 0 END) AS BIGINT) AS failed, CAST(SUM(CASE WHEN c.cache IN (2, 3, 4, 6, 7) THEN 1 ELSE 0 END) AS BIGINT) AS hits";
  append_sums(q.sql, source);
  q.sql += split ? " FROM call_attempts a JOIN calls c ON c.id = a.call_id" : " FROM calls c";
  where_call(q, u.filter);
  q.text(split ? "a.provider =" : "c.provider =", u.filter.provider);
  q.text(split ? "a.model =" : "c.model =", u.filter.model);
  if (by_attempt) q.also(split ? "c.split = 1" : "c.split = 0");
  for (std::size_t i = 0; i < u.by.size(); ++i) q.sql.append(i ? ", " : " GROUP BY ").append(std::to_string(i + 1));
}

// The order that the database gave: by status as numbered, everything else as text.
bool before(const UsageRow& a, const UsageRow& b, const std::vector<GroupBy>& by) {
  constexpr std::string_view statuses[] = {"ok", "failed", "cancelled", "unknown"};
  for (std::size_t i = 0; i < by.size(); ++i) {
    if (a.group[i] == b.group[i]) continue;
    if (by[i] != GroupBy::status) return a.group[i] < b.group[i];
    return std::find(std::begin(statuses), std::end(statuses), a.group[i]) < std::find(std::begin(statuses), std::end(statuses), b.group[i]);
  }
  return false;
}

void merge(UsageRow& into, const UsageRow& from) {
  into.calls += from.calls;
  into.failed += from.failed;
  into.cache_hits += from.cache_hits;
  for (auto sum : {&UsageRow::input, &UsageRow::cached, &UsageRow::cache_write, &UsageRow::output, &UsageRow::reasoning, &UsageRow::images,
                   &UsageRow::incurred_nano, &UsageRow::billed_nano, &UsageRow::latency_us})
    into.*sum += from.*sum;
}

UsageRow row_of(const store::Row& r, const std::vector<GroupBy>& by) {
  UsageRow out;
  std::size_t c = 0;
  for (const GroupBy g : by) {
    out.group.push_back(group_text(g, r, c));
    ++c;
  }
  out.calls = static_cast<std::uint64_t>(r.integer(c++));
  out.failed = static_cast<std::uint64_t>(r.integer(c++));
  out.cache_hits = static_cast<std::uint64_t>(r.integer(c++));
  for (auto sum : {&UsageRow::input, &UsageRow::cached, &UsageRow::cache_write, &UsageRow::output, &UsageRow::reasoning, &UsageRow::images,
                   &UsageRow::incurred_nano, &UsageRow::billed_nano, &UsageRow::latency_us}) {
    out.*sum = static_cast<Int128>(r.integer(c)) * 4294967296 + r.integer(c + 1);
    c += 2;
  }
  return out;
}

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

Result<std::vector<UsageRow>> usage(store::Tx& tx, const UsageQuery& u) {
  if (u.by.size() > 4) return fail(ErrorCode::caller_invalid_request, "groups by at most four things", "group_by");
  const bool by_attempt = !u.filter.provider.empty() || !u.filter.model.empty() ||
                          std::any_of(u.by.begin(), u.by.end(), [](GroupBy g) { return g == GroupBy::model || g == GroupBy::provider; });
  // Both halves arrive in order of their groups and are merged here: limit and offset count merged rows.
  const std::size_t wanted = std::min<std::size_t>(u.offset + u.limit, 30'000);
  std::vector<UsageRow> out;
  for (const bool split : {false, true}) {
    if (split && !by_attempt) break;
    Query q;
    append_part(q, u, by_attempt, split);
    for (std::size_t i = 0; i < u.by.size(); ++i) q.sql.append(i ? ", " : " ORDER BY ").append(std::to_string(i + 1));
    q.sql.append(" LIMIT ").append(q.number(wanted));
    auto rows = q.run(tx);
    if (!rows) return std::unexpected(rows.error());
    for (store::Row r : *rows) out.push_back(row_of(r, u.by));
  }
  std::sort(out.begin(), out.end(), [&](const UsageRow& a, const UsageRow& b) { return before(a, b, u.by); });
  std::vector<UsageRow> merged;
  for (UsageRow& r : out) {
    if (!merged.empty() && merged.back().group == r.group) merge(merged.back(), r);
    else merged.push_back(std::move(r));
  }
  if (merged.size() > wanted) merged.resize(wanted);
  merged.erase(merged.begin(), merged.begin() + static_cast<std::ptrdiff_t>(std::min(u.offset, merged.size())));
  return merged;
}

Result<CallRecord> get_call(store::Tx& tx, Id id) {
  const std::string bytes = to_bytes(id);
  auto rows = tx.run("SELECT detail FROM calls WHERE id = $1", {store::Value::bytes(bytes)});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return fail(ErrorCode::caller_not_found, "the ledger has no call " + to_string(id, "call"));
  return decode_call((*rows)[0].bytes(0));
}

Result<std::vector<CallRecord>> list_calls(store::Tx& tx, const CallFilter& filter, std::size_t limit, std::optional<Id> before) {
  Query q;
  q.sql = "SELECT c.detail FROM calls c";
  where_call(q, filter);
  q.text("c.provider =", filter.provider);
  q.text("c.model =", filter.model);
  if (before) q.bytes("c.id <", to_bytes(*before));
  q.sql += " ORDER BY c.id DESC LIMIT ";
  q.sql += q.number(std::min<std::size_t>(limit, 1000));
  auto rows = q.run(tx);
  if (!rows) return std::unexpected(rows.error());
  std::vector<CallRecord> out;
  out.reserve(rows->size());
  for (store::Row r : *rows) {
    auto call = decode_call(r.bytes(0));
    if (!call) return std::unexpected(call.error());
    out.push_back(std::move(*call));
  }
  return out;
}

Result<std::uint64_t> delete_calls(store::Tx& tx, WallTime before, std::size_t limit) {
  const std::string end = first_id(before);
  auto last = tx.run("SELECT id FROM (SELECT id FROM calls WHERE id < $1 ORDER BY id LIMIT $2) AS oldest ORDER BY id DESC LIMIT 1",
                     {store::Value::bytes(end), limit});
  if (!last) return std::unexpected(last.error());
  if (last->empty()) return 0;
  const std::string id = (*last)[0].string(0);
  auto attempts = tx.run("DELETE FROM call_attempts WHERE call_id <= $1", {store::Value::bytes(id)});
  if (!attempts) return std::unexpected(attempts.error());
  auto calls = tx.run("DELETE FROM calls WHERE id <= $1", {store::Value::bytes(id)});
  if (!calls) return std::unexpected(calls.error());
  return static_cast<std::uint64_t>(calls->affected());
}

}  // namespace ballast::records
