// OtlpSender: what the exporters share: bodies to a collector by OTLP/HTTP with JSON bodies (https://opentelemetry.io/docs/specs/otlp/,
// version 1.x), one request at a time, from one task on one loop, which a shutdown ends.
//
// 429, 502, 503, 504 and lost connections are tried again, after Retry-After or an exponential backoff with jitter; any other refusal, or
// the last attempt, gives the body up.
#pragma once
#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/cancel.hpp"
#include "base/random.hpp"
#include "base/scheduler.hpp"
#include "base/task_group.hpp"
#include "net/transport.hpp"

namespace ballast::server {

struct OtlpSending {
  net::Url url;                                        // of the signal, see `otlp_url`
  std::vector<std::pair<std::string, std::string>> headers;   // a collector's key; sent, never logged
  bool gzip = false;
  Duration timeout = std::chrono::seconds(10);         // one attempt
  unsigned attempts = 5;
  Duration backoff = std::chrono::seconds(1);          // doubled each time, half of it chance
  Duration max_backoff = std::chrono::seconds(30);     // also of what a collector asks for
  std::uint64_t seed = 1;                              // of the jitter
};
// ("http://127.0.0.1:4318", "traces") → "http://127.0.0.1:4318/v1/traces", as OTEL_EXPORTER_OTLP_ENDPOINT is read. caller_invalid_request.
Result<net::Url> otlp_url(std::string_view endpoint, std::string_view signal);

// Who sends: attributes of every resource.
struct OtlpResource {
  std::vector<std::pair<std::string, std::string>> attributes = {{"service.name", "ballast"}};
  std::string version;                                 // of the instrumentation, which is Ballast itself
};

// Everything but the constructor and `shut_down` belongs to the loop.
class OtlpSender {
 public:
  // `name` is that of the task in the log. `loop` and `transport` are borrowed and outlive it.
  OtlpSender(Scheduler& loop, net::Transport& transport, OtlpSending sending, std::string name);

  // The one task. Its last word is `end`.
  void start(Task<void> task) { tasks_.spawn(std::move(task)); }
  void end();

  struct Outcome {
    bool taken = false;
    std::uint64_t rejected = 0;                        // spans or data points, of those taken
    unsigned attempts = 0;
    std::string why;                                   // not taken
  };
  Task<Outcome> send(std::string body);

  Task<void> nap(Duration longest);                    // until `wake`, or the shutdown
  void wake() {
    if (napping_) napping_->cancel();
  }
  bool ending() const { return deadline_.has_value(); }

  // Lets the task end, which sees `ending`; what it sends after `patience` is given up. Blocks, from outside the loop, which still runs. Once.
  // False: the loop does not run; then `owner`, which holds all this, is kept alive for ever.
  bool shut_down(Duration patience, std::shared_ptr<void> owner);

 private:
  struct Answer;
  Task<Answer> attempt(const std::string& body);
  Task<bool> back_off(unsigned attempt, std::optional<Duration> asked);
  void stop(MonoTime at, std::shared_ptr<std::promise<void>> done);

  Scheduler& loop_;
  net::Transport& transport_;
  const OtlpSending sending_;
  SeededRandom random_;
  TaskGroup tasks_;
  CancelSource* napping_ = nullptr;
  CancelSource* backing_off_ = nullptr;                // the nap before another attempt
  CancelSource out_of_time_;                           // of the shutdown
  Timer last_call_;
  std::optional<MonoTime> deadline_;                   // set: shutting down
  std::shared_ptr<std::promise<void>> finished_;
};

}  // namespace ballast::server
