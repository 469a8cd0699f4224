// YAML text → the tree of config_document.hpp. The only file that sees yaml-cpp.
#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <sstream>

#include "base/config_document.hpp"
#include "base/text.hpp"

namespace ballast {
namespace {

constexpr std::size_t max_bytes = 4u << 20;
constexpr int max_depth = 64;
constexpr std::size_t max_items = 200'000;
constexpr std::string_view digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t max_substitutions = 62 * 62;

bool is_name(std::string_view s) {
  if (s.empty() || (s[0] >= '0' && s[0] <= '9')) return false;
  for (const char c : s)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return false;
  return true;
}

std::unexpected<ConfigMistake> at(std::string_view file, int line, int column, std::string_view text) {
  return std::unexpected(ConfigMistake{std::string(file), line, column, "", std::string(text)});
}

std::pair<int, int> position_of(std::string_view text, std::size_t offset) {
  int line = 1, column = 1;
  for (std::size_t i = 0; i < offset; ++i) {
    if (text[i] == '\n') { ++line; column = 1; }
    else if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) ++column;
  }
  return {line, column};
}

// Reads the ${…} or $${ at the start of `text`; nothing if it is neither or is malformed.
std::optional<Substitution> read_substitution(std::string_view text) {
  if (text.starts_with("$${")) return Substitution{"$${", "", {}};
  const auto end = text.find('}');
  const auto newline = text.find('\n');
  if (!text.starts_with("${") || end == std::string_view::npos || newline < end) return std::nullopt;
  const auto inside = text.substr(2, end - 2);
  const auto dash = inside.find(":-");
  Substitution s{std::string(text.substr(0, end + 1)), std::string(inside.substr(0, dash)), {}};
  if (!is_name(s.name)) return std::nullopt;
  if (dash != std::string_view::npos) s.fallback = std::string(inside.substr(dash + 2));
  return s;
}

// Replaces every ${…} by its mask. A malformed one stays as it is, for the comments; YAML or its reader then complains.
std::expected<std::string, ConfigMistake> mask(std::string_view text, std::string_view file, std::vector<Substitution>& out) {
  std::string masked(text);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$') continue;
    auto s = read_substitution(text.substr(i));
    if (!s) continue;
    if (out.size() >= max_substitutions) {
      const auto [line, column] = position_of(text, i);
      return at(file, line, column, fmt::format("more than {} substitutions", max_substitutions));
    }
    const std::size_t n = out.size(), length = s->source.size();
    masked.replace(i, length, std::string(length, 'x'));
    masked[i] = '\x01';
    masked[i + 1] = digits[n / 62];
    masked[i + 2] = digits[n % 62];
    out.push_back(std::move(*s));
    i += length - 1;
  }
  return masked;
}

