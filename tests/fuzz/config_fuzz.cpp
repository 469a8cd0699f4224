// The configuration reader: whatever the file holds, it is a Config or a list of mistakes, and every mistake has its place.
#include <cstdlib>

#include "app/config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ballast::EnvLookup environment = ballast::fixed_environment({{"KEY", "sk-0123456789abcdef"}});
  const auto config = ballast::app::parse_config_text({reinterpret_cast<const char*>(data), size}, "f", environment);
  if (!config && config.error().message.find("f") == std::string::npos) std::abort();
  return 0;
}
