#include "records/call_block.hpp"

#include <zstd.h>

#include <algorithm>
#include <deque>
#include <memory>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "records/codec.hpp"
#include "records/zones.hpp"

namespace ballast::records {

namespace {

constexpr std::uint8_t kVersion = 2;                     // of summaries
constexpr char kDetails = 1;
constexpr int kLevel = -3;                               // of zstd: 0.3 µs a call, a tenth of the bytes
constexpr std::size_t kMaxPlain = std::size_t{32} << 20;   // a frame of the journal is half of it at most
constexpr std::size_t kRowBound = 16 + 10 * 30;          // a call without attempts
constexpr std::size_t kAttemptBound = 10 * 14;

enum : std::uint8_t { kStatusBits = 0x03, kCacheShift = 2, kSplit = 0x20, kBilledIsIncurred = 0x40, kUntold = 0x80 };
// The second flags. kAttempt: one attempt, which is the call.
enum : std::uint8_t { kFirstToken = 0x01, kError = 0x02, kHttpStatus = 0x04, kSaved = 0x08, kAttempt = 0x10, kAttemptFailed = 0x20 };

// Texts of one block, each once. Clean: valid UTF-8 without NUL, whatever callers call their users; the record keeps the original.
class NameTable {
 public:
  NameTable() : slots_(1024, 0) {}
  std::uint32_t number(std::string_view text) {
    std::size_t i = slot_of(text);
    if (slots_[i] != 0) return keys_[slots_[i] - 1].number;
    if ((keys_.size() + 1) * 2 > slots_.size()) {
      grow();
      i = slot_of(text);
    }
    slots_[i] = static_cast<std::uint32_t>(keys_.size() + 1);
    keys_.push_back({text, static_cast<std::uint32_t>(texts_.size())});
    if (is_utf8(text) && text.find('\0') == std::string_view::npos) [[likely]] {
      texts_.push_back(text);
      return keys_.back().number;
    }
    const std::size_t key = keys_.size() - 1;
    return keys_[key].number = number(clean(text));
  }
  void append_to(std::string& out) const {
    std::size_t bound = 10;
    for (const std::string_view t : texts_) bound += t.size() + 10;
    const std::size_t start = out.size();
    out.resize(start + bound);
    ByteWriter w(out.data() + start);
    w.varint(texts_.size());
    for (const std::string_view t : texts_) w.text(t);
    out.resize(static_cast<std::size_t>(w.at() - out.data()));
  }

 private:
  struct Key {
    std::string_view text;
    std::uint32_t number;
  };
  std::size_t slot_of(std::string_view text) const {
    std::size_t i = fast_hash(text) & (slots_.size() - 1);
    while (slots_[i] != 0 && keys_[slots_[i] - 1].text != text) i = (i + 1) & (slots_.size() - 1);
    return i;
  }
  void grow() {
    slots_.assign(slots_.size() * 2, 0);
    for (std::uint32_t n = 0; n < keys_.size(); ++n) slots_[slot_of(keys_[n].text)] = n + 1;
  }
  std::string_view clean(std::string_view text) {
    std::string& out = cleaned_.emplace_back(text);
    for (char& c : out)
      if (c == '\0' || static_cast<unsigned char>(c) >= 0x80) c = '?';
    return out;
  }
  std::vector<std::uint32_t> slots_;   // of keys_, from 1; 0: free
  std::vector<Key> keys_;              // texts as given
  std::vector<std::string_view> texts_;
  std::deque<std::string> cleaned_;
};

// Do its attempts need rows of their own? Not when there is one and it is the call.
bool is_split(const CallView& c) {
  if (c.attempts.empty()) return false;
  const AttemptView& a = c.attempts.front();
  return c.attempts.size() > 1 || a.provider != c.provider || a.model != c.model || a.incurred_nano != c.incurred_nano;
}

bool is_untold(const CallView& c) {
  return std::any_of(c.attempts.begin(), c.attempts.end(), [](const AttemptView& a) { return a.cost != Cost::known; });
}

void put_tokens(ByteWriter& w, const TokenCounts& t) {
  const std::uint64_t counts[] = {t.input, t.cached, t.cache_write, t.output, t.reasoning, t.images};
  char* mask_at = w.at();
  w.byte(0);
  std::uint8_t mask = 0;
  for (unsigned i = 0; i < 6; ++i) {
    if (counts[i] == 0) continue;
    mask = static_cast<std::uint8_t>(mask | (1u << i));
    w.varint(counts[i]);
  }
  *mask_at = static_cast<char>(mask);
}

void put_more(ByteWriter& w, const CallView& c, bool split, NameTable& names) {
  const bool one = !split && !c.attempts.empty();
  w.byte(static_cast<std::uint8_t>((c.first_token_us ? kFirstToken : 0u) | (c.error.empty() ? 0u : kError) | (c.http_status != 200 ? kHttpStatus : 0u) |
                                   (c.saved_nano ? kSaved : 0u) | (one ? kAttempt : 0u) | (one && c.attempts.front().outcome != "ok" ? kAttemptFailed : 0u)));
  if (c.first_token_us) w.varint(c.first_token_us);
  if (!c.error.empty()) w.varint(names.number(c.error));
  if (c.http_status != 200) w.varint(c.http_status);
  if (c.saved_nano) w.zigzag(c.saved_nano);
}

void put_attempts(ByteWriter& w, const CallView& c, NameTable& names) {
  // The answer is billed once: to the last good attempt on the model that answered.
  std::size_t answered = c.attempts.size();
  for (std::size_t i = 0; i < c.attempts.size(); ++i)
    if (c.attempts[i].outcome == "ok" && c.attempts[i].provider == c.provider && c.attempts[i].model == c.model) answered = i;
  w.varint(c.attempts.size());
  for (std::size_t i = 0; i < c.attempts.size(); ++i) {
    const AttemptView& a = c.attempts[i];
    w.varint(names.number(a.provider));
    w.varint(names.number(a.model));
    w.byte(a.outcome != "ok");
    w.zigzag(a.incurred_nano);
    w.zigzag(i == answered ? c.billed_nano : 0);
    put_tokens(w, a.usage);
    w.varint(a.latency_us);
  }
}

// One block at a time; what it allocates is used again for the next.
class Packer {
 public:
  explicit Packer(const PackWatch& watch) : watch_(watch) {}

