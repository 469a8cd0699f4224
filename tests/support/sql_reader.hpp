// A reader of SQL that knows nothing of how it was written: says what a statement touches, and what stands in it that should not.
// It knows the words that a question may need and no others, so that whatever is new must be thought about.
#pragma once
#include <fmt/format.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "query/dataset.hpp"

namespace ballast::test {

struct SqlToken {
  enum class Kind : unsigned char { word, quoted, number, text, parameter, sign, odd } kind;
  std::string text;                        // without quotes
};

inline std::vector<SqlToken> sql_tokens(std::string_view sql) {
  using Kind = SqlToken::Kind;
  const auto is_word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= '0' && c <= '9'); };
  std::vector<SqlToken> out;
  for (std::size_t i = 0; i < sql.size();) {
    const char c = sql[i];
    if (c == ' ') {
      ++i;
    } else if (c == '"' || c == '\'') {
      std::string text;
      std::size_t j = i + 1;
      for (; j < sql.size(); ++j) {
        if (sql[j] == c && j + 1 < sql.size() && sql[j + 1] == c) ++j;
        else if (sql[j] == c) break;
        text += sql[j];
      }
      out.push_back({j < sql.size() ? (c == '"' ? Kind::quoted : Kind::text) : Kind::odd, text});
      i = j + 1;
    } else if (c == '$' || is_word(c)) {
      std::size_t j = i + 1;
      const bool number = c >= '0' && c <= '9';
      while (j < sql.size() && (is_word(sql[j]) || (number && sql[j] == '.'))) ++j;
      out.push_back({c == '$' ? Kind::parameter : number ? Kind::number : Kind::word, std::string(sql.substr(i, j - i))});
      i = j;
    } else {
      const bool two = sql.substr(i, 2) == "<=" || sql.substr(i, 2) == ">=" || sql.substr(i, 2) == "<>" || sql.substr(i, 2) == "||" || sql.substr(i, 2) == "--" || sql.substr(i, 2) == "/*";
      const std::string sign(sql.substr(i, two ? 2 : 1));
      const bool known = two ? sign != "--" && sign != "/*" : std::string_view("(),.=<>+-*/%").contains(c);
      out.push_back({known ? Kind::sign : Kind::odd, sign});
      i += sign.size();
    }
  }
  return out;
}

class SqlReader {
 public:
  explicit SqlReader(const query::Dataset& dataset) : dataset_(dataset) {}

