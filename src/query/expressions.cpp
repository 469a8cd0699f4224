#include <algorithm>

#include "query/sql.hpp"

namespace ballast::query {

namespace {

using Op = Expression::Op;

std::string joined(const std::vector<std::string>& parts, std::string_view between) {
  std::string out;
  for (const auto& p : parts) out.append(out.empty() ? "" : between).append(p);
  return out;
}

void columns_in(const Expression& e, std::vector<const Expression*>& into) {
  if (e.op == Op::column) into.push_back(&e);
  for (const auto& a : e.args) columns_in(a, into);
}

constexpr std::string_view kPostgresUnit[] = {"1 year", "3 months", "1 month", "7 days", "1 day", "1 hour", "1 minute", "1 second"};
constexpr double kSeconds[] = {0, 0, 0, 604'800, 86'400, 3'600, 60, 1};

}  // namespace

std::string quoted(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

std::string quoted_source(std::string_view name) {
  const auto dot = name.find('.');
  return dot == std::string_view::npos ? quoted(name) : quoted(name.substr(0, dot)) + "." + quoted(name.substr(dot + 1));
}

// Equal values are one parameter: what is grouped by stays recognisable where it is written again.
std::string Writer::parameter(Type type, Literal value) {
  Parameter p{type, std::move(value)};
  auto at = std::ranges::find(parameters_, p);
  if (at == parameters_.end()) at = parameters_.insert(parameters_.end(), std::move(p));
  std::string out = "$" + std::to_string(at - parameters_.begin() + 1);
  if (type == Type::boolean) return "(" + out + " <> 0)";
  if (!postgres_) return out;
  switch (type) {
    case Type::date: return "CAST(" + out + " AS DATE)";
    case Type::timestamp: return "CAST(" + out + " AS TIMESTAMP)";
    case Type::text: return "CAST(" + out + " AS TEXT)";
    default: return out;
  }
}

std::string Writer::now(Type type) { return parameter(type, type == Type::date ? date_text(now_) : timestamp_text(now_)); }

Result<std::vector<std::string>> Writer::all(const std::vector<Expression>& list, const Level& level) {
  std::vector<std::string> out;
  for (const auto& e : list) {
    auto sql = expression(e, level);
    if (!sql) return std::unexpected(sql.error());
    out.push_back(std::move(*sql));
  }
  return out;
}

Result<std::string> Writer::expression(const Expression& e, const Level& level) {
  switch (e.op) {
    case Op::column: {
      const auto [node, column] = dataset_.find(e.node + "." + e.name, true);
      return level.aliases.at(static_cast<std::size_t>(node - dataset_.nodes.data())) + "." + quoted(column->source);
    }
    case Op::output: {
      const auto* o = level.intent->inner->find(e.name);
      return level.inner + ".c" + std::to_string(o - level.intent->inner->outputs.data() + 1);
    }
    case Op::literal: return parameter(e.type, e.literal);
    case Op::now: return now(e.type);
    case Op::aggregate: return aggregate(e, level);
    case Op::window: return window(e, level);
    case Op::scalar: {
      auto sql = select(*e.inner, false);
      if (!sql) return sql;
      return "(" + *sql + ")";
    }
    default: break;
  }
  auto args = all(e.args, level);
  if (!args) return std::unexpected(args.error());
  auto& a = *args;
  switch (e.op) {
    case Op::add: return "(" + joined(a, " + ") + ")";
    case Op::subtract: return "(" + joined(a, " - ") + ")";
    case Op::multiply: return "(" + joined(a, " * ") + ")";
    case Op::divide: return "(CAST(" + a[0] + " AS DOUBLE PRECISION) / NULLIF(" + a[1] + ", 0))";
    case Op::round: {
      const auto digits = parameter(Type::integer, e.literal);
      return postgres_ ? "ROUND(CAST(" + a[0] + " AS NUMERIC), CAST(" + digits + " AS INTEGER))" : "ROUND(" + a[0] + ", " + digits + ")";
    }
    case Op::integer: return postgres_ ? "CAST(TRUNC(" + a[0] + ") AS BIGINT)" : "CAST(" + a[0] + " AS INTEGER)";
    case Op::abs: return "ABS(" + a[0] + ")";
    case Op::lower: return "LOWER(" + a[0] + ")";
    case Op::upper: return "UPPER(" + a[0] + ")";
    case Op::length: return "LENGTH(" + a[0] + ")";
    case Op::coalesce: return "COALESCE(" + joined(a, ", ") + ")";
    case Op::part: return part(e, time_sql(e.args[0], a[0]));
    case Op::truncate: return truncated(e, time_sql(e.args[0], a[0]));
    case Op::elapsed: return elapsed(e, a);
    case Op::shift: return shifted(e, time_sql(e.args[0], a[0]));
    default: break;
  }
  return fail(ErrorCode::internal_error, "an expression that nobody writes", e.path);
}

Result<void> Writer::check_repeats(const Expression& e, const Level& level) const {
  const bool minds = e.aggregate == Aggregate::count || e.aggregate == Aggregate::sum || e.aggregate == Aggregate::avg;
  if (!level.plan || !minds) return {};
  const auto& plan = *level.plan;
  const auto name_of = [&](std::size_t node) -> const std::string& { return dataset_.nodes[node].name; };
  std::vector<const Expression*> columns;
  for (const auto& a : e.args) columns_in(a, columns);
  if (!e.per.empty() && (!plan.grain || name_of(*plan.grain) != e.per))
    return fail(ErrorCode::caller_invalid_request, plan.grain ? fmt::format("\"per\" is {}, but the rows are those of {}", e.per, name_of(*plan.grain))
                                                              : std::string("\"per\" names no table whose rows these are: several are multiplied with each other"), e.path);
  if (!plan.grain)
    return fail(ErrorCode::caller_invalid_request, "would count rows several times, because the joins multiply rows: use count_distinct, min or max, or ask for the parts in inner intents", e.path);
  if (e.args.empty()) {
    if (plan.is_outer(*plan.grain)) return fail(ErrorCode::caller_invalid_request, fmt::format("counts rows that have no {} as one: count a column of it", name_of(*plan.grain)), e.path);
    return {};
  }
  if (!e.per.empty() || columns.empty()) return {};
  for (const auto* c : columns)
    if (plan.whole.contains(static_cast<std::size_t>(dataset_.node(c->node) - dataset_.nodes.data()))) return {};
  return fail(ErrorCode::caller_invalid_request,
              fmt::format("{}.{} repeats, once for each row of {}: begin \"from\": \"{}\"; or use count_distinct, min or max; or, if each row of {} is meant to count, say \"per\": \"{}\"",
                          columns[0]->node, columns[0]->name, name_of(*plan.grain), columns[0]->node, name_of(*plan.grain), name_of(*plan.grain)), e.path);
}

Result<std::string> Writer::aggregate(const Expression& e, const Level& level) {
  if (auto ok = check_repeats(e, level); !ok) return std::unexpected(ok.error());
  std::string of = "*";
  if (!e.args.empty()) {
    auto sql = expression(e.args[0], level);
    if (!sql) return sql;
    of = std::move(*sql);
  }
  if (e.where) {
    auto only = condition(*e.where, level);
    if (!only) return only;
    of = "CASE WHEN " + *only + " THEN " + (e.args.empty() ? "1" : of) + " END";
  }
  switch (e.aggregate) {
    case Aggregate::count: return "COUNT(" + of + ")";
    case Aggregate::count_distinct: return "COUNT(DISTINCT " + of + ")";
    case Aggregate::sum: return "SUM(" + of + ")";
    case Aggregate::avg: return "AVG(" + of + ")";
    case Aggregate::min: return "MIN(" + of + ")";
    case Aggregate::max: return "MAX(" + of + ")";
  }
  return fail(ErrorCode::internal_error, "an aggregate that nobody writes", e.path);
}

Result<std::string> Writer::window(const Expression& e, const Level& level) {
  auto args = all(e.args, level);
  if (!args) return std::unexpected(args.error());
  std::string over;
  if (!e.within.empty()) {
    auto parts = all(e.within, level);
    if (!parts) return std::unexpected(parts.error());
    over = "PARTITION BY " + joined(*parts, ", ") + " ";
  }
  over += "ORDER BY ";
  for (std::size_t i = 0; i < e.order.size(); ++i) {
    auto sql = expression(e.order[i].by, level);
    if (!sql) return sql;
    over += (i ? ", " : "") + *sql + (e.order[i].descending ? " DESC NULLS LAST" : " ASC NULLS LAST");
  }
  constexpr std::string_view kNames[] = {"RANK()", "DENSE_RANK()", "ROW_NUMBER()"};
  const std::string what = e.ranking == Ranking::previous ? "LAG(" + (*args)[0] + ")" : std::string(kNames[static_cast<std::size_t>(e.ranking)]);
  return what + " OVER (" + over + ")";
}

std::string Writer::time_sql(const Expression& e, const std::string& sql) const {
  if (e.type != Type::epoch) return sql;
  return postgres_ ? "(TO_TIMESTAMP(" + sql + ") AT TIME ZONE 'UTC')" : "DATETIME(" + sql + ", 'unixepoch')";
}

std::string Writer::part(const Expression& e, const std::string& t) const {
  if (postgres_) {
    if (e.part == Part::year_month) return "TO_CHAR(" + t + ", 'YYYY-MM')";
    if (e.part == Part::time) return "TO_CHAR(" + t + ", 'HH24:MI')";
    constexpr std::string_view kFields[] = {"YEAR", "QUARTER", "MONTH", "DAY", "DOW", "HOUR", "MINUTE"};
    return "CAST(EXTRACT(" + std::string(kFields[static_cast<std::size_t>(e.part)]) + " FROM " + t + ") AS BIGINT)";
  }
  if (e.part == Part::year_month) return "STRFTIME('%Y-%m', " + t + ")";
  if (e.part == Part::time) return "STRFTIME('%H:%M', " + t + ")";
  if (e.part == Part::quarter) return "((CAST(STRFTIME('%m', " + t + ") AS INTEGER) + 2) / 3)";
  constexpr std::string_view kFormats[] = {"%Y", "", "%m", "%d", "%w", "%H", "%M"};
  return "CAST(STRFTIME('" + std::string(kFormats[static_cast<std::size_t>(e.part)]) + "', " + t + ") AS INTEGER)";
}

std::string Writer::truncated(const Expression& e, const std::string& t) const {
  if (postgres_) {
    constexpr std::string_view kNames[] = {"year", "quarter", "month", "week", "day", "hour"};
    const std::string cut = "DATE_TRUNC('" + std::string(kNames[static_cast<std::size_t>(e.unit)]) + "', " + t + ")";
    return e.unit == Unit::hour ? "CAST(" + cut + " AS TIMESTAMP)" : "CAST(" + cut + " AS DATE)";
  }
  switch (e.unit) {
    case Unit::year: return "STRFTIME('%Y-01-01', " + t + ")";
    case Unit::quarter: return "DATE(" + t + ", 'start of month', '-' || ((CAST(STRFTIME('%m', " + t + ") AS INTEGER) - 1) % 3) || ' months')";
    case Unit::month: return "STRFTIME('%Y-%m-01', " + t + ")";
    case Unit::week: return "DATE(" + t + ", '-' || ((CAST(STRFTIME('%w', " + t + ") AS INTEGER) + 6) % 7) || ' days')";
    case Unit::hour: return "STRFTIME('%Y-%m-%d %H:00:00', " + t + ")";
    default: return "DATE(" + t + ")";
  }
}

// From the first to the second.
std::string Writer::elapsed(const Expression& e, const std::vector<std::string>& sql) const {
  const double seconds = kSeconds[static_cast<std::size_t>(e.unit)];
  const std::string by = fmt::format("{:.1f}", seconds);
  if (e.args[0].type == Type::epoch && e.args[1].type == Type::epoch)
    return e.unit == Unit::second ? "(" + sql[1] + " - " + sql[0] + ")" : "(CAST(" + sql[1] + " - " + sql[0] + " AS DOUBLE PRECISION) / " + by + ")";
  const std::string from = time_sql(e.args[0], sql[0]), to = time_sql(e.args[1], sql[1]);
  if (postgres_) return "(CAST(EXTRACT(EPOCH FROM (CAST(" + to + " AS TIMESTAMP) - CAST(" + from + " AS TIMESTAMP))) AS DOUBLE PRECISION) / " + by + ")";
  if (e.unit <= Unit::day) return "((JULIANDAY(" + to + ") - JULIANDAY(" + from + "))" + (e.unit == Unit::week ? " / 7.0)" : ")");
  return "((STRFTIME('%s', " + to + ") - STRFTIME('%s', " + from + ")) / " + by + ")";
}

std::string Writer::shifted(const Expression& e, const std::string& t) {
  const std::string by = parameter(Type::integer, e.literal);
  const bool date = e.type == Type::date;
  if (postgres_)
    return "CAST(" + t + " + CAST(" + by + " AS INTEGER) * INTERVAL '" + std::string(kPostgresUnit[static_cast<std::size_t>(e.unit)]) + "' AS " + (date ? "DATE" : "TIMESTAMP") + ")";
  constexpr std::string_view kNames[] = {"years", "", "months", "", "days", "hours", "minutes", "seconds"};
  return std::string(date ? "DATE(" : "DATETIME(") + t + ", " + by + " || ' " + std::string(kNames[static_cast<std::size_t>(e.unit)]) + "')";
}

}  // namespace ballast::query
