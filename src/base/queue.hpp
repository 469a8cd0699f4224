// MpscQueue: a bounded queue from many threads to one, without locks. A ring of sequenced cells (Vyukov's bounded queue, with a
// single consumer). `try_push` is thread-safe; `try_pop` is for one thread at a time. Items are destroyed with the queue.
//
// At the limit `try_push` returns false and leaves the item to its caller, who answers "overloaded": the queue never blocks and
// never grows. FIFO per producer. A producer that is preempted between claiming a cell and filling it delays the items behind it.
#pragma once
#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace ballast {

template <class T>
class MpscQueue {
 public:
  // Holds `capacity` items, rounded up to a power of two; at least 2.
  explicit MpscQueue(std::size_t capacity)
      : mask_(std::bit_ceil(capacity < 2 ? std::size_t{2} : capacity) - 1), cells_(std::make_unique<Cell[]>(mask_ + 1)) {
    for (std::size_t i = 0; i <= mask_; ++i) cells_[i].sequence.store(i, std::memory_order_relaxed);
  }
  MpscQueue(const MpscQueue&) = delete;
  MpscQueue& operator=(const MpscQueue&) = delete;
  ~MpscQueue() { while (try_pop()) {} }

  // Moves from `item` only when it returns true.
  bool try_push(T&& item) {
    std::size_t at = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[at & mask_];
      const std::size_t sequence = cell.sequence.load(std::memory_order_acquire);
      if (sequence == at) {
        if (tail_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) {
          ::new (static_cast<void*>(cell.bytes)) T(std::move(item));
          cell.sequence.store(at + 1, std::memory_order_release);
          return true;
        }
      } else if (sequence < at) {
        return false;  // full
      } else {
        at = tail_.load(std::memory_order_relaxed);
      }
    }
  }
  bool try_push(const T& item) { T copy(item); return try_push(std::move(copy)); }

  std::optional<T> try_pop() {
    Cell& cell = cells_[head_ & mask_];
    if (cell.sequence.load(std::memory_order_acquire) != head_ + 1) return std::nullopt;
    T* item = std::launder(reinterpret_cast<T*>(cell.bytes));
    std::optional<T> out(std::move(*item));
    item->~T();
    cell.sequence.store(head_ + mask_ + 1, std::memory_order_release);
    ++head_;
    return out;
  }

  // For the consumer: exact when it says "not empty".
  bool empty() const { return cells_[head_ & mask_].sequence.load(std::memory_order_acquire) != head_ + 1; }
  std::size_t capacity() const { return mask_ + 1; }

 private:
  struct Cell {
    std::atomic<std::size_t> sequence;
    alignas(T) std::byte bytes[sizeof(T)];
  };
  const std::size_t mask_;
  const std::unique_ptr<Cell[]> cells_;
  alignas(64) std::atomic<std::size_t> tail_{0};  // producers
  alignas(64) std::size_t head_ = 0;              // the consumer
};

}  // namespace ballast
