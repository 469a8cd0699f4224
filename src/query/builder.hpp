// From an intent to one SQL statement. Pure: the same arguments give the same text.
//
// What stands in the text: words of SQL that are written here, names from the dataset (quoted), aliases t1, c1, … and parameters $1, $2, …
// Nothing that an intent says is text: values are parameters (the limit too), names are looked up. Every occurrence of a table with row filters
// reads through them, wherever it stands: joined, inside a subquery, behind "exists".
#pragma once
#include <map>
#include <string>
#include <vector>

#include "query/intent.hpp"
#include "store/database.hpp"

namespace ballast::query {

// Who asks: what is known of the caller. Row filters read its attributes ("team", "user", …): strings, numbers, or lists of these.
struct Principal {
  json::object attributes;
};

struct Parameter {
  Type type = Type::text;
  Literal value;
  // As JSON, or as the store's: whatever is made of nothing, truth, numbers and texts. May borrow the text.
  template <class To>
  To as() const {
    return std::visit([](const auto& v) -> To {
      if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::monostate>) return To(nullptr);
      else return To(v);
    }, value);
  }
  bool operator==(const Parameter&) const = default;
};

struct OutputColumn {
  std::string name;
  Type type = Type::text;
  Mask mask = Mask::none;
};

struct Statement {
  std::string sql;
  std::vector<Parameter> parameters;       // of $1, $2, …
  std::vector<OutputColumn> columns;
  std::int64_t rows = 0;                   // at most these are to be shown; the statement asks for one more, so that it is known
  json::array parameters_json() const;
};

// Errors: caller_invalid_request with `field` the place in the intent (a join that is not clear, rows that would be counted twice, a column that is
// neither aggregated nor a dimension); caller_forbidden if the principal lacks an attribute that a row filter needs; caller_too_large.
// `intent` comes from `read_intent` of the same dataset and is not "unanswerable". `now`: what ranges of time are reckoned from, in UTC.
Result<Statement> build(const Intent& intent, const Dataset& dataset, const Principal& principal, store::Dialect dialect, WallTime now);

}  // namespace ballast::query
