// Schedules. The first byte chooses the moment, the first line the zone, the rest is the schedule. What compiles is due at ever later
// times, says the same of a time however near it is asked from, and can be told to people.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/text.hpp"
#include "work/cron.hpp"
#include "require.hpp"

using namespace ballast;
using namespace ballast::work;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > 512) return 0;
  using namespace std::chrono_literals;
  std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto zone = take_until(rest, '\n');
  const auto cron = Cron::compile(rest, zone, "cron");
  if (!cron) {
    require(cron.error().field == "cron" && !cron.error().message.empty());
    return 0;
  }
  require(!cron->describe().empty() && is_utf8(cron->describe()) == is_utf8(zone));
  const auto again = Cron::compile(cron->text(), cron->zone());
  require(again && again->describe() == cron->describe());
  WallTime at = WallTime(24h * 365 * 5) + data[0] * (24h * 131 + 17min + 3s);   // 1975 to 2066
  for (int i = 0; i < 8; ++i) {
    const auto due = cron->next(at);
    if (!due) break;
    require(*due > at && again->next(at) == due);
    require(cron->next(*due - 1s) == due);
    require(cron->next(at + (*due - at) / 2) == due);
    at = *due;
  }
  return 0;
}
