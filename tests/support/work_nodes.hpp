// Several nodes on one database: each an engine with a loop and a clock of its own, whose clocks go together.
#pragma once
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "work/homes.hpp"
#include "work_house.hpp"

namespace ballast::test {

class WorkNodes : public OnBothDatabases {
 protected:
  static constexpr unsigned kNodes = 3;

  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    auto migrated = database().migrate(work::migrations());
    ASSERT_TRUE(migrated) << describe(migrated.error());
  }
  void TearDown() override {
    for (unsigned n = 0; n < kNodes; ++n) stop(n);
  }

  // A process begins on the node. Whoever had it before must have been stopped, or abandoned.
  void start(unsigned n, bool shared = true) {
    boots_[n] = "boot" + std::to_string(n) + "." + std::to_string(++started_);
    work::EngineOptions options{.node = n, .boot = boots_[n], .shared = shared, .local_leases = leases, .adopt_page = 2};
    options.at = [this, n](std::string_view point) {
      if (at) at(n, point);
    };
    houses_[n] = std::make_unique<WorkHouse>(database(), options);
    houses_[n]->loop.advance(passed_);
    if (prepare) prepare(n, *houses_[n]);
    auto begun = houses_[n]->start();
    ASSERT_TRUE(begun) << describe(begun.error());
  }
  // As kill -9: nothing more is written.
  void stop(unsigned n) {
    if (!houses_[n]) return;
    houses_[n]->database.otherwise = ObedientDatabase::Fate::away;
    houses_[n].reset();
  }
  // It lives, but nobody knows: a process that was taken for dead.
  std::unique_ptr<WorkHouse> abandon(unsigned n) { return std::move(houses_[n]); }
  WorkHouse& node(unsigned n) { return *houses_[n]; }
  bool runs(unsigned n) const { return houses_[n] != nullptr; }
  const std::string& boot(unsigned n) const { return boots_[n]; }
  std::uint32_t epoch(unsigned n) const { return houses_[n]->engine().epoch(); }
  void pass(Duration d) {
    passed_ += d;
    for (auto& house : houses_)
      if (house) house->pass(d);
  }

  Result<std::size_t> adopt(unsigned by, unsigned dead, const std::string& boot) {
    auto adopted = node(by).loop.run(node(by).engine().adopt(dead, boot));
    node(by).settle();
    node(by).audit();
    return adopted;
  }
  // How many came; -1: it failed.
  int adopted(unsigned by, unsigned dead) {
    const auto done = adopt(by, dead, boots_[dead]);
    return done ? static_cast<int>(*done) : -1;
  }
  Result<std::size_t> give(unsigned from, std::vector<work::JobId> jobs, std::uint32_t to) {
    auto given = node(from).loop.run(node(from).engine().give(std::move(jobs), to));
    node(from).settle();
    node(from).audit();
    return given;
  }
  int received(unsigned by) {
    auto came = node(by).loop.run(node(by).engine().receive());
    node(by).settle();
    node(by).audit();
    return came ? static_cast<int>(*came) : -1;
  }
  template <class T = work::Owner>
  std::optional<T> owner(work::JobId id) {
    return *database().read_now([&](store::Tx& tx) { return work::owner_of(tx, id); });
  }
  std::int64_t count(const char* sql) {
    auto rows = database().read_now([&](store::Tx& tx) { return tx.run(sql); });
    EXPECT_TRUE(rows) << sql << (rows ? "" : describe(rows.error()));
    return rows ? (*rows)[0].integer(0) : -1;
  }
  void sql(const char* text) {
    auto done = database().write_now([&](store::Tx& tx) { return tx.run(text); });
    EXPECT_TRUE(done) << (done ? "" : describe(done.error()));
  }

  std::function<void(unsigned node, std::string_view point)> at;
  std::function<void(unsigned node, WorkHouse&)> prepare;        // before its start
  std::size_t leases = 256;                  // of a process that starts from now on

 private:
  std::array<std::unique_ptr<WorkHouse>, kNodes> houses_;
  std::array<std::string, kNodes> boots_;
  int started_ = 0;
  Duration passed_{};
};

}  // namespace ballast::test
