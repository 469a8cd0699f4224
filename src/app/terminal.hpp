// What a terminal is shown: how wide it is, how wide a text is on it, and texts made harmless for it. Pure but for what asks the terminal.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ballast::app {

struct WindowSize {
  std::size_t columns = 80, rows = 24;
};
// Of the terminal behind this descriptor; nothing: it is none. COLUMNS and LINES in the environment stand for what the terminal does not tell.
std::optional<WindowSize> window_of(int descriptor);

// Columns it takes: two for wide characters (East Asian Width W and F, emoji), none for combining ones, one for all else.
std::size_t display_width(std::string_view text);
// Stored texts may hold escape sequences that would move the cursor or change the terminal. Control characters (C0, C1, DEL), what turns the
// direction of text, line separators and bytes that are not UTF-8 become "?"; tabs and line ends a space.
std::string one_line(std::string_view text);
// At most `columns` wide, the last of them "…" where it is longer. Never cuts a character in two. `text` is a line already.
std::string fitted(std::string_view text, std::size_t columns);
// The same, filled with spaces to exactly that width.
std::string padded(std::string_view text, std::size_t columns, bool to_the_right = false);
// NO_COLOR is not set (https://no-color.org).
bool may_color();

}  // namespace ballast::app
