#include <algorithm>
#include <chrono>

#include "base/text.hpp"
#include "query/reader.hpp"

namespace ballast::query {

namespace {

using Op = Expression::Op;

template <class Names>
std::optional<std::size_t> place_of(const Names& names, std::string_view name) {
  const auto found = std::ranges::find(names, name);
  if (found == std::end(names)) return std::nullopt;
  return static_cast<std::size_t>(found - std::begin(names));
}

struct Simple {
  std::string_view name;
  Op op;
  Type type;
};
// Operations that are named by their member, beside aggregates and windows.
constexpr Simple kSimple[] = {
    {"add", Op::add, Type::integer}, {"subtract", Op::subtract, Type::integer}, {"multiply", Op::multiply, Type::integer}, {"divide", Op::divide, Type::number},
    {"round", Op::round, Type::number}, {"integer", Op::integer, Type::integer}, {"abs", Op::abs, Type::integer}, {"lower", Op::lower, Type::text},
    {"upper", Op::upper, Type::text}, {"length", Op::length, Type::integer}, {"coalesce", Op::coalesce, Type::integer}, {"part", Op::part, Type::integer},
    {"truncate", Op::truncate, Type::date}, {"elapsed", Op::elapsed, Type::number}, {"shift", Op::shift, Type::date}, {"now", Op::now, Type::date},
};

// "2023-01-31", "2023-01-31T12:00:00" or with a blank: its type and the text that databases know.
struct Moment {
  Type type;
  std::string text;
  std::int64_t seconds;
};
std::optional<Moment> moment_from(std::string_view text) {
  const bool timed = text.size() > 10;
  if ((text.size() != 10 && text.size() != 19 && !(text.size() == 20 && text.back() == 'Z')) || (timed && text[10] != 'T' && text[10] != ' ')) return std::nullopt;
  std::string iso(text);
  if (timed) iso = iso.substr(0, 10) + "T" + iso.substr(11, 8) + "Z";
  const auto parsed = parse_time(iso);
  if (!parsed) return std::nullopt;
  if (timed) iso = iso.substr(0, 10) + " " + iso.substr(11, 8);
  return Moment{timed ? Type::timestamp : Type::date, iso, std::chrono::floor<std::chrono::seconds>(*parsed).time_since_epoch().count()};
}

Mask strongest(const std::vector<Expression>& args) {
  Mask out = Mask::none;
  for (const auto& a : args) out = std::max(out, a.mask);
  return out;
}

}  // namespace

std::optional<Unit> unit_from(std::string_view name) {
  const auto at = place_of(kUnits, name.ends_with('s') ? name.substr(0, name.size() - 1) : name);
  return at ? std::optional(static_cast<Unit>(*at)) : std::nullopt;
}
std::optional<Part> part_from(std::string_view name) {
  const auto at = place_of(kParts, name);
  return at ? std::optional(static_cast<Part>(*at)) : std::nullopt;
}
std::optional<Operator> operator_from(std::string_view name) {
  const auto at = place_of(kOperators, name);
  return at ? std::optional(static_cast<Operator>(*at)) : std::nullopt;
}
std::string_view to_string(Unit unit) { return kUnits[static_cast<std::size_t>(unit)]; }
std::string_view to_string(Operator op) { return kOperators[static_cast<std::size_t>(op)]; }

Result<void> only_members(const JsonRef& at, std::initializer_list<std::string_view> allowed) {
  if (!at.is_object()) return at.error("must be an object");
  for (const auto& member : at.value().get_object()) {
    if (std::ranges::find(allowed, std::string_view(member.key())) != allowed.end()) continue;
    const auto near = nearest_name(std::string_view(member.key()), std::span<const std::string_view>(allowed.begin(), allowed.size()));
    return at.error(near.empty() ? "has a member that is not known here; known are " + listed(allowed) : "has an unknown member; did you mean \"" + std::string(near) + "\"?");
  }
  return {};
}

Result<Expression> literal_of(const JsonRef& at, Type type, std::size_t text_bytes) {
  Expression e{.op = Op::literal, .type = type, .path = at.path()};
  const auto& v = at.value();
  if (is_numeric(type)) {
    if (v.is_int64()) e.literal = v.get_int64();
    else if (v.is_double()) e.literal = v.get_double();
    else return at.error("must be a number, as what it is compared with");
    e.type = v.is_double() ? Type::number : Type::integer;
    return e;
  }
  if (type == Type::boolean) {
    if (!v.is_bool()) return at.error("must be true or false, as what it is compared with");
    e.literal = v.get_bool();
    return e;
  }
  if (!v.is_string()) return at.error("must be a string, as what it is compared with");
  const std::string_view text = v.get_string();
  if (text.size() > text_bytes) return fail(ErrorCode::caller_too_large, fmt::format("is longer than {} bytes", text_bytes), at.path());
  if (text.contains('\0')) return at.error("must not hold a NUL");
  if (type == Type::text) {
    e.literal = std::string(text);
    return e;
  }
  auto moment = moment_from(text);
  if (!moment) return at.error("must be a date as 2026-01-31, or a time as 2026-01-31T12:00:00");
  e.type = type == Type::epoch ? Type::epoch : moment->type;
  if (type == Type::epoch) e.literal = moment->seconds;
  else e.literal = std::move(moment->text);
  return e;
}

Result<void> Reader::weigh(const JsonRef& at, Expression& e) {
  e.path = at.path();
  e.weight = 1;
  for (const auto& a : e.args) e.weight += a.weight;
  for (const auto& a : e.within) e.weight += a.weight;
  weight_ += e.weight;
  if (weight_ > kMostWeight) return fail(ErrorCode::caller_too_large, fmt::format("the intent has more than {} expressions", kMostWeight), at.path());
  return {};
}

Result<Expression> Reader::expression(const JsonRef& at, const Scope& scope) {
  if (scope.level > kMostLevels) return fail(ErrorCode::caller_too_large, fmt::format("more than {} expressions inside each other", kMostLevels), at.path());
  Result<Expression> out = [&]() -> Result<Expression> {
    const auto& v = at.value();
    if (v.is_string()) return named(at, v.get_string(), scope);
    if (v.is_number()) return literal_of(at, Type::number, 0);
    if (v.is_bool()) return literal_of(at, Type::boolean, 0);
    if (!v.is_object()) return at.error("must be a name, a number or an object with one operation");
    return operation(at, scope);
  }();
  if (!out) return out;
  if (auto fits = weigh(at, *out); !fits) return std::unexpected(fits.error());
  return out;
}

Result<Expression> Reader::named(const JsonRef& at, std::string_view name, const Scope& scope) {
  if (name.contains('.')) return column(at, name, scope);
  if (scope.outputs)
    for (const auto& o : *scope.outputs)
      if (o.name == name) {
        if (o.value.has_aggregate() && !scope.aggregates) return at.error("is an aggregate: not possible here (in \"having\" it is)");
        if (o.value.op == Op::window && !scope.windows) return at.error("is a rank: ask for it of an inner intent (\"from\": {…}), then filter by it");
        if (scope.decides && o.value.mask != Mask::none) return at.error("is masked, so nothing can be decided by it");
        return o.value;
      }
  if (scope.inner)
    if (const auto* o = scope.inner->find(name)) {
      if (scope.decides && o->value.mask != Mask::none) return at.error("is masked, so nothing can be decided by it");
      return Expression{.op = Op::output, .type = o->value.type, .mask = o->value.mask, .name = o->name};
    }
  if (const auto* d = scope.derived && !scope.inner ? dataset_.find_derived(name) : nullptr) {
    auto e = read_derived(*d, dataset_);
    if (!e) return at.error("is a derived value that cannot be used: " + e.error().message);
    if (e->has_aggregate() && !scope.aggregates) return at.error("is an aggregate: not possible here (in \"measures\" and \"having\" it is)");
    if (scope.decides && e->mask != Mask::none) return at.error("is masked, so nothing can be decided by it");
    return e;
  }
  return at.error("is not a name that is known here; columns are written table.column" + (scope.inner ? ", and outputs of the inner intent by their names" : std::string()));
}

Result<Expression> Reader::column(const JsonRef& at, std::string_view name, const Scope& scope) {
  if (scope.inner) return at.error("is a column of a table, but \"from\" is an intent: only its outputs are there");
  const auto [node, column] = dataset_.find(name, scope.hidden);
  if (!column) {
    const auto all = dataset_.names();
    const auto near = nearest_name(name, std::span<const std::string>(all));
    return at.error(near.empty() ? "is not a column of this dataset" : "is not a column of this dataset; did you mean \"" + std::string(near) + "\"?");
  }
  if (scope.decides && !scope.hidden && !column->filterable) return at.error("may be shown, but nothing may be decided by it (filterable: false)");
  return Expression{.op = Op::column, .type = column->type, .mask = column->mask, .node = node->name, .name = column->name};
}

Result<std::vector<Expression>> Reader::several(const JsonRef& list, const Scope& scope, std::size_t least, std::size_t most) {
  if (!list.is_array() || list.size() < least || list.size() > most)
    return list.error(least == most ? fmt::format("must be a list of {} expressions", least) : fmt::format("must be a list of {} to {} expressions", least, most));
  std::vector<Expression> out;
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto e = expression(list.item(i), scope.deeper());
    if (!e) return std::unexpected(e.error());
    out.push_back(std::move(*e));
  }
  return out;
}

