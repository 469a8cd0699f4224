#include "work/runner.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "work/canonical.hpp"
#include "work/event_rows.hpp"
#include "work/run_rows.hpp"

namespace ballast::work {

namespace {

Error refusal(ErrorCode code, std::string message, std::string field = {}) { return Error{code, std::move(message), std::move(field), false, {}, {}, {}, {}}; }

// Where a run's own result stands in its journal: what its output derives from, for a run that it is a child of.
constexpr std::string_view kResult = "$";

// The child that a started record names.
JobId child_in(const StageRecord& record) {
  const auto* o = record.value ? record.value->if_object() : nullptr;
  const auto* id = o ? o->if_contains("child") : nullptr;
  return id && id->is_string() ? parse_job_id(id->get_string()).value_or(JobId{}) : JobId{};
}

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

// What a child's end says to the stage that waits for it.
StageRecord answer_of(const RunStage& action, JobId child, const std::optional<Job>& job, WallTime at) {
  StageRecord r = record_of(action, StageRecord::What::failed, at);
  if (!job) {
    r.error = refusal(ErrorCode::internal_error, fmt::format("{} is not there any more", to_string(child)));
    return r;
  }
  if (job->state != JobState::done) {
    const auto said = error_json(job->error);
    const auto* message = said.if_contains("message");
    r.error = refusal(ErrorCode::provider_error, fmt::format("{} is {}: {}", to_string(child), to_string(job->state),
                                                             message && message->is_string() ? std::string_view(message->get_string()) : "no reason told"));
    return r;
  }
  auto value = parse_json(job->output, {.max_bytes = job->output.size() + 1, .max_depth = 512});
  if (value) return judged(action, std::make_shared<const json::value>(std::move(*value)), Money{}, at);
  r.error = refusal(ErrorCode::provider_bad_response, fmt::format("the output of {} is not JSON", to_string(child)));
  return r;
}

JobEvent event_of(const StageRecord& r, std::uint32_t attempt) {
  json::object o{{"stage", r.path}, {"what", to_string(r.what)}, {"attempt", r.attempt}};
  if (r.error) o["error"] = json::object{{"code", to_string(r.error->code)}, {"message", r.error->message}};
  if (r.confidence) o["confidence"] = *r.confidence;
  return {.seq = 0, .at = r.at, .attempt = attempt, .kind = "stage", .data = to_json(o)};
}

// What is written with a commit of this run: the journal's new records and an event of each.
Result<Also> also_of(JobId run, std::uint32_t attempt, std::vector<StageRecord> records) {
  std::vector<PackedRecord> packed;
  std::vector<JobEvent> events;
  for (const StageRecord& r : records) {
    auto one = pack_record(r);
    if (!one) return fail(std::move(one.error()));
    packed.push_back(std::move(*one));
    if (r.path != kResult) events.push_back(event_of(r, attempt));
  }
  return Also([run, packed = std::move(packed), events = std::move(events)](store::Tx& tx) -> Result<void> {
    if (auto kept = insert_records(tx, run, packed); !kept) return kept;
    return append_events(tx, run, events);
  });
}

}  // namespace

// One run in this process' hands.
struct Runner::Run {
  Lease lease;
  CancelToken cancel;
  FlowPtr flow;
  std::optional<RunState> state;
  std::vector<StageRecord> kept;             // in the state, not durable yet
  std::vector<Submission> children;          // to be accepted with them
  std::vector<RunStage> begun;               // to be performed once they are
  std::vector<StageRecord> came;             // what performers answered, not in the state yet
  std::size_t performing = 0;
  TaskGroup tasks{"stages"};
  std::coroutine_handle<> waiter;            // for the first that ends
  Timer timer;

  void wake(Scheduler& home) {
    if (const auto w = std::exchange(waiter, {})) home.resume(w);
  }
};

// What a round of deciding came to.
struct Runner::Next {
  std::optional<FinishRun> finish;
  std::optional<FailRun> fail;
  std::optional<WallTime> until;
};

Task<Result<void>> Runner::open(Run& run) {
  const Job& job = *run.lease.job;
  auto flow = co_await book_.version(engine_.home(), engine_.database(), job.spec.version);
  if (!flow) co_return fail(std::move(flow.error()));
  run.flow = std::move(*flow);
  auto input = parse_json(job.input, {.max_bytes = job.input.size() + 1, .max_depth = 512});
  if (!input) co_return fail(refusal(ErrorCode::caller_invalid_request, "the run's input cannot be read: " + input.error().message, "input"));
  auto journal = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return load_records(tx, job.id); });
  if (!journal) co_return fail(std::move(journal.error()));
  run.state.emplace(run.flow, RunStart{.id = to_string(job.id), .input = std::move(*input), .taint = {}, .at = job.created});
  for (const StageRecord& r : *journal)
    if (auto applied = run.state->apply(r); !applied) log::debug("record_of_another_version", {{"run", to_string(job.id)}, {"stage", r.path}});
  auto told = co_await children_ended(run, *journal);
  co_return told;
}

