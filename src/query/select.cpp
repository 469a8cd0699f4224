#include <algorithm>

#include "query/sql.hpp"

namespace ballast::query {

namespace {

using Op = Expression::Op;

// What travels: whole numbers, numbers, texts, true or false. Times go as ISO 8601 text, as SQLite keeps them. Texts sort by bytes in both dialects.
std::string for_travel(const std::string& sql, Type type) {
  switch (type) {
    case Type::integer:
    case Type::epoch: return "CAST(" + sql + " AS BIGINT)";
    case Type::number: return "CAST(" + sql + " AS DOUBLE PRECISION)";
    case Type::text: return "CAST(" + sql + " AS TEXT) COLLATE \"C\"";
    case Type::boolean: return "CAST(" + sql + " AS BOOLEAN)";
    case Type::date: return "TO_CHAR(" + sql + ", 'YYYY-MM-DD')";
    case Type::timestamp: return "TO_CHAR(" + sql + ", 'YYYY-MM-DD HH24:MI:SS')";
  }
  return sql;
}

Result<std::vector<Literal>> attribute_values(const Principal& principal, const std::string& name) {
  const auto* value = principal.attributes.if_contains(name);
  const auto missing = [&] { return fail(ErrorCode::caller_forbidden, fmt::format("the caller has no \"{}\", by which the rows of this dataset are given out", name), "principal." + name); };
  if (!value || value->is_null()) return missing();
  std::vector<Literal> out;
  const auto add = [&](const json::value& v) {
    if (v.is_string()) out.emplace_back(std::string(v.get_string()));
    else if (v.is_int64()) out.emplace_back(v.get_int64());
    else return false;
    return true;
  };
  if (const auto* list = value->if_array()) {
    for (const auto& v : *list)
      if (!add(v)) return missing();
  } else if (!add(*value)) {
    return missing();
  }
  if (out.size() > 1'000) return fail(ErrorCode::caller_too_large, "has more than 1000 values", "principal." + name);
  return out;
}

}  // namespace

Result<std::string> Writer::row_filter(const Table& t, const RowFilter& filter, const std::string& alias) {
  if (filter.attribute.empty()) {
    const Join& join = dataset_.joins[filter.of];
    const std::string there = next_alias();
    auto parent = table(dataset_.tables[join.to], there);
    if (!parent) return parent;
    std::string on;
    for (const auto& [from, to] : join.columns)
      on += (on.empty() ? "" : " AND ") + there + "." + quoted(dataset_.tables[join.to].columns[to].source) + " = " + alias + "." + quoted(t.columns[from].source);
    return "EXISTS (SELECT 1 FROM " + *parent + " WHERE " + on + ")";
  }
  auto values = attribute_values(principal_, filter.attribute);
  if (!values) return std::unexpected(values.error());
  const Column& column = t.columns[filter.column];
  std::string list;
  for (auto& v : *values) {
    if (std::holds_alternative<std::string>(v) != (column.type == Type::text) || (column.type != Type::text && column.type != Type::integer))
      return fail(ErrorCode::caller_forbidden, fmt::format("the caller's \"{}\" is not of the type of {}.{}", filter.attribute, t.name, column.name), "principal." + filter.attribute);
    list += (list.empty() ? "" : ", ") + parameter(column.type, std::move(v));
  }
  // Who belongs to nothing sees nothing.
  return list.empty() ? std::string("1 = 0") : alias + "." + quoted(column.source) + " IN (" + list + ")";
}

// A table as the caller may see it. With row filters it is a subquery, so that no place where it stands can see around them.
Result<std::string> Writer::table(const Table& t, const std::string& alias) {
  if (t.rows.empty()) return quoted_source(t.source) + " AS " + alias;
  const std::string inside = next_alias();
  std::string columns, filters;
  for (const auto& c : t.columns) columns += (columns.empty() ? "" : ", ") + inside + "." + quoted(c.source);
  for (const auto& filter : t.rows) {
    auto sql = row_filter(t, filter, inside);
    if (!sql) return sql;
    filters += (filters.empty() ? "" : " AND ") + *sql;
  }
  return "(SELECT " + columns + " FROM " + quoted_source(t.source) + " AS " + inside + " WHERE " + filters + ") AS " + alias;
}

std::string Writer::edge(const JoinStep& step, const Level& level) const {
  const Join& join = dataset_.joins[step.join];
  const std::string& parent = level.aliases.at(step.parent);
  const std::string& child = level.aliases.at(step.node);
  std::string out;
  for (const auto& [from, to] : join.columns) {
    const std::string left = quoted(dataset_.tables[join.from].columns[from].source), right = quoted(dataset_.tables[join.to].columns[to].source);
    out += (out.empty() ? "" : " AND ") + (step.forward ? parent : child) + "." + left + " = " + (step.forward ? child : parent) + "." + right;
  }
  return out;
}

// What follows FROM; `conditions` gets the level's where.
Result<std::string> Writer::source(Level& level, std::vector<std::string>& conditions) {
  const Intent& intent = *level.intent;
  std::string out;
  const auto used = nodes_used(intent, dataset_);
  if (intent.inner) {
    auto sql = select(*intent.inner, false);
    if (!sql) return sql;
    level.inner = next_alias();
    out = "(" + *sql + ") AS " + level.inner;
  } else if (!intent.from.empty()) {
    auto plan = plan_joins(intent, used, dataset_, intent.outputs.empty() ? intent.from : intent.outputs[0].value.path);
    if (!plan) return std::unexpected(plan.error());
    level.plan = std::move(*plan);
    level.aliases[level.plan->root] = next_alias();
    auto first = table(dataset_.table_of(dataset_.nodes[level.plan->root]), level.aliases[level.plan->root]);
    if (!first) return first;
    out = std::move(*first);
    for (const auto& step : level.plan->steps) {
      level.aliases[step.node] = next_alias();
      auto there = table(dataset_.table_of(dataset_.nodes[step.node]), level.aliases[step.node]);
      if (!there) return there;
      out += (step.outer ? " LEFT JOIN " : " JOIN ") + *there + " ON " + edge(step, level);
    }
  } else if (!used.empty()) {
    return fail(ErrorCode::caller_invalid_request, "needs \"from\": the table whose rows are asked for", intent.outputs[0].value.path);
  }
  if (intent.where) {
    auto sql = condition(*intent.where, level);
    if (!sql) return sql;
    conditions.push_back(std::move(*sql));
  }
  return out;
}

// In groups, whatever is not aggregated must be what is grouped by.
Result<void> Writer::check_grouped(const Expression& e, const Level& level) {
  if (e.op == Op::aggregate || e.op == Op::scalar || e.op == Op::literal || e.op == Op::now) return {};
  auto sql = expression(e, level);
  if (!sql) return std::unexpected(sql.error());
  const auto& outputs = level.intent->outputs;
  for (std::size_t i = 0; i < level.outputs.size() && !outputs[i].measure; ++i)
    if (level.outputs[i] == *sql) return {};
  if (e.op == Op::column || e.op == Op::output)
    return fail(ErrorCode::caller_invalid_request, fmt::format("{}{}{} is neither aggregated nor one of the dimensions", e.node, e.node.empty() ? "" : ".", e.name), e.path);
  for (const auto* list : {&e.args, &e.within})
    for (const auto& a : *list)
      if (auto ok = check_grouped(a, level); !ok) return ok;
  for (const auto& o : e.order)
    if (auto ok = check_grouped(o.by, level); !ok) return ok;
  return {};
}

Result<std::string> Writer::outputs(Level& level, bool outermost) {
  const Intent& intent = *level.intent;
  std::string out;
  for (const auto& o : intent.outputs) {
    auto sql = expression(o.value, level);
    if (!sql) return sql;
    level.outputs.push_back(std::move(*sql));
  }
  for (std::size_t i = 0; i < intent.outputs.size(); ++i) {
    const auto& o = intent.outputs[i];
    if (intent.grouped && o.measure)
      if (auto ok = check_grouped(o.value, level); !ok) return std::unexpected(ok.error());
    out += fmt::format("{}{} AS c{}", i ? ", " : "", postgres_ && outermost ? for_travel(level.outputs[i], o.value.type) : level.outputs[i], i + 1);
  }
  return out;
}

// Outputs by their number, so that PostgreSQL knows them for what they are. Missing values come last, whatever the direction; what is equal is told
// apart by the dimensions, so that the same question has the same answer.
Result<std::string> Writer::order(const Level& level, const std::vector<Order>& orders) {
  const Intent& intent = *level.intent;
  std::string out;
  std::vector<std::size_t> used;
  for (const auto& o : orders) {
    auto sql = expression(o.by, level);
    if (!sql) return sql;
    const auto same = std::ranges::find(level.outputs, *sql);
    const bool numbered = same != level.outputs.end();
    if (intent.grouped && !numbered)
      if (auto ok = check_grouped(o.by, level); !ok) return std::unexpected(ok.error());
    if (intent.distinct && !numbered) return fail(ErrorCode::caller_invalid_request, "with \"distinct\" only what is shown can be ordered by", o.by.path);
    const auto number = static_cast<std::size_t>(same - level.outputs.begin()) + 1;
    if (numbered) used.push_back(number);
    const std::string what = numbered ? std::to_string(number) : postgres_ && o.by.type == Type::text ? "CAST(" + *sql + " AS TEXT) COLLATE \"C\"" : *sql;
    out += (out.empty() ? " ORDER BY " : ", ") + what + (o.descending ? " DESC NULLS LAST" : " ASC NULLS LAST");
  }
  for (std::size_t i = 0; i < intent.outputs.size() && !orders.empty(); ++i)
    if (!intent.outputs[i].measure && std::ranges::find(used, i + 1) == used.end()) out += fmt::format(", {} ASC NULLS LAST", i + 1);
  return out;
}

Result<std::string> Writer::tail(const Level& level, bool outermost) {
  const Intent& intent = *level.intent;
  std::string out;
  if (intent.grouped) {
    std::string keys;
    for (std::size_t i = 0; i < intent.outputs.size(); ++i)
      // PostgreSQL shows them cast, and must know the bare ones for grouped where they stand again.
      if (!intent.outputs[i].measure) keys += (keys.empty() ? "" : ", ") + (postgres_ ? level.outputs[i] : std::to_string(i + 1));
    if (!keys.empty()) out += " GROUP BY " + keys;
  }
  if (intent.having) {
    auto sql = condition(*intent.having, level);
    if (!sql) return sql;
    out += " HAVING " + *sql;
  }
  auto sorted = order(level, intent.order);
  if (!sorted) return sorted;
  out += *sorted;
  const std::int64_t most = dataset_.limits.rows + 1;
  const std::int64_t limit = intent.limit == 0 ? (outermost ? most : 0) : outermost ? std::min(intent.limit, most) : intent.limit;
  if (limit > 0) out += " LIMIT " + parameter(Type::integer, limit);
  return out;
}

Result<std::string> Writer::select(const Intent& intent, bool outermost) {
  Level level{.intent = &intent};
  std::vector<std::string> conditions;
  auto from = source(level, conditions);
  if (!from) return from;
  auto shown = outputs(level, outermost);
  if (!shown) return shown;
  auto rest = tail(level, outermost);
  if (!rest) return rest;
  std::string out = (intent.distinct ? "SELECT DISTINCT " : "SELECT ") + *shown;
  if (!from->empty()) out += " FROM " + *from;
  if (!conditions.empty()) out += " WHERE " + conditions[0];
  return out + *rest;
}

}  // namespace ballast::query
