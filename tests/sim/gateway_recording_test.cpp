// What is kept of calls, whatever road they took: whole and streamed, from memory, rescued, broken off, failed.
#include <thread>

#include "../support/temp_dir.hpp"
#include "gateway/recorder.hpp"
#include "records/migrations.hpp"
#include "road_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;

struct Rules {
  RecordMode mode = RecordMode::full;
  double share = 1;
  bool errors = true;
  std::size_t max_bytes = 256u << 10;
};

std::shared_ptr<const RecordRule> rule(Rules r) {
  return std::make_shared<const RecordRule>(RecordRule{.mode = r.mode, .share = r.share, .errors = r.errors, .max_bytes = r.max_bytes, .redactor = *Redactor::create()});
}

// The house, with a recorder in it.
struct Listening {
  ballast::test::TempDir folder;
  std::unique_ptr<store::Database> database = *store::open_database("sqlite:" + (folder / "r.db"));
  House house;
  Recorder recorder{*database, house.clock, house.registry, {.retention = Duration::zero()}};

  explicit Listening(Options o, Rules r = {}, bool on = true) : house([&] {
    if (on) o.route.record = rule(r);
    return o;
  }()) {
    EXPECT_TRUE(database->migrate(records::migrations()));
    auto setup = std::make_shared<Setup>(*house.gateway->setup());
    setup->records_messages = true;
    World world = house.gateway->world();
    world.recorder = &recorder;
    house.gateway = std::make_unique<Gateway>(world, setup);
  }
  Result<records::RecordedCall> kept(const records::CallRecord& call) {
    for (int i = 0; i < 5000 && !recorder.idle(); ++i) std::this_thread::sleep_for(1ms);
    EXPECT_TRUE(recorder.idle());
    return database->read_now([&](store::Tx& tx) { return records::get_messages(tx, call.id); });
  }
  std::uint64_t counted(std::string_view outcome) { return house.registry.counters("ballast_recordings_total", "", {"outcome"}).with({outcome}).value(); }
};

std::string said(Wire wire, std::string_view reply) {
  const auto document = parse_json(reply);
  const auto read = document ? llm::parse_reply(wire, *document) : Result<llm::ChatReply>(fail(document.error()));
  std::string text;
  if (!read) return "(" + read.error().message + ") " + std::string(reply);
  for (const auto& choice : read->choices)
    for (const auto& part : choice.parts)
      if (const auto* t = std::get_if<llm::Text>(&part.body)) text += t->text;
  return text;
}

TEST(GatewayRecording, EveryWireWholeAndStreamedIsKeptAsAWholeReply) {
  for (const Wire wire : kAll)
    for (const bool stream : {false, true}) {
      SCOPED_TRACE(std::string(to_string(wire)) + (stream ? " streamed" : " whole"));
      Listening l({});
      Asked asked{.wire = wire, .stream = stream};
      l.house.serve(asked.call());
      const auto record = l.house.record();
      const auto kept = l.kept(record);
      ASSERT_TRUE(kept) << kept.error().message;
      EXPECT_EQ(*parse_json(kept->request), *parse_json(asked.body));
      EXPECT_EQ(said(wire, kept->reply), kFirstSays);
      EXPECT_TRUE(kept->full && kept->whole && !kept->redacted && !kept->truncated);
      EXPECT_EQ(kept->key_id, "config:app");
      EXPECT_EQ(l.counted("kept"), 1u);
    }
}

TEST(GatewayRecording, OffMeansNothing) {
  Listening off({}, {}, false);
  Asked asked;
  off.house.serve(asked.call());
  EXPECT_FALSE(off.kept(off.house.record()));
  Listening full({});
  Call call = asked.call();
  call.record = "off";
  full.house.serve(call);
  EXPECT_EQ(full.kept(full.house.record()).error().code, ErrorCode::caller_not_found) << "its caller asked for that";
  call.record = "full";
  EXPECT_EQ(full.house.serve(call).head.status, 400) << "the header can only lessen";
}

TEST(GatewayRecording, ASampleIsTheShareAndTheSameEveryTime) {
  const auto r = rule({.mode = RecordMode::sampled, .share = 0.05});
  SeededRandom random(7);
  IdGenerator ids(7);
  int chosen = 0;
  for (int i = 0; i < 20'000; ++i) {
    const Id id = ids.next(WallTime(std::chrono::milliseconds(1'767'225'600'000 + i)));
    chosen += r->chooses(id);
    EXPECT_EQ(r->chooses(id), r->chooses(id));
  }
  EXPECT_NEAR(chosen, 1000, 150);
}

TEST(GatewayRecording, OfASampleOfNoneTheFailedStay) {
  const Rules none{.mode = RecordMode::sampled, .share = 0};
  Listening good({}, none);
  Asked asked;
  good.house.serve(asked.call());
  EXPECT_FALSE(good.kept(good.house.record()));

  Route alone{.targets = {*target_from("a/m", "t")}};
  alone.retries.attempts = 1;
  Listening bad({.first = {{.kind = SimFaultKind::http_500}}, .route = alone}, none);
  bad.house.serve(asked.call());
  const auto record = bad.house.record();
  EXPECT_EQ(record.status, records::CallStatus::failed);
  const auto kept = bad.kept(record);
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ(*parse_json(kept->request), *parse_json(asked.body));
  EXPECT_TRUE(parse_json(kept->reply)->as_object().contains("error")) << kept->reply;
  EXPECT_FALSE(kept->full);

  Listening silent({.first = {{.kind = SimFaultKind::http_500}}, .route = alone}, {.mode = RecordMode::sampled, .share = 0, .errors = false});
  silent.house.serve(asked.call());
  EXPECT_FALSE(silent.kept(silent.house.record()));
}

