#include "base/config_node.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/config_document.hpp"
#include "base/text.hpp"

namespace ballast {

// ---- Document

void ConfigNode::Document::complain(int line, int column, std::string path, std::string text) {
  for (const auto& p : problems)
    if (p.line == line && p.column == column && p.path == path && p.text == text) return;
  problems.push_back({line, column, std::move(path), std::move(text)});
}

ConfigNode::Item* ConfigNode::Document::absent(const Item& parent, std::string_view key) {
  Item& item = items.emplace_back();
  item.path = parent.path.empty() ? std::string(key) : fmt::format("{}.{}", parent.path, key);
  item.line = parent.line;
  item.column = parent.column;
  return &item;
}

namespace {
constexpr char mask_mark = '\x01';
std::size_t mask_index(char high, char low) {
  const auto digit = [](char c) { return static_cast<std::size_t>(c <= '9' ? c - '0' : c <= 'Z' ? c - 'A' + 10 : c - 'a' + 36); };
  return digit(high) * 62 + digit(low);
}
// Copies `text`, giving each mask to `f(substitution, out)`.
template <class F>
std::string replace_masks(std::string_view text, const std::vector<Substitution>& all, F&& f) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto index = text[i] == mask_mark && i + 2 < text.size() ? mask_index(text[i + 1], text[i + 2]) : all.size();
    if (index >= all.size()) {
      out += text[i++];
      continue;
    }
    f(all[index], out);
    i += all[index].source.size();
  }
  return out;
}
}  // namespace

std::string ConfigNode::Document::unmask(std::string_view text) const {
  return replace_masks(text, substitutions, [](const Substitution& s, std::string& out) { out += s.source; });
}

std::optional<std::string> ConfigNode::Document::expand(const Item& at, std::string_view text, bool& substituted) {
  bool ok = true;
  auto out = replace_masks(text, substitutions, [&](const Substitution& s, std::string& to) {
    if (s.name.empty()) {
      to += "${";
      return;
    }
    substituted = true;
    auto value = environment ? environment(s.name) : std::nullopt;
    if (s.fallback && (!value || value->empty())) value = s.fallback;
    if (value) {
      to += *value;
      return;
    }
    ok = false;
    complain(at.line, at.column, at.path, fmt::format("needs the environment variable {0}, which is not set, nor is there a file of it ({0}_FILE, or a credential of that name)", s.name));
  });
  if (!ok) return std::nullopt;
  // What looks like a substitution and was not read as one is a slip of the pen.
  if (text.find("${") != std::string_view::npos) {
    complain(at.line, at.column, at.path, "has a ${…} that is neither ${NAME} nor ${NAME:-default}; write $${ for a literal ${");
    return std::nullopt;
  }
  return out;
}

// ---- Nodes

ConfigNode::ConfigNode() = default;
ConfigNode::ConfigNode(std::shared_ptr<Document> document, Item* item) : document_(std::move(document)), item_(item) {}

bool ConfigNode::exists() const { return item_ && item_->kind != Item::Kind::absent && item_->kind != Item::Kind::null; }
bool ConfigNode::is_map() const { return item_ && item_->kind == Item::Kind::map; }
bool ConfigNode::is_list() const { return item_ && item_->kind == Item::Kind::list; }
bool ConfigNode::is_scalar() const { return item_ && item_->kind == Item::Kind::scalar; }
std::string ConfigNode::path() const { return item_ ? item_->path : ""; }
std::string ConfigNode::where() const { return item_ ? fmt::format("{}:{}:{}", document_->file, item_->line, item_->column) : ""; }
int ConfigNode::line() const { return item_ ? item_->line : 1; }
int ConfigNode::column() const { return item_ ? item_->column : 1; }

void ConfigNode::problem(std::string_view message) const {
  if (!item_) return;
  document_->complain(item_->line, item_->column, item_->path, std::string(message));
}

std::optional<std::string> ConfigNode::scalar(std::string_view wanted) const {
  if (!exists()) return std::nullopt;
  if (!is_scalar()) {
    problem(fmt::format("must be {}, not {}", wanted, is_map() ? "a map" : "a list"));
    return std::nullopt;
  }
  bool substituted = false;
  return document_->expand(*item_, item_->text, substituted);
}

