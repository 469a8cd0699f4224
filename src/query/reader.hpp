// Private to query: reads intents out of JSON. One Reader for one intent with all that is inside it.
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>

#include "query/intent.hpp"

namespace ballast::query {

// What the names of an expression may lead to, and what it may hold.
struct Scope {
  const Intent* inner = nullptr;               // names without a dot: its outputs
  const std::vector<Output>* outputs = nullptr;   // and those of this intent that are read already
  bool hidden = false;                         // hidden columns too: the operator wrote it
  bool derived = true;                         // derived names too
  bool aggregates = false, windows = false;    // are allowed here
  bool decides = false;                        // its value decides which rows are shown, or in what order: nothing masked
  std::size_t level = 0;                       // expressions and conditions around it
  Scope deeper() const { Scope s = *this; ++s.level; return s; }
};

class Reader {
 public:
  explicit Reader(const Dataset& dataset) : dataset_(dataset) {}
  Result<Intent> intent(const JsonRef& at, std::size_t depth);
  Result<Expression> expression(const JsonRef& at, const Scope& scope);
  Result<Condition> condition(const JsonRef& at, const Scope& scope);

 private:
  // intent_reader.cpp
  Result<void> outputs(const JsonRef& at, std::string_view key, bool measure, std::size_t most, Intent& into);
  Result<void> output(const JsonRef& at, bool measure, Intent& into);
  Result<void> source(const JsonRef& at, std::size_t depth, Intent& into);
  Result<void> filters(const JsonRef& at, Intent& into);
  Result<void> ordering(const JsonRef& at, Intent& into);
  Result<std::vector<Order>> orders(const JsonRef& list, const Scope& scope);
  Result<std::vector<std::string>> nodes(const JsonRef& at, std::string_view key);
  Result<void> check_whole(const JsonRef& at, const Intent& intent) const;
  // expression_reader.cpp
  Result<Expression> named(const JsonRef& at, std::string_view name, const Scope& scope);
  Result<Expression> column(const JsonRef& at, std::string_view name, const Scope& scope);
  Result<Expression> operation(const JsonRef& at, const Scope& scope);
  Result<Expression> aggregate(const JsonRef& at, Aggregate aggregate, const JsonRef& of, const Scope& scope);
  Result<Expression> arithmetic(Expression e, const JsonRef& of, const Scope& scope);
  Result<Expression> text_function(Expression e, const JsonRef& of, const Scope& scope);
  Result<Expression> time_function(Expression e, const JsonRef& at, const JsonRef& of, const Scope& scope);
  Result<Expression> window(const JsonRef& at, Ranking ranking, const JsonRef& of, const Scope& scope);
  Result<Expression> scalar(const JsonRef& of, const Scope& scope);
  Result<std::vector<Expression>> several(const JsonRef& list, const Scope& scope, std::size_t least, std::size_t most);
  Result<void> weigh(const JsonRef& at, Expression& e);
  // condition_reader.cpp
  Result<Condition> comparison(const JsonRef& at, const Scope& scope);
  Result<Condition> exists(const JsonRef& at, const Scope& scope);
  Result<void> right_side(const JsonRef& at, const Scope& scope, Condition& c);
  Result<void> values(const JsonRef& at, Condition& c);
  Result<void> between(const JsonRef& at, Condition& c);
  Result<void> range(const JsonRef& at, Condition& c);
  Result<Expression> value(const JsonRef& at, const Expression& field);

  const Dataset& dataset_;
  std::size_t weight_ = 0, filters_ = 0;
  std::size_t depth_ = 0;                      // of the intent that is read
};

// An object of these members alone. The error names the nearest right one.
Result<void> only_members(const JsonRef& at, std::initializer_list<std::string_view> allowed);
// A literal that is to be compared with, or stand for, a value of this type. Dates are checked, epochs become seconds.
Result<Expression> literal_of(const JsonRef& at, Type type, std::size_t text_bytes);
std::optional<Unit> unit_from(std::string_view name);
std::optional<Part> part_from(std::string_view name);
std::optional<Operator> operator_from(std::string_view name);
std::string_view to_string(Unit unit);
std::string_view to_string(Operator op);
// The names of the closed sets, for messages and for the schema.
inline constexpr std::string_view kUnits[] = {"year", "quarter", "month", "week", "day", "hour", "minute", "second"};
inline constexpr std::string_view kParts[] = {"year", "quarter", "month", "day", "weekday", "hour", "minute", "year_month", "time"};
inline constexpr std::string_view kOperators[] = {"=", "!=", "<", "<=", ">", ">=", "in", "not_in", "between", "contains", "starts", "ends", "like",
                                                  "is_null", "not_null", "within"};
inline constexpr std::string_view kRankings[] = {"rank", "dense_rank", "row_number", "previous"};
inline constexpr std::string_view kAggregateNames[] = {"count", "count_distinct", "sum", "avg", "min", "max"};
inline constexpr std::size_t kMostWeight = 600;     // expressions of one intent
inline constexpr std::size_t kMostLevels = 16;      // of expressions and conditions inside each other

// "may be A, B or C" for messages.
template <class Names>
std::string listed(const Names& names) {
  std::string out;
  for (const auto& n : names) out += (out.empty() ? "" : ", ") + std::string(n);
  return out;
}

}  // namespace ballast::query
