// Datasets out of configuration.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/text.hpp"
#include "query/intent.hpp"

namespace ballast::query {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostTables = 200, kMostColumns = 300, kMostName = 60;
constexpr std::uint64_t kMostFile = 4u << 20;

constexpr std::uint8_t bit(Aggregate a) { return static_cast<std::uint8_t>(1u << static_cast<unsigned>(a)); }

// What the type makes sense of.
std::uint8_t aggregates_of(Type type) {
  std::uint8_t out = bit(Aggregate::count) | bit(Aggregate::count_distinct);
  if (type != Type::boolean) out |= bit(Aggregate::min) | bit(Aggregate::max);
  if (is_numeric(type)) out |= bit(Aggregate::sum) | bit(Aggregate::avg);
  return out;
}

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kMostName) return false;
  return std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; });
}

// What names a thing in the database: anything that can be quoted.
bool is_source(std::string_view text) { return !text.empty() && text.size() <= 200 && is_utf8(text) && !text.contains('\0'); }

Type type_of(const ConfigNode& node) {
  static constexpr std::array kKnown{Type::integer, Type::number, Type::text, Type::boolean, Type::date, Type::timestamp, Type::epoch};
  const std::string word = node.choice("type", {"integer", "number", "text", "boolean", "date", "timestamp", "epoch"}, "text");
  return *std::ranges::find_if(kKnown, [&](Type t) { return to_string(t) == word; });
}

Mask mask_of(const ConfigNode& node) {
  static constexpr std::array kKnown{Mask::none, Mask::hash, Mask::partial, Mask::hide};
  const std::string word = node.choice("mask", {"none", "hash", "partial", "hide"}, "none");
  return *std::ranges::find_if(kKnown, [&](Mask m) { return to_string(m) == word; });
}

std::uint8_t read_aggregates(const ConfigNode& node, Type type) {
  if (!node.has("aggregates")) return aggregates_of(type);
  static constexpr std::array kKnown{Aggregate::count, Aggregate::count_distinct, Aggregate::sum, Aggregate::avg, Aggregate::min, Aggregate::max};
  std::uint8_t out = 0;
  for (const auto& item : node.list("aggregates")) {
    const std::string word = item.as_string();
    const auto known = std::ranges::find_if(kKnown, [&](Aggregate a) { return to_string(a) == word; });
    if (known == kKnown.end()) item.problem("must be one of count, count_distinct, sum, avg, min, max");
    else if (!(aggregates_of(type) & bit(*known))) item.problem(fmt::format("makes no sense of a {}", to_string(type)));
    else out |= bit(*known);
  }
  return out;
}

Column read_column(const std::string& name, const ConfigNode& node) {
  Column c{.name = name};
  if (!is_name(name)) node.problem("must have a name of letters, digits and underscores, at most 60; \"source\" may be anything");
  if (node.is_scalar()) node.problem("must be a map, such as {type: text}");
  c.source = node.string("source", name);
  if (!is_source(c.source)) node.get("source").problem("is not a name that a database can have");
  c.type = type_of(node);
  c.description = node.string("description");
  c.synonyms = node.strings("synonyms");
  for (const auto& [value, meaning] : node.map("values")) c.values.emplace_back(value, meaning.as_string());
  c.mask = mask_of(node);
  c.hidden = node.boolean("hidden", false);
  // Who may filter by what he may not see, can find it out.
  c.filterable = node.boolean("filterable", c.mask == Mask::none);
  c.groupable = node.boolean("groupable", true);
  c.aggregates = read_aggregates(node, c.type);
  node.done();
  return c;
}

// Whether "rows" is a word; the only one there is says that no filter is meant.
bool is_open_to_all(const ConfigNode& node) { return node.has("rows") && node.get("rows").is_scalar(); }

void read_rows(const ConfigNode& node, Table& table) {
  if (is_open_to_all(node)) {
    table.rows_for_all = node.string("rows") == "all";
    if (!table.rows_for_all) node.get("rows").problem("must be {column: …, equals: principal.…}, {of: TABLE}, or all");
    return;
  }
  for (const auto& filter : node.list_or_one("rows")) {
    if (filter.has("of")) continue;      // read once the joins are known
    const std::string column = filter.require("column").as_string(), equals = filter.require("equals").as_string();
    filter.done();
    const Column* found = table.find(column);
    if (!found) filter.problem("\"column\" is not a column of this table");
    else if (!equals.starts_with("principal.") || !is_name(std::string_view(equals).substr(10))) filter.problem("\"equals\" must be principal.NAME, such as principal.team");
    else table.rows.push_back({static_cast<std::size_t>(found - table.columns.data()), equals.substr(10)});
  }
}

