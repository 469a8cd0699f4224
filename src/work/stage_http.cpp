#include "work/stage_http.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "records/audit.hpp"
#include "work/canonical.hpp"
#include "work/effect_journal.hpp"
#include "work/http_call.hpp"

namespace ballast::work {
namespace {

using records::EffectKind;
using records::EffectState;

// ---- What is sent

std::string key_of(const std::string& key) { return key.size() <= records::kMaxEffectKey ? key : to_hex(sha256(key)); }

const HttpCall& http_of(const Stage& stage) {
  const auto* settle = stage.as<SettleStage>();
  return settle ? settle->effect : stage.as<HttpStage>()->call;
}

Result<void> fits_input(const StageCall& call, const Expr& sent, const json::value* value) {
  const Shape& wanted = call.stage.stage->input;
  if (!wanted || !sent) return {};
  if (value) return schema::require(*wanted.schema, *value, sent.at.field);
  const auto made = sent.jq->one(*call.stage.context);
  if (!made) return fail(made.error());
  return schema::require(*wanted.schema, *made, sent.at.field);
}

Result<HttpRequestMade> http_request(const StageCall& call) {
  const HttpCall& http = http_of(*call.stage.stage);
  if (auto fits = fits_input(call, http.body, nullptr); !fits) return fail(std::move(fits.error()));
  return make_request(http, *call.stage.context, key_of(call.stage.key), std::to_string(call.fence));
}

// A settlement that may leave. `refused`, where it may not for its taint, is told the digest of the values.
Result<HttpRequestMade> settlement(const StageCall& call, std::optional<Digest>* refused = nullptr) {
  const SettleStage& settle = *call.stage.stage->as<SettleStage>();
  auto values = settle.values.jq->one(*call.stage.context);
  if (!values) return fail(std::move(values.error()));
  if (auto fits = fits_input(call, settle.values, &*values); !fits) return fail(std::move(fits.error()));
  const Digest digest = value_digest(*values);
  if (auto may = may_settle(call.stage.path, call.stage.reads, digest, call.approved, call.stage.ways); !may) {
    if (refused) *refused = digest;
    return fail(std::move(may.error()));
  }
  json::object seen{{"values", std::move(*values)}};
  if (const auto* run = call.stage.context->get_object().if_contains("run")) seen["run"] = *run;
  return make_settlement(settle, seen, key_of(call.stage.key), std::to_string(call.fence));
}

Also told_refused(const StageCall& call, const Digest& values, const Error& why, WallTime now) {
  return [chain = to_string(call.run.id), now,
          entry = records::AuditEntry{.actor = "system", .action = std::string(records::audit::settle_refused), .subject = call.stage.path, .arguments = values,
                                      .outcome = to_json(json::object{{"why", http_of(*call.stage.stage).secrets->hide(why.message)}}), .at = now}](store::Tx& tx) -> Result<void> {
    if (auto head = records::append_audit(tx, chain, {&entry, 1}, now); !head) return fail(std::move(head.error()));
    return {};
  };
}

// Where the flow says so. No part of the request's arguments: a try after a crash is the same request. What the flow's own headers say stays.
void add_trace(HttpRequestMade& made, const HttpCall& http, const std::string& traceparent, const std::string& tracestate) {
  if (!http.trace || traceparent.empty()) return;
  if (std::ranges::any_of(made.headers, [](const auto& h) { return iequals(h.first, "traceparent") || iequals(h.first, "tracestate"); })) return;
  made.headers.emplace_back("traceparent", traceparent);
  if (!tracestate.empty()) made.headers.emplace_back("tracestate", tracestate);
}

// ---- What came of it

// A little before the stage's own limit, so that the call itself says how it ended.
Duration patience(Duration timeout) { return timeout - std::min<Duration>(timeout / 20, std::chrono::milliseconds(50)); }

Also begin(EffectTry t, const HttpRequestMade& made) { return begin_effect(std::move(t), made.target, made.arguments, made.idempotency_key); }

EffectKind kind_of(const Stage& stage) { return stage.kind() == StageKind::settle ? EffectKind::settle : EffectKind::http; }

EffectTry try_of(const StageCall& call, WallTime now) {
  return {.run = call.run.id, .fence = call.fence, .id = {.path = call.stage.path, .input = call.stage.input, .attempt = 1, .kind = kind_of(*call.stage.stage)}, .at = now};
}
EffectTry try_of(const UndoCall& call, WallTime now) {
  return {.run = call.of, .fence = call.fence, .id = {.path = call.undo.path, .input = call.undo.input, .attempt = 1, .kind = EffectKind::compensation}, .at = now};
}

Performed failed(const StageCall& call, const HttpRequestMade& made, HttpFailure failure, WallTime now) {
  const Stage& stage = *call.stage.stage;
  const Idempotency idempotency = http_of(stage).idempotency;
  const bool may = may_retry(failure, idempotency), cancelled = failure.error.code == ErrorCode::caller_cancelled;
  const bool again = may && call.stage.attempt < stage.retry.attempts && stage.retry.retries(failure.error);
  const EffectState state = state_after(failure, again);
  Performed done{.value = {}, .error = std::move(failure.error)};
  done.error->retryable = done.error->retryable && may;
  if (!is_effect(stage)) return done;
  if (state == EffectState::unknown && !(cancelled && may)) done.error = in_doubt(call.run.id, call.stage.path, made.target, std::move(*done.error));
  done.also = end_effect(try_of(call, now), state, std::move(failure.outcome));
  return done;
}

Task<Performed> perform(Scheduler& home, net::Transport& guarded, StageCall call) {
  const Stage& stage = *call.stage.stage;
  auto made = stage.kind() == StageKind::settle ? settlement(call) : http_request(call);
  if (!made) co_return Performed{.value = {}, .error = made.error()};
  add_trace(*made, http_of(stage), call.traceparent, call.run.spec.tracestate);
  auto answer = co_await send(home, guarded, *made, http_of(stage), patience(stage.timeout), kMaxHttpAnswer, call.cancel);
  const WallTime now = home.clock().wall();
  if (!answer) co_return failed(call, *made, std::move(answer.error()), now);
  Performed done{.value = std::make_shared<const json::value>(std::move(answer->output)), .error = {}};
  if (is_effect(stage)) done.also = end_effect(try_of(call, now), EffectState::confirmed, std::move(answer->outcome));
  co_return done;
}

// ---- Undoing

// Ends early when cancelled.
class Pause {
 public:
  Pause(Scheduler& home, Duration d, CancelToken cancel) : home_(home), due_(home.clock().mono() + d), cancel_(cancel) {}
  bool await_ready() const { return cancel_ && cancel_->cancelled(); }
  void await_suspend(std::coroutine_handle<> h) {
    waiter_ = h;
    home_.arm(timer_, due_, [](void* self) { static_cast<Pause*>(self)->end(); }, this);
    hook_.attach(cancel_, [](void* self) { static_cast<Pause*>(self)->end(); }, this);
  }
  void await_resume() const {}

