#include "server/otlp.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <future>
#include <optional>

#include "base/json.hpp"
#include "base/log.hpp"
#include "base/queue.hpp"
#include "base/random.hpp"
#include "base/task_group.hpp"

namespace ballast::server {

namespace {

constexpr Duration kGrace = std::chrono::seconds(1);   // for a cancelled request to come back
constexpr std::size_t kReplyBytes = 64 * 1024;

// Waits until `due`, or until the source given is cancelled.
class Nap {
 public:
  Nap(Scheduler& loop, MonoTime due, CancelSource& source) : loop_(loop), due_(due), source_(source) {}
  bool await_ready() const { return source_.cancelled() || loop_.clock().mono() >= due_; }
  void await_suspend(std::coroutine_handle<> h) {
    handle_ = h;
    loop_.arm(timer_, due_, [](void* self) { static_cast<Nap*>(self)->wake(); }, this);
    hook_.attach(&source_, [](void* self) { static_cast<Nap*>(self)->wake(); }, this);
  }
  void await_resume() const {}

 private:
  void wake() {
    timer_.cancel();
    hook_.detach();
    loop_.resume(std::exchange(handle_, {}));
  }
  Scheduler& loop_;
  MonoTime due_;
  CancelSource& source_;
  Timer timer_;
  CancelHook hook_;
  std::coroutine_handle<> handle_;
};

struct Answer {
  enum class Verdict : std::uint8_t { taken, again, refused } verdict = Verdict::taken;
  std::optional<Duration> retry_after;
  std::uint64_t rejected = 0;                          // spans, of those taken
  std::string why;
};

bool worth_repeating(int status) { return status == 429 || status == 502 || status == 503 || status == 504; }

std::optional<Duration> retry_after_of(const net::Headers& headers) {
  const auto text = headers.get("retry-after");        // a date instead of seconds counts as none
  unsigned seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return std::chrono::seconds(seconds);
}

// {"partialSuccess":{"rejectedSpans":"3"}}: the collector threw some away; they are not to be sent again.
std::uint64_t rejected_of(std::string_view body) {
  const auto document = parse_json(body);
  if (!document) return 0;
  const auto partial = JsonRef(*document).find("partialSuccess");
  const auto rejected = partial ? partial->find("rejectedSpans") : std::nullopt;
  if (!rejected) return 0;
  if (const auto number = rejected->as<std::uint64_t>()) return *number;
  const auto text = rejected->as<std::string_view>().value_or(std::string_view());
  std::uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

}  // namespace

struct OtlpExporter::State {
  State(Scheduler& l, net::Transport& t, metrics::Registry& registry, OtlpOptions o)
      : loop(l), transport(t), options(std::move(o)), queue(options.queue), random(options.seed),
        outcomes(registry.counters("ballast_spans_total", "Spans by what became of them on the way to the collector.", {"outcome"})),
        exported(outcomes.with({"exported"})), dropped(outcomes.with({"dropped"})), failed(outcomes.with({"failed"})) {}

  Scheduler& loop;
  net::Transport& transport;
  const OtlpOptions options;
  MpscQueue<trace::SpanRecord> queue;
  std::atomic<std::size_t> waiting{0};
  std::atomic<bool> working{false};                    // a task runs, or is about to
  std::atomic<bool> closed{false};

  // The rest is the loop's.
  SeededRandom random;
  TaskGroup tasks{"otlp"};
  CancelSource* gathering = nullptr;                   // the nap for company
  CancelSource* backing_off = nullptr;                 // the nap before another attempt
  CancelSource out_of_time;                            // of the shutdown
  Timer last_call;
  std::optional<MonoTime> deadline;                    // set: shutting down
  std::shared_ptr<std::promise<void>> finished;

  metrics::Family<metrics::Counter>& outcomes;
  metrics::Counter &exported, &dropped, &failed;

