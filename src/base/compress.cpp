#include "base/compress.hpp"

#include <zlib.h>
#include <zstd.h>

#include <cstdint>
#include <memory>
#include <new>

namespace ballast {

namespace {

constexpr char kPlain = 0, kZstd = 1;
constexpr std::size_t kMostHead = 11;
constexpr std::size_t kWorthIt = 48;      // below this a frame's own header eats the gain

struct Freed {
  void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
};

ZSTD_CCtx* context() {
  thread_local const std::unique_ptr<ZSTD_CCtx, Freed> mine(ZSTD_createCCtx());
  if (!mine) throw std::bad_alloc();
  return mine.get();
}

std::string head(char how, std::size_t size) {
  std::string out(1, how);
  for (; size >= 0x80; size >>= 7) out += static_cast<char>(size | 0x80);
  return out += static_cast<char>(size);
}

struct Head {
  char how;
  std::uint64_t size;
  std::size_t bytes;
};

std::optional<Head> read_head(std::string_view packed) {
  if (packed.empty() || (packed[0] != kPlain && packed[0] != kZstd)) return std::nullopt;
  std::uint64_t size = 0;
  for (std::size_t i = 1; i < packed.size() && i < kMostHead; ++i) {
    const auto b = static_cast<std::uint8_t>(packed[i]);
    size |= static_cast<std::uint64_t>(b & 0x7f) << (7 * (i - 1));
    if (b < 0x80) return Head{packed[0], size, i + 1};
  }
  return std::nullopt;
}

}  // namespace

std::string pack(std::string_view plain, int level) {
  if (plain.size() >= kWorthIt) {
    std::string out = head(kZstd, plain.size());
    const std::size_t at = out.size();
    out.resize(at + ZSTD_compressBound(plain.size()));
    const std::size_t n = ZSTD_compressCCtx(context(), out.data() + at, out.size() - at, plain.data(), plain.size(), level);
    if (!ZSTD_isError(n) && n < plain.size()) {
      out.resize(at + n);
      if (out.capacity() > 2 * out.size()) out.shrink_to_fit();
      return out;
    }
  }
  return head(kPlain, plain.size()).append(plain);
}

std::optional<std::string> unpack(std::string_view packed, std::size_t most) {
  const auto h = read_head(packed);
  if (!h || h->size > most) return std::nullopt;
  packed.remove_prefix(h->bytes);
  if (h->how == kPlain) return packed.size() == h->size ? std::optional(std::string(packed)) : std::nullopt;
  if (ZSTD_getFrameContentSize(packed.data(), packed.size()) != h->size) return std::nullopt;
  std::string plain(h->size, '\0');
  const std::size_t n = ZSTD_decompress(plain.data(), plain.size(), packed.data(), packed.size());
  if (ZSTD_isError(n) || n != h->size) return std::nullopt;
  return plain;
}

std::optional<std::size_t> unpacked_size(std::string_view packed) {
  const auto h = read_head(packed);
  return h ? std::optional<std::size_t>(h->size) : std::nullopt;
}

std::string gzip(std::string_view plain) {
  constexpr int window_and_gzip_head = 15 + 16, memory = 8;
  z_stream z{};
  if (::deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window_and_gzip_head, memory, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  std::string out(::deflateBound(&z, plain.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));   // zlib's type lacks the const: it only reads
  z.avail_in = static_cast<uInt>(plain.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  ::deflate(&z, Z_FINISH);                             // ends in one call: there is room for the longest
  out.resize(z.total_out);
  ::deflateEnd(&z);
  return out;
}

}  // namespace ballast
