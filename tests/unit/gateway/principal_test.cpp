#include "gateway/principal.hpp"

#include <gtest/gtest.h>

namespace ballast::gateway {
namespace {

Principal of(KeyInfo info) { return {.key = std::make_shared<const KeyInfo>(std::move(info))}; }

TEST(Principal, AttributionGoesFromTheKeyToTheHeaderToTheBody) {
  struct Case { KeyInfo key; Attribution said; std::string user, feature; };
  for (const auto& c : std::vector<Case>{
           {{}, {}, "", ""},
           {{}, {.header_user = "h", .body_user = "b", .metadata_user = "m"}, "h", ""},
           {{}, {.body_user = "b", .metadata_user = "m", .metadata_feature = "f"}, "b", "f"},
           {{}, {.header_user = "  ", .metadata_user = "m"}, "m", ""},
           {{.user = "fixed", .feature = "own"}, {.header_user = "h", .header_feature = "x"}, "fixed", "own"},
       }) {
    auto p = of(c.key);
    attribute(p, c.said);
    EXPECT_EQ(p.user, c.user);
    EXPECT_EQ(p.feature, c.feature);
  }
}

TEST(Principal, LongOrStrangeNamesAreCondensedAndStayDistinct) {
  auto a = of({}), b = of({}), c = of({});
  const std::string long_a(5000, 'a'), long_b = long_a + "b";
  attribute(a, {.body_user = long_a});
  attribute(b, {.body_user = long_b});
  attribute(c, {.header_user = "evil\nlog line"});
  EXPECT_LE(a.user.size(), kMaxAttribution);
  EXPECT_NE(a.user, b.user);
  EXPECT_EQ(c.user.find('\n'), std::string::npos);
}

TEST(Principal, ScopesAndModelsAreRequired) {
  Scopes none{0};
  EXPECT_TRUE(require(of({}), Scope::call));
  EXPECT_EQ(require(of({}), Scope::read).error().code, ErrorCode::caller_forbidden);
  EXPECT_FALSE(require(of({.scopes = none}), Scope::call));
  none.add(Scope::admin);
  EXPECT_TRUE(require(of({.scopes = none}), Scope::usage)) << "admin implies all";
  EXPECT_TRUE(require_model(of({}), "anything", "r"));
  const auto p = of({.name = "k", .models = {"chat", "sim/*"}});
  EXPECT_TRUE(require_model(p, "fast", "chat")) << "an alias of an allowed route";
  EXPECT_TRUE(require_model(p, "sim/sim-small", "sim/sim-small"));
  EXPECT_TRUE(require_model(p, "sim-small", "sim/sim-small")) << "a bare name resolves first";
  EXPECT_EQ(require_model(p, "openai/gpt-5", "openai/gpt-5").error().field, "model");
}

TEST(Principal, ScopeListsReadAndWrite) {
  EXPECT_EQ(to_string(*scopes_from("usage, call", "scopes")), "call,usage");
  auto bad = scopes_from("call,root", "keys[0].scopes");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().field, "keys[0].scopes");
}

}  // namespace
}  // namespace ballast::gateway
