#include "schema/pattern_run.hpp"

#include "base/text.hpp"

namespace ballast::schema {

class PatternRun::Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  std::optional<PatternRun> read() {
    PatternRun run;
    if (!take('^')) return std::nullopt;
    while (!in_.empty()) {
      if (in_ == "$") {
        run.to_end_ = true;
        break;
      }
      Piece piece;
      if (!read_set(piece.set) || !read_bounds(piece)) return std::nullopt;
      run.pieces_.push_back(piece);
    }
    if (!run.never_steps_back()) return std::nullopt;
    return run;
  }

 private:
  bool take(char c) {
    if (!in_.starts_with(c)) return false;
    in_.remove_prefix(1);
    return true;
  }
  static void add(Set& set, unsigned from, unsigned to) {
    for (unsigned c = from; c <= to; ++c) set[c / 64] |= std::uint64_t{1} << (c % 64);
  }
  static Set inverse(const Set& set) { return {~set[0], ~set[1]}; }

  // The set that a letter stands for behind a backslash; false for any other letter.
  static bool add_escaped_set(Set& set, char letter) {
    Set own{};
    switch (to_lower_ascii(letter)) {
      case 'd': add(own, '0', '9'); break;
      case 'w': add(own, '0', '9'), add(own, 'A', 'Z'), add(own, 'a', 'z'), add(own, '_', '_'); break;
      case 's': add(own, 9, 13), add(own, ' ', ' '); break;
      default: return false;
    }
    if (letter < 'a') own = inverse(own);
    set[0] |= own[0];
    set[1] |= own[1];
    return true;
  }
  // The character at the front, or nothing for what is not plainly one.
  std::optional<unsigned> character(std::string_view special) {
    const char c = in_.empty() ? '\0' : in_[0];
    if (c == '\\') {
      const char next = in_.size() > 1 ? in_[1] : '\0';
      const bool mark = next > ' ' && next < 0x7F && !(next >= '0' && next <= '9') && !(to_lower_ascii(next) >= 'a' && to_lower_ascii(next) <= 'z');
      if (!mark) return std::nullopt;
      in_.remove_prefix(2);
      return static_cast<unsigned>(next);
    }
    if (c < ' ' || c == 0x7F || special.contains(c)) return std::nullopt;  // a character beyond ASCII is negative
    in_.remove_prefix(1);
    return static_cast<unsigned>(c);
  }
  bool take_escaped_set(Set& set) {
    if (in_.size() < 2 || in_[0] != '\\' || !add_escaped_set(set, in_[1])) return false;
    in_.remove_prefix(2);
    return true;
  }

  bool read_set(Set& set) {
    if (take_escaped_set(set)) return true;
    if (take('.')) {
      add(set, '\n', '\n'), add(set, '\r', '\r');
      set = inverse(set);
      return true;
    }
    if (take('[')) return read_class(set);
    const auto c = character("^$.*+?()[]{}|");
    if (c) add(set, *c, *c);
    return c.has_value();
  }
  bool read_class(Set& set) {
    const bool negated = take('^');
    while (!take(']')) {
      if (take_escaped_set(set)) {
        if (in_.starts_with('-') && !in_.starts_with("-]")) return false;
        continue;
      }
      const auto from = character("");
      if (!from) return false;
      auto to = from;
      if (in_.starts_with('-') && !in_.starts_with("-]")) {
        in_.remove_prefix(1);
        to = character("");
        if (!to || *to < *from) return false;
      }
      add(set, *from, *to);
    }
    if (negated) set = inverse(set);
    return true;
  }
  bool read_bounds(Piece& piece) {
    constexpr std::uint32_t endless = UINT32_MAX;
    if (take('*')) piece.min = 0, piece.max = endless;
    else if (take('+')) piece.max = endless;
    else if (take('?')) piece.min = 0;
    else if (take('{')) {
      const auto end = in_.find('}');
      if (end == std::string_view::npos) return false;
      auto rest = in_.substr(0, end);
      const bool range = rest.contains(',');
      const auto low = parse_int<std::uint32_t>(take_until(rest, ','));
      const auto high = !range ? low : rest.empty() ? std::optional(endless) : parse_int<std::uint32_t>(rest);
      if (!low || !high) return false;
      piece.min = *low, piece.max = *high;
      in_.remove_prefix(end + 1);
    }
    return !in_.starts_with('?');  // lazy
  }

  std::string_view in_;
};

// A piece that may take more or less must share nothing with what could follow it, up to the next piece that must be there.
bool PatternRun::never_steps_back() const {
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (pieces_[i].min == pieces_[i].max) continue;
    for (std::size_t j = i + 1; j < pieces_.size(); ++j) {
      if ((pieces_[i].set[0] & pieces_[j].set[0]) || (pieces_[i].set[1] & pieces_[j].set[1])) return false;
      if (pieces_[j].min > 0) break;
    }
  }
  return true;
}

std::optional<PatternRun> PatternRun::from(std::string_view ecma) { return Reader(ecma).read(); }

}  // namespace ballast::schema
