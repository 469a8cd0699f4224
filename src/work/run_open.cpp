// How a run is taken up: its flow, its journal, and what happened outside while nobody had it in hand.
#include <algorithm>
#include <set>
#include <tuple>

#include "base/log.hpp"
#include "work/approval_rows.hpp"
#include "work/runner_run.hpp"
#include "work/signal_rows.hpp"

namespace ballast::work {

namespace {

// Does a run of these leave effects that a crash may have cut.
bool reaches_out(const Stages& stages) {
  return std::ranges::any_of(stages, [](const Stage& s) {
    const auto* map = s.as<MapStage>();
    return s.compensate || s.kind() == StageKind::http || s.kind() == StageKind::settle || (map && reaches_out(map->stages));
  });
}

// What a child's end says to the stage that waits for it.
StageRecord answer_of(const RunStage& action, JobId child, const std::optional<Job>& job, WallTime at) {
  StageRecord r = record_of(action, StageRecord::What::failed, at);
  if (!job) {
    r.error = run_refusal(ErrorCode::internal_error, fmt::format("{} is not there any more", to_string(child)));
    return r;
  }
  if (job->state != JobState::done) {
    const auto said = error_json(job->error);
    const auto* message = said.if_contains("message");
    r.error = run_refusal(ErrorCode::provider_error, fmt::format("{} is {}: {}", to_string(child), to_string(job->state),
                                                             message && message->is_string() ? std::string_view(message->get_string()) : "no reason told"));
    return r;
  }
  auto value = parse_json(job->output, {.max_bytes = job->output.size() + 1, .max_depth = 512});
  if (value) return judged(action, std::make_shared<const json::value>(std::move(*value)), Money{}, at);
  r.error = run_refusal(ErrorCode::provider_bad_response, fmt::format("the output of {} is not JSON", to_string(child)));
  return r;
}

}  // namespace

bool is_new(const Lease& lease) {
  const Origin origin = lease.job->spec.origin;
  return lease.first && origin != Origin::redrive && origin != Origin::fork && origin != Origin::rollback;
}

// The state of a run that has done nothing yet.
Result<void> Runner::begin_with(Run& run, FlowPtr flow, const Job& job) {
  run.flow = std::move(flow);
  auto input = parse_json(job.input, {.max_bytes = job.input.size() + 1, .max_depth = 512});
  if (!input) return fail(run_refusal(ErrorCode::caller_invalid_request, "the run's input cannot be read: " + input.error().message, "input"));
  run.state.emplace(run.flow, RunStart{.id = job.spec.lineage.empty() ? to_string(job.id) : job.spec.lineage, .input = std::move(*input), .taint = {}, .at = job.created});
  return {};
}

// The job whose journal it is.
Task<Result<JobPtr>> Runner::run_job(const Run& run) {
  if (!run.undoes()) co_return run.lease.job;
  auto job = co_await engine_.get(run.journal);
  if (!job) co_return fail(std::move(job.error()));
  if (!*job) co_return fail(run_refusal(ErrorCode::caller_not_found, fmt::format("the run {} is not there any more", to_string(run.journal))));
  co_return std::make_shared<const Job>(std::move(**job));
}

Task<Result<void>> Runner::open(Run& run) {
  auto journal_of = co_await run_job(run);
  if (!journal_of) co_return fail(std::move(journal_of.error()));
  const Job& job = **journal_of;
  auto flow = co_await book_.version(engine_.home(), engine_.database(), job.spec.version);
  if (!flow) co_return fail(std::move(flow.error()));
  if (auto begun = begin_with(run, std::move(*flow), job); !begun) co_return begun;
  if (is_new(run.lease)) co_return Result<void>{};
  auto journal = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return load_records(tx, job.id); });
  if (!journal) co_return fail(std::move(journal.error()));
  for (const bool started : {true, false})                 // what a run waits for first: a signal may be older than the wait
    for (const StageRecord& r : *journal) {
      if ((r.what == StageRecord::What::started) != started) continue;
      if (!run.undoes()) run.trace.seen(r);
      if (auto applied = run.state->apply(r); !applied) log::debug("record_of_another_version", {{"run", to_string(job.id)}, {"stage", r.path}});
      else run.note(r);
    }
  if (recovery_ && reaches_out(run.flow->stages())) {
    auto lost = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) {
      return recovery_(tx, {.run = job, .fence = run.lease.fence, .flow = *run.flow, .journal = *journal, .now = engine_.home().clock().wall()});
    });
    if (!lost) co_return fail(std::move(lost.error()));
    for (StageRecord& r : *lost) run.came.push_back({std::move(r), {}});
    at("recovered");
  }
  if (run.undoes()) co_return Result<void>{};
  if (auto told = co_await children_ended(run, *journal); !told) co_return fail(std::move(told.error()));
  auto heard = co_await hear(run);
  co_return heard;
}