template <class T, class Parse>
T ConfigNode::parsed(std::string_view wanted, T fallback, Parse parse) const {
  const auto text = scalar(wanted);
  if (!text) return fallback;
  std::optional<T> value = parse(std::string_view(*text));
  if (value) return *value;
  // A value from the environment may be a secret: say where it came from, not what it is.
  const bool masked = item_->text.find(mask_mark) != std::string::npos;
  problem(fmt::format("must be {}, not \"{}\"", wanted, masked ? document_->unmask(item_->text) : std::string(utf8_prefix(*text, 64))));
  return fallback;
}

namespace {
template <class T>
std::optional<T> to_optional(Result<T> r) {
  return r ? std::optional<T>(std::move(*r)) : std::nullopt;
}
std::optional<bool> parse_bool(std::string_view s) {
  for (const auto t : {"true", "yes", "on"})
    if (iequals(s, t)) return true;
  for (const auto f : {"false", "no", "off"})
    if (iequals(s, f)) return false;
  return std::nullopt;
}
}  // namespace

std::string ConfigNode::as_string(std::string_view fallback) const {
  auto text = scalar("text");
  return text ? std::move(*text) : std::string(fallback);
}
std::int64_t ConfigNode::as_int(std::int64_t fallback, std::int64_t low, std::int64_t high) const {
  const bool bounded = low != INT64_MIN || high != INT64_MAX;
  const auto wanted = !bounded ? std::string("an integer")
                      : high == INT64_MAX ? fmt::format("an integer of at least {}", low)
                      : low == INT64_MIN  ? fmt::format("an integer of at most {}", high)
                                          : fmt::format("an integer from {} to {}", low, high);
  return parsed<std::int64_t>(wanted, fallback, [&](std::string_view s) {
    const auto v = parse_int<std::int64_t>(s);
    return v && *v >= low && *v <= high ? v : std::nullopt;
  });
}
bool ConfigNode::as_bool(bool fallback) const { return parsed<bool>("true or false", fallback, parse_bool); }
double ConfigNode::as_double(double fallback) const { return parsed<double>("a number", fallback, parse_double); }
Duration ConfigNode::as_duration(Duration fallback) const {
  return parsed<Duration>("a duration such as 250ms, 10s, 1h30m or 7d", fallback, [](std::string_view s) { return to_optional(parse_duration(s)); });
}
std::uint64_t ConfigNode::as_size(std::uint64_t fallback) const {
  return parsed<std::uint64_t>("a size such as 512, 32KB, 10MB or 1GB", fallback, [](std::string_view s) { return to_optional(parse_size(s)); });
}
Money ConfigNode::as_money(Money fallback) const {
  return parsed<Money>("an amount such as $5 or $0.25", fallback, [](std::string_view s) { return to_optional(parse_money(s)); });
}
Rate ConfigNode::as_rate(Rate fallback) const {
  return parsed<Rate>("a rate such as 10/s, 600/m, 5000/h or 100/d", fallback, [](std::string_view s) { return to_optional(parse_rate(s)); });
}

ConfigNode ConfigNode::get(std::string_view key) const {
  if (!item_) return {};
  if (exists() && !is_map()) {
    problem(fmt::format("must be a map, not {}", is_list() ? "a list" : "text"));
    return ConfigNode(document_, document_->absent(*item_, key));
  }
  if (std::ranges::find(item_->asked, key) == item_->asked.end()) item_->asked.emplace_back(key);
  for (const auto& m : item_->members)
    if (m.key == key) return ConfigNode(document_, m.item);
  for (const auto& [name, item] : item_->missing)
    if (name == key) return ConfigNode(document_, item);
  Item* item = document_->absent(*item_, key);
  item_->missing.emplace_back(key, item);
  return ConfigNode(document_, item);
}

ConfigNode ConfigNode::require(std::string_view key) const {
  auto node = get(key);
  if (!node.exists()) node.problem("is required");
  return node;
}

std::string ConfigNode::choice(std::string_view key, std::initializer_list<std::string_view> allowed, std::string_view fallback) const {
  const auto node = get(key);
  auto text = node.scalar("text");
  if (!text) return std::string(fallback);
  if (std::ranges::find(allowed, *text) != allowed.end()) return std::move(*text);
  const bool masked = node.item_->text.find(mask_mark) != std::string::npos;
  const auto shown = masked ? node.document_->unmask(node.item_->text) : *text;
  const auto near = nearest_name(*text, std::span<const std::string_view>(allowed.begin(), allowed.size()));
  if (!near.empty()) node.problem(fmt::format("is \"{}\", did you mean \"{}\"?", shown, near));
  else node.problem(fmt::format("is \"{}\"; it is one of {}", shown, fmt::join(allowed, ", ")));
  return std::string(fallback);
}

