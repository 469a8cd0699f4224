#include <algorithm>

#include "base/text.hpp"
#include "query/reader.hpp"

namespace ballast::query {

namespace {

constexpr std::size_t kMostOrders = 8, kMostName = 60;

// Plain enough to be a heading, a JSON member and a word in a message.
bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kMostName || (text[0] >= '0' && text[0] <= '9')) return false;
  return std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; });
}

std::string default_name(const Expression& e) {
  using Op = Expression::Op;
  if (e.op == Op::column || e.op == Op::output) return e.name;
  if (e.op == Op::aggregate && e.args.empty()) return "count";
  if (e.op == Op::aggregate && (e.args[0].op == Op::column || e.args[0].op == Op::output)) return std::string(to_string(e.aggregate)) + "_" + e.args[0].name;
  if (e.op == Op::window) return std::string(kRankings[static_cast<std::size_t>(e.ranking)]);
  if ((e.op == Op::part || e.op == Op::truncate) && e.args[0].op == Op::column)
    return e.args[0].name + "_" + std::string(e.op == Op::part ? kParts[static_cast<std::size_t>(e.part)] : to_string(e.unit));
  return "value";
}

std::string unused_name(const Intent& intent, const std::string& wanted) {
  std::string name = wanted;
  for (int n = 2; intent.find(name); ++n) name = fmt::format("{}_{}", wanted, n);
  return name;
}

}  // namespace

bool Expression::has_aggregate() const {
  const auto one = [](const Expression& e) { return e.has_aggregate(); };
  return op == Op::aggregate || std::ranges::any_of(args, one) || std::ranges::any_of(within, one) || std::ranges::any_of(order, [](const Order& o) { return o.by.has_aggregate(); });
}

const Output* Intent::find(std::string_view name) const {
  const auto found = std::ranges::find(outputs, name, &Output::name);
  return found == outputs.end() ? nullptr : &*found;
}

Result<std::vector<std::string>> Reader::nodes(const JsonRef& at, std::string_view key) {
  std::vector<std::string> out;
  const auto list = at.find(key);
  if (!list) return out;
  if (!list->is_array() || list->size() > dataset_.limits.joins) return list->error(fmt::format("must be a list of at most {} tables", dataset_.limits.joins));
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto name = list->item(i).as<std::string>();
    if (!name) return std::unexpected(name.error());
    if (!dataset_.node(*name)) return list->item(i).error("is not a table of this dataset");
    out.push_back(*name);
  }
  return out;
}

Result<void> Reader::source(const JsonRef& at, std::size_t depth, Intent& into) {
  const auto from = at.find("from");
  if (!from) return {};
  if (from->is_object()) {
    auto inner = intent(*from, depth + 1);
    if (!inner) return std::unexpected(inner.error());
    if (!inner->unanswerable.empty()) return from->error("must be an intent that can be answered");
    if (at.find("through") || at.find("optional")) return at.error("\"through\" and \"optional\" are about tables, but \"from\" is an intent");
    into.inner = std::make_shared<const Intent>(std::move(*inner));
    depth_ = depth;
    return {};
  }
  const auto name = from->as<std::string>();
  if (!name) return std::unexpected(name.error());
  const auto* node = dataset_.node(*name);
  if (!node || node->role) {
    std::vector<std::string> names;
    for (const auto& t : dataset_.tables) names.push_back(t.name);
    return from->error("is not a table of this dataset; there are " + listed(names));
  }
  into.from = *name;
  auto through = nodes(at, "through");
  if (!through) return std::unexpected(through.error());
  auto optional = nodes(at, "optional");
  if (!optional) return std::unexpected(optional.error());
  into.through = std::move(*through);
  into.optional = std::move(*optional);
  return {};
}

Result<void> Reader::output(const JsonRef& at, bool measure, Intent& into) {
  auto e = expression(at, {.inner = into.inner.get(), .outputs = measure ? &into.outputs : nullptr, .aggregates = measure, .windows = true});
  if (!e) return std::unexpected(e.error());
  if (measure && !e->has_aggregate() && e->op != Expression::Op::window && e->op != Expression::Op::scalar)
    if (e->op == Expression::Op::column || e->op == Expression::Op::output) return at.error("is not a measure: aggregate it (sum, avg, count, …) or make it a dimension");
  std::string name;
  if (at.is_object()) {
    const auto as = at.maybe<std::string>("as");
    if (!as) return std::unexpected(as.error());
    if (*as && !is_name(**as)) return at.at("as")->error("must be a word of letters, digits and underscores, at most 60");
    if (*as && into.find(**as)) return at.at("as")->error("names two outputs");
    name = as->value_or("");
  } else if (at.is_string() && !std::string_view(at.value().get_string()).contains('.')) {
    name = at.value().get_string();
  }
  if (name.empty() || into.find(name)) name = unused_name(into, default_name(*e));
  into.outputs.push_back({std::move(name), std::move(*e), measure});
  return {};
}

Result<void> Reader::outputs(const JsonRef& at, std::string_view key, bool measure, std::size_t most, Intent& into) {
  const auto list = at.find(key);
  if (!list) return {};
  if (!list->is_array() || list->size() > most) return list->error(fmt::format("must be a list of at most {}", most));
  for (std::size_t i = 0; i < list->size(); ++i)
    if (auto done = output(list->item(i), measure, into); !done) return done;
  return {};
}