TEST(GatewayRecording, ARescuedStreamIsOneAnswer) {
  Route route;
  route.rescue = {.mode = RescueMode::proceed};
  Listening l({.first = {{.kind = SimFaultKind::cut, .after_tokens = 5}}, .route = route});
  Asked asked{.stream = true};
  const Caller& caller = l.house.serve(asked.call());
  const auto kept = l.kept(l.house.record());
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ(said(asked.wire, kept->reply), hear(asked.wire, caller).text);
  EXPECT_TRUE(kept->whole);
}

TEST(GatewayRecording, ABrokenStreamIsKeptAsFarAsItCame) {
  Listening l({.first = {{.kind = SimFaultKind::cut, .after_tokens = 5}}});
  Asked asked{.stream = true};
  const Caller& caller = l.house.serve(asked.call());
  const auto kept = l.kept(l.house.record());
  ASSERT_TRUE(kept) << kept.error().message;
  const auto reply = parse_json(kept->reply);
  EXPECT_EQ(reply->at("choices").at(0).at("message").at("content").as_string(), hear(asked.wire, caller).text);
  EXPECT_TRUE(reply->as_object().contains("error")) << kept->reply;
  EXPECT_FALSE(kept->whole);
}

TEST(GatewayRecording, ACallerWhoLeavesIsKeptAsFarAsHeHeard) {
  Listening l({});
  Asked asked{.stream = true};
  auto& caller = l.house.callers.emplace_back(l.house.loop);
  caller.leave_after = 600;
  l.house.serve(asked.call(), caller);
  const auto record = l.house.record();
  EXPECT_EQ(record.status, records::CallStatus::cancelled);
  const auto kept = l.kept(record);
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_FALSE(kept->whole);
  EXPECT_NE(kept->reply, "null");
}

TEST(GatewayRecording, AHitInTheCacheIsKeptToo) {
  Route route;
  route.cache.ttl = 1h;
  Listening l({.route = route});
  Asked asked;
  l.house.serve(asked.call());
  l.house.serve(asked.call());
  const auto hit = l.house.record();
  EXPECT_EQ(hit.cache, records::CacheState::hit);
  const auto kept = l.kept(hit);
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ(said(asked.wire, kept->reply), kFirstSays);
}

TEST(GatewayRecording, PersonalDataIsTakenOutAndWhatIsTooLongIsCut) {
  Listening l({}, {.max_bytes = 2048});
  Asked asked;
  Call call = asked.call();
  const std::string body = R"({"model":"chat","max_tokens":5,"messages":[{"role":"user","content":"I am ann@example.com. )" + std::string(10'000, 'x') + R"("}]})";
  call.body = body;
  l.house.serve(call);
  const auto kept = l.kept(l.house.record());
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_TRUE(kept->redacted && kept->truncated);
  EXPECT_LE(kept->request.size(), 2048u);
  ASSERT_TRUE(parse_json(kept->request)) << kept->request;
  EXPECT_TRUE(kept->request.contains("I am [email].") && kept->request.contains("bytes more]")) << kept->request.substr(0, 300);
}

TEST(GatewayRecording, WhatHasNoRoomIsCounted) {
  Listening l({});
  Recorder small(*l.database, l.house.clock, l.house.registry, {.calls = 4, .bytes = 4096, .retention = Duration::zero()});
  Recording big{.call = {.id = Id{.high = 1, .low = 1}}, .rule = rule({}), .request = {.bytes = std::string(10'000, 'x'), .type = "application/json", .size = 10'000}};
  EXPECT_FALSE(small.offer(std::move(big)));
  EXPECT_EQ(l.counted("dropped"), 1u);
  EXPECT_TRUE(small.idle());
  EXPECT_FALSE(small.full());
  Recorder none(*l.database, l.house.clock, l.house.registry, {.calls = 0, .retention = Duration::zero()});
  EXPECT_TRUE(none.full()) << "so nobody makes a copy for it";
  EXPECT_EQ(l.counted("dropped"), 2u);
}

TEST(GatewayRecording, WhatIsNoJsonIsANote) {
  Recording form{.call = {}, .rule = rule({}), .request = {.bytes = "--x\r\nann@example.com", .type = "multipart/form-data; boundary=x", .size = 20}, .reply = {.bytes = {}, .type = "text/event-stream", .size = 99'999'999}};
  form.streamed = true;
  const auto kept = finish_recording(std::move(form));
  EXPECT_EQ(kept.request, R"("[multipart/form-data, 20 bytes]")");
  EXPECT_EQ(kept.reply, R"("[text/event-stream, 99999999 bytes]")");
  EXPECT_TRUE(kept.truncated);
}

}  // namespace
}  // namespace ballast::gateway
