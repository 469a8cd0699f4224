// Idempotency over a real database file: what a key promises outlives the process.
#include <unistd.h>

#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "../../support/obedient_database.hpp"
#include "base/sim_loop.hpp"
#include "gateway/idempotency.hpp"
#include "records/migrations.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;

struct World {
  std::filesystem::path file = std::filesystem::temp_directory_path() / ("ballast_idempotency_" + std::to_string(::getpid()) + ".db");
  SimClock clock;
  SimLoop loop{clock};
  std::unique_ptr<store::Database> database;
  std::optional<ballast::test::ObedientDatabase> obedient;
  std::unique_ptr<IdempotencyStore> rows;
  std::unique_ptr<Idempotency> gate;

  World() { boot("node/1"); }
  ~World() {
    gate.reset();
    rows.reset();
    obedient.reset();
    database.reset();
    for (const auto* end : {"", "-wal", "-shm"}) std::filesystem::remove(file.string() + end);
  }
  void boot(std::string owner) {
    gate.reset();
    rows.reset();
    obedient.reset();
    database.reset();
    auto opened = store::open_database("sqlite:" + file.string());
    ASSERT_TRUE(opened) << opened.error().message;
    database = std::move(*opened);
    ASSERT_TRUE(database->migrate(records::migrations()));
    const auto disowned = database->write_now([&](store::Tx& tx) { return records::disown_idempotent(tx, "node/", owner); });
    ASSERT_TRUE(disowned);
    rows = database_idempotency_store(obedient.emplace(*database));
    gate = std::make_unique<Idempotency>(*rows, std::move(owner), clock, IdempotencyOptions{});
  }
  // The database answers from its own thread.
  template <class T>
  T run(Task<T> task) {
    std::optional<T> out;
    auto keep = [&out](Task<T> inner) -> Task<void> { out.emplace(co_await inner); };
    detach(keep(std::move(task)), [](std::exception_ptr e) { std::rethrow_exception(e); });
    while (!out) {
      loop.run_until_idle();
      std::this_thread::yield();
    }
    return std::move(*out);
  }
  Result<IdempotencyEntry> enter(std::string body) {
    return run(gate->enter("k1", "K", sha256(body), to_string(new_id(clock.wall()), "call"), loop, MonoTime::max(), nullptr));
  }
};

TEST(IdempotencyStore, AnAnswerIsGivenAgainByTheNextProcess) {
  World w;
  auto first = w.enter("B");
  ASSERT_TRUE(first) << first.error().message;
  auto claim = std::get<IdempotencyClaim>(std::move(*first));
  ASSERT_TRUE(w.run(claim.finish({.content_type = "application/json", .body = "answer", .call_id = "call_1", .served_by = "sim/m"})));
  w.boot("node/2");
  auto again = w.enter("B");
  ASSERT_TRUE(again) << again.error().message;
  const auto reply = std::get<std::shared_ptr<const RememberedReply>>(*again);
  EXPECT_EQ(reply->body, "answer");
  EXPECT_EQ(reply->content_type, "application/json");
  EXPECT_EQ(reply->call_id, "call_1");
  EXPECT_EQ(reply->served_by, "sim/m");
  EXPECT_EQ(w.enter("other").error().code, ErrorCode::caller_conflict);
}

TEST(IdempotencyStore, ACrashInBetweenIsTold) {
  World w;
  {
    auto first = w.enter("B");
    ASSERT_TRUE(first);
  }
  w.boot("node/2");
  auto retry = w.enter("B");
  ASSERT_FALSE(retry);
  EXPECT_EQ(retry.error().code, ErrorCode::caller_conflict);
  EXPECT_NE(retry.error().message.find("unknown"), std::string::npos);
}

TEST(IdempotencyStore, AReleasedKeyIsNew) {
  World w;
  auto first = w.enter("B");
  auto claim = std::get<IdempotencyClaim>(std::move(*first));
  ASSERT_TRUE(w.run(claim.release()));
  auto second = w.enter("another body");
  ASSERT_TRUE(second);
  EXPECT_TRUE(std::holds_alternative<IdempotencyClaim>(*second));
  auto last = std::get<IdempotencyClaim>(std::move(*second));
  ASSERT_TRUE(w.run(last.release()));
}

using Fate = ballast::test::ObedientDatabase::Fate;

TEST(IdempotencyStore, AnAnswerThatTheDatabaseDidNotTakeIsGivenFromMemoryAndWrittenLater) {
  for (const Fate fate : {Fate::away, Fate::full, Fate::unknown_lost, Fate::unknown_written}) {
    World w;
    auto first = w.enter("B");
    auto claim = std::get<IdempotencyClaim>(std::move(*first));
    w.obedient->otherwise = fate;
    ASSERT_TRUE(w.run(claim.finish({.content_type = "text/plain", .body = "answer", .call_id = "call_1", .served_by = "sim/m"})));
    w.rows->keep_up();
    w.obedient->otherwise = Fate::fine;
    for (const bool written : {false, true}) {
      auto again = w.enter("B");
      ASSERT_TRUE(again) << again.error().message;
      EXPECT_EQ(std::get<std::shared_ptr<const RememberedReply>>(*again)->body, "answer");
      EXPECT_EQ(w.enter("other").error().code, ErrorCode::caller_conflict);
      if (!written) w.rows->keep_up();
    }
    const std::size_t writes = w.obedient->writes;
    w.rows->keep_up();
    EXPECT_EQ(w.obedient->writes, writes) << "nothing is left to write";
    w.boot("node/2");
    auto later = w.enter("B");
    ASSERT_TRUE(later) << later.error().message;
    EXPECT_EQ(std::get<std::shared_ptr<const RememberedReply>>(*later)->body, "answer");
  }
}

TEST(IdempotencyStore, AKeyWhoseReleaseTheDatabaseDidNotTakeIsFreeAllTheSame) {
  for (const bool kept_up : {false, true}) {
    World w;
    auto first = w.enter("B");
    auto claim = std::get<IdempotencyClaim>(std::move(*first));
    w.obedient->next = {Fate::away};
    ASSERT_TRUE(w.run(claim.release()));
    if (kept_up) w.rows->keep_up();
    auto second = w.enter("another body");
    ASSERT_TRUE(second) << second.error().message;
    auto used = std::get<IdempotencyClaim>(std::move(*second));
    w.rows->keep_up();
    ASSERT_TRUE(w.run(used.finish({.body = "answer", .call_id = "call_2", .served_by = "sim/m"}))) << "what is owed of the first touches no other";
    EXPECT_EQ(std::get<std::shared_ptr<const RememberedReply>>(*w.enter("another body"))->body, "answer");
  }
}

}  // namespace
}  // namespace ballast::gateway
