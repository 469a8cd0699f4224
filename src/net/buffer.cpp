#include "net/buffer.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>
#include <vector>

namespace ballast::net {
namespace {

constexpr std::size_t smallest = 256, class_count = 17;  // 256, 384, 512, 768, … 64 KB
constexpr std::size_t size_of(std::size_t c) { return (smallest << (c / 2)) + (c % 2 ? smallest << (c / 2) >> 1 : 0); }
static_assert(size_of(class_count - 1) == Bytes::scratch);
[[maybe_unused]] constexpr std::size_t kept_per_class = 512 * 1024;

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BALLAST_NET_NO_FREE_LISTS 1                      // a use after release must be seen
#endif
#endif

struct FreeLists {
  std::vector<char*> lists[class_count];
  bool ended = false;
  ~FreeLists() {
    ended = true;
    for (auto& l : lists) for (char* p : l) std::free(p);
  }
};
thread_local FreeLists free_lists;

// The class that holds `n`, or class_count.
std::size_t class_of(std::size_t n) {
  if (n > Bytes::scratch) return class_count;
  if (n <= smallest) return 0;
  const auto doubled = static_cast<std::size_t>(std::bit_width((n - 1) / smallest)) * 2;   // the power of two at or above
  return n <= size_of(doubled - 1) ? doubled - 1 : doubled;
}

char* allocate(std::size_t n) {
  auto* p = static_cast<char*>(std::malloc(n));
  if (!p) throw std::bad_alloc();
  return p;
}

}  // namespace

void Bytes::reserve(std::size_t capacity) {
  if (capacity <= capacity_) return;
  const std::size_t c = class_of(capacity);
  char* fresh = nullptr;
  std::size_t fresh_capacity = capacity;
  if (c < class_count) {
    fresh_capacity = size_of(c);
    auto& list = free_lists.lists[c];
    if (!list.empty()) {
      fresh = list.back();
      list.pop_back();
    }
  }
  if (!fresh) fresh = allocate(fresh_capacity);
  const std::size_t size = size_;
  if (size) std::memcpy(fresh, data_, size);
  release();
  data_ = fresh;
  size_ = size;
  capacity_ = fresh_capacity;
}

void Bytes::grow(std::size_t at_least) { reserve(std::max(at_least, capacity_ * 2)); }

void Bytes::release() {
  if (!data_) return;
#ifndef BALLAST_NET_NO_FREE_LISTS
  const std::size_t c = class_of(capacity_);
  if (c < class_count && !free_lists.ended && free_lists.lists[c].size() * capacity_ < kept_per_class) {
    free_lists.lists[c].push_back(data_);
    data_ = nullptr;
  }
#endif
  std::free(data_);
  data_ = nullptr;
  size_ = capacity_ = 0;
}

}  // namespace ballast::net
