// Which members or items of an instance have been evaluated: bits in a buffer of the thread's, a frame for each schema that asks.
// Private to schema/.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace ballast::schema {

// Of one instance: where its bits stand.
struct Marks {
  std::size_t offset = 0, count = 0;
  bool all = false;
};

// Reused from one instance to the next.
struct Scratch {
  std::vector<std::uint64_t> bits;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> hashes;

  void mark(const Marks& marks, std::size_t i) { bits[marks.offset + i / 64] |= std::uint64_t{1} << (i % 64); }
  bool marked(const Marks& marks, std::size_t i) const {
    return marks.all || (bits[marks.offset + i / 64] >> (i % 64) & 1);
  }
  void merge(Marks& into, const Marks& from) {
    into.all = into.all || from.all;
    for (std::size_t i = 0; i < (from.count + 63) / 64; ++i) bits[into.offset + i] |= bits[from.offset + i];
  }
};

class MarksFrame {
 public:
  MarksFrame(Scratch& scratch, std::size_t count) : marks{scratch.bits.size(), count, false}, scratch_(scratch) {
    scratch_.bits.resize(scratch_.bits.size() + (count + 63) / 64);
  }
  ~MarksFrame() { scratch_.bits.resize(marks.offset); }
  MarksFrame(const MarksFrame&) = delete;
  MarksFrame& operator=(const MarksFrame&) = delete;
  Marks marks;

 private:
  Scratch& scratch_;
};

}  // namespace ballast::schema
