// Private to this room: how hashes and times stand in SQL, and statements about several things at a time.
#pragma once
#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"
#include "store/database.hpp"

namespace ballast::records {

inline std::string_view view(const Digest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }
inline store::Value bytes_of(const Digest& d) { return store::Value::bytes(view(d)); }
// Zeros where `bytes` is not 32 long, which no hash is.
inline Digest digest_from(std::string_view bytes) {
  Digest d{};
  if (bytes.size() == d.size()) std::copy(bytes.begin(), bytes.end(), d.begin());
  return d;
}
inline WallTime wall_from_us(std::int64_t us) { return WallTime(std::chrono::microseconds(us)); }

// Text as it is stored: "?" for what PostgreSQL would refuse; at most `most` bytes.
inline std::string stored_text(std::string_view text, std::size_t most) {
  std::string out(text.substr(0, most));
  if (out.find('\0') != std::string::npos || !is_utf8(text))
    for (char& c : out)
      if (c == '\0' || static_cast<unsigned char>(c) >= 0x80) c = '?';
  if (text.size() > most) out.resize(utf8_prefix(out, most).size());
  return out;
}

// "BEFORE ($FIRST, …) AFTER" for 1, 8 or 64 things: few texts for the cache of prepared statements, few round trips.
class ListStatement {
 public:
  ListStatement(std::string_view before, std::size_t first, std::string_view after = {}, std::string_view after_on_postgres = {}) {
    for (std::size_t i = 0; i < kWidths.size(); ++i) {
      std::string sql = std::string(before) + " ($" + std::to_string(first);
      for (std::size_t n = 1; n < kWidths[i]; ++n) sql += ", $" + std::to_string(first + n);
      lite_[i] = sql + ")" + std::string(after);
      postgres_[i] = lite_[i] + std::string(after_on_postgres);
    }
  }
  // Takes as many as fit from the front of `things`, and binds them behind `args`; the last is repeated to fill the places.
  template <class T, class Bind>
  store::Statement take(std::span<T>& things, std::vector<store::Value>& args, Bind bind) const {
    std::size_t i = 0;
    while (kWidths[i] < things.size() && i + 1 < kWidths.size()) ++i;
    const std::size_t taken = std::min(kWidths[i], things.size());
    for (const auto& thing : things.first(taken)) args.push_back(bind(thing));
    args.resize(args.size() + kWidths[i] - taken, args.back());
    things = things.subspan(taken);
    return {lite_[i].c_str(), postgres_[i].c_str()};
  }

 private:
  static constexpr std::array<std::size_t, 3> kWidths = {1, 8, 64};
  std::array<std::string, 3> lite_, postgres_;
};

}  // namespace ballast::records
