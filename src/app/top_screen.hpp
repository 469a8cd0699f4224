// The screen of `ballast top`, as lines; and the keys that steer it. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "app/terminal.hpp"
#include "app/top_figures.hpp"

namespace ballast::app {

// What the screen says beside the figures.
struct TopNotes {
  std::string server;
  std::string trouble;                   // why there are no newer figures; empty: there are
  std::string no_live;                   // why there are none of the last second
  bool color = false;                    // escape sequences of colours, and no others
  bool paused = false, help = false;
  std::size_t scroll = 0;                // lines of the lower part that are passed over
};
struct TopScreen {
  std::vector<std::string> lines;
  std::size_t scroll = 0;                // as far as there was anything to pass over
};
// At most `window.rows` lines (0: as many as it takes), none wider than `window.columns`. Whatever the figures hold, no control character of theirs
// is in it. Alerts and totals come first and stay; budgets, breakers, queues and models are the lower part.
TopScreen top_screen(const TopFigures& figures, const TopNotes& notes, WindowSize window);

enum class TopKey : std::uint8_t { quit, pause, help, up, down, page_up, page_down, longer, shorter };
// What was typed, as the terminal sends it; other keys are nothing.
std::vector<TopKey> keys_in(std::string_view typed);

}  // namespace ballast::app
