#include "tokens/counter.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "tokens/lookup.hpp"
#include "tokens/lossy.hpp"
#include "tokens/split.hpp"

namespace ballast::tokens {

namespace {

constexpr std::size_t kLongPiece = 256;      // bytes: from here on its tokens are kept
constexpr std::size_t kMostUnlooked = 4096;  // bytes that may lie in the tail before somebody asks
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

// Sees whether a piece depends on what comes next, and remembers long runs at the end.
struct Counter::Watch {
  Counter& counter;
  bool at_end = false;

  void look(const char* p, const char* end) { at_end |= p >= end; }
  void resume(unsigned kind, Run& run) {
    const auto from = offset(run.at);
    for (const auto& w : counter.walked_)
      if (w.kind == kind && w.from == from) run = {place(w.to), w.mark ? place(w.mark) : nullptr, w.last ? place(w.last) : nullptr};
  }
  void keep(unsigned kind, const char* from, const Run& run) {
    if (static_cast<std::size_t>(run.at - from) < kLongPiece || offset(run.at) != counter.tail_.size()) return;
    auto& all = counter.walked_;
    auto at = std::ranges::find_if(all, [&](const auto& w) { return w.kind == kind && w.from == offset(from); });
    if (at == all.end()) at = all.begin() + static_cast<std::ptrdiff_t>(counter.next_walked_++ % all.size());
    *at = {kind, offset(from), offset(run.at), run.mark ? offset(run.mark) : 0, run.last ? offset(run.last) : 0};
  }

 private:
  std::size_t offset(const char* p) const { return static_cast<std::size_t>(p - counter.tail_.data()); }
  const char* place(std::size_t offset) const { return counter.tail_.data() + offset; }
};

Counter::Counter(const Encoding& encoding) : encoding_(encoding), scratch_(std::make_unique<Scratch>()) {}
Counter::~Counter() = default;

void Counter::append(std::string_view piece) {
  const std::string joined = cut_.empty() ? std::string() : cut_ + std::string(piece);
  if (!joined.empty()) piece = joined;
  const auto whole = piece.substr(0, piece.size() - cut_character(piece));
  cut_ = piece.substr(whole.size());
  if (is_utf8(whole)) tail_ += whole;
  else tail_ += lossy_utf8(whole);
  if (tail_.size() - looked_ > kMostUnlooked) count_tail(true);
}

std::size_t Counter::count() {
  const auto n = count_tail(true);
  if (cut_.empty()) return settled_ + n;
  // As if the text ended here: what there is of the character is replaced. It may still be completed, so nothing of this stays.
  const auto walked = walked_;
  const auto next_walked = next_walked_;
  const auto size = tail_.size();
  tail_ += kReplacement;
  const auto as_it_is = settled_ + count_tail(false);
  tail_.resize(size);
  looked_ = size;
  walked_ = walked;
  next_walked_ = next_walked;
  for (auto& open : open_) shorten(open, size - open.from);
  return as_it_is;
}

std::size_t Counter::count_tail(bool settle) {
  looked_ = tail_.size();
  for (auto& open : open_) open.seen = false;
  const auto n = encoding_.pattern_ == Encoding::Pattern::o200k ? walk<SplitO200k>(settle) : walk<SplitCl100k>(settle);
  std::erase_if(open_, [&](const Open& open) { return !open.seen || open.from < begin_; });
  if (settle) drop_settled();
  return n;
}

// Piece by piece; those at the beginning that did not look at the end are settled. The tokens of the others.
template <class Split>
std::size_t Counter::walk(bool settle) {
  std::size_t unsettled = 0;
  const char* const text = tail_.data();
  for (auto at = begin_; at < tail_.size();) {
    Watch watch{*this};
    const auto to = static_cast<std::size_t>(Split::next(text + at, text + tail_.size(), watch) - text);
    const auto n = count_piece(at, to);
    settle &= !watch.at_end;
    if (settle) {
      settled_ += n;
      begin_ = to;
    } else {
      unsettled += n;
    }
    at = to;
  }
  return unsettled;
}

std::size_t Counter::count_piece(std::size_t from, std::size_t to) {
  const auto& t = encoding_.tables_;
  const char* const p = tail_.data() + from;
  if (to - from >= kLongPiece) {
    auto open = std::ranges::find(open_, from, &Open::from);
    if (open == open_.end()) open = open_.insert(open, {.from = from, .bytes = 0, .ids = {}, .seen = true});
    open->seen = true;
    return count_open(*open, to - from);
  }
  if (whole_piece(t, p, to - from, tail_.data() + tail_.size()) != kNone) return 1;
  return scratch_->merge(t, {p, to - from}).size();
}

// What a piece begins with keeps its tokens when it grows, but for the last few: go on from a border a longest token before the old end. Where
// no way leads on from there, from further back. (Tokens of which each two neighbours' border stands are what the whole merges to.)
std::size_t Counter::count_open(Open& open, std::size_t bytes) {
  const auto& t = encoding_.tables_;
  const std::string_view piece(tail_.data() + open.from, bytes);
  if (open.bytes == bytes) return open.ids.size();
  const auto kept = std::min(open.bytes, bytes);
  NoSteps steps;
  std::vector<std::uint32_t> more;
  for (std::size_t back = t.head->longest;; back *= 2) {
    shorten(open, kept > back ? kept - back : 0);
    more.resize(bytes - open.bytes);
    const auto n = merge(t, piece.substr(open.bytes), more.data(), scratch_->memory, steps, open.ids.empty() ? kNone : open.ids.back());
    if (n == 0) continue;
    open.ids.insert(open.ids.end(), more.begin(), more.begin() + static_cast<std::ptrdiff_t>(n));
    open.bytes = bytes;
    return open.ids.size();
  }
}

// To the last border that is not beyond `bytes`.
void Counter::shorten(Open& open, std::size_t bytes) {
  while (open.bytes > bytes) {
    open.bytes -= encoding_.tables_.length(open.ids.back());
    open.ids.pop_back();
  }
}

void Counter::drop_settled() {
  if (begin_ < kMostUnlooked || begin_ < tail_.size() / 2) return;
  tail_.erase(0, begin_);
  looked_ -= begin_;
  for (auto& open : open_) open.from -= begin_;
  for (auto& w : walked_) {
    if (w.from < begin_) w = {};
    else w = {w.kind, w.from - begin_, w.to - begin_, w.mark ? w.mark - begin_ : 0, w.last ? w.last - begin_ : 0};
  }
  begin_ = 0;
}

}  // namespace ballast::tokens