Result<Expression> Reader::operation(const JsonRef& at, const Scope& scope) {
  for (const auto& member : at.value().get_object()) {
    const std::string_view key = member.key();
    const JsonRef of = at.child(key, member.value());
    if (key == "column") {
      if (auto ok = only_members(at, {"column", "as"}); !ok) return std::unexpected(ok.error());
      if (!of.is_string()) return of.error("must be a name: table.column");
      return named(of, of.value().get_string(), scope);
    }
    if (key == "value") {
      if (auto ok = only_members(at, {"value", "as"}); !ok) return std::unexpected(ok.error());
      return literal_of(of, of.is_string() ? Type::text : of.is_bool() ? Type::boolean : Type::number, dataset_.limits.text_bytes);
    }
    if (key == "scalar") {
      if (auto ok = only_members(at, {"scalar", "as"}); !ok) return std::unexpected(ok.error());
      return scalar(of, scope);
    }
    if (const auto a = place_of(kAggregateNames, key)) return aggregate(at, static_cast<Aggregate>(*a), of, scope);
    if (const auto r = place_of(kRankings, key)) return window(at, static_cast<Ranking>(*r), of, scope);
    const auto simple = std::ranges::find(kSimple, key, &Simple::name);
    if (simple == std::end(kSimple)) continue;
    Expression e{.op = simple->op, .type = simple->type};
    switch (e.op) {
      case Op::lower:
      case Op::upper:
      case Op::length: {
        if (auto ok = only_members(at, {key, "as"}); !ok) return std::unexpected(ok.error());
        return text_function(std::move(e), of, scope);
      }
      case Op::part:
      case Op::truncate:
      case Op::elapsed:
      case Op::shift:
      case Op::now: return time_function(std::move(e), at, of, scope);
      case Op::round: {
        if (auto ok = only_members(at, {"round", "digits", "as"}); !ok) return std::unexpected(ok.error());
        const auto digits = at.maybe_int("digits", 0, 10);
        if (!digits) return std::unexpected(digits.error());
        e.literal = digits->value_or(0);
        return arithmetic(std::move(e), of, scope);
      }
      default: {
        if (auto ok = only_members(at, {key, "as"}); !ok) return std::unexpected(ok.error());
        return arithmetic(std::move(e), of, scope);
      }
    }
  }
  return at.error("has no operation; known are column, value, scalar, " + listed(kAggregateNames) + ", " + listed(kRankings) +
                  ", add, subtract, multiply, divide, round, integer, abs, lower, upper, length, coalesce, part, truncate, elapsed, shift, now");
}

