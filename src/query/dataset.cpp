#include "query/dataset.hpp"

#include <algorithm>

namespace ballast::query {

namespace {

constexpr std::string_view kTypes[] = {"integer", "number", "text", "boolean", "date", "timestamp", "epoch"};
constexpr std::string_view kMasks[] = {"none", "hash", "partial", "hide"};
constexpr std::string_view kAggregateWords[] = {"count", "count_distinct", "sum", "avg", "min", "max"};

}  // namespace

std::string_view to_string(Type type) { return kTypes[static_cast<std::size_t>(type)]; }
std::string_view to_string(Mask mask) { return kMasks[static_cast<std::size_t>(mask)]; }
std::string_view to_string(Aggregate aggregate) { return kAggregateWords[static_cast<std::size_t>(aggregate)]; }

const Column* Table::find(std::string_view column) const {
  const auto found = std::ranges::find(columns, column, &Column::name);
  return found == columns.end() ? nullptr : &*found;
}

const Node* Dataset::node(std::string_view wanted) const {
  const auto found = std::ranges::find(nodes, wanted, &Node::name);
  return found == nodes.end() ? nullptr : &*found;
}

const Derived* Dataset::find_derived(std::string_view wanted) const {
  const auto found = std::ranges::find(derived, wanted, &Derived::name);
  return found == derived.end() ? nullptr : &*found;
}

std::pair<const Node*, const Column*> Dataset::find(std::string_view full, bool hidden_too) const {
  const auto dot = full.find('.');
  const Node* at = node(full.substr(0, dot));
  if (!at || dot == std::string_view::npos) return {nullptr, nullptr};
  const Column* column = table_of(*at).find(full.substr(dot + 1));
  if (!column || (column->hidden && !hidden_too)) return {nullptr, nullptr};
  return {at, column};
}

std::vector<std::string> Dataset::names() const {
  std::vector<std::string> out;
  for (const auto& n : nodes)
    for (const auto& c : table_of(n).columns)
      if (!c.hidden) out.push_back(n.name + "." + c.name);
  return out;
}

// A table that many rows of a filtered one point to (cities, products) is nobody's own, so it may well be open.
std::vector<std::string> Dataset::warnings() const {
  std::vector<std::string> out;
  std::vector<bool> told(tables.size());
  const auto look = [&](const Join& join, std::size_t open, std::size_t filtered) {
    const Table& t = tables[open];
    if (!t.rows.empty() || t.rows_for_all || tables[filtered].rows.empty() || told[open]) return;
    told[open] = true;
    const std::string& there = open == join.from && !join.role.empty() ? join.role : tables[filtered].name;
    const bool leads = open == join.from && join.cardinality != Cardinality::many_to_many;
    out.push_back(fmt::format("dataset {}: table {} has no row filter, but is joined to {}, which has one, so every caller sees all of {}: give it {}, or say rows: all if that is meant",
                              name, t.name, there, t.name, leads ? fmt::format("rows: {{of: {}}}", there) : "rows: {column: …, equals: principal.…}"));
  };
  for (const auto& join : joins) {
    look(join, join.from, join.to);
    if (join.cardinality != Cardinality::many_to_one) look(join, join.to, join.from);
  }
  return out;
}

}  // namespace ballast::query