  // Takes what fits from the front of `calls` and returns how many it took. A block without a readable call has no calls.
  std::size_t pack(std::span<const EncodedCall> calls, CallBlock& block) {
    NameTable names;
    rows_.clear();
    plain_.clear();
    Id before;
    std::size_t taken = 0;
    for (const EncodedCall& c : calls) {
      if (block.calls > 0 && !fits(block, c)) break;
      ++taken;
      if (auto read = read_call(c.bytes, view_); !read) {
        if (watch_.unreadable) watch_.unreadable(c, read.error());
        continue;
      }
      if (block.calls++ == 0) block.first = c.id;
      block.last = c.id;
      put_row(view_, before, names);
      before = c.id;
      append_count(plain_, c.bytes.size());
      plain_ += c.bytes;
      if (watch_.packed) watch_.packed(view_);
    }
    if (block.calls == 0) return taken;
    block.summary.push_back(static_cast<char>(kVersion));
    names.append_to(block.summary);
    append_count(block.summary, block.calls);
    block.summary += rows_;
    block.details = compress();
    block.zone = zone_of(block.summary);
    return taken;
  }

 private:
  bool fits(const CallBlock& block, const EncodedCall& c) const {
    return block.calls < kBlockCalls && plain_.size() + c.bytes.size() <= kBlockBytes && c.id.unix_ms() - block.first.unix_ms() < kBlockSpanMs;
  }

  static void append_count(std::string& out, std::uint64_t n) {
    char bytes[10];
    ByteWriter w(bytes);
    w.varint(n);
    out.append(bytes, w.at());
  }

  void put_row(const CallView& c, Id before, NameTable& names) {
    const std::size_t start = rows_.size();
    rows_.resize(start + kRowBound + c.attempts.size() * kAttemptBound);
    ByteWriter w(rows_.data() + start);
    w.varint(c.id.high - before.high);
    w.half(c.id.low);
    for (const std::string_view t : {c.key_id, c.team, c.user, c.feature, c.route, c.operation, c.provider, c.model}) w.varint(names.number(t));
    const bool split = is_split(c);
    w.byte(static_cast<std::uint8_t>((static_cast<unsigned>(c.status) & kStatusBits) | ((static_cast<unsigned>(c.cache) & 7u) << kCacheShift) |
                                     (split ? kSplit : 0u) | (is_untold(c) ? kUntold : 0u) | (c.billed_nano == c.incurred_nano ? kBilledIsIncurred : 0u)));
    w.zigzag(c.incurred_nano);
    if (c.billed_nano != c.incurred_nano) w.zigzag(c.billed_nano);
    put_tokens(w, c.usage);
    w.varint(c.latency_us);
    if (split) put_attempts(w, c, names);
    put_more(w, c, split, names);
    rows_.resize(static_cast<std::size_t>(w.at() - rows_.data()));
  }

  std::string compress() {
    if (packed_.size() < ZSTD_compressBound(plain_.size())) packed_.resize(ZSTD_compressBound(plain_.size()));
    const std::size_t n = ZSTD_compressCCtx(context_.get(), packed_.data(), packed_.size(), plain_.data(), plain_.size(), kLevel);
    if (ZSTD_isError(n)) throw std::bad_alloc();  // the only way it fails with room enough
    std::string out(1, kDetails);
    return out.append(packed_, 0, n);
  }

