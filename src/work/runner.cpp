#include "work/runner.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "work/canonical.hpp"
#include "work/event_rows.hpp"
#include "work/runner_run.hpp"

namespace ballast::work {

Error run_refusal(ErrorCode code, std::string message, std::string field) { return Error{code, std::move(message), std::move(field), false, {}, {}, {}, {}}; }

StageRecord record_of(const RunStage& action, StageRecord::What what, WallTime at) {
  return {.path = action.path, .input = action.input, .what = what, .attempt = action.attempt, .at = at, .value = {}, .output = {}, .confidence = {}, .fallback = false,
          .taint = {}, .cost = {}, .error = {}};
}

// done, or failed where it is not what the stage promised.
StageRecord judged(const RunStage& action, std::shared_ptr<const json::value> value, Money cost, WallTime at) {
  StageRecord r = record_of(action, StageRecord::What::done, at);
  r.cost = cost;
  auto fits = check_output(*action.stage, *value);
  auto confidence = fits ? confidence_of(*action.stage, *action.context, *value) : Result<std::optional<double>>(fail(fits.error()));
  if (!confidence) {
    r.what = StageRecord::What::failed;
    r.error = std::move(confidence.error());
    return r;
  }
  r.confidence = *confidence;
  r.output = value_digest(*value);
  r.value = std::move(value);
  r.taint = action.gives;
  return r;
}

namespace {

JobEvent event_of(const StageRecord& r, std::uint32_t attempt) {
  json::object o{{"stage", r.path}, {"what", to_string(r.what)}, {"attempt", r.attempt}};
  if (r.error) o["error"] = json::object{{"code", to_string(r.error->code)}, {"message", r.error->message}};
  if (r.confidence) o["confidence"] = *r.confidence;
  return {.seq = 0, .at = r.at, .attempt = attempt, .kind = "stage", .data = to_json(o)};
}

StageRecord undone_of(const Compensate& undo, Performed done, WallTime at) {
  return {.path = undo.path, .input = undo.input, .what = StageRecord::What::compensated, .attempt = 1, .at = at, .value = {}, .output = {}, .confidence = {}, .fallback = false,
          .taint = {}, .cost = done.cost, .error = std::move(done.error)};
}

}  // namespace

// ---- Run

void Runner::Run::keep(StageRecord record) {
  if (!state->apply(record)) return;
  note(record);
  kept.push_back(std::move(record));
}

void Runner::Run::tell_trace(const StageRecord& r) {
  const Stage* stage = trace.on() && r.path != kResult ? flow->at_path(r.path) : nullptr;
  if (!stage) return;
  const auto view = r.what == StageRecord::What::failed ? state->find(r.path) : std::nullopt;
  trace.told(r, *stage, view ? &*view : nullptr);
}

// The journal's new records, an event of each, and what else belongs to them.
Result<Also> Runner::Run::take_also() {
  std::vector<PackedRecord> packed;
  std::vector<JobEvent> events;
  for (StageRecord& r : std::exchange(kept, {})) {
    if (r.error) r.error->message = flow->secrets().hide(r.error->message);
    tell_trace(r);
    auto one = pack_record(r);
    if (!one) return fail(std::move(one.error()));
    packed.push_back(std::move(*one));
    if (r.path != kResult) events.push_back(event_of(r, lease.attempt));
  }
  return Also([run = id(), of = journal, fence = lease.fence, packed = std::move(packed), events = std::move(events), more = std::exchange(also, {})](store::Tx& tx) -> Result<void> {
    if (auto written = insert_records(tx, of, packed, fence); !written) return written;
    for (const Also& one : more)
      if (auto done = one(tx); !done) return done;
    return append_events(tx, run, events);
  });
}

std::vector<Digest> Runner::Run::approved(const Stage& stage) const {
  std::vector<Digest> out;
  if (stage.kind() != StageKind::settle) return out;
  for (const auto& [path, input] : decided) {
    const auto view = state->find(path);
    if (!view || view->input != input || view->state != StageState::done || !view->value) continue;
    const auto* output = view->value->if_object();
    const auto* value = output ? output->if_contains("value") : nullptr;
    const auto* decision = output ? output->if_contains("decision") : nullptr;
    if (value && decision && *decision == "approved") out.push_back(value_digest(*value));
  }
  return out;
}

json::object Runner::Run::undone_json() const {
  json::array done, not_done;
  for (const auto& [path, error] : undone) {
    if (error) not_done.push_back(json::object{{"stage", path}, {"why", error->message}, {"code", to_string(error->code)}});
    else done.emplace_back(path);
  }
  for (const auto& view : state->stages())
    if (view.state == StageState::done && is_effect(*view.stage) && !view.stage->compensate)
      not_done.push_back(json::object{{"stage", view.path}, {"why", view.stage->irreversible ? "it is irreversible" : "it has no compensation"}});
  return {{"run", to_string(journal)}, {"undone", std::move(done)}, {"not_undone", std::move(not_done)}};
}

// What a round of deciding came to.
struct Runner::Next {
  std::optional<FinishRun> finish;
  std::optional<FailRun> fail;
  std::optional<WallTime> until;
};

Result<Submission> Runner::child_of(const Run& run, const RunStage& action) {
  const Job& job = *run.lease.job;
  Submission s;
  s.spec = {.kind = JobKind::task, .queue = job.spec.queue, .tenant = job.spec.tenant, .priority = job.spec.priority, .key_id = job.spec.key_id, .user = job.spec.user,
            .feature = job.spec.feature, .origin = Origin::child, .parent = job.id, .parent_stage = action.path};
  s.spec.deadline = job.spec.deadline;
  join_trace(s.spec, run.trace.around(action.path, action.attempt), job.spec.tracestate);
  const Expr* input = nullptr;
  if (const auto* worker = action.stage->as<WorkerStage>()) {
    s.spec.name = worker->task;
    s.spec.queue = worker->queue;
    s.spec.max_attempts = worker->idempotency == Idempotency::none ? 1 : kDefaultAttempts;
    input = &worker->input;
  } else {
    const auto* child = action.stage->as<FlowStage>();
    s.spec.kind = JobKind::flow;
    s.spec.name = child->name;
    input = &child->input;
  }
  auto value = *input ? input->jq->one(*action.context) : Result<json::value>(json::object{});
  if (!value) return fail(std::move(value.error()));
  s.input = to_json(*value);
  s.id = engine_.new_id();
  if (s.spec.kind == JobKind::flow)
    if (auto bound = bind_flow(book_, s, engine_.home().clock().wall()); !bound) return fail(std::move(bound.error()));
  return s;
}

// Takes a stage on: as a child job, with a record that names it, or to be performed here once what it prepares is durable. False: it has failed.
bool Runner::begin(Run& run, RunStage action) {
  const StageKind kind = action.stage->kind();
  const WallTime now = engine_.home().clock().wall();
  run.trace.begun(*action.stage, action.path, action.attempt, now);
  StageRecord r = record_of(action, StageRecord::What::failed, now);
  if (kind == StageKind::worker || kind == StageKind::flow) {
    auto child = child_of(run, action);
    if (child) {
      r.what = StageRecord::What::started;
      r.value = std::make_shared<const json::value>(json::object{{"child", to_string(child->id)}});
      r.taint = action.gives;
      run.children.push_back(std::move(*child));
      at("child_made");
    } else {
      r.error = std::move(child.error());
    }
  } else {
    const Performer& performer = performers_[static_cast<std::size_t>(kind)];
    const auto approved = run.approved(*action.stage);
    auto prepared = performer.prepare ? performer.prepare({action, *run.lease.job, run.lease.fence, approved, nullptr}) : Result<Also>(Also());
    if (prepared) {
      run.state->begin(action.path);
      if (*prepared) run.also.push_back(std::move(*prepared)), run.effects.push_back(action.path);
      run.begun.emplace_back(std::move(action));
      return true;
    }
    r.error = std::move(prepared.error());
  }
  const bool begun = !r.error;
  run.keep(std::move(r));
  return begun;
}

// As `begin`, of an undoing. One that cannot even be prepared could not be undone.
bool Runner::begin_undo(Run& run, Compensate undo) {
  auto prepared = undoer_.perform ? undoer_.prepare({undo, *run.lease.job, run.journal, run.lease.fence, nullptr})
                                  : Result<Also>(std::unexpected(run_refusal(ErrorCode::internal_error, "compensations are not performed by this process")));
  if (!prepared) {
    run.keep(undone_of(undo, {.value = {}, .error = std::move(prepared.error())}, engine_.home().clock().wall()));
    return false;
  }
  run.state->begin(undo.path);
  run.trace.begun(*undo.stage, undo.path, 1, engine_.home().clock().wall());
  if (*prepared) run.also.push_back(std::move(*prepared)), run.effects.push_back(undo.path);
  run.begun.emplace_back(std::move(undo));
  return true;
}

// What came since goes into the state, and with what belongs to it into what is to be kept.
void Runner::take_in(Run& run) {
  for (auto& [record, also] : std::exchange(run.came, {})) {
    if (also) run.also.push_back(std::move(also));
    run.keep(std::move(record));
  }
}

// Takes in what came, decides until there is nothing more to decide, and leaves what must be durable in `kept`.
Runner::Next Runner::advance(Run& run) {
  Next next;
  take_in(run);
  for (bool again = true; again && !next.fail;) {
    again = false;
    const WallTime now = engine_.home().clock().wall();
    for (Action& action : run.undoes() ? roll_back(*run.state) : decide(*run.state, now)) {
      if (auto* record = std::get_if<KeepRecord>(&action)) {
        if (auto asked = ask_outside(run, record->record); !asked) next.fail = FailRun{record->record.path, std::move(asked.error())};
        run.note(record->record);
        run.kept.push_back(std::move(record->record));
      } else if (auto* stage = std::get_if<RunStage>(&action)) {
        again = !begin(run, std::move(*stage)) || again;
      } else if (auto* undo = std::get_if<Compensate>(&action)) {
        again = !begin_undo(run, std::move(*undo)) || again;
      } else if (auto* until = std::get_if<WaitUntil>(&action)) {
        next.until = until->at;
      } else if (auto* finish = std::get_if<FinishRun>(&action)) {
        next.finish = std::move(*finish);
      } else if (auto* failed = std::get_if<FailRun>(&action)) {
        next.fail = std::move(*failed);
      }
    }
  }
  if (run.undoes() && run.begun.empty() && run.performing == 0 && !next.fail) next.finish = FinishRun{std::make_shared<const json::value>(run.undone_json()), {}};
  return next;
}

// Performs a stage within its time.
Task<Performed> Runner::perform_stage(Run& run, const RunStage& action) {
  const Performer& performer = performers_[static_cast<std::size_t>(action.stage->kind())];
  if (!performer.perform)
    co_return Performed{.value = {}, .error = run_refusal(ErrorCode::internal_error, fmt::format("stages of kind {} are not performed by this process", to_string(action.stage->kind())))};
  struct Late {
    ChildCancelSource limit;
    bool late = false;
  } late{.limit = ChildCancelSource(run.cancel)};
  Timer timer;
  if (action.stage->timeout > Duration::zero())
    engine_.home().arm(timer, engine_.home().clock().mono() + action.stage->timeout, [](void* self) {
      static_cast<Late*>(self)->late = true;
      static_cast<Late*>(self)->limit.cancel();
    }, &late);
  const auto approved = run.approved(*action.stage);
  const StageCall call{action, *run.lease.job, run.lease.fence, approved, &late.limit, run.trace.around(action.path, action.attempt)};
  auto performed = co_await performer.perform(call);
  timer.cancel();
  if (performed.error && late.late && performed.error->code == ErrorCode::caller_cancelled)
    performed.error = Error{ErrorCode::provider_timeout, fmt::format("was not done within its {}", format_duration(action.stage->timeout)), "timeout", true, {}, {}, {}, {}};
  co_return performed;
}

// Performs what was begun and leaves what came of it.
Task<void> Runner::perform(Run& run, std::variant<RunStage, Compensate> begun) {
  ++run.performing;
  if (const auto* undo = std::get_if<Compensate>(&begun)) {
    const UndoCall call{*undo, *run.lease.job, run.journal, run.lease.fence, run.cancel, run.trace.around_undo(undo->path)};
    auto done = co_await undoer_.perform(call);
    Also also = std::move(done.also);
    run.came.push_back({undone_of(*undo, std::move(done), engine_.home().clock().wall()), std::move(also)});
  } else {
    const RunStage& action = std::get<RunStage>(begun);
    auto done = co_await perform_stage(run, action);
    const WallTime now = engine_.home().clock().wall();
    StageRecord r = record_of(action, StageRecord::What::failed, now);
    if (done.error) {
      r.error = std::move(done.error);
      r.cost = done.cost;
    } else {
      r = judged(action, std::move(done.value), done.cost, now);
    }
    run.came.push_back({std::move(r), std::move(done.also)});
  }
  --run.performing;
  run.wake(engine_.home());
}

// Makes durable what has been decided; the lease goes on.
Task<Result<void>> Runner::keep(Run& run) {
  if (run.kept.empty() && run.children.empty() && run.also.empty()) co_return Result<void>{};
  auto also = run.take_also();
  if (!also) co_return fail(std::move(also.error()));
  auto settled = co_await engine_.commit(Commit{.job = run.id(), .fence = run.lease.fence, .to = Commit::To::running, .output = {}, .error = {}, .delay = {},
                                                .also = std::move(*also), .children = std::exchange(run.children, {}), .news = true,
                                                .effects = std::exchange(run.effects, {})});
  if (!settled) {
    run.trace.drop();
    co_return fail(std::move(settled.error()));
  }
  run.trace.flush();
  co_return Result<void>{};
}

Task<void> Runner::wait(Run& run, std::optional<WallTime> until) {
  struct Wait {
    Run& run;
    Scheduler& home;
    std::optional<WallTime> until;
    bool await_ready() const noexcept { return !run.came.empty(); }
    void await_suspend(std::coroutine_handle<> h) const {
      run.waiter = h;
      if (until) home.arm(run.timer, home.clock().mono() + std::max<Duration>(Duration::zero(), *until - home.clock().wall()), [](void* self) {
        const auto* w = static_cast<const Wait*>(self);
        w->run.wake(w->home);
      }, const_cast<Wait*>(this));
    }
    void await_resume() const noexcept {}
  };
  co_await Wait{run, engine_.home(), until};
  run.timer.cancel();
}

Outcome Runner::ended(Run& run, Commit::To to) {
  Outcome outcome{.to = to, .output = {}, .error = {}, .delay = {}, .also = {}, .children = std::exchange(run.children, {})};
  auto also = run.take_also();
  run.trace.flush();
  if (also) outcome.also = std::move(*also);
  else outcome = {.to = Commit::To::dead, .output = {}, .error = std::move(also.error()), .delay = {}, .also = {}, .children = {}};
  return outcome;
}

// The last word of a run that has come to an end.
Outcome Runner::finished(Run& run, Next next) {
  if (next.finish && !run.undoes()) {
    StageRecord result{.path = std::string(kResult), .input = {}, .what = StageRecord::What::done, .attempt = 1, .at = engine_.home().clock().wall(), .value = {}, .output = {},
                       .confidence = {}, .fallback = false, .taint = next.finish->taint, .cost = {}, .error = {}};
    run.kept.push_back(std::move(result));
  }
  Outcome outcome = ended(run, next.finish ? Commit::To::done : Commit::To::dead);
  run.trace.close(&*run.state, engine_.home().clock().wall());
  run.trace.flush();
  if (outcome.to == Commit::To::done || run.undoes()) traced_.erase(run.id());
  if (next.finish && outcome.to == Commit::To::done) outcome.output = to_json(*next.finish->output);
  if (next.fail && !outcome.error) {
    outcome.error = std::move(next.fail->error);
    outcome.error->message = run.flow->secrets().hide(outcome.error->message);
    if (!next.fail->path.empty()) outcome.error->field = "stages." + next.fail->path;
  }
  return outcome;
}

// The run is taken out of our hands: by its end, of which the spans of what was cut are told now, or for somebody to go on with it.
void Runner::let_go(Run& run) {
  const bool over = !engine_.draining() && !engine_.running(run.id());
  if (!over || run.undoes()) traced_.erase(run.id());
  if (!over) return;
  run.trace.close(&*run.state, engine_.home().clock().wall());
  run.trace.flush();
}

std::optional<Outcome> Runner::at_once(const Lease& lease) {
  if (!is_new(lease)) return {};
  const FlowPtr flow = book_.known(lease.job->spec.version);
  if (!flow || !std::ranges::all_of(flow->stages(), [](const Stage& s) { return s.kind() == StageKind::transform; })) return {};
  Run run(lease, {}, tracer_);
  if (!begin_with(run, flow, *lease.job)) return {};
  Next next = advance(run);
  if (!next.finish || !run.begun.empty() || !run.children.empty() || run.listens) return {};
  return finished(run, std::move(next));
}

Task<Outcome> Runner::run(Lease lease, CancelToken cancel) {
  Run run(std::move(lease), cancel, tracer_);
  if (run.trace.on()) traced_.insert(run.id());
  auto opened = co_await open(run);
  if (!opened) {
    traced_.erase(run.id());
    const bool away = opened.error().code == ErrorCode::internal_unavailable;
    co_return Outcome{.to = away ? Commit::To::snoozed : Commit::To::dead, .output = {}, .error = std::move(opened.error()),
                      .delay = away ? std::optional<Duration>(std::chrono::seconds(1)) : std::nullopt, .also = {}, .children = {}};
  }
  at("opened");
  for (;;) {
    const bool stopped = cancel && cancel->cancelled();
    Next next = stopped ? Next{} : advance(run);
    at("decided");
    if (stopped || next.finish || next.fail) {
      co_await run.tasks.join();
      // What was cut by the stop is no failure of its stage: whoever takes the run up next performs it again, or finds out what became of it.
      if (stopped) std::erase_if(run.came, [](const Run::Came& c) { return c.record.error && c.record.error->code == ErrorCode::caller_cancelled; });
      take_in(run);
      if (!stopped) co_return finished(run, std::move(next));
      Outcome outcome = ended(run, Commit::To::failed);
      outcome.error = run_refusal(ErrorCode::caller_cancelled, "the run was stopped");
      let_go(run);
      co_return outcome;
    }
    if (run.performing == 0 && run.begun.empty() && !run.listens) {
      Outcome outcome = ended(run, Commit::To::waiting);
      traced_.erase(run.id());
      if (next.until) outcome.delay = std::max<Duration>(Duration::zero(), *next.until - engine_.home().clock().wall());
      co_return outcome;
    }
    auto kept = co_await keep(run);
    if (kept && std::exchange(run.listens, false)) kept = co_await hear(run);
    if (!kept) {                               // the lease is over, or the database refused: what was performed is found again by its key
      co_await run.tasks.join();
      let_go(run);
      co_return Outcome{.to = Commit::To::failed, .output = {}, .error = std::move(kept.error()), .delay = {}, .also = {}, .children = {}};
    }
    at("kept");
    for (auto& begun : std::exchange(run.begun, {})) run.tasks.spawn(perform(run, std::move(begun)));
    if (run.performing > 0) co_await wait(run, next.until);
  }
}

}  // namespace ballast::work
