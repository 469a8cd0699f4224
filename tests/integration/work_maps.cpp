// Maps of thousands of effects: the cost of one does not grow with how many there are.
#include <cstdlib>
#include <ctime>

#include "../support/effects_house.hpp"

namespace ballast::work {
namespace {
using namespace std::chrono_literals;

constexpr std::string_view kSends = R"(
flow: sends
output: '.stages.each.output | length'
stages:
  each:
    map:
      over: .input.list
      limit: 20
      max: 10000
      stages: {send: {http: {url: "https://mail.example/{{ .item }}", method: POST, body: '{n: .item}', risk: write, idempotency: key}, compensate: none}}
)";

class WorkMaps : public EffectsHouse {
 protected:
  // Runs a map of so many effects; what it took. Of this process' processors, so that other work on the machine does not count; nor does what PostgreSQL does itself, whose plans
  // records_effects looks at.
  double seconds(int items) {
    std::string list;
    for (int i = 0; i < items; ++i) list += fmt::format("{}{}", i == 0 ? "" : ",", i);
    const auto cpu = [] {
      timespec t{};
      ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
    };
    web().seen.clear();
    const double began = cpu();
    const JobId id = run("sends", fmt::format("{{\"list\":[{}]}}", list), 10s);
    const double took = cpu() - began;
    EXPECT_EQ(house().end(id), "done");
    EXPECT_EQ(house().job(id).output, std::to_string(items));
    EXPECT_EQ(web().seen.size(), static_cast<std::size_t>(items));
    return took;
  }
};

TEST_P(WorkMaps, EveryEffectOfALargeMapHappensOnce) {
  begin({kSends});
  (void)seconds(500);
}

// A measurement, so not of every run: the long form asks for it.
TEST_P(WorkMaps, FourTimesTheEffectsTakeAboutFourTimesAsLong) {
  if (!std::getenv("BALLAST_LONG_MAPS")) GTEST_SKIP() << "BALLAST_LONG_MAPS is not set";
  begin({kSends});
  (void)seconds(50);                         // what is compiled and opened once
  const double few = seconds(1'250), all = seconds(5'000);
  std::printf("1,250 effects %.2f s, 5,000 effects %.2f s\n", few, all);
  EXPECT_LT(all, 8 * few) << "16 times would be a square";
}

BALLAST_ON_BOTH_DATABASES(WorkMaps);

}  // namespace
}  // namespace ballast::work
