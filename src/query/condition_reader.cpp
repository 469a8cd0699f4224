#include "base/text.hpp"
#include "query/reader.hpp"

namespace ballast::query {

namespace {

bool comparable(Type a, Type b) { return a == b || (is_numeric(a) && is_numeric(b)) || (is_time(a) && is_time(b)); }

bool for_text(Operator op) { return op == Operator::contains || op == Operator::starts || op == Operator::ends || op == Operator::like; }

// A pattern whose last sign says that another follows: PostgreSQL refuses it, SQLite does not.
bool ends_open(std::string_view pattern) { return (pattern.size() - (pattern.find_last_not_of('\\') + 1)) % 2 == 1; }

}  // namespace

Result<Condition> Reader::condition(const JsonRef& at, const Scope& scope) {
  if (scope.level > kMostLevels) return fail(ErrorCode::caller_too_large, fmt::format("more than {} conditions inside each other", kMostLevels), at.path());
  if (!at.is_object()) return at.error("must be a condition: {\"and\": […]}, {\"or\": […]}, {\"not\": …}, {\"field\": …, \"op\": …} or {\"exists\": …}");
  Scope inside = scope.deeper();
  inside.decides = true;
  inside.windows = false;
  if (at.find("field")) return comparison(at, inside);
  if (at.find("exists")) return exists(at, inside);
  Condition c{.path = at.path()};
  if (const auto no = at.find("not")) {
    if (auto ok = only_members(at, {"not"}); !ok) return std::unexpected(ok.error());
    auto part = condition(*no, inside);
    if (!part) return part;
    c.kind = Condition::Kind::negated;
    c.parts.push_back(std::move(*part));
    return c;
  }
  const auto all = at.find("and"), any = at.find("or");
  if (!all && !any) return at.error("must have \"and\", \"or\", \"not\", \"field\" or \"exists\"");
  if (auto ok = only_members(at, {all ? "and" : "or"}); !ok) return std::unexpected(ok.error());
  const JsonRef list = all ? *all : *any;
  if (!list.is_array() || list.size() == 0) return list.error("must be a list of conditions");
  c.kind = all ? Condition::Kind::all : Condition::Kind::any;
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto part = condition(list.item(i), inside);
    if (!part) return part;
    c.parts.push_back(std::move(*part));
  }
  return c;
}

Result<Condition> Reader::exists(const JsonRef& at, const Scope& scope) {
  if (auto ok = only_members(at, {"exists", "where", "by", "through"}); !ok) return std::unexpected(ok.error());
  if (++filters_ > dataset_.limits.filters) return fail(ErrorCode::caller_too_large, fmt::format("more than {} comparisons", dataset_.limits.filters), at.path());
  if (scope.inner) return at.error("\"exists\" needs a table to begin at, but \"from\" is an intent");
  const auto name = at.get<std::string>("exists");
  if (!name) return std::unexpected(name.error());
  const auto* node = dataset_.node(*name);
  if (!node || node->role) return at.at("exists")->error("is not a table of this dataset");
  Condition c{.kind = Condition::Kind::exists, .path = at.path()};
  if (const auto by = at.maybe<std::string>("by"); !by) return std::unexpected(by.error());
  else c.by = by->value_or("");
  Intent inner{.from = *name};
  auto through = nodes(at, "through");
  if (!through) return std::unexpected(through.error());
  inner.through = std::move(*through);
  if (const auto where = at.find("where")) {
    Scope inside{.hidden = scope.hidden, .decides = true, .level = scope.level + 1};
    auto condition_there = condition(*where, inside);
    if (!condition_there) return condition_there;
    inner.where = std::make_shared<const Condition>(std::move(*condition_there));
  }
  c.inner = std::make_shared<const Intent>(std::move(inner));
  return c;
}

Result<Condition> Reader::comparison(const JsonRef& at, const Scope& scope) {
  if (auto ok = only_members(at, {"field", "op", "value", "other", "intent"}); !ok) return std::unexpected(ok.error());
  if (++filters_ > dataset_.limits.filters) return fail(ErrorCode::caller_too_large, fmt::format("more than {} comparisons", dataset_.limits.filters), at.path());
  Condition c{.kind = Condition::Kind::comparison, .path = at.path()};
  auto field = expression(*at.find("field"), scope);
  if (!field) return std::unexpected(field.error());
  const auto op = at.get<std::string_view>("op");
  if (!op) return std::unexpected(op.error());
  const auto known = operator_from(*op);
  if (!known) return at.at("op")->error("must be one of " + listed(kOperators));
  c.op = *known;
  if (for_text(c.op) && field->type != Type::text) return at.error(fmt::format("{} needs a text, and the field is a {}", to_string(c.op), to_string(field->type)));
  if (c.op == Operator::within && !is_time(field->type)) return at.error(fmt::format("within needs a date or a time, and the field is a {}", to_string(field->type)));
  c.sides.push_back(std::move(*field));
  const int given = (at.find("value") ? 1 : 0) + (at.find("other") ? 1 : 0) + (at.find("intent") ? 1 : 0);
  const bool alone = c.op == Operator::is_null || c.op == Operator::not_null;
  if (given != (alone ? 0 : 1)) return at.error(alone ? fmt::format("{} takes no value", to_string(c.op)) : "needs one of \"value\", \"other\" (an expression) and \"intent\"");
  if (alone) return c;
  if (auto done = at.find("value") ? values(at, c) : right_side(at, scope, c); !done) return std::unexpected(done.error());
  return c;
}

