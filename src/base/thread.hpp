// What the operating system is told of a thread.
#pragma once
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <string_view>

namespace ballast {

// Names the calling thread as `ps -L`, `top -H` and a profile show it. What is longer than the 15 bytes Linux keeps is cut.
inline void name_this_thread(std::string_view name) {
  std::array<char, 16> cut{};
  name.copy(cut.data(), cut.size() - 1);
  (void)::pthread_setname_np(::pthread_self(), cut.data());
}

// The calling thread's work can wait for everybody else's: where there are fewer cores than work, it gets a hundredth or two of one.
inline void yield_this_thread() { (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 19); }

}  // namespace ballast
