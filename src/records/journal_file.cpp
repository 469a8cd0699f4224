#include "records/journal_file.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "records/segment_file.hpp"

namespace ballast::records {

namespace {

constexpr std::uint16_t kMagic = 0x4ab1;
constexpr std::uint8_t kFrameVersion = 1;
constexpr std::size_t kChunk = std::size_t{1} << 20;

struct Header {
  std::uint16_t magic;
  std::uint8_t type, version;
  std::uint32_t length, crc;
};
static_assert(sizeof(Header) == kFrameHeader);

std::uint32_t checksum(const char* frame, std::size_t payload) {
  return crc32c({frame + kFrameHeader, payload}, crc32c({frame + 2, 6}));
}

}  // namespace

std::string to_string(const FileName& n) { return fmt::format("{}-{:03}-{:08}.jnl", to_string(n.epoch, ""), n.loop, n.sequence); }

std::optional<FileName> parse_file_name(std::string_view text) {
  if (!text.ends_with(".jnl")) return std::nullopt;
  text.remove_suffix(4);
  const auto parts = split(text, '-');
  if (parts.size() != 3) return std::nullopt;
  const auto epoch = parse_id(parts[0], "");
  const auto loop = parse_int<unsigned>(parts[1]);
  const auto sequence = parse_int<std::uint64_t>(parts[2]);
  if (!epoch || !loop || !sequence) return std::nullopt;
  return FileName{*epoch, *loop, *sequence};
}

void seal_frame(std::string& frame, FrameType type) {
  Header h{kMagic, static_cast<std::uint8_t>(type), kFrameVersion, static_cast<std::uint32_t>(frame.size() - kFrameHeader), 0};
  std::memcpy(frame.data(), &h, 8);
  h.crc = checksum(frame.data(), h.length);
  std::memcpy(frame.data() + 8, &h.crc, 4);
}

void skip_frame(std::string& frame, std::uint64_t from) {
  frame.resize(kSkipFrame);
  std::memcpy(frame.data() + kFrameHeader, &from, sizeof from);
  seal_frame(frame, FrameType::skip);
}

FrameReader::Look FrameReader::look(Frame& frame) const {
  const std::size_t left = chunk_.size() - in_chunk_;
  if (left < kFrameHeader) return Look::more;
  const char* p = chunk_.data() + in_chunk_;
  Header h;
  std::memcpy(&h, p, sizeof h);
  if (h.magic != kMagic || h.length > kMaxFrame || h.type < 1 || h.type > 4) return Look::bad;
  if (left < kFrameHeader + h.length) return Look::more;
  if (checksum(p, h.length) != h.crc) return Look::bad;
  frame = {static_cast<FrameType>(h.type), {p + kFrameHeader, h.length}, at_ + kFrameHeader + h.length};
  return Look::frame;
}

// At least `wanted` bytes from `at_` in the chunk, if the file has them: false if not.
Result<bool> FrameReader::fill(std::size_t wanted, std::uint64_t limit) {
  chunk_.erase(0, in_chunk_);
  in_chunk_ = 0;
  while (chunk_.size() < wanted) {
    const std::uint64_t from = at_ + chunk_.size();
    if (from >= limit) return false;
    const std::size_t room = std::min<std::uint64_t>(std::max(kChunk, wanted - chunk_.size()), limit - from);
    const std::size_t had = chunk_.size();
    chunk_.resize(had + room);
    const ssize_t n = ::pread(fd_, chunk_.data() + had, room, static_cast<off_t>(from));
    chunk_.resize(had + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n < 0 && errno != EINTR) return std::unexpected(system_error("a frame cannot be read", errno));
    if (n == 0) return false;
  }
  return true;
}

// Is it one? Then what was skipped from the place it names on was no damage.
bool FrameReader::pass_skip(const Frame& frame, std::uint64_t& skipped) {
  if (frame.type != FrameType::skip) return false;
  std::uint64_t from = at_;
  if (frame.payload.size() == sizeof from) std::memcpy(&from, frame.payload.data(), sizeof from);
  const std::uint64_t begin = frame.end - kFrameHeader - frame.payload.size();
  if (from < begin) skipped -= std::min(skipped, begin - from);
  return true;
}

Result<std::optional<Frame>> FrameReader::next(std::uint64_t limit, bool final) {
  Frame frame;
  std::uint64_t skipped = 0;
  bool unfinished = false;   // what is skipped began where a frame's first bytes, its last to be written, are missing
  const auto nothing = [&] {
    if (!unfinished) damaged_ += skipped;
    return std::optional<Frame>();
  };
  for (;;) {
    Look seen = look(frame);
    if (seen == Look::more) {
      std::size_t wanted = kFrameHeader;
      if (chunk_.size() - in_chunk_ >= kFrameHeader) {
        std::uint32_t length;
        std::memcpy(&length, chunk_.data() + in_chunk_ + 4, 4);
        wanted += length;
      }
      auto filled = fill(wanted, limit);
      if (!filled) return std::unexpected(filled.error());
      if (*filled) continue;
      if (!final || at_ >= limit) return nothing();
      seen = Look::bad;  // torn: nothing will complete it
    }
    if (seen == Look::frame) {
      const bool pass = pass_skip(frame, skipped);
      damaged_ += std::exchange(skipped, 0);
      in_chunk_ += frame.end - at_;
      at_ = frame.end;
      if (pass) continue;
      return std::optional(frame);
    }
    // Damage: on to the next place where a frame may begin.
    const std::size_t next = std::min(chunk_.find(static_cast<char>(kMagic & 0xff), in_chunk_ + 1), chunk_.size());
    if (in_chunk_ >= chunk_.size()) return nothing();
    if (skipped == 0) unfinished = chunk_[in_chunk_] == 0;
    const std::size_t step = std::max<std::size_t>(1, next - in_chunk_);
    skipped += step;
    at_ += step;
    in_chunk_ += step;
  }
}

}  // namespace ballast::records