Result<std::vector<Order>> Reader::orders(const JsonRef& list, const Scope& scope) {
  if (!list.is_array() || list.size() == 0 || list.size() > kMostOrders) return list.error(fmt::format("must be a list of 1 to {} objects {{\"by\": …, \"desc\": true}}", kMostOrders));
  std::vector<Order> out;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const JsonRef item = list.item(i);
    if (auto ok = only_members(item, {"by", "desc"}); !ok) return std::unexpected(ok.error());
    const auto by = item.at("by");
    if (!by) return std::unexpected(by.error());
    auto e = expression(*by, scope);
    if (!e) return std::unexpected(e.error());
    const auto descending = item.maybe<bool>("desc");
    if (!descending) return std::unexpected(descending.error());
    out.push_back({std::move(*e), descending->value_or(false)});
  }
  return out;
}

Result<void> Reader::filters(const JsonRef& at, Intent& into) {
  for (const std::string_view key : {"where", "having"}) {
    const auto there = at.find(key);
    if (!there) continue;
    const bool after = key == "having";
    auto c = condition(*there, {.inner = into.inner.get(), .outputs = after ? &into.outputs : nullptr, .aggregates = after});
    if (!c) return std::unexpected(c.error());
    (after ? into.having : into.where) = std::make_shared<const Condition>(std::move(*c));
  }
  into.grouped = into.having != nullptr || std::ranges::any_of(into.outputs, [](const Output& o) { return o.value.has_aggregate(); });
  return {};
}

Result<void> Reader::ordering(const JsonRef& at, Intent& into) {
  if (const auto list = at.find("order")) {
    auto sorted = orders(*list, {.inner = into.inner.get(), .outputs = &into.outputs, .aggregates = true, .windows = true, .decides = true});
    if (!sorted) return std::unexpected(sorted.error());
    into.order = std::move(*sorted);
    into.grouped = into.grouped || std::ranges::any_of(into.order, [](const Order& o) { return o.by.has_aggregate(); });
  }
  const auto limit = at.maybe_int("limit", 1, 1'000'000);
  if (!limit) return std::unexpected(limit.error());
  into.limit = limit->value_or(0);
  const auto distinct = at.maybe<bool>("distinct");
  if (!distinct) return std::unexpected(distinct.error());
  into.distinct = distinct->value_or(false) && !into.grouped;   // groups are distinct
  return {};
}

Result<void> Reader::check_whole(const JsonRef& at, const Intent& intent) const {
  if (intent.outputs.empty()) return at.error("asks for nothing: give \"dimensions\" or \"measures\"");
  if (intent.grouped)
    for (const auto& o : intent.outputs) {
      if (o.measure) continue;
      if (o.value.op == Expression::Op::window) return at.error(fmt::format("\"{}\" ranks groups: it belongs into \"measures\"", o.name));
      if (o.value.op != Expression::Op::column) continue;
      const auto* column = dataset_.find(o.value.node + "." + o.value.name, true).second;
      if (column && !column->groupable) return at.error(fmt::format("{}.{} may not be grouped by", o.value.node, o.value.name));
    }
  return {};
}

Result<Intent> Reader::intent(const JsonRef& at, std::size_t depth) {
  if (depth > dataset_.limits.depth) return fail(ErrorCode::caller_too_large, fmt::format("more than {} intents inside each other", dataset_.limits.depth), at.path());
  if (!at.is_object()) return at.error("must be an intent: an object");
  if (at.find("unanswerable")) {
    if (auto ok = only_members(at, {"unanswerable"}); !ok) return std::unexpected(ok.error());
    auto reason = at.get<std::string>("unanswerable");
    if (!reason) return std::unexpected(reason.error());
    if (trim(*reason).empty() || reason->size() > dataset_.limits.text_bytes) return at.error(fmt::format("\"unanswerable\" must give a reason of 1 to {} bytes", dataset_.limits.text_bytes));
    return Intent{.unanswerable = std::move(*reason)};
  }
  if (auto ok = only_members(at, {"from", "through", "optional", "dimensions", "measures", "where", "having", "order", "limit", "distinct"}); !ok) return std::unexpected(ok.error());
  const std::size_t outer = depth_;
  depth_ = depth;
  Intent out;
  if (auto done = source(at, depth, out); !done) return std::unexpected(done.error());
  if (auto done = outputs(at, "dimensions", false, dataset_.limits.dimensions, out); !done) return std::unexpected(done.error());
  if (auto done = outputs(at, "measures", true, dataset_.limits.measures, out); !done) return std::unexpected(done.error());
  if (auto done = filters(at, out); !done) return std::unexpected(done.error());
  if (auto done = ordering(at, out); !done) return std::unexpected(done.error());
  if (auto done = check_whole(at, out); !done) return std::unexpected(done.error());
  depth_ = outer;
  return out;
}

Result<Intent> read_intent(const json::value& document, const Dataset& dataset) { return Reader(dataset).intent(JsonRef(document), 1); }

Result<Expression> read_derived(const Derived& derived, const Dataset& dataset) {
  return Reader(dataset).expression(JsonRef(derived.expression), {.hidden = true, .derived = false, .aggregates = true});
}

}  // namespace ballast::query
