#include "base/money.hpp"

#include <fmt/format.h>

#include "base/text_writer.hpp"

namespace ballast {

TextWriter& TextWriter::usd(Money m) {
  const bool negative = m.nano < 0;
  const auto magnitude = negative ? 0 - static_cast<std::uint64_t>(m.nano) : static_cast<std::uint64_t>(m.nano);
  if (negative) put('-');
  return number(magnitude / 1'000'000'000).put('.').padded(magnitude % 1'000'000'000, 9);
}

std::string to_usd(Money m) {
  char text[kUsdRoom];
  return std::string(TextWriter(text, sizeof text).usd(m).written());
}

Result<Money> money_from_usd(std::string_view text, std::string_view field) {
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" {}", text.substr(0, 64), why), std::string(field));
  };
  constexpr std::string_view shape = "is not an amount of dollars such as 30, 0.25 or -1.5";
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative) rest.remove_prefix(1);
  const auto dot = rest.find('.');
  const auto whole = rest.substr(0, dot);
  const auto fraction = dot == std::string_view::npos ? std::string_view{} : rest.substr(dot + 1);
  if (whole.empty() || (dot != std::string_view::npos && fraction.empty())) return refuse(shape);
  if (fraction.size() > 9) return refuse("has more than nine decimals");

  std::uint64_t nano = 0;
  const auto push = [&](char c) {
    return !__builtin_mul_overflow(nano, std::uint64_t{10}, &nano) &&
           !__builtin_add_overflow(nano, static_cast<std::uint64_t>(c - '0'), &nano);
  };
  for (const auto part : {whole, fraction})
    for (const char c : part) {
      if (c < '0' || c > '9') return refuse(shape);
      if (!push(c)) return refuse("is too large");
    }
  for (auto i = fraction.size(); i < 9; ++i)
    if (!push('0')) return refuse("is too large");
  if (nano > static_cast<std::uint64_t>(INT64_MAX)) return refuse("is too large");
  const auto value = static_cast<std::int64_t>(nano);
  return Money{negative ? -value : value};
}

}  // namespace ballast