// Children that ended while nobody listened: their results enter the journal now.
Task<Result<void>> Runner::children_ended(Run& run, const std::vector<StageRecord>& journal) {
  struct Open { RunStage action; JobId child; };
  std::vector<Open> open;
  // Of each question: results end it, a failure only its attempt.
  std::set<std::tuple<std::string_view, Digest, std::uint32_t>> answered;
  for (const StageRecord& r : journal)
    if (r.what != StageRecord::What::started) answered.insert({r.path, r.input, r.what == StageRecord::What::failed ? r.attempt : 0});
  for (const StageRecord& r : journal) {
    const JobId child = r.what == StageRecord::What::started ? child_in(r) : JobId{};
    const Stage* stage = run.flow->at_path(r.path);
    if (child && stage && !answered.contains({r.path, r.input, 0}) && !answered.contains({r.path, r.input, r.attempt}))
      open.push_back({RunStage{.path = r.path, .stage = stage, .input = r.input, .attempt = r.attempt, .context = std::make_shared<const json::value>(json::object{}), .key = {}, .reads = {}, .ways = {}, .gives = r.taint}, child});
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
    run.came.push_back({answer_of(o.action, o.child, *job, engine_.home().clock().wall()), {}});
    at("child_heard");
  }
  co_return Result<void>{};
}

Task<Result<void>> Runner::call_off(JobId run, const std::string& why) {
  const WallTime now = engine_.home().clock().wall();
  auto left = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<std::vector<JobId>> {
    if (auto gone = delete_waits(tx, run); !gone) return fail(std::move(gone.error()));
    if (auto withdrawn = withdraw_approvals(tx, run, why, now); !withdrawn) return fail(std::move(withdrawn.error()));
    return children_of(tx, run);
  });
  if (!left) co_return fail(std::move(left.error()));
  if (left->empty()) co_return Result<void>{};
  auto cancelled = co_await door_.cancel(std::move(*left), why);               // those that have ended already say so
  for (auto& one : cancelled)
    if (!one && one.error().code == ErrorCode::internal_unavailable) co_return fail(std::move(one.error()));
  co_return Result<void>{};
}

// Spans of what a run waited for, of which nobody who has it in hand can tell: nobody has.
Task<void> Runner::close_trace(JobId run) {
  if (!tracer_ || traced_.erase(run) > 0) co_return;
  auto found = co_await engine_.get(run);
  if (!found || !*found) co_return;
  if (!RunTrace(tracer_, **found).on()) co_return;
  const auto journal = co_await engine_.database().read(engine_.home(), [run](store::Tx& tx) { return load_records(tx, run); });
  if (!journal) co_return;
  tell_cut(*tracer_, **found, *journal);
}

Task<void> Runner::called_off(JobId run, std::string why) {
  co_await close_trace(run);
  for (;;) {
    const auto done = co_await call_off(run, why);
    if (done) co_return;
    const bool again = done.error().code == ErrorCode::internal_unavailable && !engine_.draining();   // else the next start does it
    log::warn("run_not_called_off", {{"run", to_string(run)}, {"why", done.error().message}, {"again", again}});
    if (!again) co_return;
    co_await SleepUntil(engine_.home(), engine_.home().clock().mono() + kAskAgain);
  }
}

Result<void> check_flow_input(const Flow& flow, std::string_view text) {
  const auto input = parse_json(text, {.max_bytes = text.size() + 1, .max_depth = 512});
  if (!input) return fail(input.error());
  return flow.input() ? schema::require(*flow.input().schema, *input, "input") : Result<void>{};
}

Result<void> bind_flow(const FlowBook& book, Submission& s, WallTime now) {
  const FlowPtr flow = book.current(s.spec.name);
  if (!flow) return fail(ErrorCode::caller_not_found, fmt::format("there is no flow \"{}\" here; GET /api/flows lists those there are", s.spec.name), "flow");
  if (auto fits = check_flow_input(*flow, s.input); !fits) return fits;
  s.spec.version = to_hex(flow->digest());
  if (!s.spec.deadline && flow->policy().deadline > Duration::zero()) s.spec.deadline = now + flow->policy().deadline;
  return {};
}

}  // namespace ballast::work
