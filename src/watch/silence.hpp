// Silences: somebody knows, and receivers are not told for a while. The alert lives on, and is shown as silenced.
#pragma once
#include <cstdint>
#include <string>

#include "watch/alert.hpp"

namespace ballast::watch {

struct Silence {
  std::int64_t id = 0;
  std::string rule;                          // empty: any
  Labels labels;                             // all must be the alert's; a value may end in *
  WallTime until{};
  std::string note, actor;
  WallTime created{};
};

bool matches(const Silence& silence, const Alert& alert);
json::object silence_json(const Silence& silence);   // {id, rule, labels, until, note, by, created}

}  // namespace ballast::watch
