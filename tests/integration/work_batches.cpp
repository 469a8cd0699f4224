// A batch from its file to its files, while the database fails and others look.
#include "work/batches.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "../support/work_house.hpp"
#include "base/compress.hpp"
#include "work/batch_rows.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using Fate = test::ObedientDatabase::Fate;

constexpr std::string_view kChat = "/v1/chat/completions";

class BatchesTest : public test::HouseOnBothDatabases {
 protected:
  void SetUp() override {
    HouseOnBothDatabases::SetUp();
    if (IsSkipped()) return;
    house().hands.say = [](const Lease&) { return test::word(Commit::To::done, R"({"choices":[]})"); };
    door_.emplace(house().engine());
    batches_.emplace(*door_, BatchOptions{});
    ASSERT_TRUE(batches_->start());
    batches_->open();
    house().settle();
  }
  void TearDown() override {
    if (batches_) house().loop.run(batches_->stop());
    house().settle();
    HouseOnBothDatabases::TearDown();
  }

  // A batch of that many lines, as it is answered when it is asked for.
  Batch create(std::size_t lines) { return create(batches(), lines); }
  Batch create(Batches& by, std::size_t lines) {
    std::string text;
    for (std::size_t n = 0; n < lines; ++n)
      text += fmt::format(R"({{"custom_id":"{}","method":"POST","url":"{}","body":{{"model":"m","messages":[]}}}})", n, kChat) + "\n";
    const JobId file = house().engine().new_id();
    const std::vector<std::string> packed{pack(text)};
    EXPECT_TRUE(database().write_now([&](store::Tx& tx) -> Result<void> {
      if (auto made = begin_file(tx, {.id = file, .owner = "app", .name = "in.jsonl", .purpose = "batch"}); !made) return made;
      if (auto put = put_pieces(tx, file, 0, packed); !put) return put;
      return finish_file(tx, file, text.size());
    }));
    Batch asked;
    asked.owner = "app";
    asked.endpoint = kChat;
    asked.input = file;
    auto made = house().loop.run(by.create(std::move(asked), 24h));
    EXPECT_TRUE(made) << (made ? "" : describe(made.error()));
    return made.value_or(Batch{});
  }
  Batch row(JobId id) {
    auto found = database().read_now([&](store::Tx& tx) { return get_batch(tx, id); });
    EXPECT_TRUE(found && *found);
    return found && *found ? **found : Batch{};
  }
  void until_over(JobId id) {
    for (int i = 0; i < 100 && !terminal(row(id).state); ++i) {
      house().pass(1s);
      house().settle();
    }
  }
  std::vector<FileRow> outputs() {
    auto files = database().read_now([](store::Tx& tx) { return list_files(tx, {.owner = "app", .purpose = "batch_output"}); });
    EXPECT_TRUE(files);
    return files.value_or(std::vector<FileRow>{});
  }
  Batches& batches() { return *batches_; }

 private:
  std::optional<Door> door_;
  std::optional<Batches> batches_;
};

// Who asks while a row is being written is told what it was: nothing of it is so before its commit.
TEST_P(BatchesTest, ABatchIsToldAsItsRowIs) {
  std::vector<std::string> told;
  TaskGroup asking("asking");
  std::function<void()> look = [&] {
    house().database.during = look;
    const auto live = database().read_now([](store::Tx& tx) { return live_batches(tx); });
    if (!live || live->empty() || live->front().state != BatchState::finalizing) return;
    asking.spawn([](Batches& all, JobId of, std::vector<std::string>& out) -> Task<void> {
      auto refused = co_await all.cancel(of);
      out.push_back(refused ? "cancelled" : refused.error().message);
    }(batches(), live->front().id, told));
  };
  house().database.during = look;
  const JobId id = create(3).id;
  until_over(id);
  house().database.during = {};
  EXPECT_THAT(told, testing::AllOf(testing::Not(testing::IsEmpty()), testing::Each("Cannot cancel a batch with status 'finalizing'.")));
  EXPECT_EQ(row(id).state, BatchState::completed);
}

// One of the writes on its way fails, before or after it ran, or nobody learns which: what it comes to is the same.
TEST_P(BatchesTest, WhicheverWriteFailsItComesToTheSame) {
  std::vector<Fate> fates{Fate::away, Fate::lost_after};
  if (database().dialect() == store::Dialect::postgres) fates.insert(fates.end(), {Fate::unknown_lost, Fate::unknown_written});   // SQLite knows
  for (const Fate fate : fates)
    for (std::size_t nth = 1; nth < 16; ++nth) {
      SCOPED_TRACE(fmt::format("fate {}, write {}", static_cast<int>(fate), nth));
      house().database.next.assign(nth, Fate::fine);
      house().database.next.push_back(fate);
      const std::size_t before = outputs().size();
      const JobId id = create(3).id;
      until_over(id);
      house().database.next.clear();
      house().settle();
      const Batch over = row(id);
      EXPECT_EQ(over.state, BatchState::completed);
      EXPECT_EQ(over.counts.total, 3u);
      EXPECT_EQ(over.counts.completed, 3u);
      EXPECT_EQ(outputs().size(), before + 1);
      EXPECT_FALSE(batches().counts(id)) << "it is over";
    }
}

// Two nodes on one database, of which one has the duty.
TEST_P(BatchesTest, WhoHasTheDutyDrivesWhatOthersMakeAndGoesOnWithWhatTheyHad) {
  const Batches* holder = nullptr;
  Door door(house().engine());
  Batches a(door, BatchOptions{}), b(door, BatchOptions{});
  for (Batches* one : {&a, &b}) {
    one->use({.held = [&holder, one] { return holder == one; },
              .check = [&holder, one](store::Tx&) -> Result<void> { return holder == one ? Result<void>{} : fail(ErrorCode::internal_unavailable, "another has it", "duty"); }});
    ASSERT_TRUE(one->start());
    one->open();
  }
  const JobId waits = create(b, 3).id;
  house().pass(5s);
  house().settle();
  EXPECT_EQ(row(waits).state, BatchState::validating) << "nobody has the duty";
  holder = &a;
  until_over(waits);
  EXPECT_EQ(row(waits).state, BatchState::completed);
  EXPECT_EQ(row(waits).counts.completed, 3u);

  house().hands.say = [](const Lease&) {
    Commit later = test::word(Commit::To::snoozed, "");
    later.delay = 1h;
    return later;
  };
  const JobId moved = create(a, 3).id;
  for (int i = 0; i < 10; ++i) house().pass(1s), house().settle();
  EXPECT_EQ(row(moved).state, BatchState::in_progress);
  EXPECT_TRUE(a.counts(moved));
  holder = &b;
  for (int i = 0; i < 40; ++i) house().pass(1s), house().settle();
  EXPECT_FALSE(a.counts(moved)) << "it has let go of it";
  EXPECT_EQ(b.counts(moved)->total, 3u);
  const auto wished = house().loop.run(a.cancel(moved));
  ASSERT_TRUE(wished) << describe(wished.error());
  EXPECT_EQ(wished->state, BatchState::cancelling);
  until_over(moved);
  EXPECT_EQ(row(moved).state, BatchState::cancelled);
  const auto late = house().loop.run(a.cancel(moved));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::caller_conflict);
  for (Batches* one : {&a, &b}) house().loop.run(one->stop());
}

BALLAST_ON_BOTH_DATABASES(BatchesTest);

}  // namespace
}  // namespace ballast::work
