#include "base/task.hpp"

#include <array>
#include <cstdint>
#include <cstdlib>

namespace ballast {
namespace detail {
namespace {

// A sanitizer must see every frame as its own allocation, or it cannot find a use after free.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
constexpr bool pooled = false;
#else
constexpr bool pooled = true;
#endif
#else
constexpr bool pooled = true;
#endif

constexpr std::size_t class_bytes = 64;
constexpr std::size_t class_count = 64;                      // frames up to 4 KB are kept
constexpr std::size_t keep_bytes = std::size_t{4} << 20;     // per thread, over all classes
constexpr std::size_t keep_per_class = std::size_t{128} << 10;   // a burst's frames of one kind serve no other kind

struct FreeFrame {
  FreeFrame* next;
};
// Plain data, so that access needs no initialisation guard.
struct FramePool {
  std::array<FreeFrame*, class_count> free{};
  std::array<std::uint32_t, class_count> count{};
  std::size_t kept = 0;
  std::size_t in_use = 0;   // modulo 2^64: a frame may end on another thread than it began
  bool closed = false;  // the thread is ending
  bool watched = false; // the sweeper exists
};
constinit thread_local FramePool pool;

struct Sweeper {
  ~Sweeper() {
    pool.closed = true;
    for (auto& head : pool.free)
      while (head) std::free(std::exchange(head, head->next));
  }
};
thread_local Sweeper sweeper;

void* from_heap(std::size_t bytes) {
  void* p = std::malloc(bytes);
  if (!p) throw std::bad_alloc();
  return p;
}

std::size_t class_of(std::size_t bytes) { return (bytes - 1) / class_bytes; }

}  // namespace

void* frame_allocate(std::size_t bytes) {
  pool.in_use += bytes;
  if constexpr (!pooled) return from_heap(bytes);
  const std::size_t c = class_of(bytes);
  if (c >= class_count) [[unlikely]] return from_heap(bytes);
  FramePool& p = pool;
  if (FreeFrame* frame = p.free[c]) [[likely]] {
    p.free[c] = frame->next;
    p.kept -= (c + 1) * class_bytes;
    --p.count[c];
    return frame;
  }
  return from_heap((c + 1) * class_bytes);
}

void frame_release(void* frame, std::size_t bytes) noexcept {
  pool.in_use -= bytes;
  const std::size_t c = class_of(bytes);
  if (!pooled || c >= class_count) return std::free(frame);
  FramePool& p = pool;
  if (!p.watched) [[unlikely]] {
    p.watched = true;
    static_cast<void>(&sweeper);  // first use registers its destructor for this thread
  }
  if (p.closed || p.kept >= keep_bytes || p.count[c] * ((c + 1) * class_bytes) >= keep_per_class) [[unlikely]] return std::free(frame);
  ++p.count[c];
  p.free[c] = ::new (frame) FreeFrame{p.free[c]};
  p.kept += (c + 1) * class_bytes;
}

std::size_t frame_bytes_in_use() noexcept { return pool.in_use; }

}  // namespace detail

namespace {
// The root of a detached task: owns it through its parameter, starts at once and frees itself at its end.
struct Detached {
  struct promise_type {
    static void* operator new(std::size_t n) { return detail::frame_allocate(n); }
    static void operator delete(void* p, std::size_t n) noexcept { detail::frame_release(p, n); }
    Detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }  // `run_detached` lets nothing through
  };
};

Detached run_detached(Task<void> task, void (*on_exception)(std::exception_ptr)) {
  std::exception_ptr thrown;
  try {
    co_await task;
  } catch (...) {
    thrown = std::current_exception();
  }
  if (thrown && on_exception) on_exception(std::move(thrown));
}
}  // namespace

void detach(Task<void> task, void (*on_exception)(std::exception_ptr)) { run_detached(std::move(task), on_exception); }

}  // namespace ballast
