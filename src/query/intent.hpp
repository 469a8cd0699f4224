// Intent: a question as data. A model writes it as JSON; `read` makes it a value in which every name is known, every type fits and every limit
// is kept, or refuses with the place and a reason that the model can act on. docs/query.md describes the language.
//
//   {"from": "sales",
//    "dimensions": ["customers.state"],
//    "measures": [{"sum": "sales.sale_price", "as": "revenue"}],
//    "where": {"field": "sales.sale_date", "op": "within", "value": {"last": 3, "unit": "month"}},
//    "order": [{"by": "revenue", "desc": true}], "limit": 5}
//
// or {"unanswerable": "reason"}. An Intent is a value; it refers to the dataset by name.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "query/dataset.hpp"

namespace ballast::query {

using Literal = std::variant<std::monostate, bool, std::int64_t, double, std::string>;

enum class Unit : unsigned char { year, quarter, month, week, day, hour, minute, second };
enum class Part : unsigned char { year, quarter, month, day, weekday, hour, minute, year_month, time };
enum class Ranking : unsigned char { rank, dense_rank, row_number, previous };

struct Intent;
struct Condition;
struct Order;

struct Expression {
  enum class Op : unsigned char {
    column, output, literal, now, aggregate, add, subtract, multiply, divide, round, integer, abs, lower, upper, length, coalesce, part, truncate,
    elapsed, shift, window, scalar
  };
  Op op = Op::literal;
  Type type = Type::integer;
  Mask mask = Mask::none;                       // what becomes of its value when it is shown
  std::string path;                             // where the intent says it, for errors
  std::string node, name;                       // column: both; output: the name in the inner intent
  Literal literal;                              // literal: its value; round: digits; shift: by how many units
  Aggregate aggregate = Aggregate::count;       // of the only argument; of none: count of rows
  std::string per;                              // aggregate: the table whose rows are counted, said aloud (see joins.hpp)
  Unit unit = Unit::day;
  Part part = Part::year;
  Ranking ranking = Ranking::rank;
  std::vector<Expression> args;
  std::vector<Expression> within;               // window
  std::vector<Order> order;                     // window
  std::shared_ptr<const Condition> where;       // aggregate: of these rows alone
  std::shared_ptr<const Intent> inner;          // scalar
  std::size_t weight = 1;                       // expressions in it, itself included

  bool has_aggregate() const;                   // outside of inner intents
};

struct Order {
  Expression by;
  bool descending = false;
};

enum class Operator : unsigned char { eq, ne, lt, le, gt, ge, in, not_in, between, contains, starts, ends, like, is_null, not_null, within };

// Time up to now: the last `count` units up to this moment; `whole`: the last complete ones; `current`: the one that runs.
struct Range {
  std::int64_t count = 0;
  Unit unit = Unit::day;
  bool whole = false, current = false;
};

struct Condition {
  enum class Kind : unsigned char { all, any, negated, comparison, exists };
  Kind kind = Kind::all;
  std::string path;
  std::vector<Condition> parts;                 // all, any: one at least; negated: one
  std::vector<Expression> sides;                // comparison: the field, then what it is compared with
  Operator op = Operator::eq;
  std::optional<Range> range;                   // within
  bool day_after = false;                       // between: the upper bound names a day of which the whole counts
  std::shared_ptr<const Intent> inner;          // in, not_in: its only output; exists: its condition on a table
  std::string by;                               // exists: the role by which the two are joined
};

struct Output {
  std::string name;
  Expression value;
  bool measure = false;
};

struct Intent {
  std::string unanswerable;                     // the reason; everything else is empty then
  std::string from;                             // a node; empty: `inner`, or values that need no table
  std::shared_ptr<const Intent> inner;
  std::vector<std::string> through;             // nodes that the joins must lead through
  std::vector<std::string> optional;            // nodes that may have no row
  std::vector<Output> outputs;                  // dimensions, then measures
  std::shared_ptr<const Condition> where, having;
  std::vector<Order> order;
  std::int64_t limit = 0;                       // 0: none
  bool distinct = false, grouped = false;
  const Output* find(std::string_view name) const;
};

// caller_invalid_request with `field` the place ("where.and[0].value"); caller_too_large above a limit of the dataset. Pure; thread-safe.
Result<Intent> read_intent(const json::value& document, const Dataset& dataset);
// A derived value's expression, which may use hidden columns; for `read_dataset` and for names in intents.
Result<Expression> read_derived(const Derived& derived, const Dataset& dataset);

}  // namespace ballast::query