  // What is wrong with it; empty: it is one SELECT over the dataset's tables and columns, with its row filters, and `parameters` parameters.
  std::string complaint(std::string_view sql, std::size_t parameters) {
    tokens_ = sql_tokens(sql);
    tables_.clear();
    if (tokens_.empty() || tokens_[0].text != "SELECT") return "does not begin with SELECT";
    int depth = 0;
    std::size_t highest = 0;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      depth += is(i, "(") ? 1 : is(i, ")") ? -1 : 0;
      if (depth < 0) return "closes more brackets than it opens";
      if (auto wrong = one(i); !wrong.empty()) return wrong;
      if (tokens_[i].kind == SqlToken::Kind::parameter) highest = std::max(highest, number_of(tokens_[i].text.substr(1)));
    }
    if (depth != 0) return "leaves brackets open";
    if (highest > parameters) return "has more parameters than values";
    for (std::size_t i = 0; i + 1 < tokens_.size(); ++i)
      if (auto wrong = column(i); !wrong.empty()) return wrong;
    return {};
  }

 private:
  static std::size_t number_of(const std::string& text) { return static_cast<std::size_t>(std::strtoull(text.c_str(), nullptr, 10)); }
  bool is(std::size_t i, std::string_view text) const { return i < tokens_.size() && tokens_[i].text == text && tokens_[i].kind != SqlToken::Kind::quoted && tokens_[i].kind != SqlToken::Kind::text; }
  bool is_alias(std::size_t i, char letter) const {
    if (i >= tokens_.size() || tokens_[i].kind != SqlToken::Kind::word) return false;
    const auto& t = tokens_[i].text;
    return t.size() > 1 && t[0] == letter && t.find_first_not_of("0123456789", 1) == std::string::npos;
  }

  std::string one(std::size_t i) {
    using Kind = SqlToken::Kind;
    const auto& t = tokens_[i];
    switch (t.kind) {
      case Kind::odd: return "has \"" + t.text + "\" in it";
      case Kind::parameter: return t.text.size() > 1 && t.text.find_first_not_of("0123456789", 1) == std::string::npos ? "" : "has the parameter " + t.text;
      case Kind::number: return numbers().contains(t.text) || (t.text.size() <= 2 && !t.text.contains('.')) ? "" : "has the number " + t.text;
      case Kind::text: return texts().contains(t.text) ? "" : "has the text '" + t.text + "'";
      case Kind::word:
        if (is_alias(i, 't') || is_alias(i, 'c') || words().contains(t.text)) return "";
        return "has the word " + t.text;
      case Kind::quoted: return quoted(i);
      default: return "";
    }
  }

  // A quoted name is a column behind an alias, a table behind FROM or JOIN, or the collation.
  std::string quoted(std::size_t i) {
    const auto& name = tokens_[i].text;
    if (i > 1 && is(i - 1, ".") && is_alias(i - 2, 't')) return "";    // `column` looks it up
    if (i > 0 && is(i - 1, "COLLATE")) return name == "C" ? "" : "has the collation " + name;
    if (i == 0 || !(is(i - 1, "FROM") || is(i - 1, "JOIN"))) return "has the name " + name + " where none belongs";
    const query::Table* table = nullptr;
    for (const auto& known : dataset_.tables)
      if (known.source == name) table = &known;
    if (!table) return "reads the table " + name;
    if (!is(i + 1, "AS") || !is_alias(i + 2, 't')) return "reads " + name + " without an alias";
    tables_[tokens_[i + 2].text] = table;
    return filtered(*table, i) ? "" : "reads " + name + " without its row filters";
  }

  // FROM "order" AS t2 WHERE t2."team" IN ( … or WHERE 1 = 0, or WHERE EXISTS (SELECT 1 FROM …
  bool filtered(const query::Table& table, std::size_t i) const {
    if (table.rows.empty()) return true;
    if (!is(i - 1, "FROM") || !is(i + 3, "WHERE")) return false;
    if (is(i + 4, "1") && is(i + 5, "=") && is(i + 6, "0")) return true;
    if (table.rows[0].attribute.empty()) return is(i + 4, "EXISTS") && is(i + 5, "(") && is(i + 6, "SELECT") && is(i + 7, "1") && is(i + 8, "FROM");
    return tokens_[i + 4].text == tokens_[i + 2].text && is(i + 5, ".") && tokens_[i + 6].text == table.columns[table.rows[0].column].source && is(i + 7, "IN") && is(i + 8, "(");
  }

  // t3."name": a column of what t3 stands for; of a subquery, one of any table's.
  std::string column(std::size_t i) const {
    if (!is_alias(i, 't') || !is(i + 1, ".") || i + 2 >= tokens_.size() || tokens_[i + 2].kind != SqlToken::Kind::quoted) return "";
    const auto& name = tokens_[i + 2].text;
    const auto known = tables_.find(tokens_[i].text);
    for (const auto& t : dataset_.tables) {
      if (known != tables_.end() && known->second != &t) continue;
      for (const auto& c : t.columns)
        if (c.source == name) return "";
    }
    return "reads the column " + name;
  }

  static const std::set<std::string>& words() {
    static const std::set<std::string> known{
        "SELECT", "DISTINCT", "FROM", "AS", "JOIN", "LEFT", "ON", "WHERE", "AND", "OR", "NOT", "IN", "IS", "NULL", "BETWEEN", "LIKE", "ESCAPE", "EXISTS", "GROUP", "BY", "HAVING", "ORDER", "ASC", "DESC",
        "NULLS", "LAST", "LIMIT", "CASE", "WHEN", "THEN", "END", "OVER", "PARTITION", "CAST", "COLLATE", "COUNT", "SUM", "AVG", "MIN", "MAX", "NULLIF", "ROUND", "ABS", "LOWER", "UPPER", "LENGTH", "COALESCE",
        "RANK", "DENSE_RANK", "ROW_NUMBER", "LAG", "DOUBLE", "PRECISION", "INTEGER", "BIGINT", "TEXT", "BOOLEAN", "DATE", "TIMESTAMP", "NUMERIC",
        // SQLite, PostgreSQL
        "STRFTIME", "DATETIME", "JULIANDAY", "EXTRACT", "EPOCH", "YEAR", "QUARTER", "MONTH", "DAY", "DOW", "HOUR", "MINUTE", "DATE_TRUNC", "TO_CHAR", "TO_TIMESTAMP", "AT", "TIME", "ZONE", "INTERVAL", "TRUNC"};
    return known;
  }
  static const std::set<std::string>& texts() {
    static const std::set<std::string> known{
        "\\", "unixepoch", "start of month", "-", "+1 day", " months", " days", " years", " hours", " minutes", " seconds", "%Y", "%m", "%d", "%w", "%H", "%M", "%s", "%Y-%m", "%H:%M", "%Y-01-01", "%Y-%m-01",
        "%Y-%m-%d %H:00:00", "UTC", "YYYY-MM", "HH24:MI", "YYYY-MM-DD", "YYYY-MM-DD HH24:MI:SS", "year", "quarter", "month", "week", "day", "hour", "1 year", "1 month", "1 day", "1 hour", "1 minute", "1 second"};
    return known;
  }
  static const std::set<std::string>& numbers() {
    static const std::set<std::string> known{"7.0", "1.0", "60.0", "3600.0", "86400.0", "604800.0", "86400"};
    return known;
  }

  const query::Dataset& dataset_;
  std::vector<SqlToken> tokens_;
  std::map<std::string, const query::Table*> tables_;
};

}  // namespace ballast::test