Table read_table(const std::string& name, const ConfigNode& node) {
  Table t{.name = name};
  if (!is_name(name)) node.problem("must have a name of letters, digits and underscores, at most 60; \"source\" may be anything");
  t.source = node.string("source", name);
  if (!is_source(t.source)) node.get("source").problem("is not a name that a database can have");
  t.description = node.string("description");
  t.synonyms = node.strings("synonyms");
  for (const auto& [column, there] : node.map("columns")) t.columns.push_back(read_column(column, there));
  if (t.columns.empty()) node.problem("needs \"columns\"");
  if (t.columns.size() > kMostColumns) node.problem("has more than 300 columns");
  read_rows(node, t);
  node.done();
  return t;
}

// "sales.car_id = cars.id"
void read_pair(const ConfigNode& node, std::string_view text, const Dataset& dataset, Join& join, bool first) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos) return node.problem("must be as sales.car_id = cars.id");
  const auto side = [&](std::string_view name) -> std::pair<std::size_t, std::size_t> {
    name = trim(name);
    const auto dot = name.find('.');
    const auto table = std::ranges::find(dataset.tables, name.substr(0, dot), &Table::name);
    const Column* column = table == dataset.tables.end() || dot == std::string_view::npos ? nullptr : table->find(name.substr(dot + 1));
    if (!column) {
      node.problem(fmt::format("{} is not a column of this dataset", name));
      return {0, SIZE_MAX};
    }
    return {static_cast<std::size_t>(table - dataset.tables.begin()), static_cast<std::size_t>(column - table->columns.data())};
  };
  const auto left = side(text.substr(0, equals)), right = side(text.substr(equals + 1));
  if (left.second == SIZE_MAX || right.second == SIZE_MAX) return;
  if (!first && (join.from != left.first || join.to != right.first)) return node.problem("joins other tables than the line before");
  join.from = left.first;
  join.to = right.first;
  join.columns.emplace_back(left.second, right.second);
}

void read_join(const ConfigNode& node, Dataset& dataset) {
  Join join;
  if (node.is_scalar()) {
    read_pair(node, node.as_string(), dataset, join, true);
  } else {
    bool first = true;
    for (const auto& line : node.list_or_one("on")) {
      read_pair(line, line.as_string(), dataset, join, first);
      first = false;
    }
    if (first) node.problem("needs \"on\", as sales.car_id = cars.id");
    const std::string word = node.choice("cardinality", {"many_to_one", "one_to_one", "many_to_many"}, "many_to_one");
    join.cardinality = word == "one_to_one" ? Cardinality::one_to_one : word == "many_to_many" ? Cardinality::many_to_many : Cardinality::many_to_one;
    join.role = node.string("as");
    node.done();
  }
  if (join.columns.empty()) return;
  if (!join.role.empty() && (!is_name(join.role) || dataset.node(join.role))) return node.get("as").problem("must be a word that is not a table's nor another role's");
  if (join.role.empty()) {
    if (join.from == join.to) return node.problem("joins a table with itself: \"as\" must name the other one");
    for (const auto& other : dataset.joins)
      if (other.role.empty() && ((other.from == join.from && other.to == join.to) || (other.from == join.to && other.to == join.from)))
        return node.problem("is the second way between these two tables: \"as\" must name what it leads to");
  } else {
    dataset.nodes.push_back({join.role, join.to, dataset.joins.size()});
  }
  dataset.joins.push_back(std::move(join));
}

// rows: {of: orders}: what belongs to an order that is not there, is not there. Tables before `table` in such a chain must not come again.
bool leads_back(const Dataset& dataset, std::size_t table, std::size_t start) {
  for (const auto& filter : dataset.tables[table].rows)
    if (filter.attribute.empty() && (dataset.joins[filter.of].to == start || leads_back(dataset, dataset.joins[filter.of].to, start))) return true;
  return false;
}

void read_rows_of(const ConfigNode& node, std::size_t table, Dataset& dataset) {
  if (is_open_to_all(node)) return;
  for (const auto& filter : node.list_or_one("rows")) {
    if (!filter.has("of")) continue;
    const std::string of = filter.string("of");
    filter.done();
    const auto join = std::ranges::find_if(dataset.joins, [&](const Join& j) {
      return j.from == table && (j.role.empty() ? dataset.tables[j.to].name : j.role) == of && j.cardinality != Cardinality::many_to_many;
    });
    if (join == dataset.joins.end()) {
      filter.get("of").problem("must be a table, or a role, that a declared join of this table leads to");
    } else if (join->to == table || leads_back(dataset, join->to, table)) {
      filter.get("of").problem("leads back to this table");
    } else {
      dataset.tables[table].rows.push_back({.of = static_cast<std::size_t>(join - dataset.joins.begin())});
    }
  }
}

