#include "app/table.hpp"

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
  for (const auto& [name, value] : object.as_object()) out += fmt::format("{:14} {}\n", std::string_view(name), value.is_object() || value.is_array() ? to_json(value) : plain(value));
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
      auto at = std::ranges::find(columns, name, &Column::name);
      if (at == columns.end()) at = columns.insert(at, Column{.name = std::string(name), .width = width_of(name)});
      at->cells.resize(r + 1);
      at->cells[r] = plain(value);
      at->number = at->number && (value.is_number() || name.ends_with("_usd"));
      at->empty = at->empty && at->cells[r].empty();
      at->width = std::max(at->width, width_of(at->cells[r]));
    }
  }
  std::erase_if(columns, [](const Column& c) { return c.empty; });
  return columns;
}

void put(std::string& out, const Column& c, std::string_view text) {
  const std::string pad(c.width - width_of(text), ' ');
  if (c.number) out.append(pad).append(text);
  else out.append(text).append(pad);
  out += "  ";
}

}  // namespace

std::string table(const json::array& rows) {
  const auto columns = columns_of(rows);
  std::string out;
  const auto end_line = [&] {
    while (out.ends_with(' ')) out.pop_back();
    out += '\n';
  };
  for (const auto& c : columns) put(out, c, c.name);
  end_line();
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (const auto& c : columns) put(out, c, r < c.cells.size() ? std::string_view(c.cells[r]) : std::string_view());
    end_line();
  }
  return out;
}

}  // namespace ballast::app
