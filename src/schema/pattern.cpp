#include "schema/pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <fmt/format.h>

#include "schema/pattern_run.hpp"

namespace ballast::schema {

namespace {

// Texts up to this size are first searched by the fast engine, whose limit counts backtracks from one start only.
constexpr std::size_t kShortText = 1024;
constexpr std::uint32_t kShortBacktracks = 1000;
constexpr std::uint32_t kHeapKib = 64u << 10;

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
using CodePtr = std::unique_ptr<pcre2_code, FreeCode>;
using DataPtr = std::unique_ptr<pcre2_match_data, FreeData>;
using ContextPtr = std::unique_ptr<pcre2_match_context, FreeContext>;

PCRE2_SPTR bytes(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

// What a short search needs besides the code; one for each thread, because creating it is dearer than the search.
struct Desk {
  DataPtr data{pcre2_match_data_create(1, nullptr)};
  ContextPtr context{pcre2_match_context_create(nullptr)};
  Desk() {
    pcre2_set_match_limit(context.get(), kShortBacktracks);
    pcre2_set_heap_limit(context.get(), kHeapKib);
  }
};

CodePtr compile_code(std::string_view translated, std::uint32_t more, std::string& error) {
  constexpr std::uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C;
  int code = 0;
  PCRE2_SIZE at = 0;
  CodePtr out(pcre2_compile(bytes(translated), translated.size(), options | more, &code, &at, nullptr));
  if (!out) {
    PCRE2_UCHAR text[256];
    pcre2_get_error_message(code, text, sizeof text);
    error = reinterpret_cast<const char*>(text);
  }
  return out;
}

// Counts the work of a long search: what the engine is about to try, and how far it has moved since.
struct Count {
  std::uint64_t done = 0, most = 0;
  std::size_t at = 0;
};
int count_step(pcre2_callout_block* block, void* data) {
  auto& count = *static_cast<Count*>(data);
  const std::size_t now = block->current_position;
  count.done += 1 + (now > count.at ? now - count.at : count.at - now) / 8;
  count.at = now;
  return count.done > count.most ? PCRE2_ERROR_CALLOUT : 0;
}

constexpr std::string_view kSpecial = "\\^$.|?*+()[]{}";

}  // namespace

struct Pattern::Code {
  std::optional<PatternRun> run;
  CodePtr fast;     // compiled to machine code where the machine allows
  CodePtr counted;  // calls back before each step, interpreted
};

Pattern::Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Result<Pattern> Pattern::compile(std::string_view ecma, std::size_t max_bytes) {
  if (ecma.size() > max_bytes)
    return fail(ErrorCode::caller_too_large, fmt::format("is a regular expression of {} bytes; at most {} are allowed", ecma.size(), max_bytes));
  Pattern out;
  out.source_ = ecma;
  std::string_view middle = ecma;
  const bool from_start = middle.starts_with('^');
  if (from_start) middle.remove_prefix(1);
  const bool to_end = middle.ends_with('$');
  if (to_end) middle.remove_suffix(1);
  if (middle.find_first_of(kSpecial) == std::string_view::npos) {
    out.plain_ = from_start ? (to_end ? Plain::whole : Plain::prefix) : (to_end ? Plain::suffix : Plain::contains);
    out.plain_text_ = middle;
    return out;
  }
  auto translated = translate_pattern(ecma);
  if (!translated) return fail(std::move(translated.error()));
  std::string error;
  out.code_ = std::make_unique<Code>();
  out.code_->fast = compile_code(*translated, 0, error);
  if (out.code_->fast) out.code_->counted = compile_code(*translated, PCRE2_AUTO_CALLOUT | PCRE2_NO_AUTO_POSSESS, error);
  if (!out.code_->counted)
    return fail(ErrorCode::caller_invalid_request, fmt::format("is not a regular expression that can be run: {}", error));
  out.code_->run = PatternRun::from(ecma);
  pcre2_jit_compile(out.code_->fast.get(), PCRE2_JIT_COMPLETE);  // where it cannot, the interpreter does
  return out;
}

bool Pattern::plain_search(std::string_view text) const {
  switch (plain_) {
    case Plain::prefix: return text.starts_with(plain_text_);
    case Plain::suffix: return text.ends_with(plain_text_);
    case Plain::whole: return text == plain_text_;
    default: return text.find(plain_text_) != std::string_view::npos;
  }
}

Pattern::Found Pattern::search(std::string_view text, std::uint64_t most, std::uint64_t& steps) const {
  const auto charge = [&](std::uint64_t n) { steps -= std::min(steps, n); };
  charge(1 + text.size() / 64);
  if (plain_ != Plain::none) return plain_search(text) ? Found::yes : Found::no;
  if (code_->run)
    if (const auto found = code_->run->matches(text)) return *found ? Found::yes : Found::no;
  if (text.size() <= kShortText) {
    thread_local Desk desk;
    const int rc = pcre2_match(code_->fast.get(), bytes(text), text.size(), 0, 0, desk.data.get(), desk.context.get());
    if (rc >= 0) return Found::yes;
    if (rc == PCRE2_ERROR_NOMATCH) return Found::no;
    charge(kShortBacktracks);
  }
  Count count{.done = 0, .most = most + 16 * text.size(), .at = 0};
  const DataPtr data(pcre2_match_data_create(1, nullptr));
  const ContextPtr context(pcre2_match_context_create(nullptr));
  pcre2_set_heap_limit(context.get(), kHeapKib);
  pcre2_set_callout(context.get(), count_step, &count);
  const int rc = pcre2_match(code_->counted.get(), bytes(text), text.size(), 0, 0, data.get(), context.get());
  charge(count.done / 2);
  return rc >= 0 ? Found::yes : rc == PCRE2_ERROR_NOMATCH ? Found::no : Found::too_much;
}

// Short stretches by the fast engine, the rest under the count.
Pattern::Found Pattern::find(std::string_view text, std::size_t from, std::uint64_t& steps, std::size_t& begin, std::size_t& end) const {
  const auto charge = [&](std::uint64_t n) { steps -= std::min(steps, n); };
  if (plain_ != Plain::none) {
    const std::size_t size = plain_text_.size();
    if (plain_ == Plain::contains) begin = text.find(plain_text_, from);
    else begin = plain_search(text) ? (plain_ == Plain::suffix ? text.size() - size : 0) : std::string_view::npos;
    if (begin == std::string_view::npos || begin < from) return Found::no;
    end = begin + size;
    return Found::yes;
  }
  const DataPtr data(pcre2_match_data_create(1, nullptr));
  const ContextPtr context(pcre2_match_context_create(nullptr));
  pcre2_set_heap_limit(context.get(), kHeapKib);
  int rc = PCRE2_ERROR_MATCHLIMIT;
  if (text.size() - from <= kShortText) {
    pcre2_set_match_limit(context.get(), kShortBacktracks);
    rc = pcre2_match(code_->fast.get(), bytes(text), text.size(), from, 0, data.get(), context.get());
    charge(1 + (text.size() - from) / 64);
  }
  if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) {
    Count count{.done = 0, .most = steps, .at = from};
    pcre2_set_match_limit(context.get(), UINT32_MAX);
    pcre2_set_callout(context.get(), count_step, &count);
    rc = pcre2_match(code_->counted.get(), bytes(text), text.size(), from, 0, data.get(), context.get());
    charge(count.done);
  }
  if (rc == PCRE2_ERROR_NOMATCH) return Found::no;
  if (rc < 0) return Found::too_much;
  const PCRE2_SIZE* where = pcre2_get_ovector_pointer(data.get());
  begin = where[0];
  end = where[1];
  return Found::yes;
}

}  // namespace ballast::schema
