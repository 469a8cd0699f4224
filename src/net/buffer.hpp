// Private to net/: byte buffers from per-thread free lists, so that keep-alive traffic does not reach malloc and an idle
// connection holds none.
#pragma once
#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

namespace ballast::net {

// A growable run of bytes with one owner. Sizes up to 64 KB come from the thread's free lists: powers of two and the halves
// between them, so that at most a third of a block is unused.
class Bytes {
 public:
  static constexpr std::size_t scratch = 64 * 1024;

  Bytes() = default;
  explicit Bytes(std::size_t capacity) { reserve(capacity); }
  Bytes(Bytes&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)), capacity_(std::exchange(o.capacity_, 0)) {}
  Bytes& operator=(Bytes&& o) noexcept {
    if (this != &o) {
      release();
      data_ = std::exchange(o.data_, nullptr);
      size_ = std::exchange(o.size_, 0);
      capacity_ = std::exchange(o.capacity_, 0);
    }
    return *this;
  }
  ~Bytes() { release(); }

  char* data() { return data_; }
  const char* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {data_, size_}; }
  char* tail() { return data_ + size_; }
  std::size_t room() const { return capacity_ - size_; }
  void resize(std::size_t n) { size_ = n; }          // n ≤ capacity
  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    if (room() < bytes.size()) grow(size_ + bytes.size());
    std::memcpy(tail(), bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  void drop_front(std::size_t n) {
    size_ -= n;
    std::memmove(data_, data_ + n, size_);
  }
  void reserve(std::size_t capacity);                // exact above the size classes
  void grow(std::size_t at_least);                   // doubles
  void release();                                    // gives the memory back

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0, capacity_ = 0;
};

}  // namespace ballast::net
