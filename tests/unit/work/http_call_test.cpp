// What a flow's HTTP call becomes, and what is made of its answer.
#include "work/http_call.hpp"

#include "../../support/fake_web.hpp"
#include "base/sim_loop.hpp"
#include "flow_text.hpp"
#include "work/canonical.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using records::EffectState;
using test::FakeWeb;

constexpr std::string_view kSecret = "sk-live-0123456789abcdefghij";

// A flow whose one stage makes this call, given as a YAML flow mapping.
FlowPtr calling(std::string_view call, std::string_view more = "") {
  return good_flow(fmt::format("flow: f\nstages:\n  call:\n    http: {}\n{}", call, more), {{"SECRET", std::string(kSecret)}});
}
const HttpCall& call_of(const FlowPtr& flow) { return flow->find("call")->as<HttpStage>()->call; }

json::value seen_by(std::string_view input) { return json::object{{"input", *parse_json(input)}, {"stages", json::object{}}, {"run", json::object{{"id", "run_1"}}}}; }

Result<HttpRequestMade> made(const FlowPtr& flow, std::string_view input = "{}", std::string_view key = "run_1:call:00", std::string_view fence = "7") {
  return make_request(call_of(flow), seen_by(input), key, fence);
}
std::string header(const HttpRequestMade& m, std::string_view name) {
  std::string out;
  for (const auto& [n, v] : m.headers)
    if (iequals(n, name)) out += out.empty() ? v : "|" + v;
  return out;
}
void expect_no_secret(std::string_view text) { EXPECT_EQ(text.find(kSecret.substr(8)), std::string_view::npos) << text; }

// ---- made ----

