#include <fmt/format.h>

#include <limits>

#include "base/text.hpp"
#include "tokens/lookup.hpp"
#include "tokens/lossy.hpp"
#include "tokens/split.hpp"
#include "tokens/tokens.hpp"

namespace ballast::tokens {

// A token that no text becomes, only a protocol.
struct Special {
  std::uint32_t id;
  std::string_view text;
};

namespace {

constexpr Special kO200kSpecials[] = {{199999, "<|endoftext|>"}, {200018, "<|endofprompt|>"}};
constexpr Special kCl100kSpecials[] = {
    {100257, "<|endoftext|>"}, {100258, "<|fim_prefix|>"}, {100259, "<|fim_middle|>"}, {100260, "<|fim_suffix|>"}, {100276, "<|endofprompt|>"}};

// What becomes of the tokens.
struct Append {
  std::vector<std::uint32_t>& out;
  bool operator()(std::uint32_t id) {
    out.push_back(id);
    return true;
  }
  bool operator()(std::span<const std::uint32_t> ids) {
    out.insert(out.end(), ids.begin(), ids.end());
    return true;
  }
};
struct Count {
  std::size_t n = 0;
  std::size_t limit = std::numeric_limits<std::size_t>::max();
  bool operator()(std::uint32_t) { return ++n <= limit; }
  bool operator()(std::span<const std::uint32_t> ids) { return (n += ids.size()) <= limit; }
};

// Piece by piece, until the sink has enough.
template <class Split, class Sink>
void walk(const Tables& tables, std::string_view text, Sink& sink) {
  Scratch scratch;
  NoWatch watch;
  const char* p = text.data();
  for (const char* const end = p + text.size(); p < end;) {
    const char* const to = Split::next(p, end, watch);
    const auto id = whole_piece(tables, p, static_cast<std::size_t>(to - p), end);
    if (!(id != kNone ? sink(id) : sink(scratch.merge(tables, {p, to})))) return;
    p = to;
  }
}

// `text` itself if it is UTF-8, else what is read instead, kept in `storage`.
std::string_view readable(std::string_view text, std::string& storage) {
  if (is_utf8(text)) return text;
  storage = lossy_utf8(text);
  return storage;
}

const Tables& o200k_tables() {
  static const Tables tables(ballast_o200k_base);
  return tables;
}
const Tables& cl100k_tables() {
  static const Tables tables(ballast_cl100k_base);
  return tables;
}

}  // namespace

const Encoding& Encoding::o200k_base() {
  static const Encoding encoding("o200k_base", Pattern::o200k, o200k_tables(), kO200kSpecials);
  return encoding;
}

const Encoding& Encoding::cl100k_base() {
  static const Encoding encoding("cl100k_base", Pattern::cl100k, cl100k_tables(), kCl100kSpecials);
  return encoding;
}

const Encoding* Encoding::from_name(std::string_view name) {
  for (const auto* encoding : {&o200k_base(), &cl100k_base()})
    if (encoding->name() == name) return encoding;
  return nullptr;
}

void Encoding::encode(std::string_view text, std::vector<std::uint32_t>& out) const {
  std::string storage;
  const auto read = readable(text, storage);
  out.reserve(out.size() + read.size() / 4);
  Append sink{out};
  pattern_ == Pattern::o200k ? walk<SplitO200k>(tables_, read, sink) : walk<SplitCl100k>(tables_, read, sink);
}

std::size_t Encoding::count(std::string_view text) const {
  std::string storage;
  const auto read = readable(text, storage);
  Count sink;
  pattern_ == Pattern::o200k ? walk<SplitO200k>(tables_, read, sink) : walk<SplitCl100k>(tables_, read, sink);
  return sink.n;
}

std::optional<std::size_t> Encoding::count_until(std::string_view text, std::size_t limit) const {
  if (text.size() / longest_token() > limit) return std::nullopt;
  std::string storage;
  const auto read = readable(text, storage);
  Count sink{0, limit};
  pattern_ == Pattern::o200k ? walk<SplitO200k>(tables_, read, sink) : walk<SplitCl100k>(tables_, read, sink);
  if (sink.n > limit) return std::nullopt;
  return sink.n;
}

Result<std::string> Encoding::decode(std::span<const std::uint32_t> ids) const {
  std::string out;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto special = std::ranges::find(specials_, ids[i], &Special::id);
    if (ids[i] < tables_.head->tokens) out += tables_.text(ids[i]);
    else if (special != specials_.end()) out += special->text;
    else return fail(ErrorCode::caller_invalid_request, fmt::format("{} has no token {}", name_, ids[i]), fmt::format("tokens[{}]", i));
  }
  return out;
}

std::size_t Encoding::longest_token() const { return tables_.head->longest; }

}  // namespace ballast::tokens
