// Exact tokens of OpenAI's encodings, and labelled estimates for everybody else's.
//
//   const auto& encoding = tokens::Encoding::o200k_base();
//   encoding.count("How many tokens is this?");                       // 6
//   if (!encoding.count_until(prompt, 8'000)) …                       // more than 8,000; looked only as far as it had to
//   tokens::estimate("gpt-4o-mini-2024-07-18", text);                 // {n, exact = true, by = "o200k_base"}
//   tokens::estimate("claude-sonnet-4-5", text);                      // {n, exact = false, by = "o200k_base * 1.20"}
//
// The ids are those of OpenAI's tiktoken (`encode_ordinary`): special tokens that stand in a text are plain text. The ranks are tiktoken's own
// files, checked by hash when they are fetched (tools/ranks.sh), packed into tables by the build and embedded; nothing is read or parsed at start.
//
// Text is UTF-8. What is not well-formed is encoded as tiktoken sees it after a lossy decoding: each maximal ill-formed part is U+FFFD (the
// Unicode Standard, 3.9, "U+FFFD Substitution of Maximal Subparts"), so that decoding gives U+FFFD and not the bytes that came.
//
// Time is linear in the text, whatever it holds; memory beyond the result is 4.2 bytes for each byte of the longest piece (a word, a run of
// signs or of spaces), and on the stack up to 512 bytes of it.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace ballast::tokens {

struct Tables;
struct Special;

// An encoding: immutable, one for the whole program, every method thread-safe.
class Encoding {
 public:
  static const Encoding& o200k_base();   // gpt-4o and everything since
  static const Encoding& cl100k_base();  // gpt-4, gpt-3.5-turbo, text-embedding-3-*
  // "o200k_base" or "cl100k_base"; null for any other name.
  static const Encoding* from_name(std::string_view name);

  Encoding(const Encoding&) = delete;
  Encoding& operator=(const Encoding&) = delete;

  std::string_view name() const { return name_; }

  // Appends the ids of `text` to `out`.
  void encode(std::string_view text, std::vector<std::uint32_t>& out) const;
  // How many ids that would be.
  std::size_t count(std::string_view text) const;
  // The same, or nothing if there are more than `limit`. Stops as soon as it knows: looks at no more than `limit` times 128 bytes (the longest
  // token), and one piece more.
  std::optional<std::size_t> count_until(std::string_view text, std::size_t limit) const;
  // The bytes that ids stand for; not UTF-8 where ids were cut in the middle of a character. Special tokens have their names ("<|endoftext|>").
  // Errors: caller_invalid_request, field "tokens[3]", for an id that the encoding does not have.
  Result<std::string> decode(std::span<const std::uint32_t> ids) const;

  // No token has more bytes; so a text of n bytes has at least n / longest_token() tokens, and at most n (more only where it is not UTF-8: 3 n).
  std::size_t longest_token() const;

 private:
  friend class Counter;
  enum class Pattern : unsigned char { o200k, cl100k };
  Encoding(std::string_view name, Pattern pattern, const Tables& tables, std::span<const Special> specials)
      : name_(name), pattern_(pattern), tables_(tables), specials_(specials) {}

  std::string_view name_;
  Pattern pattern_;
  const Tables& tables_;
  std::span<const Special> specials_;
};

}  // namespace ballast::tokens