// Where each document's content begins.
struct Beginnings final : YAML::EventHandler {
  std::vector<YAML::Mark> marks;
  bool fresh = false;
  void note(const YAML::Mark& mark) {
    if (std::exchange(fresh, false)) marks.push_back(mark);
  }
  void OnDocumentStart(const YAML::Mark&) override { fresh = true; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { note(mark); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { note(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t, const std::string&) override { note(mark); }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override { note(mark); }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override { note(mark); }
  void OnMapEnd() override {}
};

struct Refused {
  YAML::Mark where;
  std::string_view what;
};

// What follows the first document. Text that no value begins with (",") yields one empty document after the other, all at the
// same place, and would keep YAML::LoadAll for ever. Throws YAML::Exception.
std::optional<Refused> after_first(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  Beginnings begin;
  if (!parser.HandleNextDocument(begin) || !parser.HandleNextDocument(begin) || begin.marks.size() < 2) return std::nullopt;
  if (begin.marks[0].pos == begin.marks[1].pos) return Refused{begin.marks[0], "not valid YAML: no value begins like this"};
  return Refused{begin.marks[1], "a second document; one file holds one"};
}

}  // namespace

struct ConfigParser {
  static std::expected<ConfigNode, ConfigMistake> parse(std::string_view text, const std::string& file, EnvLookup environment);

  using Item = ConfigNode::Item;
  using Kind = Item::Kind;
  ConfigNode::Document& document;
  std::optional<ConfigMistake> failed;

  static ConfigNode node(std::shared_ptr<ConfigNode::Document> d, Item* item) { return ConfigNode(std::move(d), item); }
  static std::shared_ptr<ConfigNode::Document> make() { return std::make_shared<ConfigNode::Document>(); }

  Item* refuse(const YAML::Mark& mark, std::string_view text) {
    if (!failed) failed = at(document.file, mark.line + 1, mark.column + 1, text).error();
    return nullptr;
  }

  Item* convert(const YAML::Node& node, std::string path, int depth) {
    if (failed) return nullptr;
    if (depth > max_depth) return refuse(node.Mark(), fmt::format("nested deeper than {} levels", max_depth));
    if (document.items.size() >= max_items) return refuse(node.Mark(), fmt::format("more than {} values", max_items));
    Item& item = document.items.emplace_back();
    item.path = std::move(path);
    if (!node.Mark().is_null()) {
      item.line = node.Mark().line + 1;
      item.column = node.Mark().column + 1;
    }
    switch (node.Type()) {
      case YAML::NodeType::Scalar:
        item.kind = Kind::scalar;
        item.plain = node.Tag() == "?" || node.Tag().empty();
        item.text = node.Scalar();
        break;
      case YAML::NodeType::Sequence:
        item.kind = Kind::list;
        for (std::size_t i = 0; i < node.size(); ++i) {
          Item* element = convert(node[i], fmt::format("{}[{}]", item.path, i), depth + 1);
          if (!element) return nullptr;
          item.elements.push_back(element);
        }
        break;
      case YAML::NodeType::Map:
        item.kind = Kind::map;
        for (const auto& member : node)
          if (!convert_member(item, member.first, member.second, depth)) return nullptr;
        break;
      default: item.kind = Kind::null;
    }
    return &item;
  }

  bool convert_member(Item& map, const YAML::Node& key_node, const YAML::Node& value, int depth) {
    if (!key_node.IsScalar()) {
      refuse(key_node.Mark(), "a key must be text");
      return false;
    }
    auto key = document.unmask(key_node.Scalar());
    for (const auto& m : map.members) {
      if (m.key != key) continue;
      refuse(key_node.Mark(), fmt::format("key \"{}\" again, first at {}:{}", key, m.line, m.column));
      return false;
    }
    Item* item = convert(value, map.path.empty() ? key : map.path + "." + key, depth + 1);
    if (!item) return false;
    map.members.push_back({std::move(key), key_node.Mark().line + 1, key_node.Mark().column + 1, item});
    return true;
  }
};

std::expected<ConfigNode, ConfigMistake> ConfigParser::parse(std::string_view text, const std::string& file, EnvLookup environment) {
  if (text.size() > max_bytes) return at(file, 1, 1, fmt::format("larger than {} bytes", max_bytes));
  if (!is_utf8(text)) return at(file, 1, 1, "not valid UTF-8");
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 || c == '\t' || c == '\n' || c == '\r') continue;
    const auto [line, column] = position_of(text, i);
    return at(file, line, column, "a control character");
  }
  auto document = ConfigParser::make();
  document->file = file;
  document->environment = std::move(environment);
  const auto masked = mask(text, file, document->substitutions);
  if (!masked) return std::unexpected(masked.error());

  YAML::Node yaml;
  try {
    if (const auto second = after_first(*masked)) return at(file, second->where.line + 1, second->where.column + 1, second->what);
    yaml = YAML::Load(*masked);
  } catch (const YAML::Exception& e) {
    const bool known = !e.mark.is_null();
    return at(file, known ? e.mark.line + 1 : 1, known ? e.mark.column + 1 : 1, "not valid YAML: " + document->unmask(e.msg));
  }

  ConfigParser parser{*document, {}};
  auto* root = parser.convert(yaml, "", 0);
  if (parser.failed) return std::unexpected(std::move(*parser.failed));
  if (root->kind == Kind::null) root->kind = Kind::map;  // an empty file
  if (root->kind != Kind::map) return at(file, root->line, root->column, "must be a map of keys and values");
  return ConfigParser::node(std::move(document), root);
}

Result<ConfigNode> parse_config(std::string_view text, std::string file, EnvLookup environment, ConfigMistake* mistake) {
  auto root = ConfigParser::parse(text, file, std::move(environment));
  if (root) return std::move(*root);
  if (mistake) *mistake = root.error();
  return fail(ErrorCode::caller_invalid_request, to_string(root.error()));
}

}  // namespace ballast
