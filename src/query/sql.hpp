// Private to query: how expressions are written in SQL, in either dialect. One Writer makes one statement.
#pragma once
#include <string>
#include <vector>

#include "query/builder.hpp"
#include "query/joins.hpp"

namespace ballast::query {

// One level of an intent while it is written: which alias stands for which table.
struct Level {
  const Intent* intent = nullptr;
  std::optional<JoinPlan> plan;                    // of a level over tables
  std::map<std::size_t, std::string> aliases;      // of nodes
  std::string inner;                               // alias of the inner intent
  std::vector<std::string> outputs;                // their SQL, in the order of the intent's
};

class Writer {
 public:
  Writer(const Dataset& dataset, const Principal& principal, store::Dialect dialect, WallTime now)
      : dataset_(dataset), principal_(principal), postgres_(dialect == store::Dialect::postgres), now_(now) {}

  // select.cpp. `outermost`: values are cast to what travels, and the limit of rows is the dataset's.
  Result<std::string> select(const Intent& intent, bool outermost);
  // expressions.cpp
  Result<std::string> expression(const Expression& e, const Level& level);
  // conditions.cpp
  Result<std::string> condition(const Condition& c, const Level& level);

  std::vector<Parameter> take_parameters() { return std::move(parameters_); }

 private:
  // select.cpp
  Result<std::string> source(Level& level, std::vector<std::string>& conditions);
  Result<std::string> table(const Table& t, const std::string& alias);
  Result<std::string> row_filter(const Table& t, const RowFilter& filter, const std::string& alias);
  std::string edge(const JoinStep& step, const Level& level) const;
  Result<std::string> order(const Level& level, const std::vector<Order>& orders);
  Result<std::string> outputs(Level& level, bool outermost);
  Result<std::string> tail(const Level& level, bool outermost);
  Result<void> check_grouped(const Expression& e, const Level& level);
  // expressions.cpp
  Result<std::string> aggregate(const Expression& e, const Level& level);
  Result<void> check_repeats(const Expression& e, const Level& level) const;
  Result<std::string> window(const Expression& e, const Level& level);
  Result<std::vector<std::string>> all(const std::vector<Expression>& list, const Level& level);
  std::string time_sql(const Expression& e, const std::string& sql) const;   // as a timestamp, whatever it is kept as
  std::string part(const Expression& e, const std::string& sql) const;
  std::string truncated(const Expression& e, const std::string& sql) const;
  std::string elapsed(const Expression& e, const std::vector<std::string>& sql) const;
  std::string shifted(const Expression& e, const std::string& sql);
  // conditions.cpp
  Result<std::string> comparison(const Condition& c, const Level& level);
  Result<std::string> exists(const Condition& c, const Level& level);
  Result<std::string> within(const Condition& c, const Level& level);
  Result<std::string> pattern(const Condition& c, const Level& level);
  // Both sides of a comparison in one form.
  std::string comparable(const Expression& e, std::string sql, bool as_time) const;

  std::string parameter(Type type, Literal value);   // "$3", with a cast where PostgreSQL cannot know the type
  std::string now(Type type);
  std::string next_alias() { return "t" + std::to_string(++aliases_); }

  const Dataset& dataset_;
  const Principal& principal_;
  const bool postgres_;
  const WallTime now_;
  std::vector<Parameter> parameters_;
  std::size_t aliases_ = 0;
};

std::string quoted(std::string_view name);          // "name"
std::string quoted_source(std::string_view name);   // "schema"."table"
// Calendar days in UTC: "2026-11-22" and "2026-11-22 13:00:00".
std::string date_text(WallTime t);
std::string timestamp_text(WallTime t);

}  // namespace ballast::query
