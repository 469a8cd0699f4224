// Compression of values at rest: zstd, or as they are where that is no shorter. Pure and thread-safe; each thread keeps one
// compression context (about 0.5 MB once it has been used).
//
// The packed form: one byte that says how (0 plain, 1 zstd), the size of the plain form as a varint, then the bytes. What is
// read back may be anything: a size above the reader's limit is refused before anything is allocated.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ballast {

// `level` as zstd has it: 1 is fast, negative ones are faster.
std::string pack(std::string_view plain, int level = 1);
// Nothing where `packed` is damaged, or says of itself that it is larger than `most` bytes.
std::optional<std::string> unpack(std::string_view packed, std::size_t most);
// What `packed` says its plain form takes, in bytes; nothing where that cannot be read. To be believed only of what `pack` made.
std::optional<std::size_t> unpacked_size(std::string_view packed);

// For the wire: one member as HTTP's content-encoding gzip has it (RFC 1952), at zlib's level 6.
std::string gzip(std::string_view plain);

}  // namespace ballast
