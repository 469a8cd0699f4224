// What the operating system is told of a thread.
#pragma once
#include <pthread.h>

#include <array>
#include <string_view>

namespace ballast {

// Names the calling thread as `ps -L`, `top -H` and a profile show it. What is longer than the 15 bytes Linux keeps is cut.
inline void name_this_thread(std::string_view name) {
  std::array<char, 16> cut{};
  name.copy(cut.data(), cut.size() - 1);
  (void)::pthread_setname_np(::pthread_self(), cut.data());
}

}  // namespace ballast
