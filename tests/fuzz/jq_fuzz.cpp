// jq in its cage. The first line is a program, the rest its input. Whatever the program does, it ends within its limits and leaves
// nothing behind; and it never reads what its `reads` do not name: the same program, made to read everything, says the same.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "work/jq.hpp"
#include "require.hpp"

using namespace ballast;
using namespace ballast::work;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 12) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto line = input.substr(0, input.find('\n'));
  const auto value = parse_json(input.substr(std::min(size, line.size() + 1)), {.max_bytes = 1 << 12, .max_depth = 64});
  const auto jq = Jq::compile(line, "fuzz");
  if (!jq) {
    require(!jq.error().message.empty() && jq.error().field == "fuzz");
    return 0;
  }
  if (!value || !jq->variables().empty()) return 0;
  JqLimits limits;
  limits.time = std::chrono::milliseconds(20);
  limits.max_memory = 32u << 20;
  const auto part = jq->all(*value, {}, limits);
  if (!part) {
    require(!part.error().message.empty() && part.error().field == "fuzz");
    return 0;
  }
  const auto everything = Jq::compile("(. | tojson) as $fuzz_whole | " + std::string(line));
  if (!everything) return 0;      // a definition or a limit of nesting
  const auto whole = everything->all(*value, {}, limits);
  const bool other = !whole && (whole.error().code == ErrorCode::caller_too_large || whole.error().message.find("would round") != std::string::npos);
  require(other || (whole && *whole == *part));
  return 0;
}
