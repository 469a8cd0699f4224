#include "llm/json_repair.hpp"

#include <algorithm>
#include <array>

#include "base/json_scan.hpp"
#include "base/text.hpp"

namespace ballast::llm {

namespace {

constexpr std::string_view kFence = "```";
constexpr std::size_t kDeepest = 256;    // as deep as an answer is parsed
// Blanks that JSON does not know: NBSP, zero width space, word joiner, byte order mark.
constexpr std::array<std::string_view, 4> kBlanks{"\xC2\xA0", "\xE2\x80\x8B", "\xE2\x81\xA0", "\xEF\xBB\xBF"};

std::string_view without_blanks(std::string_view text) {
  for (bool more = true; more;) {
    text = trim(text);
    more = false;
    for (const auto blank : kBlanks) {
      while (text.starts_with(blank)) text.remove_prefix(blank.size()), more = true;
      while (text.ends_with(blank)) text.remove_suffix(blank.size()), more = true;
    }
  }
  return text;
}

bool has_bracket(std::string_view text) { return text.find_first_of("{}[]") != std::string_view::npos; }

struct Inside {
  std::string_view text;
  std::string_view what;
};

// What the one fence of the text holds; its first line may name a language.
std::optional<std::string_view> fenced(std::string_view text) {
  const auto open = text.find(kFence);
  if (open == std::string_view::npos) return std::nullopt;
  const auto line = text.find('\n', open);
  const auto close = line == std::string_view::npos ? line : text.find(kFence, line);
  if (close == std::string_view::npos) return std::nullopt;
  const auto before = text.substr(0, open), after = text.substr(close + kFence.size());
  if (has_bracket(before) || has_bracket(after) || after.find(kFence) != std::string_view::npos) return std::nullopt;
  if (has_bracket(text.substr(open, line - open))) return std::nullopt;
  return without_blanks(text.substr(line, close - line));
}

// A text in quotes of another kind, from its opening one on.
struct Quoted {
  std::string_view inside;
  std::size_t length = 0;                // quotes included
};
std::optional<Quoted> other_quotes(std::string_view text) {
  struct Kind { std::string_view open, close; };
  static constexpr Kind kinds[] = {{"'", "'"}, {"\xE2\x80\x9C", "\xE2\x80\x9D"}, {"\xE2\x80\x98", "\xE2\x80\x99"}};
  for (const auto& [open, close] : kinds) {
    if (!text.starts_with(open)) continue;
    const auto end = text.find(close, open.size());
    if (end == std::string_view::npos) return std::nullopt;
    const auto inside = text.substr(open.size(), end - open.size());
    const bool plain = std::ranges::none_of(inside, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\' || c == '\''; });
    for (const auto& kind : kinds)
      if (!plain || inside.find(kind.open) != std::string_view::npos || inside.find(kind.close) != std::string_view::npos) return std::nullopt;
    return Quoted{inside, end + close.size()};
  }
  return std::nullopt;
}

// A closing quote ends its text only where a name or a value may end.
bool ends_there(std::string_view rest, bool name) {
  const auto next = rest.find_first_not_of(" \t\r\n");
  if (next == std::string_view::npos) return false;
  return name ? rest[next] == ':' : rest[next] == ',' || rest[next] == '}' || rest[next] == ']';
}

// Reads the value that begins `text`, forgiving commas and quotes.
struct Forgiven {
  std::string text;
  std::size_t end = 0;                   // of the value in what was read
  std::string_view what;
};
std::optional<Forgiven> forgive(std::string_view text) {
  Forgiven out;
  JsonScan scan(kDeepest);
  std::size_t comma = 0;                 // where the last comma stands in `out.text`
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (!scan.in_string() && (scan.expects_name() || scan.expects_value() || scan.after_comma()) && c != '"') {
      const bool name = scan.expects_name();
      if (const auto quoted = other_quotes(text.substr(i)); quoted && ends_there(text.substr(i + quoted->length), name)) {
        const std::string put = '"' + std::string(quoted->inside) + '"';
        if (scan.push(put) != put.size()) return std::nullopt;
        out.text += put;
        out.what = "quotes";
        i += quoted->length;
        continue;
      }
    }
    if (scan.after_comma() && (c == '}' || c == ']')) {
      scan.forget_comma();
      out.text.erase(comma, 1);
      if (out.what.empty()) out.what = "comma";
    }
    const bool separates = c == ',' && !scan.in_string();
    if (!scan.push(c)) return std::nullopt;
    if (separates) comma = out.text.size();
    out.text += c;
    ++i;
    if (scan.depth() == 0 && scan.complete()) {
      out.end = i;
      return out;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<RepairedJson> repair_json(std::string_view text) {
  Inside at{without_blanks(text), "blanks"};
  if (JsonScan whole(kDeepest); whole.push(at.text) == at.text.size() && whole.complete()) return RepairedJson{std::string(at.text), at.what};
  if (const auto inside = fenced(at.text)) {
    at = {*inside, "fence"};
    if (JsonScan whole(kDeepest); whole.push(at.text) == at.text.size() && whole.complete()) return RepairedJson{std::string(at.text), at.what};
  }
  const auto first = at.text.find_first_of("{[");
  if (first == std::string_view::npos || has_bracket(at.text.substr(0, first))) return std::nullopt;
  auto value = forgive(at.text.substr(first));
  if (!value) return std::nullopt;
  const auto rest = without_blanks(at.text.substr(first + value->end));
  if (has_bracket(rest)) return std::nullopt;
  std::string_view what = value->what.empty() ? at.what : value->what;
  if (value->what.empty() && (first > 0 || !rest.empty())) what = "prose";
  return RepairedJson{std::move(value->text), what};
}

bool cut_off_json(std::string_view text) {
  text = without_blanks(text);
  const auto first = text.find_first_of("{[");
  if (first == std::string_view::npos) return false;
  JsonScan scan(kDeepest);
  const auto rest = text.substr(first);
  return scan.push(rest) == rest.size() && !scan.complete();
}

}  // namespace ballast::llm