Result<Expression> Reader::aggregate(const JsonRef& at, Aggregate aggregate, const JsonRef& of, const Scope& scope) {
  if (auto ok = only_members(at, {to_string(aggregate), "where", "per", "as"}); !ok) return std::unexpected(ok.error());
  if (!scope.aggregates) return at.error("is an aggregate: it belongs into \"measures\", \"having\" or \"order\", and not into another aggregate");
  Expression e{.op = Op::aggregate, .aggregate = aggregate};
  Scope inside = scope.deeper();
  inside.aggregates = inside.windows = false;
  inside.outputs = nullptr;
  if (of.is_string() && of.value().get_string() == "*") {
    if (aggregate != Aggregate::count) return of.error("only \"count\" can count rows");
  } else {
    const bool counts = aggregate == Aggregate::count || aggregate == Aggregate::count_distinct;
    // How many values there are tells nothing that is masked.
    inside.decides = scope.decides && !counts;
    auto arg = expression(of, inside);
    if (!arg) return arg;
    if ((aggregate == Aggregate::sum || aggregate == Aggregate::avg) && !is_numeric(arg->type))
      return of.error(fmt::format("is a {}; only numbers can be summed (\"elapsed\" makes one of two times)", to_string(arg->type)));
    if (arg->type == Type::boolean && !counts) return of.error("is true or false: count it, with a \"where\"");
    if (arg->op == Op::column) {
      const auto* column = dataset_.find(arg->node + "." + arg->name, scope.hidden).second;
      if (column && !scope.hidden && !column->allows(aggregate)) return at.error(fmt::format("the aggregate {} is not allowed of {}.{}", to_string(aggregate), arg->node, arg->name));
    }
    e.type = counts ? Type::integer : aggregate == Aggregate::avg ? Type::number : arg->type;
    e.mask = counts ? Mask::none : arg->mask;
    e.args.push_back(std::move(*arg));
  }
  if (const auto per = at.maybe<std::string>("per"); !per) return std::unexpected(per.error());
  else e.per = per->value_or("");
  if (const auto where = at.find("where")) {
    auto c = condition(*where, inside);
    if (!c) return std::unexpected(c.error());
    e.where = std::make_shared<const Condition>(std::move(*c));
  }
  return e;
}

