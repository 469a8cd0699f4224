// Following scripts: in process and over HTTP.
#include <algorithm>

#include "base/json.hpp"
#include "llm/simulator/simulator.hpp"

namespace ballast::llm {

namespace {

enum class Woke : std::uint8_t { due, cancelled };

// Waits until `due` or until `cancel` fires.
class WaitFor {
 public:
  WaitFor(Scheduler& loop, MonoTime due, CancelToken cancel) : loop_(loop), due_(due), cancel_(cancel) {}
  bool await_ready() {
    if (cancel_ && cancel_->cancelled()) woke_ = Woke::cancelled;
    return woke_ == Woke::cancelled || loop_.clock().mono() >= due_;
  }
  void await_suspend(std::coroutine_handle<> h) {
    handle_ = h;
    if (due_ != MonoTime::max()) loop_.arm(timer_, due_, [](void* self) { static_cast<WaitFor*>(self)->wake(Woke::due); }, this);
    hook_.attach(cancel_, [](void* self) { static_cast<WaitFor*>(self)->wake(Woke::cancelled); }, this);
  }
  Woke await_resume() const { return woke_; }

 private:
  void wake(Woke why) {
    woke_ = why;
    timer_.cancel();
    hook_.detach();
    loop_.resume(std::exchange(handle_, {}));
  }
  Scheduler& loop_;
  MonoTime due_;
  CancelToken cancel_;
  Timer timer_;
  CancelHook hook_;
  std::coroutine_handle<> handle_;
  Woke woke_ = Woke::due;
};

Error timed_out(std::string field) {
  return Error{.code = ErrorCode::provider_timeout, .message = "the simulator was told to be slow", .field = std::move(field)};
}
Error cancelled() { return Error{.code = ErrorCode::caller_cancelled, .message = "nobody wants the answer any more"}; }

class SimResponse final : public net::ClientResponse {
 public:
  SimResponse(Scheduler& loop, SimScript script, CancelToken cancel) : loop_(loop), script_(std::move(script)), cancel_(cancel), due_(loop.clock().mono()) {}

  const net::ResponseHead& head() const override { return head_; }

  // Follows the script to the head.
  Task<Result<void>> begin(MonoTime deadline) {
    for (;;) {
      auto step = co_await next(deadline, "headers");
      if (!step) co_return fail(std::move(step.error()));
      if (!*step) co_return fail(ErrorCode::provider_bad_response, "the simulator's script has no head");
      if (const auto* head = std::get_if<SimHead>(*step)) {
        head_.status = head->status;
        for (const auto& [name, value] : head->headers) head_.headers.add(name, value);
        co_return Result<void>{};
      }
    }
  }

  Task<Result<std::string_view>> read_some(net::Deadline deadline) override {
    for (;;) {
      auto step = co_await next(deadline, "read");
      if (!step) co_return fail(std::move(step.error()));
      if (!*step) co_return std::string_view();
      if (const auto* bytes = std::get_if<SimBytes>(*step); bytes && !bytes->bytes.empty()) co_return std::string_view(bytes->bytes);
    }
  }

 private:
  // The next step whose time has come; null at the clean end.
  Task<Result<const SimStep*>> next(MonoTime deadline, const char* timer) {
    while (at_ < script_.steps.size()) {
      const SimStep& step = script_.steps[at_];
      if (const auto* wait = std::get_if<SimWait>(&step)) {
        const MonoTime due = due_ + wait->time;
        const Woke woke = co_await WaitFor(loop_, std::min(due, deadline), cancel_);
        if (woke == Woke::cancelled) co_return fail(cancelled());
        if (due > deadline) co_return fail(timed_out(timer));
        due_ = due;
        ++at_;
      } else if (std::holds_alternative<SimSilence>(step)) {
        const Woke woke = co_await WaitFor(loop_, deadline, cancel_);
        co_return fail(woke == Woke::cancelled ? cancelled() : timed_out(timer));
      } else if (std::holds_alternative<SimReset>(step)) {
        co_return fail(head_.status == 0 ? ErrorCode::provider_unreachable : ErrorCode::provider_bad_response, "the simulator reset the connection");
      } else {
        ++at_;
        co_return &step;
      }
    }
    co_return nullptr;
  }