// Children that ended while nobody listened: their results enter the journal now.
Task<Result<void>> Runner::children_ended(Run& run, const std::vector<StageRecord>& journal) {
  struct Open { RunStage action; JobId child; };
  std::vector<Open> open;
  for (const StageRecord& r : journal) {
    const JobId child = r.what == StageRecord::What::started ? child_in(r) : JobId{};
    const bool answered = std::ranges::any_of(journal, [&](const StageRecord& o) {
      return o.path == r.path && o.input == r.input && o.what != StageRecord::What::started && (o.what != StageRecord::What::failed || o.attempt == r.attempt);
    });
    const Stage* stage = run.flow->at_path(r.path);
    if (child && !answered && stage)
      open.push_back({RunStage{.path = r.path, .stage = stage, .input = r.input, .attempt = r.attempt, .context = std::make_shared<const json::value>(json::object{}), .key = {}, .reads = {}, .gives = r.taint}, child});
  }
  for (Open& o : open) {
    auto job = co_await engine_.get(o.child);
    if (!job) co_return fail(std::move(job.error()));
    if (*job && !terminal((*job)->state)) continue;
    if (*job && (*job)->spec.kind == JobKind::flow) {
      auto own = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return load_records(tx, o.child); });
      if (!own) co_return fail(std::move(own.error()));
      for (const StageRecord& r : *own)
        if (r.path == kResult) o.action.gives.join(r.taint);
    }
    run.came.push_back(answer_of(o.action, o.child, *job, engine_.home().clock().wall()));
  }
  co_return Result<void>{};
}

