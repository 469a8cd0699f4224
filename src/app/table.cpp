#include "app/table.hpp"

#include <unistd.h>

#include "app/terminal.hpp"

namespace ballast::app {

namespace {

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

// Width in characters, not bytes.
std::size_t width_of(std::string_view text) { return static_cast<std::size_t>(std::ranges::count_if(text, begins_character)); }

}  // namespace

std::string shortened(std::string_view text, std::size_t most) {
  constexpr std::string_view mark = "...";
  if (width_of(text) <= most) return std::string(text);
  std::size_t end = 0;
  for (std::size_t kept = 0; end < text.size(); ++end)
    if (begins_character(text[end]) && ++kept + mark.size() > most) break;
  return std::string(text.substr(0, end)).append(mark);
}

std::string plain(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: return "";
    case json::kind::string: return std::string(value.get_string());
    case json::kind::array: {
      std::string out;
      for (const auto& item : value.get_array()) out += (out.empty() ? "" : ",") + plain(item);
      return out;
    }
    case json::kind::object: {
      std::string out;
      for (const auto& [name, member] : value.get_object()) out += (out.empty() ? "" : " ") + std::string(name) + "=" + plain(member);
      return out;
    }
    default: return to_json(value);
  }
}

std::string members(const json::value& object) {
  std::string out;
  for (const auto& [name, value] : object.as_object()) {
    const std::string label = one_line(name);
    out += fmt::format("{} {}\n", padded(label, std::max<std::size_t>(14, display_width(label))), one_line(value.is_object() || value.is_array() ? to_json(value) : plain(value)));
  }
  return out;
}

const json::array* rows_of(const json::value& document) {
  if (const auto* list = document.if_array()) return list;
  if (const auto* object = document.if_object())
    for (const auto& [name, member] : *object)
      if (const auto* list = member.if_array()) return list;
  return nullptr;
}

namespace {

struct Column {
  std::string name;
  bool number = true, empty = true;
  std::size_t width = 0;
  std::vector<std::string> cells;
};

std::vector<Column> columns_of(const json::array& rows) {
  std::vector<Column> columns;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto* row = rows[r].if_object();
    if (!row) continue;
    for (const auto& [name, value] : *row) {
      const std::string label = one_line(name);
      auto at = std::ranges::find(columns, label, &Column::name);
      if (at == columns.end()) at = columns.insert(at, Column{.name = label, .width = display_width(label)});
      at->cells.resize(r + 1);
      at->cells[r] = one_line(plain(value));
      at->number = at->number && (value.is_number() || name.ends_with("_usd"));
      at->empty = at->empty && at->cells[r].empty();
      at->width = std::max(at->width, display_width(at->cells[r]));
    }
  }
  std::erase_if(columns, [](const Column& c) { return c.empty; });
  return columns;
}

constexpr std::size_t kLeast = 8, kGap = 2;      // a column is not cut below that

std::size_t width_of(const std::vector<Column>& columns) {
  std::size_t width = 0;
  for (const auto& c : columns) width += c.width + kGap;
  return width > 0 ? width - kGap : 0;
}

// The widest give way until all fit, or none can.
void narrow(std::vector<Column>& columns, std::size_t most) {
  for (std::size_t width = width_of(columns); width > most;) {
    const auto widest = std::ranges::max_element(columns, {}, [](const Column& c) { return c.number ? 0 : c.width; });   // a number that is cut says something else
    if (widest->number || widest->width <= kLeast) return;
    std::size_t second = kLeast;
    for (const auto& c : columns)
      if (!c.number && c.width < widest->width) second = std::max(second, c.width);
    const std::size_t cut = std::min(width - most, widest->width - std::min(second, widest->width - 1));
    widest->width -= cut;
    width -= cut;
  }
}

// Each row on lines of its own, a member a line: for windows too narrow for the columns side by side.
std::string beneath_each_other(const std::vector<Column>& columns, std::size_t rows, std::size_t window) {
  std::size_t label = 0;
  for (const auto& c : columns) label = std::max(label, display_width(c.name));
  label = std::min(label, std::max(kLeast, window / 2));
  const std::size_t room = window > label + kGap ? window - label - kGap : 1;
  std::string out;
  for (std::size_t r = 0; r < rows; ++r) {
    if (r > 0) out += '\n';
    for (const auto& c : columns)
      if (r < c.cells.size() && !c.cells[r].empty()) out += fmt::format("{}  {}\n", padded(c.name, label), c.number ? c.cells[r] : fitted(c.cells[r], room));
  }
  return out;
}

}  // namespace

std::string table(const json::array& rows, std::optional<std::size_t> window) {
  auto columns = columns_of(rows);
  if (window && !columns.empty()) {
    narrow(columns, *window);
    if (width_of(columns) > *window) return beneath_each_other(columns, rows.size(), *window);
  }
  std::string out;
  const auto line = [&](auto cell) {
    for (const auto& c : columns) out += padded(cell(c), c.width, c.number) + std::string(kGap, ' ');
    while (out.ends_with(' ')) out.pop_back();
    out += '\n';
  };
  line([](const Column& c) -> std::string_view { return c.name; });
  for (std::size_t r = 0; r < rows.size(); ++r) line([r](const Column& c) { return r < c.cells.size() ? std::string_view(c.cells[r]) : std::string_view(); });
  return out;
}

std::string table(const json::array& rows) {
  const auto window = window_of(STDOUT_FILENO);
  return table(rows, window ? std::optional(window->columns) : std::nullopt);
}

}  // namespace ballast::app