TEST(HttpCall, IsMadeOfWhatTheRunHas) {
  const auto flow = calling(R"({url: "https://shop.example/orders/{{ .input.id | @uri }}?q={{ .input.q | @uri }}", method: PUT, headers: {X-Who: "{{ .input.who }}"}, body: '{b: .input.n, a: 1.0}'})");
  const auto m = made(flow, R"({"id":"a/b c","q":"x&y","who":" ann ","n":2})");
  ASSERT_TRUE(m) << describe(m.error());
  EXPECT_EQ(m->method, "PUT");
  EXPECT_EQ(m->url, "https://shop.example/orders/a%2Fb%20c?q=x%26y");
  EXPECT_EQ(m->target, "PUT https://shop.example/orders/a%2Fb%20c");
  EXPECT_EQ(m->body, R"({"a":1,"b":2})");
  EXPECT_EQ(header(*m, "x-who"), "ann");
  EXPECT_EQ(header(*m, "content-type"), "application/json");
  EXPECT_EQ(header(*m, "accept"), "application/json, */*;q=0.8");
  EXPECT_EQ(header(*m, "user-agent"), "ballast");
  EXPECT_EQ(header(*m, "x-ballast-fence"), "7");
  EXPECT_EQ(header(*m, "idempotency-key"), "") << "PUT is natural: no key is asked for";
  EXPECT_EQ(m->idempotency_key, "");
}

TEST(HttpCall, SaysItsKeyAndItsFenceWhateverTheFlowSays) {
  const auto flow = calling(R"({url: "https://a.example/", method: POST, idempotency: key, headers: {Idempotency-Key: theirs, X-Ballast-Fence: "99", Accept: text/html, User-Agent: me, Content-Type: a/b}, body: '"text"'})");
  const auto m = made(flow);
  ASSERT_TRUE(m) << describe(m.error());
  EXPECT_EQ(header(*m, "idempotency-key"), "run_1:call:00");
  EXPECT_EQ(m->idempotency_key, "run_1:call:00");
  EXPECT_EQ(header(*m, "x-ballast-fence"), "7");
  EXPECT_EQ(header(*m, "accept"), "text/html");
  EXPECT_EQ(header(*m, "user-agent"), "me");
  EXPECT_EQ(header(*m, "content-type"), "a/b");
  EXPECT_EQ(m->body, "text") << "a text goes as it is";
  EXPECT_EQ(header(*made(flow, "{}", "k", ""), "x-ballast-fence"), "") << "no lease, no fence";
}

TEST(HttpCall, TheDigestIsOfAllThatIsSentButTheFence) {
  const std::string base = R"({url: "https://a.example/x", method: POST, idempotency: key, headers: {X-A: "{{ .input.a }}"}, body: '{n: .input.n}'})";
  const auto flow = calling(base);
  const Digest first = made(flow, R"({"a":"1","n":1})")->arguments;
  EXPECT_EQ(made(flow, R"({"n":1.0,"a":"1"})")->arguments, first) << "the same values";
  EXPECT_EQ(made(flow, R"({"a":"1","n":1})", "run_1:call:00", "8")->arguments, first) << "another lease";
  EXPECT_NE(made(flow, R"({"a":"2","n":1})")->arguments, first);
  EXPECT_NE(made(flow, R"({"a":"1","n":2})")->arguments, first);
  EXPECT_NE(made(flow, R"({"a":"1","n":1})", "other")->arguments, first);
  const auto m = *made(flow, R"({"a":"1","n":1})");
  std::string text = "POST https://a.example/x\n";
  for (const auto& [name, value] : m.headers)
    if (name != "x-ballast-fence") text += name + ": " + value + "\n";
  EXPECT_EQ(first, sha256(text + "\n" + m.body));
}

TEST(HttpCall, AUrlThatIsNoneIsRefusedAtItsPlace) {
  const auto flow = calling(R"({url: "{{ .input.u }}"})");
  for (const char* url : {"", "shop.example/x", "ftp://a.example/", "file:///etc/passwd", "http://", "http://a b.example/", "https://me:word@a.example/", "http://a.example:0/", "http://a.example/\x01",
                          "http://a.example/x y", "http://a.example/x\r\nX-Evil: 1", "javascript:alert(1)"}) {
    const auto m = made(flow, to_json(json::object{{"u", url}}));
    ASSERT_FALSE(m) << url;
    EXPECT_EQ(m.error().code, ErrorCode::caller_invalid_request) << url;
    EXPECT_EQ(m.error().field, "stages.call.http.url") << url;
  }
}

TEST(HttpCall, AValueDoesNotLeadOutOfItsPath) {
  const auto flow = calling(R"({url: "https://a.example/users/{{ .input.id }}/card"})");
  for (const char* id : {"..", ".", "../../admin", "x/../..", "%2e%2e", "%2E.", ".%2e/x"}) {
    const auto m = made(flow, to_json(json::object{{"id", id}}));
    ASSERT_FALSE(m) << id;
    EXPECT_NE(m.error().message.find("must not lead out of it"), std::string::npos) << m.error().message;
    EXPECT_EQ(m.error().field, "stages.call.http.url");
  }
  EXPECT_TRUE(made(flow, R"({"id":"..x"})"));
  EXPECT_TRUE(made(calling(R"({url: "https://a.example/x?path=../y"})"))) << "what a query says is the other side's";
}

TEST(HttpCall, AValueNeverBecomesAnotherHeader) {
  const auto flow = calling(R"({url: "https://a.example/", headers: {X-Note: "{{ .input.note }}"}})");
  for (const char* note : {"a\r\nX-Admin: yes", "a\nX-Admin: yes", "a\rb", "a\x01z", "a\x7f"}) {
    const auto m = made(flow, to_json(json::object{{"note", note}}));
    ASSERT_FALSE(m) << note;
    EXPECT_EQ(m.error().code, ErrorCode::caller_invalid_request);
    EXPECT_EQ(m.error().field, "stages.call.http.headers.X-Note");
    EXPECT_EQ(m.error().message, "the header X-Note would hold a line break or a control character");
  }
  EXPECT_TRUE(made(flow, to_json(json::object{{"note", "a\r\n"}}))) << "blanks around it are no part of a value";
  const auto large = made(flow, to_json(json::object{{"note", std::string(kMaxHeaderValue + 1, 'x')}}));
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::caller_too_large);
  EXPECT_EQ(large.error().field, "stages.call.http.headers.X-Note");
}

TEST(HttpCall, HeadersOfTheConnectionAreNotTheFlows) {
  for (const char* name : {"Host", "content-length", "Transfer-Encoding", "Connection", "keep-alive", "Expect", "TE", "Upgrade"}) {
    const auto m = made(calling(fmt::format(R"({{url: "https://a.example/", headers: {{{}: x}}}})", name)));
    ASSERT_FALSE(m) << name;
    EXPECT_NE(m.error().message.find("leave it out"), std::string::npos) << m.error().message;
  }
}

TEST(HttpCall, AKeyIsWhatAHeaderCanCarry) {
  const auto flow = calling(R"({url: "https://a.example/", method: POST, idempotency: key})");
  for (const std::string& key : {std::string(), std::string("a b"), std::string("a\r\nb"), std::string("\xc3\xbc"), std::string(256, 'k')}) {
    const auto m = made(flow, "{}", key);
    ASSERT_FALSE(m) << key;
    EXPECT_EQ(m.error().code, ErrorCode::caller_invalid_request);
    EXPECT_NE(m.error().message.find("255"), std::string::npos);
  }
  EXPECT_TRUE(made(flow, "{}", std::string(255, 'k')));
}

TEST(HttpCall, SecretsStayInTheRequestAlone) {
  const auto flow = calling(R"({url: "https://a.example/hook/${SECRET}/x?token=${SECRET}", headers: {Authorization: "Bearer ${SECRET}", X-Bad: "{{ .input.h | ltrimstr(\"${SECRET}\") }}"}})");
  const auto m = made(flow, R"({"h":"fine"})");
  ASSERT_TRUE(m) << describe(m.error());
  EXPECT_EQ(header(*m, "authorization"), "Bearer " + std::string(kSecret));
  expect_no_secret(m->target);
  const auto failed = made(calling(R"({url: "https://a.example/", headers: {Authorization: "Bearer ${SECRET}{{ \"${SECRET}\" | error }}"}})"));
  ASSERT_FALSE(failed);
  expect_no_secret(describe(failed.error()));
  EXPECT_EQ(failed.error().message, "the header Authorization cannot be made of what the run has: an expression in it fails");
  for (const char* call : {R"({url: "https://a.example/{{ \"${SECRET}\" | error }}"})", R"({url: "https://a.example/", method: POST, body: '"${SECRET}" | error'})"}) {
    const auto wrong = made(calling(call));
    ASSERT_FALSE(wrong);
    expect_no_secret(describe(wrong.error()));
  }
}

TEST(HttpCall, AValueOfTheEnvironmentIsHiddenWhateverItLooksLike) {
  const std::map<std::string, std::string> env{{"PLAIN", "plain word/97"}, {"SHOP", "https://shop.example:8443/an-odd-place"}};
  const auto flow = good_flow(R"(flow: f
stages:
  call: {http: {url: '${SHOP}/hooks/{{ "${PLAIN}" | @uri }}', method: POST, idempotency: key, body: '"${PLAIN}"'}}
)", env);
  const auto m = made(flow, "{}", "of-an-odd-place-7");
  ASSERT_TRUE(m) << describe(m.error());
  EXPECT_EQ(m->url, "https://shop.example:8443/an-odd-place/hooks/plain%20word%2F97");
  EXPECT_EQ(m->target, "POST https://shop.example:8443/[redacted:SHOP]/hooks/[redacted:PLAIN]");
  EXPECT_EQ(m->body, "plain word/97");
  EXPECT_EQ(header(*m, "idempotency-key"), "of-an-odd-place-7");
  EXPECT_EQ(m->idempotency_key, "of-[redacted:SHOP]-7");
  const auto wrong = good_flow("flow: f\nstages:\n  call: {http: {url: 'https://a.example/', method: POST, body: '\"it is ${PLAIN}\" | error'}}\n", env);
  EXPECT_EQ(made(wrong).error().message.find("plain"), std::string::npos) << made(wrong).error().message;
}

// ---- settlements ----

FlowPtr settling(std::string_view effect, std::string_view key = "") {
  return good_flow(fmt::format("flow: f\nstages:\n  pay: {{settle: {{values: '{{n: 1}}', effect: {{http: {}}}{}}}}}", effect, key));
}
Result<HttpRequestMade> settled(const FlowPtr& flow, json::value values) {
  return make_settlement(*flow->find("pay")->as<SettleStage>(), json::object{{"values", std::move(values)}, {"run", json::object{{"id", "run_1"}}}}, "run_1:pay:00", "7");
}

TEST(HttpSettlement, SendsTheValuesUnderItsKey) {
  const auto plain = settled(settling(R"({url: "https://bank.example/pay", method: POST, idempotency: key})"), json::object{{"to", "x"}, {"amount", 5}});
  ASSERT_TRUE(plain) << describe(plain.error());
  EXPECT_EQ(plain->body, R"({"amount":5,"to":"x"})");
  EXPECT_EQ(plain->idempotency_key, "run_1:pay:00");
  const auto own = settling(R"({url: "https://bank.example/pay", body: '{sum: .values.amount, run: .run.id}'})", ", key: '.values.invoice'");
  EXPECT_EQ(own->find("pay")->as<SettleStage>()->effect.idempotency, Idempotency::key) << "who names a key has one honoured";
  const auto keyed = settled(own, json::object{{"amount", 5}, {"invoice", "INV-7"}});
  ASSERT_TRUE(keyed) << describe(keyed.error());
  EXPECT_EQ(keyed->body, R"({"run":"run_1","sum":5})");
  EXPECT_EQ(keyed->idempotency_key, "INV-7");
  const json::value pair = json::array{1, "a"};
  EXPECT_EQ(settled(own, json::object{{"amount", 5}, {"invoice", pair}})->idempotency_key, to_hex(value_digest(pair)));
  for (const json::value& bad : {json::value(nullptr), json::value(""), json::value("a b")}) {
    const auto refused = settled(own, json::object{{"amount", 5}, {"invoice", bad}});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::caller_invalid_request);
    EXPECT_EQ(refused.error().field, "stages.pay.settle.key");
  }
}

TEST(HttpSettlement, AKeyThatNobodySendsIsAMistake) {
  std::vector<ConfigMistake> mistakes;
  EXPECT_FALSE(read_flow("flow: f\nstages:\n  pay: {settle: {values: '1', key: '\"k\"', effect: {http: {url: \"https://a.example/\", method: POST, idempotency: none}}}}", "f.yaml", fixed_environment({}),
                         {}, &mistakes));
  ASSERT_EQ(mistakes.size(), 1u);
  EXPECT_EQ(mistakes[0].field, "stages.pay.settle.key");
}

// ---- sent ----

struct Sent : testing::Test {
  std::expected<HttpAnswer, HttpFailure> ask(const FlowPtr& flow, Duration timeout = 10s, std::size_t most = 1u << 16, CancelToken cancel = nullptr) {
    const auto m = made(flow);
    EXPECT_TRUE(m);
    return loop.run(send(loop, web, *m, call_of(flow), timeout, most, cancel));
  }
  void says(FakeWeb::Says what) {
    web.answer = [what = std::move(what)](const FakeWeb::Seen&) { return what; };
  }
  SimClock clock;
  SimLoop loop{clock};
  FakeWeb web;
  const FlowPtr get = calling(R"({url: "https://a.example/x"})");
  const FlowPtr once = calling(R"({url: "https://a.example/x", method: POST, risk: write})");
  const FlowPtr keyed = calling(R"({url: "https://a.example/x", method: POST, risk: write, idempotency: key})");
};

TEST_F(Sent, TheAnswerIsStatusHeadersAndBody) {
  says({.status = 201, .body = R"({"id": 7})", .headers = {{"X-A", "1"}, {"x-a", " 2"}, {"Set-Cookie", "session=secret"}, {"ETag", "\xff"}}});
  const auto a = ask(keyed);
  ASSERT_TRUE(a) << describe(a.error().error);
  EXPECT_EQ(canonical_json(a->output), "{\"body\":{\"id\":7},\"headers\":{\"etag\":\"\xEF\xBF\xBD\",\"x-a\":\"1, 2\"},\"status\":201}");
  EXPECT_EQ(a->outcome, R"({"status":201,"digest":")" + to_hex(sha256(R"({"id": 7})")) + "\"}");
  says({.body = "not {json"});
  EXPECT_EQ(ask(get)->output.at("body"), "not {json");
  says({.status = 204});
  EXPECT_EQ(ask(get)->output.at("body"), "");
  says({.body = "\xff\xfe"});
  EXPECT_EQ(ask(get)->output.at("body"), "\xEF\xBF\xBD\xEF\xBF\xBD") << "what is no text is marked";
}

TEST_F(Sent, WhatMustNotBeMadeTwiceHasAConnectionOfItsOwn) {
  ASSERT_TRUE(ask(once));
  ASSERT_TRUE(ask(keyed));
  EXPECT_TRUE(web.seen[0].fresh);
  EXPECT_FALSE(web.seen[0].replay_safe);
  EXPECT_FALSE(web.seen[1].fresh);
  EXPECT_TRUE(web.seen[1].replay_safe);
}

TEST_F(Sent, EveryFailureSaysWhetherItMayHaveHappened) {
  struct Case { const char* what; FakeWeb::Says says; ErrorCode code; bool retryable, arrived; };
  const Case cases[] = {
      {"refused by the guard", {.error = Error{ErrorCode::policy_egress_denied, "requests to a.example are not allowed", "a.example", false, {}, {}, {}, {}}, .sent = false}, ErrorCode::policy_egress_denied, false, false},
      {"no connection", {.error = test::unreachable(), .sent = false}, ErrorCode::provider_unreachable, true, false},
      {"cut after it was sent", {.error = test::unreachable("reset"), .sent = true}, ErrorCode::provider_unreachable, true, true},
      {"no HTTP", {.error = Error{ErrorCode::provider_bad_response, "no HTTP", {}, false, {}, {}, {}, {}}}, ErrorCode::provider_bad_response, false, true},
      {"429", {.status = 429, .headers = {{"retry-after", "7"}}}, ErrorCode::provider_rate_limited, true, false},
      {"503", {.status = 503, .headers = {{"retry-after", "7"}}}, ErrorCode::provider_error, true, true},
      {"500", {.status = 500}, ErrorCode::provider_error, true, true},
      {"400", {.status = 400}, ErrorCode::provider_rejected, false, false},
      {"404", {.status = 404}, ErrorCode::provider_rejected, false, false},
      {"302", {.status = 302, .headers = {{"location", "http://127.0.0.1/"}}}, ErrorCode::provider_rejected, false, false},
      {"silence", {.silent = true}, ErrorCode::provider_timeout, true, true},
      {"too large", {.body = std::string((1u << 16) + 1, 'x')}, ErrorCode::provider_bad_response, true, true},
  };
  for (const Case& c : cases) {
    says(c.says);
    const auto a = ask(once);
    ASSERT_FALSE(a) << c.what;
    const HttpFailure& f = a.error();
    EXPECT_EQ(f.error.code, c.code) << c.what << ": " << describe(f.error);
    EXPECT_EQ(f.error.retryable, c.retryable) << c.what;
    EXPECT_EQ(f.may_have_arrived, c.arrived) << c.what;
    EXPECT_FALSE(f.accepted) << c.what;
    EXPECT_EQ(may_retry(f, Idempotency::none), !c.arrived) << c.what;
    EXPECT_TRUE(may_retry(f, Idempotency::key) && may_retry(f, Idempotency::natural)) << c.what;
    EXPECT_EQ(state_after(f, false), c.arrived ? EffectState::unknown : EffectState::failed) << c.what;
    EXPECT_EQ(state_after(f, true), EffectState::failed) << c.what;
    EXPECT_NE(f.outcome.find(to_string(c.code)), std::string::npos) << f.outcome;
  }
  says({.status = 503, .headers = {{"retry-after", "7"}}});
  EXPECT_EQ(ask(once).error().retry_after, 7s);
  says({.error = Error{ErrorCode::policy_egress_denied, "no", "a.example", false, {}, {}, {}, {}}, .sent = false});
  EXPECT_EQ(ask(once).error().error.field, "stages.call.http.url");
}

TEST_F(Sent, A2xxThatIsNotExpectedMayHaveHappened) {
  const auto flow = calling(R"({url: "https://a.example/x", method: POST, risk: write, expect: [201, 404]})");
  says({.status = 200});
  const auto a = ask(flow);
  ASSERT_FALSE(a);
  EXPECT_EQ(a.error().error.code, ErrorCode::provider_rejected);
  EXPECT_TRUE(a.error().may_have_arrived);
  says({.status = 404, .body = "null"});
  EXPECT_TRUE(ask(flow)) << "as the flow expects";
}

TEST_F(Sent, AnAnswerAgainstItsSchemaHasHappenedAllTheSame) {
  const auto flow = calling(R"({url: "https://a.example/x", method: POST, risk: write, schema: {type: object, required: [id], properties: {id: {type: integer}}}})");
  says({.body = R"({"id":"seven"})"});
  const auto a = ask(flow);
  ASSERT_FALSE(a);
  EXPECT_EQ(a.error().error.code, ErrorCode::provider_bad_response);
  EXPECT_EQ(a.error().error.field, "body/id");
  EXPECT_TRUE(a.error().accepted);
  EXPECT_EQ(state_after(a.error(), false), EffectState::confirmed);
}

TEST_F(Sent, OnlyWhatIsSafeFollowsARedirect) {
  web.answer = [](const FakeWeb::Seen& s) { return s.url.ends_with("/x") ? FakeWeb::Says{.status = 302, .headers = {{"location", "/y"}}} : FakeWeb::Says{.body = "1"}; };
  ASSERT_TRUE(ask(get));
  EXPECT_EQ(web.seen.back().url, "https://a.example/y");
  ASSERT_FALSE(ask(once));
  ASSERT_FALSE(ask(keyed));
  EXPECT_TRUE(ask(calling(R"({url: "https://a.example/x", expect: [3xx]})"))) << "it is what was asked for";
}

TEST_F(Sent, EndsSoonAfterItsCancellation) {
  says({.silent = true});
  CancelSource cancel;
  Timer timer;
  loop.arm(timer, clock.mono() + 1s, [](void* c) { static_cast<CancelSource*>(c)->cancel(); }, &cancel);
  const MonoTime before = clock.mono();
  const auto a = ask(once, 1h, 1u << 16, &cancel);
  ASSERT_FALSE(a);
  EXPECT_EQ(a.error().error.code, ErrorCode::caller_cancelled);
  EXPECT_TRUE(a.error().may_have_arrived);
  EXPECT_LT(clock.mono() - before, 2s);
}

}  // namespace
}  // namespace ballast::work
