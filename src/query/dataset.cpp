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

}  // namespace ballast::query
