// Private to src/tokens: the two splitters, by hand. Each does what its regular expression does when it is matched again and again from the
// left, first alternative first (the expressions stand above each one), without ever looking at a character more than a few times.
//
// Text is well-formed UTF-8. `next(p, end, watch)` is the end of the piece that begins at p < end; never reads at or behind `end`. A watch sees
// whether more text could change that, and can spare the walk over a long run that was walked before (counter.cpp).
#pragma once
#include <cstdint>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "tokens/blocks.hpp"
#include "tokens/tables.hpp"

namespace ballast::tokens {

constexpr unsigned bit(Class c) { return 1u << c; }
inline constexpr unsigned kLetters = bit(upper) | bit(lower) | bit(letter);   // \p{L}
inline constexpr unsigned kUpperish = bit(upper) | bit(letter) | bit(mark);   // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
inline constexpr unsigned kLowerish = bit(lower) | bit(letter) | bit(mark);   // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
inline constexpr unsigned kSpaces = bit(space) | bit(newline);                // \s
inline constexpr unsigned kOthers = bit(punct) | bit(mark);                   // [^\s\p{L}\p{N}]

// One character: its class as a bit, and its bytes.
struct Char {
  unsigned kind;
  unsigned bytes;
};

inline unsigned kind_of(std::uint32_t code) {
  const auto* index = ballast_unicode_classes;
  return 1u << index[kClassIndex + index[code / kClassBlock] * kClassBlock + code % kClassBlock];
}

inline Char char_at(const char* p) {
  const auto at = [p](int i) { return std::uint32_t{static_cast<unsigned char>(p[i])}; };
  const auto b = at(0);
  if (b < 0x80) return {1u << ballast_unicode_classes[kClassIndex + ballast_unicode_classes[0] * kClassBlock + b], 1};
  if (b < 0xE0) return {kind_of((b & 0x1F) << 6 | (at(1) & 0x3F)), 2};
  if (b < 0xF0) return {kind_of((b & 0x0F) << 12 | (at(1) & 0x3F) << 6 | (at(2) & 0x3F)), 3};
  return {kind_of((b & 0x07) << 18 | (at(1) & 0x3F) << 12 | (at(2) & 0x3F) << 6 | (at(3) & 0x3F)), 4};
}

// A run under way: how far it was walked, and two places in it that matter to whoever walks it.
struct Run {
  const char *at, *mark = nullptr, *last = nullptr;
};
inline constexpr unsigned kWordRun = 1u << 8, kSpaceRun = 1u << 9, kTailRun = 1u << 10;  // beside the kinds of `skip`

// Nobody watches: the text is whole.
struct NoWatch {
  void look(const char*, const char*) {}              // the character at p mattered, or that there is none
  void resume(unsigned, Run&) {}                      // a run of this kind begins at run.at: set it further on if it was walked before
  void keep(unsigned, const char*, const Run&) {}     // it began there and has been walked this far
};

// Behind all characters of these kinds.
template <class Watch>
const char* skip(const char* p, const char* end, unsigned kinds, Watch& watch) {
  Run run{p};
  watch.resume(kinds, run);
  while (run.at < end) {
    const auto c = char_at(run.at);
    if (!(c.kind & kinds)) break;
    run.at += c.bytes;
  }
  watch.look(run.at, end);
  watch.keep(kinds, p, run);
  return run.at;
}

#if defined(__SSE2__)
// Capitals and small letters of the 16 bytes at p, as bits.
struct Letters16 {
  unsigned capital, small, beyond_ascii;
};
inline Letters16 letters16(const char* p) {
  const auto x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const auto within = [&](char low, char high) {
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_and_si128(_mm_cmpgt_epi8(x, _mm_set1_epi8(static_cast<char>(low - 1))),
                                                                 _mm_cmpgt_epi8(_mm_set1_epi8(static_cast<char>(high + 1)), x))));
  };
  return {within('A', 'Z'), within('a', 'z'), static_cast<unsigned>(_mm_movemask_epi8(x))};
}
#endif

inline bool is_ascii_letter(char c) { return static_cast<unsigned char>((c | 0x20) - 'a') < 26; }

// Behind `?i:'s|'t|'re|'ve|'m|'ll|'d` at p, or p. 's is also 'ſ (U+017F folds to s), as in the reference.
template <class Watch>
const char* contraction(const char* p, const char* end, Watch& watch) {
  if (p < end && *p != '\'') return p;
  watch.look(end - p < 3 ? end : p, end);
  if (end - p < 2) return p;
  const auto low = [&](int i) { return static_cast<char>(p[i] | 0x20); };
  switch (p[1] | 0x20) {
    case 's':
    case 't':
    case 'm':
    case 'd': return is_ascii_letter(p[1]) ? p + 2 : p;
    case 'r':
    case 'v': return end - p > 2 && is_ascii_letter(p[1]) && low(2) == 'e' && is_ascii_letter(p[2]) ? p + 3 : p;
    case 'l': return end - p > 2 && is_ascii_letter(p[1]) && low(2) == 'l' && is_ascii_letter(p[2]) ? p + 3 : p;
    default: return end - p > 2 && p[1] == '\xC5' && p[2] == '\xBF' ? p + 3 : p;
  }
}

