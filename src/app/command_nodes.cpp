#include <iostream>

#include "app/acts.hpp"
#include "app/table.hpp"
#include "base/text.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
};

Result<json::value> list(Access& access, const Flags&) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  return access.call("GET", "/api/nodes");
}

// What `path` names beneath a node's load, or null.
json::value of_load(const json::object& node, std::initializer_list<std::string_view> path) {
  const json::value* at = node.if_contains("load");
  for (const std::string_view name : path) at = at && at->is_object() ? at->get_object().if_contains(name) : nullptr;
  return at ? *at : json::value(nullptr);
}

void print(const json::value& answer) {
  const auto* rows = rows_of(answer);
  const auto* self = answer.as_object().if_contains("self");
  json::array flat;
  for (const auto& row : rows ? *rows : json::array{}) {
    const auto& node = row.as_object();
    json::object line;
    for (const std::string_view name : {"slot", "state", "address", "version", "since"})
      if (const auto* value = node.if_contains(name)) line[name] = *value;
    if (const auto* age = node.if_contains("beat_age_s"); age && age->is_number()) line["beat"] = fmt::format("{:.1f}s", age->to_number<double>());
    line["calls"] = of_load(node, {"calls"});
    line["leases"] = of_load(node, {"jobs", "leased"});
    line["ready"] = of_load(node, {"jobs", "ready"});
    if (const auto memory = of_load(node, {"memory_bytes"}); memory.is_number()) line["memory_mb"] = memory.to_number<std::uint64_t>() >> 20;
    if (const auto* duties = node.if_contains("duties")) line["duties"] = plain(*duties);
    if (const auto* name = node.if_contains("name")) line["name"] = self && *self == *name ? plain(*name) + " *" : plain(*name);
    flat.push_back(std::move(line));
  }
  std::cout << (flat.empty() ? std::string("none\n") : table(flat));
}

}  // namespace

void add_nodes(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  add_act(app, run, flags, "nodes", "The nodes of this installation, as the one that answers (*) sees them.", ActOf<Flags>(list), print);
}

}  // namespace ballast::app