Result<void> Reader::right_side(const JsonRef& at, const Scope& scope, Condition& c) {
  if (const auto intent_there = at.find("intent")) {
    if (c.op != Operator::in && c.op != Operator::not_in) return at.error("\"intent\" goes with in and not_in; of a single value write \"other\": {\"scalar\": {…}}");
    auto inner = intent(*intent_there, depth_ + 1);
    if (!inner) return std::unexpected(inner.error());
    if (inner->outputs.size() != 1) return intent_there->error("must have one output");
    const auto& value = inner->outputs[0].value;
    if (value.mask != Mask::none) return intent_there->error("is masked, so nothing can be decided by it");
    if (!comparable(c.sides[0].type, value.type) || (c.sides[0].type == Type::epoch) != (value.type == Type::epoch)) return intent_there->error(fmt::format("gives a {}, and the field is a {}", to_string(value.type), to_string(c.sides[0].type)));
    c.inner = std::make_shared<const Intent>(std::move(*inner));
    return {};
  }
  const JsonRef other = *at.find("other");
  if (c.op == Operator::between) {
    auto bounds = several(other, scope, 2, 2);
    if (!bounds) return std::unexpected(bounds.error());
    for (auto& b : *bounds) c.sides.push_back(std::move(b));
  } else {
    if (c.op > Operator::ge) return at.error(fmt::format("\"other\" goes with =, !=, <, <=, >, >= and between, not with {}", to_string(c.op)));
    auto e = expression(other, scope);
    if (!e) return std::unexpected(e.error());
    c.sides.push_back(std::move(*e));
  }
  for (std::size_t i = 1; i < c.sides.size(); ++i)
    if (!comparable(c.sides[0].type, c.sides[i].type)) return other.error(fmt::format("is a {}, and the field is a {}", to_string(c.sides[i].type), to_string(c.sides[0].type)));
  return {};
}

Result<Expression> Reader::value(const JsonRef& at, const Expression& field) { return literal_of(at, field.type, dataset_.limits.text_bytes); }

Result<void> Reader::values(const JsonRef& at, Condition& c) {
  const JsonRef given = *at.find("value");
  if (c.op == Operator::within) return range(given, c);
  if (c.op == Operator::between) return between(given, c);
  if (c.op == Operator::in || c.op == Operator::not_in) {
    if (!given.is_array() || given.size() == 0) return given.error("must be a list of values");
    if (given.size() > dataset_.limits.in_values) return fail(ErrorCode::caller_too_large, fmt::format("has more than {} values", dataset_.limits.in_values), given.path());
    for (std::size_t i = 0; i < given.size(); ++i) {
      auto v = value(given.item(i), c.sides[0]);
      if (!v) return std::unexpected(v.error());
      c.sides.push_back(std::move(*v));
    }
    return {};
  }
  auto v = value(given, c.sides[0]);
  if (!v) return std::unexpected(v.error());
  if (c.op == Operator::like && ends_open(std::get<std::string>(v->literal))) return given.error("must not end with a lone \\, which stands before a sign that is meant as itself");
  c.sides.push_back(std::move(*v));
  return {};
}

// Both bounds belong to it; an upper bound that is a day belongs to it as a whole, where the field has a time of day.
Result<void> Reader::between(const JsonRef& at, Condition& c) {
  if (!at.is_array() || at.size() != 2) return at.error("must be a list of two values");
  for (std::size_t i = 0; i < 2; ++i) {
    auto v = value(at.item(i), c.sides[0]);
    if (!v) return std::unexpected(v.error());
    c.sides.push_back(std::move(*v));
  }
  const bool day = at.item(1).is_string() && at.item(1).value().get_string().size() == 10;
  c.day_after = day && (c.sides[0].type == Type::timestamp || c.sides[0].type == Type::epoch);
  return {};
}

Result<void> Reader::range(const JsonRef& at, Condition& c) {
  const auto unit_of = [](const JsonRef& r) { return r.is_string() ? unit_from(std::string_view(r.value().get_string())) : std::nullopt; };
  if (!at.is_object()) return at.error("must be {\"last\": 3, \"unit\": \"month\"}, {\"this\": \"year\"} or {\"from\": …, \"to\": …}");
  if (at.find("from") || at.find("to")) {
    if (auto ok = only_members(at, {"from", "to"}); !ok) return ok;
    if (!at.find("from") || !at.find("to")) return at.error("needs \"from\" and \"to\"");
    c.op = Operator::between;
    json::value pair = json::array{at.find("from")->value(), at.find("to")->value()};
    return between(at.child("from", pair), c);
  }
  Range r;
  if (const auto running = at.find("this")) {
    if (auto ok = only_members(at, {"this"}); !ok) return ok;
    const auto unit = unit_of(*running);
    if (!unit || *unit > Unit::day) return running->error("must be one of year, quarter, month, week, day");
    r.unit = *unit;
    r.current = true;
  } else {
    if (auto ok = only_members(at, {"last", "unit", "whole"}); !ok) return ok;
    const auto last = at.maybe_int("last", 1, 10'000);
    if (!last) return std::unexpected(last.error());
    const auto unit = at.find("unit");
    const auto whole = at.maybe<bool>("whole");
    if (!*last || !unit || !unit_of(*unit)) return at.error("needs \"last\" and a \"unit\": " + listed(kUnits));
    if (!whole) return std::unexpected(whole.error());
    r.count = **last;
    r.unit = *unit_of(*unit);
    r.whole = whole->value_or(false);
    if (r.whole && r.unit > Unit::day) return at.error("\"whole\" goes with year, quarter, month, week and day");
  }
  c.range = r;
  return {};
}

}  // namespace ballast::query
