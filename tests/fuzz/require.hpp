// How a fuzz target says that something does not hold: it ends, and libFuzzer keeps the input.
#pragma once
#include <cstdlib>

inline void require(bool held) {
  if (!held) std::abort();
}
