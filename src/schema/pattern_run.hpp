// The regular expressions that most schemas hold, "^[A-Z]{3}-\d+$": sets of ASCII characters one after the other, none of which could
// give back what it took to the next. They are walked once, without an engine. Private to schema/.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace ballast::schema {

class PatternRun {
 public:
  // Nothing if `ecma` (which is a valid expression) is of another form.
  static std::optional<PatternRun> from(std::string_view ecma);

  // Whether `text` matches; nothing if a character beyond ASCII would decide.
  std::optional<bool> matches(std::string_view text) const {
    std::size_t at = 0;
    for (const auto& piece : pieces_) {
      std::uint32_t taken = 0;
      for (; taken < piece.max && at < text.size(); ++taken, ++at) {
        const auto c = static_cast<unsigned char>(text[at]);
        if (c >= 0x80) return std::nullopt;
        if (!(piece.set[c / 64] >> (c % 64) & 1)) break;
      }
      if (taken < piece.min) return false;
    }
    return !to_end_ || at == text.size();
  }

 private:
  using Set = std::array<std::uint64_t, 2>;
  struct Piece {
    Set set{};
    std::uint32_t min = 1, max = 1;
  };
  class Reader;

  bool never_steps_back() const;

  std::vector<Piece> pieces_;
  bool to_end_ = false;
};

}  // namespace ballast::schema