Result<Expression> Reader::arithmetic(Expression e, const JsonRef& of, const Scope& scope) {
  const bool one = e.op == Op::round || e.op == Op::integer || e.op == Op::abs;
  if (one) {
    auto arg = expression(of, scope.deeper());
    if (!arg) return arg;
    e.args.push_back(std::move(*arg));
  } else {
    const bool two = e.op == Op::subtract || e.op == Op::divide;
    auto args = several(of, scope, 2, two ? 2 : 8);
    if (!args) return std::unexpected(args.error());
    e.args = std::move(*args);
  }
  e.mask = strongest(e.args);
  if (e.op == Op::coalesce && !is_numeric(e.args[0].type)) {
    for (const auto& a : e.args)
      if (a.type != e.args[0].type) return of.error("must be values of one type");
    e.type = e.args[0].type;
    return e;
  }
  bool whole = true;
  for (const auto& a : e.args) {
    if (!is_numeric(a.type)) return of.error(fmt::format("needs numbers, but one is a {}{}", to_string(a.type), is_time(a.type) ? " (\"elapsed\" and \"shift\" reckon with time)" : ""));
    whole = whole && a.type == Type::integer;
  }
  if (e.type == Type::integer && e.op != Op::integer && !whole) e.type = Type::number;
  return e;
}

Result<Expression> Reader::text_function(Expression e, const JsonRef& of, const Scope& scope) {
  auto arg = expression(of, scope.deeper());
  if (!arg) return arg;
  if (arg->type != Type::text) return of.error(fmt::format("must be a text, not a {}", to_string(arg->type)));
  e.mask = arg->mask;
  e.args.push_back(std::move(*arg));
  return e;
}