// The alternatives that both expressions end with:
//   ` ?[^\s\p{L}\p{N}]+TAIL*|\s*[\r\n]+|\s+(?!\S)|\s+`, where TAIL is [\r\n] or [\r\n/]
// p is neither a letter nor a number.
template <bool slash_in_tail, class Watch>
const char* others_or_spaces(const char* p, const char* end, Watch& watch) {
  const char* from = *p == ' ' ? p + 1 : p;
  if (const char* to = skip(from, end, kOthers, watch); to > from) {
    Run run{to};
    watch.resume(kTailRun, run);
    while (run.at < end && (*run.at == '\n' || *run.at == '\r' || (slash_in_tail && *run.at == '/'))) ++run.at;
    watch.look(run.at, end);
    watch.keep(kTailRun, to, run);
    return run.at;
  }
  Run run{p};  // mark: behind the last newline; last: the last character
  for (watch.resume(kSpaceRun, run); run.at < end;) {
    const auto c = char_at(run.at);
    if (!(c.kind & kSpaces)) break;
    run.last = run.at;
    run.at += c.bytes;
    if (c.kind == bit(newline)) run.mark = run.at;
  }
  watch.look(run.at, end);
  watch.keep(kSpaceRun, p, run);
  if (run.mark) return run.mark;
  return run.at < end && run.last > p ? run.last : run.at;  // the last space goes with what follows
}

// \p{N}{1,3}; the first is known to be one.
template <class Watch>
const char* numbers(const char* p, const char* end, Char first, Watch& watch) {
  p += first.bytes;
  for (int i = 1; i < 3 && p < end; ++i) {
    const auto c = char_at(p);
    if (c.kind != bit(number)) return p;
    p += c.bytes;
  }
  watch.look(p, end);
  return p;
}

// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
// |[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
// |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
struct SplitO200k {
  template <class Watch>
  static const char* next(const char* p, const char* end, Watch& watch) {
    const auto first = char_at(p);
    if (first.kind & kLetters) return contraction(word(p, end, watch).to, end, watch);
    if (first.kind == bit(number)) return numbers(p, end, first, watch);
    if (first.kind != bit(newline)) {
      const auto found = word(p + first.bytes, end, watch);
      // A mark is a letter here too: where the first alternative does not go with it as the odd character before a word, it goes without.
      if (first.kind == bit(mark) && !found.by_first) return contraction(word(p, end, watch).to, end, watch);
      if (found.to) return contraction(found.to, end, watch);
    }
    return others_or_spaces<true>(p, end, watch);
  }

 private:
  struct Word {
    const char* to;  // null: no letters here
    bool by_first;   // the first alternative matched
  };

  // The letters at p: U*L+ if that matches (giving back what U* took too much), else U+.
  template <class Watch>
  static Word word(const char* p, const char* end, Watch& watch) {
#if defined(__SSE2__)
    if (end - p >= 16) {
      const auto in = letters16(p);
      const unsigned capitals = static_cast<unsigned>(std::countr_one(in.capital));
      const unsigned letters = capitals + static_cast<unsigned>(std::countr_one(in.small >> capitals));
      if (letters < 16 && !(in.beyond_ascii >> letters & 1)) {
        if (letters == 0) return {nullptr, false};
        return {p + letters, letters > capitals};
      }
    }
#endif
    Run run{p};  // mark: behind the last one that both U* and L+ take
    for (watch.resume(kWordRun, run); run.at < end;) {
      const auto c = char_at(run.at);
      if (!(c.kind & kUpperish)) {
        if (c.kind == bit(lower)) return {skip(run.at, end, kLowerish, watch), true};
        break;
      }
      run.at += c.bytes;
      if (c.kind != bit(upper)) run.mark = run.at;
    }
    watch.look(run.at, end);
    watch.keep(kWordRun, p, run);
    if (run.mark) return {run.mark, true};
    return {run.at > p ? run.at : nullptr, false};
  }
};

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
struct SplitCl100k {
  template <class Watch>
  static const char* next(const char* p, const char* end, Watch& watch) {
    if (const char* to = contraction(p, end, watch); to > p) return to;
    const auto first = char_at(p);
    if (first.kind & kLetters) return letters(p, end, watch);
    if (first.kind == bit(number)) return numbers(p, end, first, watch);
    const char* from = p + first.bytes;
    if (first.kind != bit(newline))
      if (const char* to = letters(from, end, watch); to > from) return to;
    return others_or_spaces<false>(p, end, watch);
  }

 private:
  template <class Watch>
  static const char* letters(const char* p, const char* end, Watch& watch) {
#if defined(__SSE2__)
    if (end - p >= 16) {
      const auto in = letters16(p);
      const auto n = static_cast<unsigned>(std::countr_one(in.capital | in.small));
      if (n < 16 && !(in.beyond_ascii >> n & 1)) return p + n;
    }
#endif
    return skip(p, end, kLetters, watch);
  }
};

}  // namespace ballast::tokens
