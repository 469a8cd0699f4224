// What a run waits for outside of this system: people who decide, and events. Asked in the transaction that records that the stage waits; an
// answer is used in the one that records it.
#include "base/json.hpp"
#include "work/approval_rows.hpp"
#include "work/canonical.hpp"
#include "work/runner_run.hpp"
#include "work/signal_rows.hpp"

namespace ballast::work {

namespace {

// Why it asks, for people; part of what a decision is bound to.
std::string policy_text(const ApproveWhen& when) {
  using Rule = ApproveWhen::Rule;
  switch (when.rule) {
    case Rule::always: return "always";
    case Rule::never: return "never";
    case Rule::risk: return fmt::format("what follows is {} or worse", to_string(when.risk));
    case Rule::confidence: return when.of.empty() ? fmt::format("confidence below {}", when.below) : fmt::format("confidence of {} below {}", when.of, when.below);
    case Rule::sample: return fmt::format("a sample of {} %", when.share * 100);
  }
  return {};
}

std::string key_text(const json::value& key) { return key.is_null() ? std::string() : canonical_json(key); }

StageRecord answer_to(const StageRecord& started, StageRecord::What what, WallTime at) {
  StageRecord r{.path = started.path, .input = started.input, .what = what, .attempt = started.attempt, .at = at, .value = {}, .output = {}, .confidence = {}, .fallback = false,
                .taint = {}, .cost = {}, .error = {}};
  return r;
}

StageRecord gives(const StageRecord& started, json::value value, WallTime at) {
  StageRecord r = answer_to(started, StageRecord::What::done, at);
  r.output = value_digest(value);
  r.value = std::make_shared<const json::value>(std::move(value));
  r.taint = started.taint;
  return r;
}

StageRecord refuses(const StageRecord& started, ApproveStage::Otherwise otherwise, Error error, WallTime at) {
  StageRecord r = answer_to(started, otherwise == ApproveStage::Otherwise::skip ? StageRecord::What::skipped : StageRecord::What::failed, at);
  if (r.what == StageRecord::What::failed) r.error = std::move(error);
  return r;
}

StageRecord decided(const StageRecord& started, const ApproveStage& stage, const Approval& a) {
  switch (a.state) {
    case ApprovalState::approved:
    case ApprovalState::edited:
      return gives(started, json::object{{"decision", "approved"}, {"value", a.value ? *a.value : *started.value->get_object().if_contains("value")}, {"by", a.by},
                                         {"at", to_rfc3339(a.decided)}, {"note", a.note.empty() ? json::value(nullptr) : json::value(a.note)}}, a.decided);
    case ApprovalState::rejected:
      return refuses(started, stage.on_reject, run_refusal(ErrorCode::caller_forbidden, fmt::format("{} rejected it{}{}", a.by, a.note.empty() ? "" : ": ", a.note)), a.decided);
    default: return refuses(started, stage.on_expire, run_refusal(ErrorCode::caller_timeout, "nobody decided within " + format_duration(stage.expires)), a.decided);
  }
}

}  // namespace

SignalWait wait_of(JobId job, const StageRecord& started) {
  SignalWait wait{.job = job, .path = started.path, .input = started.input, .name = {}, .key = {}};
  const auto* asked = started.value ? started.value->if_object() : nullptr;
  if (!asked) return wait;
  if (const auto* name = asked->if_contains("event"); name && name->is_string()) wait.name = std::string(name->get_string());
  if (const auto* key = asked->if_contains("key"); key && !key->is_null()) wait.key = key_text(*key);
  return wait;
}

void Runner::Run::note(const StageRecord& r) {
  const Stage* stage = flow->at_path(r.path);
  if (r.what == StageRecord::What::compensated) undone[r.path] = r.error;
  if (!stage || (stage->kind() != StageKind::approve && stage->kind() != StageKind::wait)) return;
  if (r.what == StageRecord::What::started) {
    asked.insert_or_assign({r.path, r.input}, r);
    return;
  }
  if (stage->kind() == StageKind::approve && r.what == StageRecord::What::done) decided.insert({r.path, r.input});
  const auto at = asked.find({r.path, r.input});
  if (at == asked.end()) return;
  if (const SignalWait wait = wait_of(journal, at->second); !wait.name.empty() && r.what == StageRecord::What::done) {
    WallTime& last = heard[{wait.name, wait.key.value_or("")}];
    last = std::max(last, r.at);
  }
  asked.erase(at);
}

ApprovalAsk ask_of(const Job& run, const Flow& flow, const ApproveStage& approval, const StageRecord& started) {
  ApprovalAsk ask{.job = run.id, .path = started.path, .input = started.input, .shown = *started.value->get_object().if_contains("value"), .flow = flow.name(),
                  .definition = flow.digest(), .policy = policy_text(approval.when), .key_id = run.spec.key_id, .user = run.spec.user, .assignees = approval.assignees,
                  .edit = {.allowed = approval.editable, .paths = approval.edit_paths, .schema = approval.edit_schema.text}, .signature = approval.signature,
                  .self = {}, .expires = started.at + approval.expires, .escalate = {}};
  if (approval.escalate) ask.escalate = {started.at + approval.escalate->after, approval.escalate->to};
  return ask;
}

// When this record is kept, whoever can answer is asked.
Result<void> Runner::ask_outside(Run& run, const StageRecord& r) {
  const Stage* stage = r.what == StageRecord::What::started ? run.flow->at_path(r.path) : nullptr;
  if (!stage) return {};
  if (const auto* approval = stage->as<ApproveStage>()) {
    run.also.push_back([ask = ask_of(*run.lease.job, *run.flow, *approval, r), at = r.at](store::Tx& tx) -> Result<void> {
      auto asked = request_approval(tx, ask, at);
      if (!asked) return fail(std::move(asked.error()));
      return {};
    });
    at("asked");
  } else if (const auto* wait = stage->as<WaitStage>(); wait && !wait->event.empty()) {
    run.listens = true;
    run.also.push_back([w = wait_of(run.id(), r), key_id = run.lease.job->spec.key_id](store::Tx& tx) { return put_wait(tx, w, key_id); });
    at("listening");
  }
  return {};
}

// What people have decided and what events have come since nobody had the run in hand.
Task<Result<void>> Runner::hear(Run& run) {
  if (run.asked.empty()) co_return Result<void>{};
  const Job& job = *run.lease.job;
  struct Heard {
    std::vector<Approval> decisions;
    std::vector<std::pair<const StageRecord*, Signal>> signals;
  };
  auto heard = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) -> Result<Heard> {
    auto decisions = decisions_of(tx, job.id);
    if (!decisions) return fail(std::move(decisions.error()));
    Heard out{.decisions = std::move(*decisions), .signals = {}};
    for (const auto& [at, started] : run.asked) {
      const SignalWait wait = wait_of(job.id, started);
      if (wait.name.empty()) continue;
      const auto last = run.heard.find({wait.name, wait.key.value_or("")});
      auto signal = find_signal(tx, wait, job.spec.key_id, last == run.heard.end() ? job.created : last->second);
      if (!signal) return fail(std::move(signal.error()));
      if (*signal) out.signals.emplace_back(&started, std::move(**signal));
    }
    return out;
  });
  if (!heard) co_return fail(std::move(heard.error()));
  for (const Approval& a : heard->decisions) {
    const auto at = run.asked.find({a.ask.path, a.ask.input});
    const Stage* stage = run.flow->at_path(a.ask.path);
    const auto* approval = stage ? stage->as<ApproveStage>() : nullptr;
    if (at == run.asked.end() || !approval) continue;
    const ApprovalAsk ask = ask_of(job, *run.flow, *approval, at->second);
    const Binding bound{.input = ask.input, .shown = value_digest(ask.shown), .definition = ask.definition, .policy = sha256(ask.policy), .key_id = ask.key_id, .user = ask.user};
    run.came.push_back({decided(at->second, *approval, a), [id = a.id, bound, now = engine_.home().clock().wall()](store::Tx& tx) -> Result<void> {
                          auto taken = take_decision(tx, id, bound, now);
                          if (!taken) return fail(std::move(taken.error()));
                          return {};
                        }});
    this->at("decision_heard");
  }
  for (const auto& [started, signal] : heard->signals) {
    auto payload = parse_json(signal.payload, {.max_bytes = kMaxSignal + 1, .max_depth = 512});
    StageRecord r = gives(*started, payload ? std::move(*payload) : json::value(nullptr), signal.at);
    r.taint.join(TaintOrigin{origin_path(started->path), TaintKind::event});
    run.came.push_back({std::move(r), [w = wait_of(job.id, *started)](store::Tx& tx) { return delete_wait(tx, w); }});
    at("event_heard");
  }
  co_return Result<void>{};
}

}  // namespace ballast::work