  Scheduler& loop_;
  SimScript script_;
  CancelToken cancel_;
  MonoTime due_;                         // when the last wait ended: waits add up without drift
  std::size_t at_ = 0;
  net::ResponseHead head_;
};

}  // namespace

namespace {
// The model a body names; empty if it names none.
std::string model_in(std::string_view body) {
  const auto document = parse_json(body);
  if (!document) return {};
  return JsonRef(*document).maybe<std::string>("model").value_or(std::nullopt).value_or("");
}
constexpr std::string_view kNoSuchPath =
    R"({"error":{"message":"no such path","type":"invalid_request_error","param":null,"code":"not_found"}})";
SimScript no_such_path() {
  return {.steps = {SimHead{.status = 404, .headers = {{"content-type", "application/json"}}}, SimBytes{std::string(kNoSuchPath)}}};
}
}  // namespace

Simulator::Simulator(SimConfig config, const Clock& clock)
    : config_(std::move(config)), clock_(clock), started_(clock.mono()), random_(config_.seed) {}

SimScript Simulator::script(const SimRequest& asked, bool batch) {
  SimRequest request = asked;
  if (request.model.empty()) request.model = model_in(request.body);
  const auto model = config_.models.find(request.model);
  std::unique_lock lock(mutex_);
  const std::uint64_t number = ++counts_[model == config_.models.end() ? std::string("unknown") : request.model].requests;
  SeededRandom random(random_.next());   // planning happens outside the lock
  lock.unlock();
  SimScript script = plan(request, config_, number, clock_.mono() - started_, unix_ms(clock_.wall()) / 1000, random);
  if (model == config_.models.end()) return script;
  lock.lock();
  auto& count = counts_[request.model];
  count.input_tokens += script.input_tokens;
  count.output_tokens += script.output_tokens;
  count.images += script.images;
  count.cost += llm::cost({.input_uncached = script.input_tokens, .output = script.output_tokens, .images = script.images},
                          {.price = model->second.price.value_or(PriceSet{}), .per_image = model->second.per_image, .batch_percent = kSimBatchPercent}, batch);
  return script;
}

std::map<std::string, Simulator::Count> Simulator::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

Task<Result<std::unique_ptr<net::ClientResponse>>> SimTransport::send(Scheduler& loop, const net::ClientRequest& request, net::Timeouts timeouts,
                                                                      CancelToken cancel) {
  std::string body;
  for (const auto piece : request.body) body.append(piece);
  const std::string_view target = request.target.empty() ? std::string_view(request.url->target) : request.target, type = request.headers.get("content-type");
  auto script = simulator_.batch(request.method, target, body, type);
  if (const auto asked = script ? std::nullopt : sim_route(request.method, target, body, type)) script = simulator_.script(*asked);
  auto response = std::make_unique<SimResponse>(loop, script ? std::move(*script) : no_such_path(), cancel);
  auto begun = co_await response->begin(loop.clock().mono() + timeouts.headers);
  if (!begun) co_return fail(std::move(begun.error()));
  co_return std::unique_ptr<net::ClientResponse>(std::move(response));
}

namespace {

Task<void> tell_counts(net::Exchange& exchange, const Simulator& simulator) {
  json::object out;
  for (const auto& [model, c] : simulator.counts())
    out[model] = json::object{{"requests", c.requests}, {"input_tokens", c.input_tokens}, {"output_tokens", c.output_tokens}, {"images", c.images}, {"cost_usd", to_usd(c.cost)}};
  const std::string body = to_json(json::value(std::move(out)));
  const auto sent = co_await exchange.respond(200, net::Headers{{"content-type", "application/json"}}, body);
  (void)sent;                            // a reader that left wants nothing
}

// A non-streamed answer is sent whole; a stream piece by piece.
Task<void> follow(net::Exchange& exchange, const SimScript& script) {
  const SimHead* head = nullptr;
  MonoTime due = exchange.loop().clock().mono();
  for (const auto& step : script.steps) {
    if (const auto* wait = std::get_if<SimWait>(&step)) {
      due += wait->time;
      const Woke woke = co_await WaitFor(exchange.loop(), due, exchange.gone());
      if (woke == Woke::cancelled) co_return exchange.abort();
    } else if (const auto* h = std::get_if<SimHead>(&step)) {
      head = h;
      net::Headers headers;
      for (const auto& [name, value] : h->headers) headers.add(name, value);
      if (h->stream) {
        const auto begun = co_await exchange.start_stream(h->status, headers);
        if (!begun) co_return;
      }
    } else if (const auto* bytes = std::get_if<SimBytes>(&step)) {
      if (!head->stream) {
        net::Headers headers;
        for (const auto& [name, value] : head->headers) headers.add(name, value);
        const auto sent = co_await exchange.respond(head->status, headers, bytes->bytes);
        (void)sent;                      // a reader that left wants nothing
        co_return;
      }
      const auto sent = co_await exchange.write(bytes->bytes);
      if (!sent) co_return;
    } else if (std::holds_alternative<SimReset>(step)) {
      co_return exchange.abort();
    } else {
      co_await WaitFor(exchange.loop(), MonoTime::max(), exchange.gone());
      co_return exchange.abort();
    }
  }
  if (head && head->stream) {
    const auto ended = co_await exchange.finish();
    (void)ended;
  }
}

}  // namespace

Task<void> SimHandler::handle(net::Exchange& exchange) {
  const auto& request = exchange.request();
  if (request.path == "/sim/counts") co_return co_await tell_counts(exchange, simulator_);
  if (request.path == "/healthz") {
    const auto sent = co_await exchange.respond(200, net::Headers{{"content-type", "text/plain"}}, "ok\n");
    (void)sent;
    co_return;
  }
  const std::string_view type = request.headers.get("content-type");
  auto script = simulator_.batch(request.method, request.target, exchange.body(), type);
  if (const auto asked = script ? std::nullopt : sim_route(request.method, request.target, exchange.body(), type)) script = simulator_.script(*asked);
  if (!script) script = no_such_path();
  co_await follow(exchange, *script);
}

}  // namespace ballast::llm
