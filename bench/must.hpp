// For programs that measure: an end for what must not fail.
#pragma once
#include <fmt/format.h>

#include <cstdlib>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/result.hpp"

namespace ballast::bench {

[[noreturn]] inline void stop(std::string_view why) {
  fmt::print(stderr, "{}\n", why);
  std::exit(2);
}
template <class T>
T must(Result<T> r) {
  if (!r) stop(describe(r.error()));
  if constexpr (!std::is_void_v<T>) return std::move(*r);
}

}  // namespace ballast::bench