 private:
  void end() {
    timer_.cancel();
    hook_.detach();
    if (const auto w = std::exchange(waiter_, {})) home_.resume(w);
  }
  Scheduler& home_;
  const MonoTime due_;
  const CancelToken cancel_;
  Timer timer_;
  CancelHook hook_;
  std::coroutine_handle<> waiter_;
};

Result<HttpRequestMade> undo_request(const UndoCall& call) {
  return make_request(*call.undo.stage->compensate, *call.undo.context, key_of(call.undo.key), std::to_string(call.fence));
}

Task<Performed> undo(Scheduler& home, net::Transport& guarded, UndoCall call) {
  const HttpCall& http = *call.undo.stage->compensate;
  auto made = undo_request(call);
  if (!made) co_return Performed{.value = {}, .error = made.error()};
  add_trace(*made, http, call.traceparent, call.run.spec.tracestate);
  for (std::uint32_t tries = 1;; ++tries) {
    auto answer = co_await send(home, guarded, *made, http, Duration{}, kMaxHttpAnswer, call.cancel);
    if (answer) co_return Performed{.value = {}, .error = {}, .cost = {}, .also = end_undoing(try_of(call, home.clock().wall()), EffectState::confirmed, std::move(answer->outcome))};
    HttpFailure& failure = answer.error();
    const bool may = may_retry(failure, http.idempotency);
    if (may && failure.error.retryable && tries < kUndoTries) {
      Pause pause(home, std::max(kUndoPause * (1u << (tries - 1)), std::min<Duration>(failure.retry_after.value_or(Duration{}), std::chrono::seconds(30))), call.cancel);
      co_await pause;
      if (!call.cancel || !call.cancel->cancelled()) continue;
      failure.error = Error{.code = ErrorCode::caller_cancelled, .message = "cancelled", .field = {}};
    }
    const bool cancelled = failure.error.code == ErrorCode::caller_cancelled;
    const EffectState state = state_after(failure, false);
    Performed done{.value = {}, .error = std::move(failure.error), .cost = {}, .also = end_undoing(try_of(call, home.clock().wall()), state, std::move(failure.outcome))};
    if (state == EffectState::unknown && !(cancelled && may)) done.error = in_doubt(call.of, call.undo.path, made->target, std::move(*done.error));
    co_return done;
  }
}

}  // namespace

Performer http_performer(Scheduler& home, net::Transport& guarded) {
  return {.prepare = [&home](const StageCall& call) -> Result<Also> {
            const auto made = http_request(call);
            if (!made) return fail(made.error());
            return is_effect(*call.stage.stage) ? begin(try_of(call, home.clock().wall()), *made) : Also();
          },
          .perform = [&home, &guarded](StageCall call) { return perform(home, guarded, call); }};
}

Performer settle_performer(Scheduler& home, net::Transport& guarded) {
  return {.prepare = [&home](const StageCall& call) -> Result<Also> {
            std::optional<Digest> refused;
            const auto made = settlement(call, &refused);
            const WallTime now = home.clock().wall();
            if (refused) return told_refused(call, *refused, made.error(), now);   // `perform` refuses it again, and sends nothing
            if (!made) return fail(made.error());
            return begin(try_of(call, now), *made);
          },
          .perform = [&home, &guarded](StageCall call) { return perform(home, guarded, call); }};
}

Undoer http_undoer(Scheduler& home, net::Transport& guarded) {
  return {.prepare = [&home](const UndoCall& call) -> Result<Also> {
            const auto made = undo_request(call);
            if (!made) return fail(made.error());
            return begin(try_of(call, home.clock().wall()), *made);
          },
          .perform = [&home, &guarded](UndoCall call) { return undo(home, guarded, call); }};
}

}  // namespace ballast::work
