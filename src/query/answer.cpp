#include "query/answer.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace ballast::query {

namespace {

constexpr std::size_t kMostBars = 30, kCell = 200;

std::string plain(const json::value& v) {
  if (v.is_null()) return "–";
  if (v.is_double()) return fmt::format("{:.10g}", v.get_double());
  std::string out = v.is_string() ? std::string(utf8_prefix(std::string_view(v.get_string()), kCell)) : to_json(v);
  if (v.is_string() && v.get_string().size() > kCell) out += "…";
  return out;
}

// One cell of a Markdown table.
std::string cell_of(const json::value& v) {
  std::string out;
  for (const char c : plain(v)) {
    if (static_cast<unsigned char>(c) < 0x20) out += ' ';
    else if (c == '|' || c == '\\' || c == '<' || c == '`' || c == '[' || c == '*') out.append({'\\', c});
    else out += c;
  }
  return out;
}

bool is_number(const OutputColumn& c) { return is_numeric(c.type) && c.mask == Mask::none; }

}  // namespace

std::string_view to_string(Chart chart) {
  constexpr std::string_view kNames[] = {"number", "line", "bar", "table"};
  return kNames[static_cast<std::size_t>(chart)];
}

Chart chart_of(const Answer& answer) {
  const auto& columns = answer.columns;
  if (columns.size() == 1 && answer.rows.size() == 1 && is_number(columns[0])) return Chart::number;
  if (columns.size() < 2 || answer.rows.size() < 2) return Chart::table;
  if (!std::all_of(columns.begin() + 1, columns.end(), is_number)) return Chart::table;
  if (is_time(columns[0].type)) return Chart::line;
  return answer.rows.size() <= kMostBars && !answer.truncated ? Chart::bar : Chart::table;
}

std::string text_of(const Answer& answer, std::size_t most) {
  if (answer.rows.empty()) return "No rows.";
  if (answer.rows.size() == 1 && answer.columns.size() == 1) return answer.columns[0].name + ": " + plain(answer.rows[0].as_array()[0]);
  std::string out = "|", rule = "|";
  for (const auto& c : answer.columns) {
    out += " " + c.name + " |";
    rule += is_number(c) ? " ---: |" : " --- |";
  }
  out += "\n" + rule + "\n";
  const std::size_t shown = std::min(most, answer.rows.size());
  for (std::size_t i = 0; i < shown; ++i) {
    out += "|";
    for (const auto& v : answer.rows[i].as_array()) out += " " + cell_of(v) + " |";
    out += "\n";
  }
  if (answer.truncated) out += fmt::format("{} rows are shown; there are more.\n", shown);
  else if (shown < answer.rows.size()) out += fmt::format("{} of {} rows are shown.\n", shown, answer.rows.size());
  return out;
}

json::object to_json_value(const Answer& answer) {
  json::array columns;
  for (const auto& c : answer.columns) columns.push_back(json::object{{"name", c.name}, {"type", to_string(c.type)}, {"mask", to_string(c.mask)}});
  return {{"columns", std::move(columns)}, {"rows", answer.rows}, {"truncated", answer.truncated}, {"chart", to_string(chart_of(answer))}};
}

json::object Record::to_json_value() const {
  const auto ms = [](Duration d) { return std::chrono::duration<double, std::milli>(d).count(); };
  json::object out{{"dataset", dataset}, {"question", question}, {"intent", intent}};
  if (!refused.empty()) out["refused"] = refused;
  if (!sql.empty()) out["sql"] = sql, out["parameters"] = parameters, out["rows"] = rows, out["truncated"] = truncated;
  out["ms"] = json::object{{"reading", ms(reading)}, {"building", ms(building)}, {"running", ms(running)}};
  return out;
}

}  // namespace ballast::query
