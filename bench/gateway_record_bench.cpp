// What recording costs: redaction by bytes, and what the call's own loop pays for a call on a route that records none, some or all.
#include <benchmark/benchmark.h>

#include "gateway/recording_sink.hpp"

namespace {

using namespace ballast;
using namespace ballast::gateway;

std::string prose(std::size_t bytes) {
  constexpr std::string_view piece = "Please summarise the meeting of 22 November 2026 for Ann Lee (ann.lee@example.com, +49 30 901820): we talked about invoice 4711, the move to "
                                     "Kubernetes 1.31, and who pays. Budget is 12,500 EUR; the call lasts 45 minutes. ";
  std::string out;
  while (out.size() < bytes) out += piece;
  return out;
}

void redact_text(benchmark::State& state) {
  const auto redactor = *Redactor::create();
  const std::string text = prose(64u << 10);
  for (auto _ : state) benchmark::DoNotOptimize(redactor->text(text));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}
BENCHMARK(redact_text);

void redact_forms_alone(benchmark::State& state) {
  const std::string text = prose(64u << 10);
  for (auto _ : state) benchmark::DoNotOptimize(hide_forms(text, Redactor::kAll));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}
BENCHMARK(redact_forms_alone);

void redact_own_pattern(benchmark::State& state) {
  const auto redactor = *Redactor::create(0, {{"national_id", "\\b[A-Z]{2}[0-9]{7}\\b"}});
  const std::string text = prose(64u << 10);
  for (auto _ : state) benchmark::DoNotOptimize(redactor->text(text));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}
BENCHMARK(redact_own_pattern);

std::string request_of(std::size_t bytes) { return R"({"model":"chat","messages":[{"role":"user","content":")" + prose(bytes) + "\"}]}"; }

// Everything the recorder's thread does with one call, but for the database.
void finish_one(benchmark::State& state) {
  const auto rule = std::make_shared<const RecordRule>(RecordRule{.mode = RecordMode::full, .redactor = *Redactor::create()});
  const std::string request = request_of(4u << 10), reply = R"({"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":")" + prose(1u << 10) + "\"}}]}";
  for (auto _ : state) {
    Recording r{.call = {.id = {.high = 1, .low = 1}}, .rule = rule, .request = {request, "application/json", request.size()}, .reply = {reply, "application/json", reply.size()}};
    benchmark::DoNotOptimize(records::pack_messages(finish_recording(std::move(r))));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * (request.size() + reply.size())));
}
BENCHMARK(finish_one);

// What the road adds to a streamed call of 200 pieces: the sink between, and the copies of chosen calls.
class Deaf final : public ReplySink {
 public:
  Scheduler& loop() override { std::abort(); }
  CancelToken gone() override { return nullptr; }
  Task<Result<void>> reply(ReplyHead, std::string_view) override { return done(); }
  Task<Result<void>> begin(ReplyHead, std::string_view) override { return done(); }
  Task<Result<void>> write(std::string_view) override { return done(); }
  Task<Result<void>> end(std::string_view) override { return done(); }
  void abort() override {}

 private:
  static Task<Result<void>> done() { co_return Result<void>{}; }
};

void stream_through(benchmark::State& state, double share, bool on) {
  const auto rule = std::make_shared<const RecordRule>(RecordRule{.mode = RecordMode::sampled, .share = share, .errors = false, .redactor = *Redactor::create()});
  const std::string request = request_of(4u << 10), piece(220, 'x');
  const Call call{.body = request};
  IdGenerator ids(1);
  SystemClock clock;
  Deaf deaf;
  for (auto _ : state) {
    const auto sink = on ? std::make_unique<RecordingSink>(deaf) : nullptr;
    ReplySink& out = on ? static_cast<ReplySink&>(*sink) : deaf;
    const Id id = ids.next(clock.wall());
    if (on) sink->arm(rule, call, id);
    for (int i = 0; i < 200; ++i) {
      auto written = out.write(piece);
      benchmark::DoNotOptimize(written);
    }
    if (on && rule->chooses(id)) benchmark::DoNotOptimize(std::string(call.body));   // what finish copies
  }
}
BENCHMARK_CAPTURE(stream_through, off, 0.0, false);
BENCHMARK_CAPTURE(stream_through, sampled_none_chosen, 0.0, true);
BENCHMARK_CAPTURE(stream_through, sampled_1_percent, 0.01, true);
BENCHMARK_CAPTURE(stream_through, full, 1.0, true);

}  // namespace
