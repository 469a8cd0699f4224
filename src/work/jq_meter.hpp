// JqMeter: what ends a jq program that would not end. For work/jq*.cpp alone.
//
// libjq calls its own exported functions through the dynamic linker, so definitions of the same names in the executable come first
// (symbol interposition, ld.so(8)). Ours are the allocator, jv_copy, jv_free and the regex engine's entry; its calls of free, strdup
// and qsort are led to ours as well. They count, and when a limit is reached they leave libjq by longjmp. What it held lies in one
// JqHeap and is released as a whole, so nothing leaks and no half-changed value is ever seen again.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/clock.hpp"

namespace ballast::work {

// Before every allocation. `mark` lies where malloc keeps its own word: it tells ours from what the C library gave
// libjq (realpath(3)), which it releases through the same function.
struct alignas(16) JqBlock {
  JqBlock* previous;
  JqBlock* next;
  struct JqHeap* heap;
  std::size_t size;
  std::size_t unused;
  std::uintptr_t mark;
};

// Everything libjq allocated for one program. Moves nowhere: its blocks point to it.
struct JqHeap {
  JqBlock list{&list, &list, this, 0, 0, 0};
  std::size_t bytes = 0;

  JqHeap() = default;
  JqHeap(const JqHeap&) = delete;
  JqHeap& operator=(const JqHeap&) = delete;
  ~JqHeap() { release(); }
  void release();   // frees every block; whatever pointed to them is gone
};

enum class JqStop : unsigned char { none, time, memory, depth, broken };   // broken: an assertion of libjq's

// What one run may use; carried from step to step of it.
struct JqBudget {
  Duration time;                  // of this thread's CPU, from the first look at the clock, some microseconds into the run
  std::size_t max_bytes;          // of the whole heap
  std::int64_t deadline = 0;      // ns of this thread's CPU, once known
  int fuel = 2000;                // counted calls until the next look at the clock
};

// Runs `body(argument)` with this thread's allocations of libjq in `heap` and the budget armed. Anything but `none` means the heap
// has been released. `body` owns nothing with a destructor: it may be left midway.
JqStop jq_metered(JqHeap& heap, JqBudget& budget, void (*body)(void*), void* argument);

// Allocations of this thread belong to `heap` while this lives, without limits: for making inputs and reading outputs.
class JqOwner {
 public:
  explicit JqOwner(JqHeap& heap);
  ~JqOwner();
  JqOwner(const JqOwner&) = delete;
  JqOwner& operator=(const JqOwner&) = delete;

 private:
  JqHeap* before_;
};

// True if the linker gave our definitions to libjq. Without it nothing may run.
bool jq_meter_in_place();

// Lifts the limits while a callback of ours, which does own things, runs inside libjq.
class JqPause {
 public:
  JqPause();
  ~JqPause();
  JqPause(const JqPause&) = delete;
  JqPause& operator=(const JqPause&) = delete;

 private:
  bool armed_;
};

}  // namespace ballast::work