  Task<void> work();
  Task<void> gather();
  Task<void> deliver(std::size_t spans, std::string body);
  Task<Answer> attempt(const std::string& body);
  Task<bool> back_off(unsigned attempt, std::optional<Duration> asked);
  std::vector<trace::SpanRecord> take();
  void stop(MonoTime at, std::shared_ptr<std::promise<void>> done);
  void wake() {                                        // a wake-up may come late, when its batch has left
    if (gathering && (deadline || waiting.load() >= options.batch)) gathering->cancel();
  }
};

// Runs while there are spans. Its end and a producer's push settle by one exchange each who starts the next.
Task<void> OtlpExporter::State::work() {
  do {
    while (!queue.empty()) {
      co_await gather();
      const auto spans = take();
      if (!spans.empty()) co_await deliver(spans.size(), otlp_json(spans, options.service_name, options.service_version));
    }
    working.exchange(false);
  } while (!queue.empty() && !working.exchange(true));
  if (!finished) co_return;
  last_call.cancel();
  loop.post([done = finished] { done->set_value(); });   // later: this task has ended by then
}

Task<void> OtlpExporter::State::gather() {
  if (deadline || waiting.load() >= options.batch) co_return;
  CancelSource full;
  gathering = &full;
  co_await Nap(loop, loop.clock().mono() + options.every, full);
  gathering = nullptr;
}

std::vector<trace::SpanRecord> OtlpExporter::State::take() {
  std::vector<trace::SpanRecord> spans;
  spans.reserve(std::min(options.batch, waiting.load()));
  while (spans.size() < options.batch) {
    auto span = queue.try_pop();
    if (!span) break;
    spans.push_back(std::move(*span));
  }
  waiting.fetch_sub(spans.size());
  return spans;
}

Task<void> OtlpExporter::State::deliver(std::size_t spans, std::string body) {
  for (unsigned n = 1;; ++n) {
    const Answer answer = co_await attempt(body);
    if (answer.verdict == Answer::Verdict::taken) {
      const auto rejected = std::min<std::uint64_t>(answer.rejected, spans);
      exported.add(spans - rejected);
      failed.add(rejected);
      if (rejected) log::warn("spans_rejected", {{"spans", rejected}});
      co_return;
    }
    if (answer.verdict == Answer::Verdict::again && n < options.attempts) {
      const bool go_on = co_await back_off(n, answer.retry_after);
      if (go_on) continue;
    }
    failed.add(spans);
    log::warn("spans_not_exported", {{"spans", spans}, {"attempts", n}, {"why", answer.why}});
    co_return;
  }
}

Task<Answer> OtlpExporter::State::attempt(const std::string& body) {
  using enum Answer::Verdict;
  if (out_of_time.cancelled()) co_return Answer{.verdict = refused, .why = "shutting down"};
  const std::string_view pieces[] = {body};
  net::ClientRequest request{.url = &options.url, .headers = {{"content-type", "application/json"}, {"user-agent", "ballast-otlp"}}, .body = pieces};
  for (const auto& [name, value] : options.headers) request.headers.set(name, value);
  auto sent = co_await transport.send(loop, request, {.connect = options.timeout, .headers = options.timeout}, &out_of_time);
  if (!sent) co_return Answer{.verdict = again, .why = std::string(to_string(sent.error().code))};
  const net::ClientResponse& response = **sent;
  const int status = response.head().status;
  Answer answer{.verdict = status / 100 == 2 ? taken : worth_repeating(status) ? again : refused,
                .retry_after = retry_after_of(response.head().headers), .why = "status " + std::to_string(status)};
  const auto text = co_await (*sent)->read_all(kReplyBytes, net::deadline_after(loop, options.timeout));
  if (answer.verdict == taken && text) answer.rejected = rejected_of(*text);   // a cut 2xx was still taken
  co_return answer;
}

// False if the shutdown leaves no time for another attempt.
Task<bool> OtlpExporter::State::back_off(unsigned attempt, std::optional<Duration> asked) {
  const auto doubled = std::min<Duration>(options.max_backoff, Duration(options.backoff * (1ll << std::min(attempt - 1, 20u))));
  const auto jittered = doubled / 2 + Duration(static_cast<std::int64_t>(random.uniform() * static_cast<double>(doubled.count() / 2)));
  const auto due = loop.clock().mono() + std::min(asked.value_or(jittered), options.max_backoff);
  if (deadline && due >= *deadline) co_return false;
  CancelSource stopping;
  backing_off = &stopping;
  co_await Nap(loop, due, stopping);
  backing_off = nullptr;
  co_return !out_of_time.cancelled();
}

void OtlpExporter::State::stop(MonoTime at, std::shared_ptr<std::promise<void>> done) {
  if (tasks.running() == 0) return done->set_value();
  deadline = at;
  finished = std::move(done);
  loop.arm(last_call, at, [](void* self) { static_cast<State*>(self)->out_of_time.cancel(); }, this);
  wake();
  if (backing_off) backing_off->cancel();
}

OtlpExporter::OtlpExporter(Scheduler& loop, net::Transport& transport, metrics::Registry& metrics, OtlpOptions options)
    : state_(std::make_shared<State>(loop, transport, metrics, std::move(options))) {}

OtlpExporter::~OtlpExporter() { shut_down(Duration::zero()); }

void OtlpExporter::emit(trace::SpanRecord span) {
  State& s = *state_;
  if (s.closed.load(std::memory_order_relaxed) || !s.queue.try_push(std::move(span))) return s.dropped.add();
  const auto before = s.waiting.fetch_add(1);
  if (!s.working.exchange(true))
    s.loop.post([state = state_] { state->tasks.spawn(state->work()); });
  else if (before + 1 == s.options.batch)
    s.loop.post([state = state_] { state->wake(); });
}

bool OtlpExporter::shut_down(Duration patience) {
  State& s = *state_;
  if (s.closed.exchange(true) || !s.working.load()) return s.waiting.load() == 0;
  const auto failed = s.failed.value();
  auto done = std::make_shared<std::promise<void>>();
  auto over = done->get_future();
  s.loop.post([state = state_, done, at = s.loop.clock().mono() + patience] {
    state->stop(at, done);
  });
  if (over.wait_for(patience + kGrace) == std::future_status::ready) return s.failed.value() == failed;
  log::error("spans_exporter_stuck", {{"spans", s.waiting.load()}});
  new std::shared_ptr<State>(state_);                  // a loop that does not run: its task must not outlive what it uses
  return false;
}

OtlpExporter::Stats OtlpExporter::stats() const {
  return {.exported = state_->exported.value(), .dropped = state_->dropped.value(), .failed = state_->failed.value()};
}

Result<net::Url> otlp_traces_url(std::string_view endpoint) {
  std::string text(endpoint);
  while (text.ends_with('/')) text.pop_back();
  return net::parse_url(text + "/v1/traces", "telemetry.otlp");
}

}  // namespace ballast::server
