// One journal file: its name, its frames, and reading through damage.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.hpp"
#include "base/result.hpp"

namespace ballast::records {

// anchor: in files of anchors alone. skip: the room before it was left on purpose, from the place its payload names (u64, little-endian).
enum class FrameType : std::uint8_t { intent = 1, outcome = 2, anchor = 3, skip = 4 };
inline constexpr std::size_t kFrameHeader = 12;
inline constexpr std::size_t kFrameMagic = 2;      // what a frame begins with; where it is missing, there is none
inline constexpr std::size_t kMaxFrame = std::size_t{16} << 20;

// "EPOCH-LOOP-SEQUENCE.jnl". An epoch never comes twice, so neither does a name.
struct FileName {
  Id epoch;
  unsigned loop = 0;
  std::uint64_t sequence = 0;
  friend auto operator<=>(const FileName&, const FileName&) = default;
};
std::string to_string(const FileName& name);
std::optional<FileName> parse_file_name(std::string_view text);

// Fills in the header of a frame whose payload stands at frame[kFrameHeader…].
void seal_frame(std::string& frame, FrameType type);
// What stands behind room that was left from `from` on. Into `frame`, which keeps its memory.
void skip_frame(std::string& frame, std::uint64_t from);
inline constexpr std::size_t kSkipFrame = kFrameHeader + 8;

struct Frame {
  FrameType type;
  std::string_view payload;
  std::uint64_t end = 0;     // in the file
};

// Reads frames in order from an open file. `limit` says how far the file is written; a writer may raise it between calls.
// Damage is skipped to the next valid frame; at the end of the file a torn frame is damage only if `final`. What begins with
// zeros and holds no frame to its end is no damage: room that nobody used, or the one frame a kill interrupted. Nor is room that a
// skip frame accounts for; those frames are passed over.
class FrameReader {
 public:
  FrameReader(int fd, std::uint64_t from) : fd_(fd), at_(from) {}
  // The next frame, its payload valid until the next call; nullopt: none up to `limit`. Error: the file
  // cannot be read.
  Result<std::optional<Frame>> next(std::uint64_t limit, bool final);
  std::uint64_t at() const { return at_; }
  std::uint64_t damaged() const { return damaged_; }

 private:
  enum class Look : unsigned char { frame, more, bad };
  Look look(Frame& frame) const;
  bool pass_skip(const Frame& frame, std::uint64_t& skipped);
  Result<bool> fill(std::size_t wanted, std::uint64_t limit);
  int fd_;
  std::uint64_t at_;         // in the file: the next byte to look at
  std::string chunk_;
  std::size_t in_chunk_ = 0; // at_ within chunk_
  std::uint64_t damaged_ = 0;
};

}  // namespace ballast::records
