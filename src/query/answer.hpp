// What is made of an answer without a model: a text, a hint for a chart, and the record that `explain` tells from later. Pure.
#pragma once
#include <string>

#include "query/run.hpp"

namespace ballast::query {

// How an answer is best shown, by its shape alone: one number; a line over time; bars over a few names; else a table.
enum class Chart : unsigned char { number, line, bar, table };
std::string_view to_string(Chart chart);
Chart chart_of(const Answer& answer);

// In words: "No rows.", "revenue: 45.5", or a Markdown table of at most `most` rows and a line that says what is left out. Cells hold no markup.
std::string text_of(const Answer& answer, std::size_t most = 20);

// {"columns": [{"name", "type", "mask"}], "rows": […], "truncated", "chart"}
json::object to_json_value(const Answer& answer);

// Everything that explains one question. Holds values that the question named (parameters): keep it as the prompts are kept.
struct Record {
  std::string dataset, question;
  json::value intent;
  std::string refused;                     // why there is no answer: the intent's reason, or an error's words
  std::string sql;                         // empty: none was built
  json::array parameters;
  std::int64_t rows = 0;
  bool truncated = false;
  Duration reading{}, building{}, running{};
  json::object to_json_value() const;
};

}  // namespace ballast::query
