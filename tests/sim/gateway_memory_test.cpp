// What a stream holds while it flows: a gateway has thousands open at once, each for minutes.
#include "road_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;

// Notes what the road's coroutines hold whenever a piece of the answer reaches the caller.
struct WatchingCaller final : Caller {
  using Caller::Caller;
  std::size_t before = detail::frame_bytes_in_use();
  std::size_t most = 0;
  Task<Result<void>> write(std::string_view bytes) override {
    most = std::max(most, detail::frame_bytes_in_use() - before);
    return Caller::write(bytes);
  }
};

std::size_t most_held(llm::Wire wire, llm::ProviderKind kind, RescueMode mode) {
  Options options{.route = {.targets = {*target_from("b/m", "t")}, .rescue = {.mode = mode}}, .second_kind = kind};
  House house(std::move(options));
  Asked asked{.wire = wire, .stream = true};
  WatchingCaller caller(house.loop);
  house.serve(asked.call(), caller);
  EXPECT_EQ(hear(asked.wire, caller).text, kSecondSays);
  EXPECT_EQ(detail::frame_bytes_in_use(), caller.before) << "and nothing afterwards";
  return caller.most;
}

// Measured, optimised: below 4 KB. A local that lives over an await, or a result handed up by value through the frames, shows here.
TEST(GatewayMemory, AStreamsCoroutinesHoldAFewKilobytes) {
#ifdef NDEBUG
  constexpr std::size_t kMost = 6 * 1024;
#else
  constexpr std::size_t kMost = 24 * 1024;   // nothing shares its place, nothing is left out
#endif
  for (const auto kind : {llm::ProviderKind::simulator, llm::ProviderKind::anthropic})
    for (const auto mode : {RescueMode::error, RescueMode::proceed}) {
      const std::size_t held = most_held(llm::Wire::openai_chat, kind, mode);
      EXPECT_GT(held, 0u);
      EXPECT_LT(held, kMost) << to_string(mode);
      RecordProperty("held", static_cast<int>(held));
    }
}

}  // namespace
}  // namespace ballast::gateway
