#include "server/otlp_sender.hpp"

#include <algorithm>
#include <charconv>

#include "base/compress.hpp"
#include "base/json.hpp"
#include "base/log.hpp"

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

bool worth_repeating(int status) { return status == 429 || status == 502 || status == 503 || status == 504; }

std::optional<Duration> retry_after_of(const net::Headers& headers) {
  const auto text = headers.get("retry-after");        // a date instead of seconds counts as none
  unsigned seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return std::chrono::seconds(seconds);
}

// {"partialSuccess":{"rejectedSpans":"3"}}, or rejectedDataPoints: the collector threw some away; they are not to be sent again.
std::uint64_t rejected_of(std::string_view body) {
  const auto document = parse_json(body);
  if (!document) return 0;
  const auto partial = JsonRef(*document).find("partialSuccess");
  auto rejected = partial ? partial->find("rejectedSpans") : std::nullopt;
  if (partial && !rejected) rejected = partial->find("rejectedDataPoints");
  if (!rejected) return 0;
  if (const auto number = rejected->as<std::uint64_t>()) return *number;
  const auto text = rejected->as<std::string_view>().value_or(std::string_view());
  std::uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

}  // namespace

struct OtlpSender::Answer {
  enum class Verdict : std::uint8_t { taken, again, refused } verdict = Verdict::taken;
  std::optional<Duration> retry_after;
  std::uint64_t rejected = 0;
  std::string why;
};

OtlpSender::OtlpSender(Scheduler& loop, net::Transport& transport, OtlpSending sending, std::string name)
    : loop_(loop), transport_(transport), sending_(std::move(sending)), random_(sending_.seed), tasks_(std::move(name)) {}

void OtlpSender::end() {
  if (!finished_) return;
  last_call_.cancel();
  loop_.post([done = finished_] { done->set_value(); });   // later: the task has ended by then
}

Task<void> OtlpSender::nap(Duration longest) {
  if (deadline_) co_return;
  CancelSource woken;
  napping_ = &woken;
  co_await Nap(loop_, loop_.clock().mono() + longest, woken);
  napping_ = nullptr;
}

Task<OtlpSender::Outcome> OtlpSender::send(std::string body) {
  if (sending_.gzip) body = gzip(body);
  for (unsigned n = 1;; ++n) {
    Answer answer = co_await attempt(body);
    if (answer.verdict == Answer::Verdict::taken) co_return Outcome{.taken = true, .rejected = answer.rejected, .attempts = n, .why = {}};
    if (answer.verdict == Answer::Verdict::again && n < sending_.attempts) {
      const bool go_on = co_await back_off(n, answer.retry_after);
      if (go_on) continue;
    }
    co_return Outcome{.taken = false, .rejected = 0, .attempts = n, .why = std::move(answer.why)};
  }
}

Task<OtlpSender::Answer> OtlpSender::attempt(const std::string& body) {
  using enum Answer::Verdict;
  if (out_of_time_.cancelled()) co_return Answer{.verdict = refused, .why = "shutting down"};
  const std::string_view pieces[] = {body};
  net::ClientRequest request{.url = &sending_.url, .headers = {{"content-type", "application/json"}, {"user-agent", "ballast-otlp"}}, .body = pieces};
  if (sending_.gzip) request.headers.set("content-encoding", "gzip");
  for (const auto& [name, value] : sending_.headers) request.headers.set(name, value);
  auto sent = co_await transport_.send(loop_, request, {.connect = sending_.timeout, .headers = sending_.timeout}, &out_of_time_);
  if (!sent) co_return Answer{.verdict = again, .why = std::string(to_string(sent.error().code))};
  const net::ClientResponse& response = **sent;
  const int status = response.head().status;
  Answer answer{.verdict = status / 100 == 2 ? taken : worth_repeating(status) ? again : refused,
                .retry_after = retry_after_of(response.head().headers), .why = "status " + std::to_string(status)};
  const auto text = co_await (*sent)->read_all(kReplyBytes, net::deadline_after(loop_, sending_.timeout));
  if (answer.verdict == taken && text) answer.rejected = rejected_of(*text);   // a cut 2xx was still taken
  co_return answer;
}

// False if the shutdown leaves no time for another attempt.
Task<bool> OtlpSender::back_off(unsigned attempt, std::optional<Duration> asked) {
  const auto doubled = std::min<Duration>(sending_.max_backoff, Duration(sending_.backoff * (1ll << std::min(attempt - 1, 20u))));
  const auto jittered = doubled / 2 + Duration(static_cast<std::int64_t>(random_.uniform() * static_cast<double>(doubled.count() / 2)));
  const auto due = loop_.clock().mono() + std::min(asked.value_or(jittered), sending_.max_backoff);
  if (deadline_ && due >= *deadline_) co_return false;
  CancelSource stopping;
  backing_off_ = &stopping;
  co_await Nap(loop_, due, stopping);
  backing_off_ = nullptr;
  co_return !out_of_time_.cancelled();
}

void OtlpSender::stop(MonoTime at, std::shared_ptr<std::promise<void>> done) {
  if (tasks_.running() == 0) return done->set_value();
  deadline_ = at;
  finished_ = std::move(done);
  loop_.arm(last_call_, at, [](void* self) { static_cast<OtlpSender*>(self)->out_of_time_.cancel(); }, this);
  wake();
  if (backing_off_) backing_off_->cancel();
}

bool OtlpSender::shut_down(Duration patience, std::shared_ptr<void> owner) {
  auto done = std::make_shared<std::promise<void>>();
  auto over = done->get_future();
  loop_.post([this, owner, done, at = loop_.clock().mono() + patience] { stop(at, done); });
  if (over.wait_for(patience + kGrace) == std::future_status::ready) return true;
  new std::shared_ptr<void>(std::move(owner));           // a loop that does not run: its task must not outlive what it uses
  return false;
}

Result<net::Url> otlp_url(std::string_view endpoint, std::string_view signal) {
  std::string text(endpoint);
  while (text.ends_with('/')) text.pop_back();
  return net::parse_url(text.append("/v1/").append(signal), "telemetry.otlp");
}

}  // namespace ballast::server
