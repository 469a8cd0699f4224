// A serving process without its main loop: what housekeeping writes down, and what a reload does and says.
#include "app/runtime.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <future>

#include "app/local_servers.hpp"
#include "records/keys.hpp"
#include "records/ledger.hpp"
#include "server/key_rows.hpp"
#include "../../support/records_samples.hpp"
#include "../../support/temp_dir.hpp"

namespace ballast::app {
namespace {

using namespace std::chrono_literals;

struct House {
  std::unique_ptr<Runtime> start(std::string_view more = {}) {
    auto config = read(more);
    auto runtime = Runtime::start(std::move(config));
    if (!runtime) ADD_FAILURE() << describe(runtime.error());
    return runtime ? std::move(*runtime) : nullptr;
  }
  Config read(std::string_view more) const {
    auto config = parse_config_text(fmt::format("listen: 127.0.0.1:0\nthreads: 1\nprobe_local: false\ndata_dir: {}\n{}", folder.path(),
                                                more.contains("ledger:") ? std::string(more) : fmt::format("ledger: {{segment: 1MB}}\n{}", more)),
                                    folder / "ballast.yaml", fixed_environment({}));
    EXPECT_TRUE(config) << config.error().message;
    return config ? std::move(*config) : Config{};
  }
  std::vector<records::KeyRow> keys() const {
    auto database = store::open_database("sqlite:" + (folder / "ballast.db"));
    auto rows = (*database)->read_now([](store::Tx& tx) { return records::list_keys(tx); });
    return rows ? *rows : std::vector<records::KeyRow>{};
  }
  // A call of `secret`, answered with this status.
  static int call(const Runtime& runtime, std::string_view secret) {
    const SystemClock clock;
    net::LoopGroup loops(1, clock);
    net::Client client(loops, net::ClientOptions{.tls = {.verify = false}});
    loops.start();
    std::promise<int> status;
    auto ask = [](net::Client& c, Scheduler& loop, std::uint16_t port, std::string key, std::promise<int>& out) -> Task<void> {
      const auto url = net::parse_url(fmt::format("http://127.0.0.1:{}/v1/models", port));
      const net::ClientRequest request{.method = "GET", .url = &*url, .headers = {{"authorization", "Bearer " + key}}, .body = {}};
      auto reply = co_await c.send(loop, request, {}, nullptr);
      out.set_value(reply ? (*reply)->head().status : 0);
    };
    loops.at(0).post([&] { detach(ask(client, loops.at(0), runtime.port(), std::string(secret), status), [](std::exception_ptr) { std::terminate(); }); });
    const int code = status.get_future().get();
    loops.stop();
    return code;
  }
  test::TempDir folder;
};

TEST(Runtime, WhenAKeyWasUsedIsWrittenDownOnceAMinuteAndAtTheEnd) {
  House house;
  auto runtime = house.start();
  ASSERT_TRUE(runtime);
  const std::string secret = runtime->first_keys().app;
  EXPECT_EQ(House::call(*runtime, secret), 200);
  const auto used = [&] {
    for (const auto& row : house.keys())
      if (row.name == "app") return row.last_used;
    return std::optional<WallTime>();
  };
  for (int i = 0; i < 59; ++i) runtime->tick();
  EXPECT_FALSE(used()) << "not on every tick";
  runtime->tick();
  ASSERT_TRUE(used());
  EXPECT_LT(SystemClock().wall() - *used(), 10min);
  runtime.reset();
  EXPECT_TRUE(used());

  House other;
  auto brief = other.start();
  ASSERT_TRUE(brief);
  EXPECT_EQ(House::call(*brief, brief->first_keys().app), 200);
  brief.reset();
  EXPECT_TRUE(std::ranges::any_of(other.keys(), [](const auto& row) { return row.last_used.has_value(); })) << "a process that ends writes what it knows";
}

// 20,000 old calls, more than a minute's single step would drop; a call of the future stays.
TEST(Runtime, RetentionGoesOnFromTickToTickUntilNothingOldIsLeft) {
  House house;
  auto runtime = house.start("ledger: {segment: 1MB, retention: 1h}\n");
  ASSERT_TRUE(runtime);
  auto database = store::open_database("sqlite:" + (house.folder / "ballast.db"));
  std::vector<records::CallRecord> calls;
  const std::int64_t day_ms = 86'400'000;
  for (std::uint64_t i = 0; i < 20'000; ++i) calls.push_back(test::sample_call(i, -15'000 * day_ms + static_cast<std::int64_t>(i) * 10));
  calls.push_back(test::sample_call(20'000, 36'500 * day_ms));
  ASSERT_TRUE((*database)->write_now([&](store::Tx& tx) { return records::add_calls(tx, calls); }));
  const auto left = [&] {
    auto rows = (*database)->read_now([](store::Tx& tx) { return records::usage(tx, {}); });
    return rows ? (*rows)[0].calls : 0;
  };
  for (int i = 0; i < 59; ++i) runtime->tick();
  EXPECT_EQ(left(), 20'001u) << "looked for once a minute";
  for (int i = 0; i < 10 && left() > 1; ++i) runtime->tick();
  EXPECT_EQ(left(), 1u) << "but then to the end";
}

}  // namespace
}  // namespace ballast::app
