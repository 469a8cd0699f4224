// The screen of `ballast top`, as lines. Pure.
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
  bool color = false;                    // escape sequences of colours, and no others
};
// At most `window.rows` lines (0: as many as it takes), none wider than `window.columns`. Whatever the figures hold, no control character of theirs
// is in it. What does not fit is left out from below; the figures come first, alerts before all.
std::vector<std::string> top_lines(const TopFigures& figures, const TopNotes& notes, WindowSize window);

}  // namespace ballast::app