  struct Freed {
    void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
  };
  const PackWatch& watch_;
  std::unique_ptr<ZSTD_CCtx, Freed> context_{ZSTD_createCCtx()};
  CallView view_;
  std::string rows_, plain_, packed_;
};

Amounts read_amounts(ByteReader& r, bool billed_is_incurred) {
  Amounts a;
  a.incurred_nano = r.zigzag();
  a.billed_nano = billed_is_incurred ? a.incurred_nano : r.zigzag();
  const std::uint8_t mask = r.byte();
  for (unsigned i = 0; i < 6; ++i)
    if (mask & (1u << i)) a.tokens[i] = r.varint();
  a.latency_us = r.varint();
  return a;
}

}  // namespace

std::vector<CallBlock> pack(std::span<const EncodedCall> calls, const PackWatch& watch) {
  std::vector<CallBlock> out;
  Packer packer(watch);
  while (!calls.empty()) {
    CallBlock block;
    calls = calls.subspan(packer.pack(calls, block));
    if (block.calls > 0) out.push_back(std::move(block));
  }
  return out;
}

SummaryReader::SummaryReader(std::string_view summary) {
  ByteReader r(summary);
  version_ = r.byte();
  good_ = version_ == 1 || version_ == kVersion;
  const std::uint64_t names = good_ ? r.varint() : 0;
  for (std::uint64_t i = 0; i < names && r.good(); ++i) names_.push_back(r.view());
  calls_ = r.varint();
  good_ = good_ && r.good();
  rest_ = r.rest();
}

std::uint32_t SummaryReader::name_number(ByteReader& r) {
  const std::uint64_t n = r.varint();
  if (n < names_.size()) return static_cast<std::uint32_t>(n);
  good_ = false;
  return 0;
}

void SummaryReader::read_more(ByteReader& r, CallRow& row) {
  // Version 1 does not tell of an attempt that is the call: there was one where a provider is named.
  const bool answered = row.name(Name::provider) < names_.size() && !names_[row.name(Name::provider)].empty() && !is_hit(row.cache);
  const unsigned guess = !answered ? 0u : row.status == CallStatus::ok ? kAttempt : kAttempt | kAttemptFailed;
  const unsigned flags = version_ > 1 ? r.byte() : guess;
  row.first_token_us = flags & kFirstToken ? r.varint() : 0;
  row.names[static_cast<std::size_t>(Name::error)] = flags & kError ? name_number(r) : kNoName;
  row.http_status = flags & kHttpStatus ? static_cast<std::uint16_t>(r.varint()) : 200;
  row.saved_nano = flags & kSaved ? r.zigzag() : 0;
  row.attempted = static_cast<std::uint32_t>(row.attempts.size()) + (row.attempts.empty() && (flags & kAttempt) ? 1 : 0);
  row.attempts_failed = row.attempts.empty() && (flags & kAttemptFailed) ? 1 : 0;
  for (const AttemptRow& a : row.attempts) row.attempts_failed += a.failed;
}

bool SummaryReader::next(CallRow& row) {
  if (!good_ || read_ == calls_) return false;
  ByteReader r(rest_);
  row.id.high = last_.high + r.varint();
  row.id.low = r.half();
  last_ = row.id;
  for (std::size_t n = 0; n < static_cast<std::size_t>(Name::error); ++n) row.names[n] = name_number(r);
  const std::uint8_t flags = r.byte();
  row.status = static_cast<CallStatus>(flags & kStatusBits);
  row.cache = static_cast<CacheState>((flags >> kCacheShift) & 7);
  row.told = !(flags & kUntold) && row.status != CallStatus::unknown;
  row.amounts = read_amounts(r, flags & kBilledIsIncurred);
  row.attempts.clear();
  if (flags & kSplit) {
    const std::uint64_t attempts = r.varint();
    for (std::uint64_t i = 0; i < attempts && r.good() && good_; ++i) {
      AttemptRow& a = row.attempts.emplace_back();
      a.provider = name_number(r);
      a.model = name_number(r);
      a.failed = r.byte() != 0;
      a.amounts = read_amounts(r, false);
    }
  }
  read_more(r, row);
  good_ = good_ && r.good() && !names_.empty();
  rest_ = r.rest();
  ++read_;
  return good_;
}

Error damaged_block() { return Error{.code = ErrorCode::internal_error, .message = "a block of the ledger is damaged: restore the database from a backup"}; }

Result<std::vector<std::string_view>> unpack_details(std::string_view details, std::string& plain) {
  if (details.empty() || details[0] != kDetails) return std::unexpected(damaged_block());
  details.remove_prefix(1);
  const unsigned long long size = ZSTD_getFrameContentSize(details.data(), details.size());
  if (size > kMaxPlain) return std::unexpected(damaged_block());  // unknown and error are huge numbers
  plain.resize(size);
  const std::size_t n = ZSTD_decompress(plain.data(), plain.size(), details.data(), details.size());
  if (ZSTD_isError(n) || n != size) return std::unexpected(damaged_block());
  std::vector<std::string_view> out;
  for (ByteReader r(plain); r.more();) {
    out.push_back(r.view());
    if (!r.good()) return std::unexpected(damaged_block());
  }
  return out;
}

}  // namespace ballast::records
