// Regular expressions of schemas. The first line is the expression, the rest the text. What compiles answers within its steps, the same
// again, and the same in brackets: those go to PCRE2 even where the expression itself is simple enough to be walked without it. Pointers
// to places in a schema come back as they went.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/text.hpp"
#include "schema/pattern.hpp"
#include "schema/uri.hpp"
#include "require.hpp"

using namespace ballast;
using namespace ballast::schema;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 12) return 0;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto expression = take_until(text, '\n');
  const auto resolved = resolve_uri("http://a/b/c/d?q", expression);
  require(resolve_uri("http://a/b/c/d?q", resolved) == resolved);
  std::string pointer;
  append_step(pointer, expression);
  const auto steps = pointer_steps(pointer);
  require(steps.size() == 1 && steps[0] == expression);
  if (!is_utf8(expression) || !is_utf8(text)) return 0;      // JSON holds no other
  const auto pattern = Pattern::compile(expression, 1 << 11);
  if (!pattern) {
    require(!pattern.error().message.empty());
    return 0;
  }
  constexpr std::uint64_t kMost = 20'000;
  std::uint64_t left = kMost, again = kMost;
  const auto found = pattern->search(text, kMost, left);
  require(pattern->search(text, kMost, again) == found && again == left);
  const auto bracketed = Pattern::compile("(?:" + std::string(expression) + ")", 1 << 12);
  if (!bracketed) return 0;                                  // a limit of nesting
  const auto same = bracketed->search(text, kMost, again);
  require(found == Pattern::Found::too_much || same == Pattern::Found::too_much || same == found);
  return 0;
}
