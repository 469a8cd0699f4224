// Private to src/tokens: text that is not UTF-8, read as the reference reads it.
#pragma once
#include <string>
#include <string_view>

namespace ballast::tokens {

// `text` with U+FFFD for each maximal ill-formed part: as Rust's `String::from_utf8_lossy` and WHATWG's decoder do.
std::string lossy_utf8(std::string_view text);

// How many bytes at the end of `text` begin a character that more bytes could complete: 0 to 3.
std::size_t cut_character(std::string_view text);

}  // namespace ballast::tokens
