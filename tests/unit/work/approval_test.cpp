// Who may answer what, and what an edit may change.
#include <gtest/gtest.h>

#include "work/approval.hpp"
#include "work/canonical.hpp"

namespace ballast::work {
namespace {

json::value J(std::string_view text) { return *parse_json(text); }

Approval asked_of(std::vector<std::string> assignees) {
  Approval a{.id = {JobId{77}, 1}};
  a.ask.key_id = "key_submitter";
  a.ask.user = "sue";
  a.ask.assignees = std::move(assignees);
  return a;
}
Decider person(std::string user, std::string team = {}) { return {.key_id = "key_" + user, .key_name = user + "'s", .user = user, .team = team}; }

TEST(ApprovalId, IsPrintedAndReadAgain) {
  const ApprovalId id{*parse_job_id("job_0123456789abc"), 12};
  EXPECT_EQ(to_string(id), "appr_0123456789abc_12");
  EXPECT_EQ(parse_approval_id("appr_0123456789abc_12"), id);
  for (const char* wrong : {"", "appr_", "appr_0123456789abc", "appr_0123456789abc_", "appr_0123456789abc_0", "appr_0123456789abc_-1", "appr_0123456789abc_1x",
                            "job_0123456789abc_1", "appr_0123456789ab_1", "appr_0123456789abu_1", "appr_0123456789abc1"})
    EXPECT_FALSE(parse_approval_id(wrong)) << wrong;
}

TEST(Approval, AssigneesAreUsersGroupsAndKeysAndNobodyElseMayEvenLook) {
  const Approval a = asked_of({"user:anna", "group:editors", "key:robot"});
  EXPECT_TRUE(may_decide(a, person("anna")));
  EXPECT_TRUE(may_decide(a, person("eve", "editors")));
  EXPECT_TRUE(may_decide(a, {.key_id = "key_9", .key_name = "robot"}));
  EXPECT_EQ(may_decide(a, person("editors")).error().code, ErrorCode::caller_not_found) << "a user named like the group is not the group";
  EXPECT_EQ(may_decide(a, person("bob", "anna")).error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(may_decide(a, {.key_id = "key_10", .key_name = "other"}).error().code, ErrorCode::caller_not_found);
  EXPECT_TRUE(may_decide(a, {.key_id = "admin", .admin = true})) << "an administrator stands in, and the record says so";
  EXPECT_TRUE(may_decide(asked_of({}), person("bob")));
}

TEST(Approval, WhoSubmittedTheRunMayNotDecideItUnlessItIsAllowed) {
  const Decider key{.key_id = "key_submitter", .admin = true}, user{.key_id = "key_sues_second", .user = "sue"};
  for (const Decider& same : {key, user}) {
    Approval a = asked_of({"user:sue", "user:anna"});
    EXPECT_EQ(may_decide(a, same).error().code, ErrorCode::caller_forbidden);
    a.ask.self = true;
    EXPECT_TRUE(may_decide(a, same));
    EXPECT_TRUE(may_decide(asked_of({}), same)) << "nobody in particular is asked";
    Approval strict = asked_of({});
    strict.ask.self = false;
    EXPECT_FALSE(may_decide(strict, same));
  }
}

TEST(Approval, ASignatureIsAnAssignedUsersOwn) {
  Approval a = asked_of({"user:anna", "key:robot"});
  a.ask.signature = true;
  EXPECT_TRUE(may_decide(a, person("anna")));
  Decider by_link = person("anna");
  by_link.link = true;
  const Decider admin{.key_id = "admin", .user = "root", .admin = true}, robot{.key_id = "key_9", .key_name = "robot"};
  for (const Decider& d : {by_link, admin, robot}) EXPECT_EQ(may_decide(a, d).error().code, ErrorCode::caller_forbidden) << d.name();
}

struct Edit {
  std::vector<std::string> paths;
  const char* schema;
  const char* edited;
  const char* field;                         // of the error; null: allowed
};
class EditTest : public ::testing::TestWithParam<Edit> {};

TEST_P(EditTest, ChangesWhatItMayAndNothingElse) {
  const auto shown = J(R"({"to":"a@example.org","reply":{"text":"hello","tone":"warm"},"items":[{"n":1},{"n":2}],"note":null})");
  const Edit& e = GetParam();
  const EditRule rule{.allowed = true, .paths = e.paths, .schema = e.schema ? J(e.schema) : json::value()};
  const auto result = check_edit(unpack_rule(pack_rule(rule)), shown, J(e.edited));
  if (!e.field) {
    EXPECT_TRUE(result) << describe(result.error());
  } else {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::caller_invalid_request);
    EXPECT_EQ(result.error().field, e.field);
  }
}

constexpr const char* kShort = R"({"type":"object","properties":{"reply":{"properties":{"text":{"maxLength":5}}}}})";
INSTANTIATE_TEST_SUITE_P(Approval, EditTest, ::testing::Values(
    Edit{{"reply.text"}, nullptr, R"({"to":"a@example.org","reply":{"text":"bye","tone":"warm"},"items":[{"n":1},{"n":2}],"note":null})", nullptr},
    Edit{{"reply"}, nullptr, R"({"to":"a@example.org","reply":"bye","items":[{"n":1},{"n":2}],"note":null})", nullptr},
    Edit{{"reply.text"}, nullptr, R"({"to":"evil@example.org","reply":{"text":"hello","tone":"warm"},"items":[{"n":1},{"n":2}],"note":null})", "value.to"},
    Edit{{"reply.text"}, nullptr, R"({"to":"a@example.org","reply":{"text":"hello","tone":"cold"},"items":[{"n":1},{"n":2}],"note":null})", "value.reply.tone"},
    Edit{{"reply.t"}, nullptr, R"({"to":"a@example.org","reply":{"text":"bye","tone":"warm"},"items":[{"n":1},{"n":2}],"note":null})", "value.reply.text"},
    Edit{{"reply.text"}, nullptr, R"({"to":"a@example.org","reply":{"text":"hello","tone":"warm"},"items":[{"n":1},{"n":2}],"note":null,"bcc":"x"})", "value.bcc"},
    Edit{{"reply.text"}, nullptr, R"({"to":"a@example.org","reply":{"text":"hello","tone":"warm"},"items":[{"n":1},{"n":2}],"note":null,"bcc":null})", "value.bcc"},
    Edit{{"reply.text"}, nullptr, R"({"to":"a@example.org","reply":{"text":"hello","tone":"warm"},"items":[{"n":1},{"n":2}]})", "value.note"},
    Edit{{"items[1].n"}, nullptr, R"({"to":"a@example.org","reply":{"text":"hello","tone":"warm"},"items":[{"n":1},{"n":5}],"note":null})", nullptr},
    Edit{{"items[1]"}, nullptr, R"({"to":"a@example.org","reply":{"text":"hello","tone":"warm"},"items":[{"n":3},{"n":2}],"note":null})", "value.items[0].n"},
    Edit{{"items[1]"}, nullptr, R"({"to":"a@example.org","reply":{"text":"hello","tone":"warm"},"items":[{"n":1}],"note":null})", "value.items"},
    Edit{{"reply.text"}, nullptr, R"("all of it")", "value"},
    Edit{{}, nullptr, R"("all of it")", nullptr},
    Edit{{}, kShort, R"({"reply":{"text":"short"}})", nullptr},
    Edit{{"reply.text"}, kShort, R"({"to":"a@example.org","reply":{"text":"too long","tone":"warm"},"items":[{"n":1},{"n":2}],"note":null})", "value/reply/text"}));

TEST(Approval, WhatIsNotEditableIsNotEdited) {
  EXPECT_FALSE(check_edit({}, J("1"), J("1")));
  EXPECT_FALSE(check_edit(unpack_rule(pack_rule({})), J("1"), J("2")));
}

}  // namespace
}  // namespace ballast::work
