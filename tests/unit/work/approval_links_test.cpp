// Links that answer one question: signed, expiring, for one person; and the key they are signed with.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "../../support/temp_dir.hpp"
#include "work/approval_links.hpp"

namespace ballast::work {
namespace {

const WallTime kNow{std::chrono::seconds(1'763'700'000)};

ApprovalLink link() {
  return {.id = {*parse_job_id("job_0123456789abc"), 3}, .shown = sha256("shown"), .user = "anna", .may_approve = true, .may_reject = false,
          .expires = kNow + std::chrono::hours(1), .nonce = "n0nce"};
}

TEST(ApprovalLinks, SayWhatWasSigned) {
  const ApprovalLinks links("0123456789abcdef0123456789abcdef");
  const std::string token = links.sign(link());
  const auto read = links.read(token, kNow);
  ASSERT_TRUE(read) << describe(read.error());
  EXPECT_EQ(*read, link());
  for (const char c : token) EXPECT_TRUE(std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.') << c;
  const Decider who = link_decider(*read);
  EXPECT_EQ(who.name(), "user:anna");
  EXPECT_TRUE(who.link);
  EXPECT_FALSE(who.admin);
}

TEST(ApprovalLinks, ExpireToTheSecond) {
  const ApprovalLinks links("0123456789abcdef0123456789abcdef");
  const std::string token = links.sign(link());
  EXPECT_TRUE(links.read(token, kNow + std::chrono::seconds(3'599)));
  EXPECT_EQ(links.read(token, kNow + std::chrono::hours(1)).error().code, ErrorCode::caller_conflict);
}

TEST(ApprovalLinks, AreNotForged) {
  const ApprovalLinks links("0123456789abcdef0123456789abcdef"), others("another key, as long as the first one");
  const std::string token = links.sign(link());
  const auto refused = [&](const std::string& t) {
    const auto read = links.read(t, kNow);
    return !read && read.error().code == ErrorCode::caller_not_found;
  };
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string bent = token;
    bent[i] = bent[i] == 'A' ? 'B' : 'A';
    EXPECT_TRUE(refused(bent)) << i;
    EXPECT_TRUE(refused(token.substr(0, i))) << i;
  }
  EXPECT_TRUE(refused(others.sign(link())));
  EXPECT_TRUE(refused(token + "A"));
  EXPECT_TRUE(refused(token + "."));
  EXPECT_TRUE(refused(std::string(100'000, 'A')));
  auto other = link();                       // the signature of one on the words of another
  other.user = "eve";
  const std::string hers = links.sign(other);
  EXPECT_TRUE(refused(hers.substr(0, hers.find('.')) + token.substr(token.find('.'))));
}

TEST(ApprovalLinks, AreMadeByAdministratorsAndForOneself) {
  Approval a{.id = {JobId{77}, 1}};
  a.ask.key_id = "key_submitter";
  a.ask.user = "sue";
  a.ask.assignees = {"user:anna", "user:sue", "group:editors"};
  const Decider admin{.key_id = "admin", .admin = true}, anna{.key_id = "key_1", .user = "anna"}, eve{.key_id = "key_2", .user = "eve", .team = "editors"};
  EXPECT_TRUE(may_link(a, admin, "anna"));
  EXPECT_TRUE(may_link(a, anna, "anna"));
  EXPECT_FALSE(may_link(a, eve, "anna")) << "she would answer in another's name";
  EXPECT_FALSE(may_link(a, admin, "bob")) << "nobody asks him";
  EXPECT_FALSE(may_link(a, admin, ""));
  EXPECT_FALSE(may_link(a, admin, "sue")) << "she submitted it";
  EXPECT_FALSE(may_link(a, {.key_id = "key_submitter", .admin = true}, "anna")) << "who submitted it would hold the link";
  EXPECT_EQ(may_link(a, {.key_id = "key_3", .user = "bob"}, "bob").error().code, ErrorCode::caller_not_found);
  a.ask.signature = true;
  EXPECT_FALSE(may_link(a, admin, "anna"));
}

TEST(ApprovalLinks, TheKeyIsMadeOnceAndReadByNobodyElse) {
  namespace fs = std::filesystem;
  const test::TempDir directory;
  const std::string file = directory / "approval.key";
  const auto first = load_link_key(file), again = load_link_key(file);
  ASSERT_TRUE(first) << describe(first.error());
  EXPECT_GE(first->size(), 32u);
  EXPECT_EQ(*first, *again);
  EXPECT_EQ(fs::status(file).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(std::distance(fs::directory_iterator(fs::path(file).parent_path()), fs::directory_iterator()), 1) << "nothing is left beside it";
  fs::permissions(file, fs::perms::group_read, fs::perm_options::add);
  EXPECT_FALSE(load_link_key(file));
  fs::remove(file);
  std::ofstream(file) << "short";
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
  const auto torn = load_link_key(file);
  ASSERT_FALSE(torn);
  EXPECT_NE(torn.error().message.find(file), std::string::npos);
  EXPECT_FALSE(load_link_key(directory / "none" + "/approval.key"));
}

}  // namespace
}  // namespace ballast::work
