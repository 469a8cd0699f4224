// Maps of thousands of effects: the cost of one does not grow with how many there are.
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
  // Of this process' processors, so that other work on the machine does not count; nor does what PostgreSQL does itself, whose plans
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

TEST_P(WorkMaps, FourTimesTheEffectsTakeAboutFourTimesAsLong) {
  const bool whole = std::getenv("BALLAST_LONG_MAPS") != nullptr;   // 5,000 effects
  const int many = whole ? 5'000 : 1'000;
  begin({kSends});
  (void)seconds(50);                         // what is compiled and opened once
  const double few = seconds(many / 4), all = seconds(many);
  std::printf("%d effects %.2f s, %d effects %.2f s\n", many / 4, few, many, all);
  EXPECT_LT(all, 8 * few) << "16 times would be a square";
}

BALLAST_ON_BOTH_DATABASES(WorkMaps);

}  // namespace
}  // namespace ballast::work
