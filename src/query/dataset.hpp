// Dataset: what may be asked of one database, as the operator declared it. Whatever is not named here does not exist for a question.
//
//   database: sqlite:shop.sqlite            # or postgres://…; ${ENV} for secrets
//   tables:
//     sales:
//       columns:
//         sale_price: {type: number, description: in US dollars}
//         tenant: {type: text, hidden: true}
//       rows: {column: tenant, equals: principal.team}
//   joins:
//     - sales.car_id = cars.id              # many to one, unless said otherwise
//
// The model is shown `describe()` and `intent_schema()`: names and descriptions, never rows, never the connection. A Dataset is a value; const
// methods are thread-safe. docs/query.md is the reader's page.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/config_node.hpp"
#include "base/json.hpp"
#include "base/result.hpp"

namespace ballast::query {

// What a value is. `epoch`: a moment kept as whole seconds since 1970-01-01 UTC. Dates and timestamps are ISO 8601 text in SQLite.
enum class Type : unsigned char { integer, number, text, boolean, date, timestamp, epoch };
std::string_view to_string(Type type);
constexpr bool is_numeric(Type t) { return t == Type::integer || t == Type::number; }
constexpr bool is_time(Type t) { return t == Type::date || t == Type::timestamp || t == Type::epoch; }

// What becomes of a value before anyone sees it, weakest first: as it is; the same short hash for the same value; its first letter; nothing.
enum class Mask : unsigned char { none, hash, partial, hide };
std::string_view to_string(Mask mask);

enum class Aggregate : unsigned char { count, count_distinct, sum, avg, min, max };
inline constexpr std::size_t kAggregates = 6;
std::string_view to_string(Aggregate aggregate);

struct Column {
  std::string name;                      // in intents
  std::string source;                    // in the database
  Type type = Type::text;
  std::string description;
  std::vector<std::string> synonyms;
  std::vector<std::pair<std::string, std::string>> values;   // what some of its values mean, for the glossary
  Mask mask = Mask::none;
  bool hidden = false;                   // for joins, row filters and derived values alone
  bool filterable = true, groupable = true;
  std::uint8_t aggregates = 0;           // a bit for each that is allowed
  bool allows(Aggregate a) const { return (aggregates >> static_cast<unsigned>(a)) & 1u; }
};

// Only rows whose `column` is what the caller's `attribute` says (one of it, where that is a list) are there for the caller; or only rows that
// belong to a row of another table which is there for the caller (`of`: the declared join that leads to it).
struct RowFilter {
  std::size_t column = 0;
  std::string attribute;                 // of the Principal: "team"; empty: `of`
  std::size_t of = 0;
};

struct Table {
  std::string name, source;              // source: as the database names it; "schema.table" is allowed
  std::string description;
  std::vector<std::string> synonyms;
  std::vector<Column> columns;
  std::vector<RowFilter> rows;
  bool rows_for_all = false;             // "rows: all": that there is no filter is meant
  const Column* find(std::string_view column) const;
};

enum class Cardinality : unsigned char { many_to_one, one_to_one, many_to_many };

struct Join {
  std::size_t from = 0, to = 0;                              // tables
  std::vector<std::pair<std::size_t, std::size_t>> columns;  // that are equal: of `from`, of `to`
  Cardinality cardinality = Cardinality::many_to_one;
  std::string role;                                          // `to`, reached this way, has a name of its own: "destination"
};

// A named expression of the intent language (intent.hpp), written by the operator: it may use hidden columns.
struct Derived {
  std::string name, description;
  json::value expression;
};

// Whatever is above one of these is refused, with its name.
struct Limits {
  std::int64_t rows = 1'000;             // of a result; what is more is cut off and said
  std::uint64_t bytes = 4u << 20;        // of a result
  Duration timeout = std::chrono::seconds(5);
  std::size_t dimensions = 8, measures = 16;
  std::size_t joins = 8;                 // tables of one level of an intent, beside the first
  std::size_t filters = 32;              // comparisons of a whole intent
  std::size_t in_values = 100;           // of one list
  std::size_t depth = 3;                 // intents inside each other
  std::size_t text_bytes = 1'000;        // of one value
};

// A table under a name: itself, or a role of it.
struct Node {
  std::string name;
  std::size_t table = 0;
  std::optional<std::size_t> role;       // the join that leads there
};

struct Dataset {
  std::string name, description;
  std::string database;                  // the URL; may hold a password: never print it
  std::string mask_key;                  // of hashes; empty: one is drawn at start, and hashes change with a restart
  std::vector<Table> tables;
  std::vector<Join> joins;
  std::vector<Derived> derived;
  std::vector<Node> nodes;               // tables first, in their order
  Limits limits;
  std::optional<WallTime> as_of;         // what "now" is for questions about data that stands still; nothing: the clock

  WallTime now(const Clock& clock) const { return as_of ? *as_of : clock.wall(); }
  const Node* node(std::string_view name) const;
  const Derived* find_derived(std::string_view name) const;
  const Table& table_of(const Node& node) const { return tables[node.table]; }
  // "sales.sale_price", "destination.city": its node and its column; null where there is none, or it is hidden and that matters.
  std::pair<const Node*, const Column*> find(std::string_view name, bool hidden_too) const;
  // Every such name, hidden ones left out.
  std::vector<std::string> names() const;
  // What is probably not meant, a sentence each: tables that anyone may read in full although each of their rows belongs to one that is filtered.
  std::vector<std::string> warnings() const;

  // JSON Schema (2020-12) of the intents about this dataset: what a model is held to.
  json::value intent_schema() const;
  // The glossary for a model's prompt: tables, columns, joins, derived values, in Markdown. No data but the values the operator listed.
  std::string describe() const;
};

// How an intent is written, for a model's prompt: the same for every dataset, before what `describe` says of this one.
std::string_view intent_guide();

// Reads one from a configuration; mistakes are recorded in the node's document, so `check()` comes before its use.
Dataset read_dataset(std::string name, const ConfigNode& node);
// Reads a file; its name without folder and extension is the dataset's. A relative path of a SQLite file counts from the dataset's folder.
// caller_invalid_request: one line per mistake, with line and column; `mistakes` (may be null) receives them as values. caller_not_found.
Result<Dataset> load_dataset(const std::string& path, const EnvLookup& environment, std::vector<ConfigMistake>* mistakes = nullptr);
// Every *.yaml of a folder, by name; none if there is no such folder.
using Datasets = std::map<std::string, Dataset, std::less<>>;
Result<Datasets> load_datasets(const std::string& folder, const EnvLookup& environment, std::vector<ConfigMistake>* mistakes = nullptr);

}  // namespace ballast::query
