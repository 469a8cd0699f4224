#include "net/resolver.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>
#include <memory>

namespace ballast::net {
namespace {

// Answers "slow…" when the gate opens, every other name at once.
struct Names {
  std::promise<void> open;
  std::shared_future<void> gate = open.get_future().share();
  Resolver::Ask ask() {
    return [gate = gate](const std::string& host, std::uint16_t) {
      if (host.starts_with("slow")) gate.wait();
      return Resolved{.addresses = {}, .failure = host};
    };
  }
};

class Resolving : public testing::Test {
 protected:
  std::shared_future<std::string> resolve(Resolver& resolver, std::string host) {
    auto told = std::make_shared<std::promise<std::string>>();
    resolver.resolve(loops.at(0), std::move(host), 443, [told](Resolved r) { told->set_value(r.failure); });
    return told->get_future().share();
  }
  void SetUp() override { loops.start(); }
  SystemClock clock;
  LoopGroup loops{1, clock};
  Names names;
};

TEST_F(Resolving, ANameThatHangsKeepsNoOtherWaiting) {
  Resolver resolver(names.ask());
  std::vector<std::shared_future<std::string>> slow;
  for (unsigned i = 0; i + 1 < Resolver::kThreads; ++i) slow.push_back(resolve(resolver, "slow" + std::to_string(i)));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(resolve(resolver, "quick").get(), "quick");
  for (const auto& s : slow) EXPECT_EQ(s.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  names.open.set_value();
  for (unsigned i = 0; i < slow.size(); ++i) EXPECT_EQ(slow[i].get(), "slow" + std::to_string(i));
}

TEST_F(Resolving, MoreQuestionsThanThreadsAreAllAnswered) {
  Resolver resolver(names.ask());
  std::vector<std::shared_future<std::string>> all;
  for (unsigned i = 0; i < 5 * Resolver::kThreads; ++i) all.push_back(resolve(resolver, "slow" + std::to_string(i)));
  names.open.set_value();
  for (unsigned i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].get(), "slow" + std::to_string(i));
}

TEST_F(Resolving, NobodyWaitsForAnAnswerWhenItEnds) {
  std::shared_future<std::string> never;
  std::latch asked(1);
  {
    Resolver resolver([&asked, gate = names.gate](const std::string&, std::uint16_t) {
      asked.count_down();
      gate.wait();
      return Resolved{};
    });
    never = resolve(resolver, "slow");
    asked.wait();
  }                                         // would hang here
  names.open.set_value();
  EXPECT_THROW(never.get(), std::future_error);   // dropped, not told
}

}  // namespace
}  // namespace ballast::net
