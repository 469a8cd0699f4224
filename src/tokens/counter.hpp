// The tokens of a text that grows: exact for what is there so far, without beginning again.
//
//   tokens::Counter counter(tokens::Encoding::o200k_base());
//   for (std::string_view piece : stream) {
//     counter.append(piece);
//     if (counter.count() > limit) …
//   }
//
// What is appended may be cut anywhere, also inside a character: count() is always what Encoding::count says of everything appended.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokens/tokens.hpp"

namespace ballast::tokens {

class Scratch;

// One owner, no locks. Time: over all calls linear in the text plus about 5 microseconds a call of count(), whatever the text holds, for only the
// words at its end that more text could still change are looked at again, and of a long one only its end. Memory: those words, in ordinary text
// tens of bytes; 5 bytes for each byte of a piece that does not end (a megabyte without a space).
class Counter {
 public:
  explicit Counter(const Encoding& encoding);
  ~Counter();
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;

  void append(std::string_view piece);
  std::size_t count();

 private:
  struct Watch;
  // A long run of characters that reached the end of what was there: nobody walks it again. Offsets in tail_; 0 for a place that is none.
  struct Walked {
    unsigned kind = 0;
    std::size_t from = 0, to = 0, mark = 0, last = 0;
  };
  // The tokens of a long piece at the end, as far as it was there.
  struct Open {
    std::size_t from = 0;   // in tail_
    std::size_t bytes = 0;  // that `ids` stand for
    std::vector<std::uint32_t> ids;
    bool seen = false;
  };

  std::size_t count_tail(bool settle);
  template <class Split>
  std::size_t walk(bool settle);
  std::size_t count_piece(std::size_t from, std::size_t to);
  std::size_t count_open(Open& open, std::size_t bytes);
  void shorten(Open& open, std::size_t bytes);
  void drop_settled();

  const Encoding& encoding_;
  std::string tail_;                   // well-formed UTF-8
  std::size_t begin_ = 0;              // what is before it in tail_ is settled
  std::size_t looked_ = 0;             // how much of tail_ was looked at
  std::size_t settled_ = 0;            // tokens that no more text can change
  std::string cut_;                    // the beginning of a character whose end has not come yet: at most 3 bytes
  std::array<Walked, 4> walked_{};     // the latest ones
  std::size_t next_walked_ = 0;
  std::vector<Open> open_;             // at most a few: only the last pieces can still change
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace ballast::tokens
