// Regular expressions of ECMA-262 (with its `u` flag, and the harmless escapes that are used without it), run by PCRE2 under a count
// of steps, so that no expression and no text can hold a thread.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace ballast::schema {

// The same expression in PCRE2's words, for UTF without UCP; the error's message says what is not ECMA-262 and where.
Result<std::string> translate_pattern(std::string_view ecma);

// Compiled; immutable, thread-safe.
class Pattern {
 public:
  enum class Found : unsigned char { no, yes, too_much };

  // Errors: caller_invalid_request (not a regular expression, or one that PCRE2 cannot run), caller_too_large. No field.
  static Result<Pattern> compile(std::string_view ecma, std::size_t max_bytes);

  // Whether `text` holds a match. `steps` is reduced by what the search cost, in steps of evaluation. too_much: the search would have
  // taken more than `most` steps.
  Found search(std::string_view text, std::uint64_t most, std::uint64_t& steps) const;

  // The first match that begins at `from` or behind it: [begin, end). `steps` is what may be taken, and is reduced by what was: too_much when it
  // is used up. `text` is valid UTF-8, `from` at a character.
  Found find(std::string_view text, std::size_t from, std::uint64_t& steps, std::size_t& begin, std::size_t& end) const;

  const std::string& source() const { return source_; }

  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

 private:
  enum class Plain : unsigned char { none, contains, prefix, suffix, whole };  // expressions that are plain text
  struct Code;
  Pattern();
  bool plain_search(std::string_view text) const;

  std::string source_;
  Plain plain_ = Plain::none;
  std::string plain_text_;
  std::unique_ptr<Code> code_;
};

}  // namespace ballast::schema
