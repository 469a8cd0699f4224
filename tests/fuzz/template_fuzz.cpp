// Templates. Any text either is refused with its place, or renders within its limits; and braces that were escaped come back.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "work/template.hpp"
#include "require.hpp"

using namespace ballast;
using namespace ballast::work;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 12) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const json::value input = json::object{{"a", {1, "two", nullptr}}, {"b", {{"c", "text"}}}};
  TemplateLimits limits;
  limits.max_bytes = 1 << 16;
  limits.max_programs = 200;
  limits.jq.time = std::chrono::milliseconds(5);
  const auto made = Template::compile(text, "fuzz");
  if (made) {
    const auto out = made->render(input, {}, limits);
    require(out || (!out.error().message.empty() && out.error().field == "fuzz"));
    require(made->text() == text);
  } else {
    require(!made.error().message.empty() && made.error().field == "fuzz");
  }
  std::string escaped;
  for (std::size_t at = 0; at < text.size();) {
    const bool braces = text.substr(at).starts_with("{{");
    escaped += braces ? "{{{{" : text.substr(at, 1);
    at += braces ? 2 : 1;
  }
  // A single brace before a pair would be read as the pair's first.
  if (text.find("{{{") != std::string_view::npos) return 0;
  const auto plain = Template::compile(escaped);
  if (!plain) return 0;      // not UTF-8
  const auto same = plain->render(input, {}, limits);
  require(same && *same == text);
  return 0;
}
