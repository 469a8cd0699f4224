#include <algorithm>
#include <chrono>

#include "query/sql.hpp"

namespace ballast::query {

namespace {

using Days = std::chrono::sys_days;
namespace chr = std::chrono;

// The first moment of the unit that `t` lies in.
Days begin_of(Unit unit, WallTime t) {
  const Days day = chr::floor<chr::days>(t);
  const chr::year_month_day date(day);
  switch (unit) {
    case Unit::year: return Days(date.year() / 1 / 1);
    case Unit::quarter: return Days(date.year() / chr::month((static_cast<unsigned>(date.month()) - 1) / 3 * 3 + 1) / 1);
    case Unit::month: return Days(date.year() / date.month() / 1);
    case Unit::week: return day - (chr::weekday(day) - chr::Monday);
    default: return day;
  }
}

// `t` a number of units earlier; a day that the month does not have is its last one.
WallTime earlier(WallTime t, std::int64_t count, Unit unit) {
  const auto months = unit == Unit::year ? count * 12 : unit == Unit::quarter ? count * 3 : unit == Unit::month ? count : 0;
  if (months > 0) {
    const Days day = chr::floor<chr::days>(t);
    const chr::year_month_day date(day);
    const auto target = date.year() / date.month() - chr::months(months);
    const auto last = chr::year_month_day_last(target.year() / target.month() / chr::last).day();
    return Days(target / std::min(date.day(), last)) + (t - day);
  }
  constexpr std::int64_t kSeconds[] = {0, 0, 0, 604'800, 86'400, 3'600, 60, 1};
  return t - chr::seconds(count * kSeconds[static_cast<std::size_t>(unit)]);
}

constexpr std::string_view kSigns[] = {" = ", " <> ", " < ", " <= ", " > ", " >= "};

std::string like_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::string date_text(WallTime t) { return to_rfc3339(t).substr(0, 10); }
std::string timestamp_text(WallTime t) { return to_rfc3339(t).replace(10, 1, " ").substr(0, 19); }

Result<std::string> Writer::condition(const Condition& c, const Level& level) {
  switch (c.kind) {
    case Condition::Kind::comparison: return comparison(c, level);
    case Condition::Kind::exists: return exists(c, level);
    case Condition::Kind::negated: {
      auto sql = condition(c.parts[0], level);
      if (!sql) return sql;
      return "NOT " + *sql;
    }
    default: break;
  }
  std::string out = "(";
  for (std::size_t i = 0; i < c.parts.size(); ++i) {
    auto sql = condition(c.parts[i], level);
    if (!sql) return sql;
    out += (i == 0 ? "" : c.kind == Condition::Kind::all ? " AND " : " OR ") + *sql;
  }
  return out + ")";
}

std::string Writer::comparable(const Expression& e, std::string sql, bool as_time) const { return as_time ? time_sql(e, sql) : std::move(sql); }

Result<std::string> Writer::comparison(const Condition& c, const Level& level) {
  if (c.op == Operator::within) return within(c, level);
  if (c.op >= Operator::contains && c.op <= Operator::like) return pattern(c, level);
  auto sides = all(c.sides, level);
  if (!sides) return std::unexpected(sides.error());
  // Seconds are compared with seconds; a moment kept as seconds with one that is not, as moments.
  const bool as_time = std::ranges::any_of(c.sides, [&](const Expression& e) { return (e.type == Type::epoch) != (c.sides[0].type == Type::epoch); });
  for (std::size_t i = 0; i < sides->size(); ++i) (*sides)[i] = comparable(c.sides[i], std::move((*sides)[i]), as_time);
  const std::string& field = (*sides)[0];
  switch (c.op) {
    case Operator::is_null: return "(" + field + " IS NULL)";
    case Operator::not_null: return "(" + field + " IS NOT NULL)";
    case Operator::between: {
      std::string upper = (*sides)[2];
      if (!c.day_after) return "(" + field + " BETWEEN " + (*sides)[1] + " AND " + upper + ")";
      if (c.sides[2].type == Type::epoch) upper = "(" + upper + " + 86400)";
      else upper = postgres_ ? "(" + upper + " + INTERVAL '1 day')" : "DATE(" + upper + ", '+1 day')";
      return "(" + field + " >= " + (*sides)[1] + " AND " + field + " < " + upper + ")";
    }
    case Operator::in:
    case Operator::not_in: {
      std::string list;
      if (c.inner) {
        auto sql = select(*c.inner, false);
        if (!sql) return sql;
        list = std::move(*sql);
      } else {
        for (std::size_t i = 1; i < sides->size(); ++i) list += (i > 1 ? ", " : "") + (*sides)[i];
      }
      return "(" + field + (c.op == Operator::in ? " IN (" : " NOT IN (") + list + "))";
    }
    default: return "(" + field + std::string(kSigns[static_cast<std::size_t>(c.op)]) + (*sides)[1] + ")";
  }
}

// Upper and lower case are the same here, in both dialects for the letters of ASCII.
Result<std::string> Writer::pattern(const Condition& c, const Level& level) {
  auto field = expression(c.sides[0], level);
  if (!field) return field;
  const std::string& text = std::get<std::string>(c.sides[1].literal);
  std::string like = c.op == Operator::like ? text : like_escaped(text);
  if (c.op == Operator::contains || c.op == Operator::ends) like = "%" + like;
  if (c.op == Operator::contains || c.op == Operator::starts) like += "%";
  return "(LOWER(" + *field + ") LIKE LOWER(" + parameter(Type::text, std::move(like)) + ") ESCAPE '\\')";
}

Result<std::string> Writer::within(const Condition& c, const Level& level) {
  auto field = expression(c.sides[0], level);
  if (!field) return field;
  const Range& r = *c.range;
  const Type type = c.sides[0].type;
  const auto bound = [&](WallTime t, bool time_of_day) {
    if (type == Type::epoch) return parameter(Type::epoch, chr::floor<chr::seconds>(t).time_since_epoch().count());
    if (type == Type::date || !time_of_day) return parameter(Type::date, date_text(t));
    return parameter(Type::timestamp, timestamp_text(t));
  };
  if (r.current) return "(" + *field + " >= " + bound(begin_of(r.unit, now_), false) + ")";
  if (r.whole) {
    const WallTime end = begin_of(r.unit, now_);
    return "(" + *field + " >= " + bound(earlier(end, r.count, r.unit), false) + " AND " + *field + " < " + bound(end, false) + ")";
  }
  // Days and longer begin with the first of these days; until now, which for a date is today.
  const bool timed = r.unit > Unit::day;
  return "(" + *field + " >= " + bound(timed ? earlier(now_, r.count, r.unit) : WallTime(chr::floor<chr::days>(earlier(now_, r.count, r.unit))), timed) + " AND " + *field +
         " <= " + bound(now_, true) + ")";
}

Result<std::string> Writer::exists(const Condition& c, const Level& level) {
  const std::size_t there = static_cast<std::size_t>(dataset_.node(c.inner->from) - dataset_.nodes.data());
  std::vector<JoinStep> ways;
  for (std::size_t j = 0; j < dataset_.joins.size(); ++j) {
    const Join& join = dataset_.joins[j];
    if (!c.by.empty() && c.by != join.role) continue;
    for (const auto& [node, alias] : level.aliases) {
      const std::size_t table = dataset_.nodes[node].table;
      if (join.from == there && join.to == table) ways.push_back({.node = there, .parent = node, .join = j, .forward = false});
      else if (join.to == there && join.from == table) ways.push_back({.node = there, .parent = node, .join = j, .forward = true});
    }
  }
  // The table that the intent begins from goes before those it joins.
  if (ways.size() > 1) {
    std::vector<JoinStep> root;
    std::ranges::copy_if(ways, std::back_inserter(root), [&](const JoinStep& s) { return s.parent == level.plan->root; });
    if (!root.empty()) ways = std::move(root);
  }
  if (ways.empty()) return fail(ErrorCode::caller_invalid_request, fmt::format("no declared join leads straight to {}: begin with a table that is next to {}", c.inner->from, level.intent->from), c.path);
  if (ways.size() > 1) {
    std::string roles;
    for (const auto& w : ways) roles += (roles.empty() ? "" : ", ") + (dataset_.joins[w.join].role.empty() ? dataset_.nodes[w.parent].name : dataset_.joins[w.join].role);
    return fail(ErrorCode::caller_invalid_request, fmt::format("there are several joins to {}: say which by \"by\": one of {}", c.inner->from, roles), c.path);
  }
  Level inside{.intent = c.inner.get()};
  std::vector<std::string> conditions;
  auto from = source(inside, conditions);
  if (!from) return from;
  Level both;                                       // for the edge between the two
  both.aliases = {{ways[0].parent, level.aliases.at(ways[0].parent)}};
  JoinStep step = ways[0];
  // A table may be on both sides: the two stand under keys of their own.
  const std::size_t mark = dataset_.nodes.size();
  both.aliases[mark] = inside.aliases.at(there);
  step.node = mark;
  std::string sql = "EXISTS (SELECT 1 FROM " + *from + " WHERE " + edge(step, both);
  for (const auto& condition_there : conditions) sql += " AND " + condition_there;
  return sql + ")";
}

}  // namespace ballast::query
