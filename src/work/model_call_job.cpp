#include "work/model_call_job.hpp"

#include "base/json.hpp"
#include "work/job_trace.hpp"
#include "work/live_text.hpp"

namespace ballast::work {

namespace {

constexpr Duration kLongestWait = std::chrono::minutes(5);     // of a lease, for room in the limits
constexpr Duration kSnooze = std::chrono::seconds(1);          // where nobody said how long

enum class Fate : std::uint8_t { again, later, never };

Fate fate_of(const Error& error) {
  using enum ErrorCode;
  switch (error.code) {
    case policy_rate_limited: return error.retry_after ? Fate::later : Fate::never;
    case provider_rate_limited:
    case internal_unavailable: return Fate::later;
    case policy_budget_exceeded: return error.retry_after && *error.retry_after <= kBudgetPatience ? Fate::later : Fate::never;
    case caller_conflict: return error.retryable ? Fate::later : Fate::never;
    case caller_cancelled: return Fate::again;                 // its time was up, or the process ends
    case provider_rejected:
    case provider_context_length:
    case provider_content_filter: return error.told_retry.value_or(false) ? Fate::again : Fate::never;
    default: break;
  }
  const std::string_view name = to_string(error.code);
  return name.starts_with("caller_") || name.starts_with("policy_") ? Fate::never : Fate::again;
}

Outcome ended(Commit::To to, std::string output, std::optional<Error> error, std::optional<Duration> delay) {
  return {.to = to, .output = std::move(output), .error = std::move(error), .delay = delay, .also = {}, .children = {}};
}

Outcome degraded(ModelReply reply, const Lease& lease) {
  if (lease.attempt < lease.job->spec.max_attempts)
    return ended(Commit::To::failed, {}, Error{ErrorCode::provider_all_failed, "no provider answered; there was only a degraded answer (" + reply.served_by + ")"}, {});
  const auto rest = reply.body.find_first_not_of(" \t\r\n{");   // an object, and never an empty one
  return ended(Commit::To::done, R"({"ballast":{"degraded":")" + reply.served_by + R"("},)" + reply.body.substr(rest), {}, {});
}

}  // namespace

Outcome outcome_of(ModelReply reply, const Lease& lease, bool paced) {
  if (!reply.error && reply.degraded()) return degraded(std::move(reply), lease);
  if (!reply.error) return ended(Commit::To::done, std::move(reply.body), {}, {});
  Error& error = *reply.error;
  const std::optional<Duration> asked = error.retry_after ? std::optional<Duration>(*error.retry_after) : std::nullopt;
  switch (reply.never_asked() ? Fate::later : fate_of(error)) {
    case Fate::never: return ended(Commit::To::dead, {}, std::move(error), {});
    case Fate::again: return ended(Commit::To::failed, {}, std::move(error), asked);
    case Fate::later: break;
  }
  const bool never_called = error.code == ErrorCode::policy_rate_limited && reply.call_id.empty();
  return ended(Commit::To::snoozed, {}, std::move(error), never_called && paced ? Duration::zero() : asked.value_or(kSnooze));
}

std::optional<Duration> off_peak_wait(const JobSpec& spec, const std::optional<OffPeak>& off_peak, WallTime now) {
  if (!spec.may_wait || !off_peak) return std::nullopt;
  const WallTime opens = off_peak->opens(now);
  if (opens <= now || (spec.deadline && *spec.deadline <= opens)) return std::nullopt;
  return opens - now;
}

ModelRequest request_of(const Job& job, Duration patience) {
  const JobSpec& spec = job.spec;
  const CallShape* shape = call_shape(spec.name);
  ModelRequest r;
  if (shape) r.operation = shape->operation, r.wire = shape->wire;
  r.body = job.input;
  r.model = spec.model;
  r.key_id = spec.key_id;
  r.user = spec.user;
  r.feature = spec.feature;
  r.idempotency_key = to_string(job.id) + "/call";
  r.traceparent = traceparent_of(job);
  r.tracestate = spec.tracestate;
  r.tenant = spec.tenant.empty() ? spec.key_id : spec.tenant;
  r.may_wait = spec.may_wait;
  r.patience = patience;
  return r;
}

JobHandler call_handler(ModelCaller& caller, Engine& engine, Duration timeout, std::optional<OffPeak> off_peak, ProviderBatches* batches) {
  return [&caller, &engine, timeout, off_peak, batches](Lease lease, CancelToken cancel) -> Task<Outcome> {
    const JobSpec& spec = lease.job->spec;
    if (!call_shape(spec.name)) co_return ended(Commit::To::dead, {}, Error{ErrorCode::caller_invalid_request, "operation is one of " + call_names(), "call.operation"}, {});
    const Duration limit = spec.timeout > Duration::zero() ? spec.timeout : timeout;
    ModelRequest request = request_of(*lease.job, limit > Duration::zero() ? std::min(limit / 2, kLongestWait) : kLongestWait);
    if (batches && spec.may_wait) {
      auto way = co_await batches->way_of(lease, request);
      if (!way) co_return ended(Commit::To::snoozed, {}, std::move(way.error()), kSnooze);
      if (way->wait) co_return Outcome{.to = Commit::To::waiting, .output = {}, .error = {}, .delay = {}, .also = std::move(way->also), .children = {}};
      request.answered = std::move(way->answer);
    }
    const auto wait = request.answered ? std::nullopt : off_peak_wait(spec, off_peak, engine.home().clock().wall());
    if (wait) co_return ended(Commit::To::snoozed, {}, {}, *wait);
    const bool answered = request.answered.has_value();
    LiveText live(engine, lease);
    request.on_text = [&live](std::uint32_t choice, std::string_view text) { live.add(choice, text); };
    ModelReply reply = co_await caller.call(std::move(request), cancel);
    Outcome outcome = outcome_of(std::move(reply), lease, engine.paced(spec));
    outcome.also = co_await live.close();
    if (answered && outcome.to != Commit::To::snoozed)
      outcome.also = [told = std::move(outcome.also), kept = ProviderBatches::ended(lease.job->id, outcome.to == Commit::To::done)](store::Tx& tx) -> Result<void> {
        if (auto done = told ? told(tx) : Result<void>{}; !done) return done;
        return kept(tx);
      };
    co_return outcome;
  };
}

}  // namespace ballast::work