std::vector<ConfigNode> ConfigNode::items() const {
  std::vector<ConfigNode> out;
  if (!exists()) return out;
  if (!is_list()) {
    problem(fmt::format("must be a list, not {}", is_map() ? "a map" : "text"));
    return out;
  }
  for (Item* e : item_->elements) out.push_back(ConfigNode(document_, e));
  return out;
}

std::vector<ConfigNode> ConfigNode::list_or_one(std::string_view key) const {
  const auto node = get(key);
  if (node.is_scalar() || node.is_map()) return {node};
  return node.items();
}

std::vector<std::string> ConfigNode::strings(std::string_view key) const {
  std::vector<std::string> out;
  for (const auto& node : list_or_one(key))
    if (auto text = node.scalar("text")) out.push_back(std::move(*text));
  return out;
}

std::vector<std::pair<std::string, ConfigNode>> ConfigNode::members() const {
  std::vector<std::pair<std::string, ConfigNode>> out;
  if (!exists()) return out;
  if (!is_map()) {
    problem(fmt::format("must be a map, not {}", is_list() ? "a list" : "text"));
    return out;
  }
  item_->all_known = true;
  for (const auto& m : item_->members) out.emplace_back(m.key, ConfigNode(document_, m.item));
  return out;
}

json::value ConfigNode::to_json() const {
  if (!exists()) return nullptr;
  if (is_list()) {
    json::array out;
    for (Item* e : item_->elements) out.push_back(ConfigNode(document_, e).to_json());
    return out;
  }
  if (is_map()) {
    item_->all_known = true;
    json::object out;
    for (const auto& m : item_->members) out[m.key] = ConfigNode(document_, m.item).to_json();
    return out;
  }
  bool substituted = false;
  const auto text = document_->expand(*item_, item_->text, substituted);
  if (!text) return nullptr;
  if (!item_->plain || substituted) return json::value(*text);
  if (*text == "true" || *text == "True" || *text == "TRUE") return true;
  if (*text == "false" || *text == "False" || *text == "FALSE") return false;
  if (const auto i = parse_int<std::int64_t>(*text)) return *i;
  if (const auto u = parse_int<std::uint64_t>(*text)) return *u;
  if (const auto d = parse_double(*text)) return *d;
  return json::value(*text);
}

void ConfigNode::done() const {
  if (!is_map() || item_->all_known) return;
  for (const auto& m : item_->members) {
    if (std::ranges::find(item_->asked, m.key) != item_->asked.end()) continue;
    std::string text = "is an unknown key";
    const auto near = nearest_name(m.key, std::span<const std::string>(item_->asked));
    if (!near.empty()) text += fmt::format(", did you mean \"{}\"?", near);
    document_->complain(m.line, m.column, m.item->path, std::move(text));
  }
}

void ConfigNode::expect_keys(std::initializer_list<std::string_view> keys) const {
  if (!exists()) return;
  for (const auto key : keys) static_cast<void>(get(key));
  done();
}

std::string to_string(const ConfigMistake& m) {
  std::string out = m.file;
  if (m.line > 0) out += fmt::format(":{}:{}", m.line, m.column);
  if (!out.empty()) out += ": ";
  return m.field.empty() ? out + m.message : fmt::format("{}{} {}", out, m.field, m.message);
}

std::vector<ConfigMistake> ConfigNode::mistakes() const {
  std::vector<ConfigMistake> out;
  if (!document_) return out;
  for (const auto& p : document_->problems) out.push_back({document_->file, p.line, p.column, p.path, p.text});
  std::ranges::sort(out, {}, [](const auto& m) { return std::tie(m.line, m.column, m.field, m.message); });
  return out;
}

std::vector<std::string> ConfigNode::problems() const {
  std::vector<std::string> out;
  for (const auto& m : mistakes()) out.push_back(to_string(m));
  return out;
}

Result<void> ConfigNode::check() const {
  const auto lines = problems();
  if (lines.empty()) return {};
  return fail(ErrorCode::caller_invalid_request, fmt::format("{}", fmt::join(lines, "\n")));
}

}  // namespace ballast
