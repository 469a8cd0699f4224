// Templates: what people write in prompts, and what is said when something is wrong.
#include "work/template.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ballast::work {
namespace {

using testing::HasSubstr;

constexpr std::string_view kInput = R"({"name":"Ada","n":3,"none":null,"vip":true,"brace":"{{ .name }}",
  "items":[{"name":"pen","tags":["a","b"]},{"name":"ink","tags":[]}]})";

Template made(std::string_view text) {
  auto t = Template::compile(text, "stages.x.prompt");
  if (!t) ADD_FAILURE() << text << ": " << describe(t.error());
  return t ? *t : *Template::compile("");
}

std::string render(std::string_view text, Jq::Variables variables = {}, TemplateLimits limits = {}) {
  const auto out = made(text).render(*parse_json(kInput), variables, limits);
  return out ? *out : describe(out.error());
}

TEST(Template, WhatPeopleWrite) {
  struct Case {
    const char *text, *output;
  };
  const Case cases[] = {
      {"", ""},
      {"plain } text }} { here", "plain } text }} { here"},
      {"Hello {{ .name }}!", "Hello Ada!"},
      {"{{.name}}{{.n}}", "Ada3"},
      {"{{ .items[0] }}", R"({"name":"pen","tags":["a","b"]})"},
      {"{{ {a:{b:.n}} }}", R"({"a":{"b":3}})"},
      {"{{ \"}}\" }}|{{ \"\\(\"}}\" + .name)\" }}", "}}|}}Ada"},
      {"a{{? .none }}b{{? .name }}", "abAda"},
      {"{{{{ .name }}", "{{ .name }}"},
      {"{{ .brace }}", "{{ .name }}"},      // a value is never read as a template
      {"{{# if .vip }}dear {{# end }}{{ .name }}", "dear Ada"},
      {"{{#if .n > 5}}many{{#else}}few{{#end}}", "few"},
      {"{{# each .items as $x }}[{{ $x.name }}{{# each $x.tags as $t }} {{ $t }}{{# end }}]{{# end }}", "[pen a b][ink]"},
      {"{{# each .items as $x }}{{# each $x.tags as $x }}{{ $x }}{{# end }}{{ $x.name }} {{# end }}", "abpen ink "},
      {"List:\n{{# each .items as $x }}\n- {{ $x.name }}\n{{# end }}\nDone", "List:\n- pen\n- ink\nDone"},
      {"  {{# if .vip }}\n yes\n  {{# else }}\n no\n  {{# end }}", " yes\n"},
      {"{{ .items | map(.name) | join(\", \") }}", "pen, ink"},
      {"{{# each [range(3)] as $i }}{{ $i + 1 }}{{# end }}", "123"},
      {"{{ .n # how many\n }}", "3"},
  };
  for (const auto& c : cases) EXPECT_EQ(render(c.text), c.output) << c.text;
  const json::value who = "you";
  const std::pair<std::string_view, const json::value*> given[] = {{"who", &who}};
  EXPECT_EQ(render("{{ $who }} {{# each [1] as $who }}{{ $who }}{{# end }}", given), "you 1");
}

TEST(Template, WhatIsWrongIsSaidWithItsPlace) {
  struct Case {
    const char *text, *says;
  };
  const Case cases[] = {
      {"a\n b {{ .name", "line 2, column 4: this {{ has no }}"},
      {"{{ }}", "line 1, column 1: an expression is missing"},
      {"x\n{{ .a | lenght }}", "did you mean length? (line 2, column 9)"},
      {"x\n{{ .a b }}", "line 2, column 1"},
      {"{{ env }}", "env is not allowed"},
      {"{{# if .a }}x", "this {{# if }} has no {{# end }}"},
      {"x{{# end }}", "line 1, column 2: there is no {{# if }} or {{# each }} that this end belongs to"},
      {"{{# else }}", "this else belongs to"},
      {"{{# if 1 }}{{# else }}{{# else }}{{# end }}", "a second {{# else }}"},
      {"{{# each .a }}{{# end }}", "write {{# each .list as $item }}"},
      {"{{# each .a as $1 }}{{# end }}", "write {{# each .list as $item }}"},
      {"{{# each .a as $x }}{{# else }}{{# end }}", "{{# each }} has no {{# else }}"},
      {"{{# unless .a }}{{# end }}", "there is no {{# unless }}"},
  };
  for (const auto& c : cases) {
    const auto t = Template::compile(c.text, "stages.x.prompt");
    ASSERT_FALSE(t) << c.text;
    EXPECT_EQ(t.error().code, ErrorCode::caller_invalid_request);
    EXPECT_EQ(t.error().field, "stages.x.prompt");
    EXPECT_THAT(t.error().message, HasSubstr(c.says)) << c.text;
  }
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += "{{# if 1 }}";
  EXPECT_THAT(Template::compile(deep).error().message, HasSubstr("nested too deeply"));
  EXPECT_EQ(Template::compile(std::string((1 << 20) + 1, 'x')).error().code, ErrorCode::caller_too_large);
  EXPECT_FALSE(Template::compile("\xff"));
}

TEST(Template, WhatFailsWhenItRunsNamesTheHole) {
  EXPECT_THAT(render("hi\n {{ .missing.deep }}"), HasSubstr("line 2, column 2: {{ .missing.deep }}: is null; write {{? … }}"));
  EXPECT_THAT(render("{{ .name.x }}"), HasSubstr("Cannot index string"));
  EXPECT_THAT(render("{{ .items[] }}"), HasSubstr("more than one value"));
  EXPECT_THAT(render("{{# each .name as $x }}{{# end }}"), HasSubstr("is not an array"));
  EXPECT_THAT(render("{{ $who }}"), HasSubstr("$who is not given"));
  EXPECT_THAT(render("{{ .missing }}"), HasSubstr("stages.x.prompt"));
}

TEST(Template, Limits) {
  TemplateLimits limits;
  limits.max_bytes = 100;
  EXPECT_THAT(render("{{# each [range(60)] as $i }}ab{{# end }}", {}, limits), HasSubstr("more than 100 bytes"));
  limits = {};
  limits.max_programs = 50;
  EXPECT_THAT(render("{{# each [range(60)] as $i }}{{ $i }}{{# end }}", {}, limits), HasSubstr("more than 50 programs"));
  limits = {};
  limits.jq.time = std::chrono::milliseconds(5);
  EXPECT_THAT(render("{{ last(range(1e12)) }}", {}, limits), HasSubstr("runs longer"));
}

TEST(Template, ReadsWhatItsProgramsRead) {
  const auto t = made("{{ .a.b }}{{# each .items as $x }}{{ $x.name }}{{ $y.z }}{{# end }}{{# if .c }}{{ .d }}{{# else }}{{ .e }}{{# end }}{{ $x }}");
  EXPECT_FALSE(t.reads().whole);
  EXPECT_EQ(t.reads().paths, (std::vector<std::vector<std::string>>{{"$x"}, {"$y", "z"}, {"a", "b"}, {"c"}, {"d"}, {"e"}, {"items"}}));
  EXPECT_EQ(t.variables(), (std::vector<std::string>{"y", "x"}));
  EXPECT_TRUE(made("{{ . }}").reads().whole);
}

}  // namespace
}  // namespace ballast::work