Result<Expression> Reader::time_function(Expression e, const JsonRef& at, const JsonRef& of, const Scope& scope) {
  const auto word = [](const JsonRef& r) { return r.is_string() ? std::string_view(r.value().get_string()) : std::string_view(); };
  const auto unit_member = [&]() -> Result<Unit> {
    const auto unit = at.at("unit");
    if (!unit) return std::unexpected(unit.error());
    const auto known = unit_from(word(*unit));
    if (!known) return unit->error("must be one of " + listed(kUnits));
    return *known;
  };
  if (e.op == Op::now) {
    if (auto ok = only_members(at, {"now", "as"}); !ok) return std::unexpected(ok.error());
    if (word(of) != "date" && word(of) != "timestamp") return of.error("must be \"date\" or \"timestamp\"");
    e.type = word(of) == "date" ? Type::date : Type::timestamp;
    return e;
  }
  if (e.op == Op::elapsed) {
    if (auto ok = only_members(at, {"elapsed", "unit", "as"}); !ok) return std::unexpected(ok.error());
    auto args = several(of, scope, 2, 2);
    if (!args) return std::unexpected(args.error());
    e.args = std::move(*args);
    const auto unit = unit_member();
    if (!unit) return std::unexpected(unit.error());
    if (*unit < Unit::week) return at.error("\"unit\" must be week, day, hour, minute or second: months and years have no fixed length");
    e.unit = *unit;
  } else {
    const JsonRef what = e.op == Op::shift ? of : at.at("of").value_or(at);
    if (auto ok = e.op == Op::shift ? only_members(at, {"shift", "by", "unit", "as"}) : only_members(at, {e.op == Op::part ? "part" : "truncate", "of", "as"}); !ok)
      return std::unexpected(ok.error());
    if (e.op != Op::shift && !at.find("of")) return at.error("needs \"of\": the time that is meant");
    auto arg = expression(what, scope.deeper());
    if (!arg) return arg;
    e.args.push_back(std::move(*arg));
  }
  for (const auto& a : e.args)
    if (!is_time(a.type)) return at.error(fmt::format("needs a date or a time, not a {}", to_string(a.type)));
  e.mask = strongest(e.args);
  if (e.op == Op::part) {
    const auto part = part_from(word(of));
    if (!part) return of.error("must be one of " + listed(kParts));
    e.part = *part;
    e.type = *part >= Part::year_month ? Type::text : Type::integer;
  } else if (e.op == Op::truncate) {
    const auto unit = unit_from(word(of));
    if (!unit || *unit > Unit::hour) return of.error("must be one of year, quarter, month, week, day, hour");
    e.unit = *unit;
    e.type = *unit == Unit::hour ? Type::timestamp : Type::date;
  } else if (e.op == Op::shift) {
    const auto by = at.maybe_int("by", -100'000, 100'000);
    if (!by) return std::unexpected(by.error());
    if (!*by) return at.error("needs \"by\": how many units");
    const auto unit = unit_member();
    if (!unit) return std::unexpected(unit.error());
    if (*unit == Unit::quarter || *unit == Unit::week) return at.error("\"unit\" must be year, month, day, hour, minute or second");
    e.unit = *unit;
    e.literal = **by;
    e.type = e.args[0].type == Type::date && *unit <= Unit::day ? Type::date : Type::timestamp;
  }
  return e;
}

Result<Expression> Reader::window(const JsonRef& at, Ranking ranking, const JsonRef& of, const Scope& scope) {
  const bool previous = ranking == Ranking::previous;
  const auto key = kRankings[static_cast<std::size_t>(ranking)];
  if (auto ok = previous ? only_members(at, {key, "order", "within", "as"}) : only_members(at, {key, "within", "as"}); !ok) return std::unexpected(ok.error());
  if (!scope.windows) return at.error("ranks the rows of a result: it belongs into \"dimensions\" or \"measures\", and is filtered by in an outer intent");
  Expression e{.op = Op::window, .ranking = ranking};
  Scope inside = scope.deeper();
  inside.windows = false;
  if (previous) {
    auto arg = expression(of, inside);
    if (!arg) return arg;
    e.type = arg->type;
    e.mask = arg->mask;
    e.args.push_back(std::move(*arg));
    if (!at.find("order")) return at.error("needs \"order\": what comes before what");
  }
  inside.decides = true;
  auto sorted = orders(previous ? *at.find("order") : of, inside);
  if (!sorted) return std::unexpected(sorted.error());
  e.order = std::move(*sorted);
  if (const auto within = at.find("within")) {
    auto parts = several(*within, inside, 1, 8);
    if (!parts) return std::unexpected(parts.error());
    e.within = std::move(*parts);
  }
  return e;
}

Result<Expression> Reader::scalar(const JsonRef& of, const Scope& scope) {
  auto inner = intent(of, depth_ + 1);
  if (!inner) return std::unexpected(inner.error());
  if (!inner->unanswerable.empty()) return of.error("must be an intent that can be answered");
  if (inner->outputs.size() != 1) return of.error("must have one output, whose only value is taken");
  if (inner->limit != 1 && !(inner->grouped && inner->outputs[0].measure)) return of.error("must have one row: a measure without dimensions, or \"limit\": 1");
  const auto& value = inner->outputs[0].value;
  if (scope.decides && value.mask != Mask::none) return of.error("is masked, so nothing can be decided by it");
  Expression e{.op = Op::scalar, .type = value.type, .mask = value.mask};
  e.inner = std::make_shared<const Intent>(std::move(*inner));
  return e;
}

}  // namespace ballast::query