void read_derived_values(const ConfigNode& node, Dataset& dataset) {
  for (const auto& [name, there] : node.map("derived")) {
    if (!is_name(name)) there.problem("must have a name of letters, digits and underscores, at most 60");
    dataset.derived.push_back({name, there.string("description"), there.require("is").to_json()});
    there.done();
    if (const auto read = read_derived(dataset.derived.back(), dataset); !read)
      there.get("is").problem((read.error().field.empty() ? "" : read.error().field + " ") + read.error().message);
  }
}

Limits read_limits(const ConfigNode& node) {
  Limits l;
  const auto count = [&](std::string_view key, std::size_t fallback, std::int64_t most) { return static_cast<std::size_t>(node.integer(key, static_cast<std::int64_t>(fallback), 1, most)); };
  l.rows = node.integer("rows", l.rows, 1, 50'000);
  l.bytes = node.size("bytes", l.bytes);
  if (l.bytes < 1'024 || l.bytes > (256u << 20)) node.get("bytes").problem("must be between 1KB and 256MB");
  l.timeout = node.duration("timeout", l.timeout);
  if (l.timeout < std::chrono::milliseconds(1) || l.timeout > std::chrono::minutes(10)) node.get("timeout").problem("must be between 1ms and 10m");
  l.dimensions = count("dimensions", l.dimensions, 32);
  l.measures = count("measures", l.measures, 64);
  l.joins = count("joins", l.joins, 16);
  l.filters = count("filters", l.filters, 200);
  l.in_values = count("in_values", l.in_values, 1'000);
  l.depth = count("depth", l.depth, 5);
  l.text_bytes = count("text_bytes", l.text_bytes, 10'000);
  node.done();
  return l;
}

}  // namespace

Dataset read_dataset(std::string name, const ConfigNode& node) {
  Dataset d;
  d.name = std::move(name);
  d.description = node.string("description");
  d.database = node.require("database").as_string();
  if (!d.database.empty() && !d.database.starts_with("sqlite:") && !d.database.starts_with("postgres://") && !d.database.starts_with("postgresql://"))
    node.get("database").problem("must be sqlite:FILE or postgres://…");
  d.mask_key = node.string("mask_key");
  d.limits = read_limits(node.get("limits"));
  if (node.has("as_of")) {
    if (const auto at = parse_time(node.string("as_of"))) d.as_of = *at;
    else node.get("as_of").problem("must be a time like 2026-11-21 or 2026-11-21T04:00:00Z");
  }
  for (const auto& [table, there] : node.map("tables")) {
    d.tables.push_back(read_table(table, there));
    d.nodes.push_back({table, d.tables.size() - 1, std::nullopt});
  }
  if (d.tables.empty()) node.problem("needs \"tables\"");
  if (d.tables.size() > kMostTables) node.problem("has more than 200 tables");
  for (const auto& join : node.list("joins")) read_join(join, d);
  for (const auto& [table, there] : node.map("tables"))
    if (const auto* known = d.node(table)) read_rows_of(there, known->table, d);
  read_derived_values(node, d);
  node.done();
  return d;
}

Result<Dataset> load_dataset(const std::string& path, const EnvLookup& environment, std::vector<ConfigMistake>* mistakes) {
  ConfigMistake syntax;
  const auto keep = [&](std::vector<ConfigMistake> found) {
    if (mistakes) mistakes->insert(mistakes->end(), found.begin(), found.end());
  };
  std::error_code error;
  if (fs::file_size(path, error) > kMostFile && !error) return fail(ErrorCode::caller_too_large, "is larger than 4 MB", path);
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (!(file && text << file.rdbuf())) return fail(ErrorCode::caller_not_found, "cannot be read, or is empty", path);
  auto root = parse_config(text.str(), path, environment, &syntax);
  if (!root) {
    keep({syntax});
    return std::unexpected(root.error());
  }
  Dataset d = read_dataset(fs::path(path).stem().string(), *root);
  keep(root->mistakes());
  if (auto ok = root->check(); !ok) return std::unexpected(ok.error());
  if (d.database.starts_with("sqlite:")) {
    const fs::path file_there = d.database.substr(7);
    if (file_there.is_relative()) d.database = "sqlite:" + (fs::path(path).parent_path() / file_there).lexically_normal().string();
  }
  return d;
}

Result<Datasets> load_datasets(const std::string& folder, const EnvLookup& environment, std::vector<ConfigMistake>* mistakes) {
  Datasets out;
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->path().extension() == ".yaml") files.push_back(at->path());
  if (error && error != std::errc::no_such_file_or_directory) return fail(ErrorCode::caller_not_found, "cannot be read: " + error.message(), folder);
  std::ranges::sort(files);
  for (const auto& file : files) {
    auto d = load_dataset(file.string(), environment, mistakes);
    if (!d) return std::unexpected(d.error());
    out.emplace(d->name, std::move(*d));
  }
  return out;
}

}  // namespace ballast::query
