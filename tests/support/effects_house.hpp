// What tests of effects share: a house of flows on each database, and an other side that says what the test wants.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "databases.hpp"
#include "flow_house.hpp"

namespace ballast::work {

using Says = test::FakeWeb::Says;
using Seen = test::FakeWeb::Seen;
using Told = std::vector<std::string>;

class EffectsHouse : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(records::migrations()));
    const auto migrated = database().migrate(migrations());
    ASSERT_TRUE(migrated) << describe(migrated.error());
    house_.emplace(database());
  }
  void TearDown() override { house_.reset(); }
  test::FlowHouse& house() { return *house_; }
  test::FakeWeb& web() { return house_->web; }
  void begin(std::initializer_list<std::string_view> flows) {
    for (const auto text : flows) house().add(text);
    house().start();
  }
  void says(Says what) {
    web().answer = [what = std::move(what)](const Seen&) { return what; };
  }
  // One after the other; the last stays.
  void says_in_turn(std::vector<Says> what) {
    web().answer = [what = std::move(what), n = std::size_t{0}](const Seen&) mutable { return what[std::min(n++, what.size() - 1)]; };
  }
  JobId run(const std::string& flow, const std::string& input = R"({"n":1})", Duration d = std::chrono::seconds(60)) {
    const JobId id = house().submit(flow, input);
    house().pass(d);
    return id;
  }
  std::set<std::string> keys() {
    std::set<std::string> out;
    for (const Seen& s : web().seen) out.insert(s.header("idempotency-key"));
    return out;
  }

 private:
  std::optional<test::FlowHouse> house_;
};

}  // namespace ballast::work