Result<Submission> Runner::child_of(const Run& run, const RunStage& action) {
  const Job& job = *run.lease.job;
  Submission s;
  s.spec = {.kind = JobKind::task, .queue = job.spec.queue, .tenant = job.spec.tenant, .priority = job.spec.priority, .key_id = job.spec.key_id, .user = job.spec.user,
            .feature = job.spec.feature, .origin = Origin::child, .parent = job.id, .parent_stage = action.path};
  s.spec.deadline = job.spec.deadline;
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

// Takes a stage on: as a child job, with a record that names it, or to be performed here.
Result<void> Runner::begin(Run& run, const RunStage& action) {
  const StageKind kind = action.stage->kind();
  if (kind != StageKind::worker && kind != StageKind::flow) {
    run.state->begin(action.path);
    run.begun.push_back(action);
    return {};
  }
  const WallTime now = engine_.home().clock().wall();
  auto child = child_of(run, action);
  StageRecord r = record_of(action, child ? StageRecord::What::started : StageRecord::What::failed, now);
  if (child) {
    r.value = std::make_shared<const json::value>(json::object{{"child", to_string(child->id)}});
    r.taint = action.gives;
    run.children.push_back(std::move(*child));
  } else {
    r.error = std::move(child.error());
  }
  if (auto applied = run.state->apply(r); !applied) return applied;
  run.kept.push_back(std::move(r));
  return {};
}

// Takes in what came, decides until there is nothing more to decide, and leaves what must be durable in `kept`.
Runner::Next Runner::advance(Run& run) {
  Next next;
  for (StageRecord& r : std::exchange(run.came, {})) {
    if (auto applied = run.state->apply(r); !applied) continue;
    run.kept.push_back(std::move(r));
  }
  for (bool again = true; again;) {
    again = false;
    for (Action& action : decide(*run.state, engine_.home().clock().wall())) {
      if (auto* record = std::get_if<KeepRecord>(&action)) {
        run.kept.push_back(std::move(record->record));
      } else if (auto* stage = std::get_if<RunStage>(&action)) {
        const std::size_t before = run.kept.size();
        if (auto taken = begin(run, *stage); !taken) next.fail = FailRun{stage->path, std::move(taken.error())};
        again = again || (run.kept.size() > before && run.kept.back().what == StageRecord::What::failed);
      } else if (auto* until = std::get_if<WaitUntil>(&action)) {
        next.until = until->at;
      } else if (auto* finish = std::get_if<FinishRun>(&action)) {
        next.finish = std::move(*finish);
      } else if (auto* failed = std::get_if<FailRun>(&action)) {
        next.fail = std::move(*failed);
      }
    }
  }
  return next;
}

// Performs a stage and leaves what came of it.
Task<void> Runner::perform(Run& run, RunStage action) {
  ++run.performing;
  const Performer& performer = performers_[static_cast<std::size_t>(action.stage->kind())];
  Performed done;
  ChildCancelSource limit(run.cancel);
  Timer timer;
  bool late = false;
  struct Late { ChildCancelSource& limit; bool& late; } at_end{limit, late};
  if (action.stage->timeout > Duration::zero())
    engine_.home().arm(timer, engine_.home().clock().mono() + action.stage->timeout, [](void* self) {
      auto* l = static_cast<Late*>(self);
      l->late = true;
      l->limit.cancel();
    }, &at_end);
  if (!performer) {
    done.error = refusal(ErrorCode::internal_error, fmt::format("stages of kind {} are not performed by this process", to_string(action.stage->kind())));
  } else {
    const StageCall call{action, *run.lease.job, run.lease.fence, &limit};
    auto performed = co_await performer(call);
    done = std::move(performed);
  }
  timer.cancel();
  const WallTime now = engine_.home().clock().wall();
  if (done.error && late) done.error = Error{ErrorCode::provider_timeout, fmt::format("was not done within its {}", format_duration(action.stage->timeout)), "timeout", true, {}, {}, {}, {}};
  if (done.error) {
    StageRecord r = record_of(action, StageRecord::What::failed, now);
    r.error = std::move(done.error);
    r.cost = done.cost;
    run.came.push_back(std::move(r));
  } else {
    run.came.push_back(judged(action, std::move(done.value), done.cost, now));
  }
  --run.performing;
  run.wake(engine_.home());
}

// Makes durable what has been decided; the lease goes on.
Task<Result<void>> Runner::keep(Run& run) {
  if (run.kept.empty() && run.children.empty()) co_return Result<void>{};
  auto also = also_of(run.lease.job->id, run.lease.attempt, std::exchange(run.kept, {}));
  if (!also) co_return fail(std::move(also.error()));
  auto settled = co_await engine_.commit(Commit{.job = run.lease.job->id, .fence = run.lease.fence, .to = Commit::To::running, .output = {}, .error = {}, .delay = {},
                                                .also = std::move(*also), .children = std::exchange(run.children, {}), .news = true});
  if (!settled) co_return fail(std::move(settled.error()));
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
  auto also = also_of(run.lease.job->id, run.lease.attempt, std::exchange(run.kept, {}));
  if (also) outcome.also = std::move(*also);
  else outcome = {.to = Commit::To::dead, .output = {}, .error = std::move(also.error()), .delay = {}, .also = {}, .children = {}};
  return outcome;
}

Task<Outcome> Runner::run(Lease lease, CancelToken cancel) {
  Run run{.lease = std::move(lease), .cancel = cancel, .flow = {}, .state = {}};
  auto opened = co_await open(run);
  if (!opened) {
    const bool away = opened.error().code == ErrorCode::internal_unavailable;
    co_return Outcome{.to = away ? Commit::To::snoozed : Commit::To::dead, .output = {}, .error = std::move(opened.error()),
                      .delay = away ? std::optional<Duration>(std::chrono::seconds(1)) : std::nullopt, .also = {}, .children = {}};
  }
  for (;;) {
    Next next = advance(run);
    if (cancel && cancel->cancelled()) {
      co_await run.tasks.join();
      Outcome outcome = ended(run, Commit::To::failed);
      outcome.error = refusal(ErrorCode::caller_cancelled, "the run was stopped");
      co_return outcome;
    }
    if (next.finish || next.fail) {
      co_await run.tasks.join();
      if (next.finish) run.kept.push_back({.path = std::string(kResult), .input = {}, .what = StageRecord::What::done, .attempt = 1, .at = engine_.home().clock().wall(), .value = {}, .output = {},
                                           .confidence = {}, .fallback = false, .taint = next.finish->taint, .cost = {}, .error = {}});
      Outcome outcome = ended(run, next.finish ? Commit::To::done : Commit::To::dead);
      if (next.finish && outcome.to == Commit::To::done) outcome.output = to_json(*next.finish->output);
      if (next.fail && !outcome.error) {
        outcome.error = std::move(next.fail->error);
        if (!next.fail->path.empty()) outcome.error->field = "stages." + next.fail->path;
      }
      co_return outcome;
    }
    if (run.performing == 0 && run.begun.empty()) {
      Outcome outcome = ended(run, Commit::To::waiting);
      if (next.until) outcome.delay = std::max<Duration>(Duration::zero(), *next.until - engine_.home().clock().wall());
      co_return outcome;
    }
    auto kept = co_await keep(run);
    if (!kept) {                               // the lease is over, or the database refused: what was performed is found again by its key
      co_await run.tasks.join();
      co_return Outcome{.to = Commit::To::failed, .output = {}, .error = std::move(kept.error()), .delay = {}, .also = {}, .children = {}};
    }
    for (RunStage& action : std::exchange(run.begun, {})) run.tasks.spawn(perform(run, std::move(action)));
    co_await wait(run, next.until);
  }
}

Result<void> bind_flow(const FlowBook& book, Submission& s, WallTime now) {
  const FlowPtr flow = book.current(s.spec.name);
  if (!flow) return fail(ErrorCode::caller_not_found, fmt::format("there is no flow \"{}\" here; GET /api/flows lists those there are", s.spec.name), "flow");
  const auto input = parse_json(s.input, {.max_bytes = s.input.size() + 1, .max_depth = 512});
  if (!input) return fail(input.error());
  if (flow->input())
    if (auto fits = schema::require(*flow->input().schema, *input, "input"); !fits) return fits;
  s.spec.version = to_hex(flow->digest());
  if (!s.spec.deadline && flow->policy().deadline > Duration::zero()) s.spec.deadline = now + flow->policy().deadline;
  return {};
}

}  // namespace ballast::work
