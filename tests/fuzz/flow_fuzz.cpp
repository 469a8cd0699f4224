// Flows: whatever the file holds, it is a flow or a list of mistakes with their places. What reads is the same when it is read again
// from what was stored of it, and can be proved beside itself.
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "work/flow.hpp"
#include "work/flow_check.hpp"
#include "require.hpp"

using namespace ballast;
using namespace ballast::work;

namespace {

void all_say_something(std::span<const ConfigMistake> mistakes) {
  for (const auto& m : mistakes) require(!m.message.empty() && m.line >= 0 && m.column >= 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 13) return 0;
  constexpr std::string_view kSecret = "sk-0123456789abcdef";
  static const EnvLookup environment = fixed_environment({{"API_KEY", std::string(kSecret)}});
  static const FileLookup files = [](std::string_view name) -> Result<std::string> {
    if (name.ends_with(".md")) return std::string("Say {{ .input.text }} briefly.");
    if (name.ends_with(".json")) return std::string(R"({"type":"object","properties":{"text":{"type":"string"}}})");
    return fail(ErrorCode::caller_not_found, "is no such file");
  };
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<ConfigMistake> mistakes;
  const auto flow = read_flow(text, "f.yaml", environment, files, &mistakes);
  all_say_something(mistakes);
  require(flow.has_value() == mistakes.empty());
  if (!flow) {
    require(text.find(kSecret) != text.npos || flow.error().message.find(kSecret) == std::string::npos);
    return 0;
  }
  const auto again = read_flow((*flow)->source(), environment);
  require(again && (*again)->digest() == (*flow)->digest() && (*again)->name() == (*flow)->name());
  const auto found = check_flows(std::span(&*flow, 1));
  for (const auto* list : {&found.errors, &found.warnings, &found.notes}) all_say_something(*list);
  return 0;
}
