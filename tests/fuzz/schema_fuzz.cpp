// Schemas and instances. The first line is a schema, the rest an instance; without a second line the schema judges itself. What compiles
// answers the same with and without reasons, a second time, and within its limits.
#include <cstdint>
#include <string_view>

#include "schema/schema.hpp"
#include "require.hpp"

using namespace ballast;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 14) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto line = input.substr(0, input.find('\n'));
  const auto document = parse_json(line, {.max_bytes = 1 << 14, .max_depth = 200});
  if (!document) return 0;
  schema::CompileOptions options;
  options.assert_format = true;
  options.max_steps = 20'000;
  options.max_pattern_steps = 20'000;
  options.max_depth = 300;
  options.documents.emplace("http://localhost/other", json::object{{"$dynamicAnchor", "node"}, {"items", json::object{{"$dynamicRef", "#node"}}}});
  const auto compiled = schema::Schema::compile(*document, options);
  if (!compiled) {
    require(!compiled.error().message.empty());
    return 0;
  }
  const auto rest = line.size() < input.size() ? input.substr(line.size() + 1) : line;
  const auto instance = parse_json(rest, {.max_bytes = 1 << 14, .max_depth = 200});
  if (!instance) return 0;
  const bool valid = compiled->valid(*instance);
  const auto violations = compiled->check(*instance, 50);
  require(violations.empty() == valid && violations.size() <= 50);
  require(compiled->valid(*instance) == valid);
  for (const auto& v : violations) require(!v.message.empty() && (v.instance_path.empty() || v.instance_path[0] == '/'));
  return 0;
}
