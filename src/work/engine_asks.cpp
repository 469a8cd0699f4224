// What can be asked of the engine, and how each takes part in a cycle.
#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "base/text.hpp"
#include "work/engine_cycle.hpp"
#include "work/job_trace.hpp"

namespace ballast::work {

namespace {

constexpr std::size_t kMostLanes = 4'096;

Error refusal(ErrorCode code, std::string message, std::string field) { return Error{code, std::move(message), std::move(field), false, {}, {}, {}, {}}; }

Result<void> check_name(const std::string& name, std::string_view field, bool required) {
  if (required && name.empty()) return fail(ErrorCode::caller_invalid_request, "must not be empty", std::string(field));
  if (name.size() > kMaxName) return fail(ErrorCode::caller_invalid_request, fmt::format("must be at most {} bytes", kMaxName), std::string(field));
  if (name.find('\0') != std::string::npos || !is_utf8(name)) return fail(ErrorCode::caller_invalid_request, "must be UTF-8 without NUL", std::string(field));
  return {};
}

Digest digest_of(std::initializer_list<std::string_view> parts) {
  Sha256 hash;
  for (const std::string_view part : parts) {
    const std::uint64_t size = part.size();
    hash.update({reinterpret_cast<const char*>(&size), sizeof size});
    hash.update(part);
  }
  return hash.finish();
}

}  // namespace

// Jobs of one model of this process wait for it together; beyond so many lanes, with all the others.
Lane Engine::lane_of(const JobSpec& spec) const {
  if (!executor_->runs(spec)) return {.queue = spec.queue, .task = spec.name};
  Lane lane{.queue = spec.queue, .task = {}, .gate = spec.model};
  if (board_.lane_count() >= kMostLanes && !board_.knows_lane(lane)) lane.gate.clear();
  return lane;
}

void Engine::set_pace(std::string_view model, std::string_view tenant, std::uint32_t most) {
  board_.set_pace(model, tenant, most);
  if (has_work()) nudge();
}

MonoTime Engine::mono_of(WallTime at) const { return home_.clock().mono() + (at - home_.clock().wall()); }

bool Engine::put_on_board(const Job& job, JobState state, MonoTime now) {
  const MonoTime due = job.due == WallTime{} ? now : mono_of(job.due);
  return board_.add(job, lane_of(job.spec), now, due, job.spec.deadline ? mono_of(*job.spec.deadline) : kNever, state);
}

Result<void> Engine::has_room(std::string_view queue) const {
  if (board_.knows_queue(queue) || board_.queue_count() < options_.max_queues) return {};
  return fail(ErrorCode::caller_invalid_request, fmt::format("would be queue number {}; there may be {}", board_.queue_count() + 1, options_.max_queues), "queue");
}

// Its name goes into the claims' rows, and an empty one would be this process.
Result<void> Engine::check_pull(const PullRequest& request) {
  if (auto fine = check_name(request.worker, "worker", true); !fine) return fine;
  if (request.most == 0) return fail(ErrorCode::caller_invalid_request, "must be at least 1", "max");
  if (request.lease <= Duration::zero()) return fail(ErrorCode::caller_invalid_request, "must be longer than nothing", "lease");
  return {};
}

Result<NewJob> Engine::accept(const Submission& s, WallTime now) {
  for (const auto& [name, field, required] : {std::tuple<const std::string&, std::string_view, bool>{s.spec.name, "name", true}, {s.spec.queue, "queue", true},
                                              {s.spec.tenant, "tenant", false}, {s.spec.concurrency_key, "concurrency.key", false},
                                              {s.idempotency_key, "idempotency-key", false}, {s.unique_key, "unique.key", false}})
    if (auto fine = check_name(name, field, required); !fine) return fail(std::move(fine.error()));
  if (s.spec.tags.size() > kMaxTags) return fail(ErrorCode::caller_invalid_request, fmt::format("at most {} tags", kMaxTags), "tags");
  for (const auto& tag : s.spec.tags)
    if (auto fine = check_name(tag, "tags", true); !fine) return fail(std::move(fine.error()));
  if (s.input.size() > options_.max_input) return fail(ErrorCode::caller_too_large, fmt::format("is above {} MB", options_.max_input >> 20), "input");
  if (s.spec.deadline && *s.spec.deadline <= now) return fail(ErrorCode::caller_invalid_request, "has passed already", "deadline");
  if (board_.size() >= options_.max_live)
    return std::unexpected(Error{ErrorCode::internal_unavailable, fmt::format("{} jobs wait already; none was accepted", board_.size()), "queue", true, std::chrono::seconds(5), {}, {}, {}});
  if (auto room = has_room(s.spec.queue); !room) return fail(std::move(room.error()));
  if (const Lane lane = lane_of(s.spec); !lane.task.empty() && !board_.knows_lane(lane) && board_.lane_count() >= options_.max_tasks)
    return fail(ErrorCode::caller_invalid_request, fmt::format("would be task number {}; there may be {}. What differs from job to job belongs into the input", board_.lane_count() + 1, options_.max_tasks), "name");
  const auto accepted = std::make_shared<Job>();
  Job& job = *accepted;
  job.id = s.id ? s.id : ids_.next(now);
  job.spec = s.spec;
  if (tracer_ && job.spec.trace.empty()) job.spec.trace = tracer_->begin();
  job.input = s.input;
  job.created = now;
  if (s.at && *s.at > now) job.due = *s.at;
  else if (!s.at && s.delay > Duration::zero()) job.due = now + s.delay;
  NewJob made{.job = accepted};
  made.home = epoch_;
  if (!s.idempotency_key.empty()) {
    made.key = digest_of({"idempotency", s.spec.key_id, s.idempotency_key});
    made.body = digest_of({to_string(s.spec.kind), s.spec.name, s.spec.queue, s.input});   // the work, not when or how urgently
    made.key_until = now + options_.retention;
  }
  if (!s.unique_key.empty()) {
    made.unique = digest_of({"unique", s.spec.tenant, s.spec.queue, s.spec.name, s.unique_key});
    made.while_live = s.unique_for <= Duration::zero();
    made.unique_until = now + (made.while_live ? options_.retention : s.unique_for);
  }
  return made;
}

// ---- submissions ----

// Several new jobs of one asker, each accepted or refused alone.
struct Engine::SubmitAsk final : Ask, std::enable_shared_from_this<SubmitAsk> {
  std::vector<Submission> jobs;
  Also also;
  std::vector<Result<Accepted>> results;
  std::vector<std::pair<std::size_t, std::size_t>> at;   // (index in jobs, index in the cycle)

  bool replies() const override { return true; }
  std::shared_ptr<Ask> hold() override { return also ? nullptr : shared_from_this(); }
  // On the board and in the cycle; the index there.
  static std::size_t stage_one(Engine& engine, Cycle& cycle, NewJob made) {
    engine.put_on_board(*made.job, JobState::queued, cycle.now);
    engine.keep_hot(made.job);
    if (engine.options_.shared && !made.job->spec.concurrency_key.empty() && made.job->spec.concurrency > 0) {
      (void)engine.board_.hold(made.job->id);
      cycle.held.push_back(made.job->id);
      cycle.keyed.push_back(cycle.jobs.size());
      if (cycle.handover == 0) cycle.handover = engine.next_handover();
    }
    cycle.jobs.push_back(std::move(made));
    return cycle.jobs.size() - 1;
  }
  static Result<Accepted> outcome(const Cycle& cycle, std::size_t index) {
    const Insertion& found = cycle.insertions[index];
    if (const JobId id = cycle.jobs[index].job->id; !found.existing) return Accepted{id, false, cycle.ended_at_once(id)};
    if (found.other_body)
      return fail(ErrorCode::caller_conflict, fmt::format("was used for another job already ({})", to_string(found.existing)), "idempotency-key");
    return Accepted{found.existing, true};
  }
  void stage(Engine& engine, Cycle& cycle) override {
    results.clear();
    results.reserve(jobs.size());
    at.clear();
    at.reserve(jobs.size());
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      auto made = engine.accept(jobs[i], cycle.wall);
      results.push_back(made ? Result<Accepted>(Accepted{}) : Result<Accepted>(std::unexpected(std::move(made.error()))));
      if (made) at.emplace_back(i, stage_one(engine, cycle, std::move(*made)));
    }
    if (also && !at.empty()) cycle.also.push_back(&also);
  }
  void settled(Engine&, Cycle& cycle) override {
    for (const auto& [i, index] : at) results[i] = outcome(cycle, index);
  }
  void failed(const Error& error) override { results.assign(jobs.size(), std::unexpected(error)); }
};

Task<std::vector<Result<Accepted>>> Engine::submit(std::vector<Submission> jobs, Also also) {
  const auto ask = std::make_shared<SubmitAsk>();
  ask->also = std::move(also);
  ask->jobs = std::move(jobs);
  if (stopping_ || draining_) {
    ask->failed(Error{ErrorCode::internal_unavailable, "this node is shutting down; submit to another, or again in a moment", {}, true, std::chrono::seconds(2), {}, {}, {}});
    co_return std::move(ask->results);
  }
  co_await Ask::Queued{*this, *ask};
  if (ask->left) co_return std::vector<Result<Accepted>>(ask->jobs.size(), std::unexpected(*ask->left));
  co_return std::move(ask->results);
}

// ---- the last words of leases ----

struct Engine::CommitAsk final : Ask, std::enable_shared_from_this<CommitAsk> {
  std::vector<Commit> commits;
  bool insist = false;
  std::vector<Result<Settled>> results;
  std::vector<std::vector<std::size_t>> children;        // of each commit: where in the cycle they are

  bool replies() const override { return !insist; }
  bool insists() const override { return insist; }
  std::shared_ptr<Ask> hold() override { return insist || std::ranges::any_of(commits, [](const Commit& c) { return bool(c.also); }) ? nullptr : shared_from_this(); }
  void name_effects(Acknowledged& acknowledged) const override {
    for (std::size_t i = 0; i < commits.size(); ++i) {
      if (!results[i]) continue;
      if (commits[i].to == Commit::To::running) acknowledged.note(Acknowledged::What::went_on, commits[i].job);
      for (const std::string& stage : commits[i].effects) acknowledged.note_effect(commits[i].job, stage);
    }
  }
  void stage(Engine& engine, Cycle& cycle) override {
    results.clear();
    children.assign(commits.size(), {});
    for (std::size_t i = 0; i < commits.size(); ++i) results.push_back(stage_one(engine, cycle, i));
  }
  Result<Settled> stage_one(Engine& engine, Cycle& cycle, std::size_t i) {
    const Commit& c = commits[i];
    if (auto yours = engine.board_.held(c.job, c.fence); !yours) return std::unexpected(std::move(yours.error()));
    std::vector<NewJob> accepted;
    for (const Submission& s : c.children) {
      auto child = engine.accept(s, cycle.wall);
      if (!child) return std::unexpected(std::move(child.error()));
      accepted.push_back(std::move(*child));
    }
    for (NewJob& child : accepted) children[i].push_back(SubmitAsk::stage_one(engine, cycle, std::move(child)));
    if (c.also) cycle.also.push_back(&c.also);
    if (c.to == Commit::To::running) return Settled{.state = JobState::queued, .running = true, .children = {}};
    const Entry& e = **engine.board_.hold(c.job);
    cycle.by_holder.insert(c.job);
    const auto again = [&](JobState state, std::uint32_t attempt, std::optional<Duration> wait) {
      cycle.moves.push_back({.row = {.id = c.job, .fence = c.fence, .state = state, .attempt = attempt,
                                     .due = wait.value_or(Duration::zero()) > Duration::zero() ? cycle.wall + *wait : WallTime{}, .finished = {}, .output = {}, .error = {}},
                             .due = wait ? cycle.now + *wait : kNever});
    };
    switch (c.to) {
      case Commit::To::running: break;
      case Commit::To::done: engine.stage_end(cycle, e, JobState::done, c.output, std::nullopt); break;
      case Commit::To::failed: engine.stage_failure(cycle, e, c.error.value_or(Error{}), c.delay); break;
      case Commit::To::dead:
        cycle.failures.push_back({engine.held_.at(c.job), c.error.value_or(Error{}).code, false});
        engine.stage_end(cycle, e, JobState::dead, std::nullopt, pack_error(c.error.value_or(Error{})));
        break;
      case Commit::To::snoozed: again(JobState::queued, e.attempt, c.delay.value_or(Duration::zero())); break;
      case Commit::To::waiting: again(JobState::waiting, 0, c.delay); break;
    }
    return Settled{.state = cycle.moves.back().row.state, .running = false, .children = {}};
  }
  void settled(Engine& engine, Cycle& cycle) override {
    for (std::size_t i = 0; i < commits.size(); ++i) {
      if (!results[i]) continue;
      if (commits[i].news) engine.feed_.notify(commits[i].job);
      for (const std::size_t index : children[i])
        if (auto child = SubmitAsk::outcome(cycle, index)) results[i]->children.push_back(*child);
    }
  }
  void failed(const Error& error) override { results.assign(commits.size(), std::unexpected(error)); }
};

Task<std::vector<Result<Settled>>> Engine::commit(std::vector<Commit> commits) {
  const auto ask = std::make_shared<CommitAsk>();
  ask->commits = std::move(commits);
  co_await Ask::Queued{*this, *ask};
  if (ask->left) co_return std::vector<Result<Settled>>(ask->commits.size(), std::unexpected(*ask->left));
  co_return std::move(ask->results);
}

// Of a holder in this process: it has nobody to ask again, so the engine does.
Task<Result<Settled>> Engine::commit(Commit one) {
  CommitAsk ask;
  ask.commits.push_back(std::move(one));
  ask.insist = true;
  co_await Ask::Queued{*this, ask};
  co_return std::move(ask.results.front());
}

Task<Result<Settled>> Engine::conclude(Commit last) {
  const JobId job = last.job;
  const Fence fence = last.fence;
  auto settled = co_await commit(std::move(last));
  const auto holds = [&] {
    const Entry* e = board_.find(job);
    return !stopping_ && !lost_ && e && e->place == Entry::Place::leased && e->fence == fence && !e->settling;
  };
  for (bool told = settled.has_value(); !told && holds();) {
    Error why{ErrorCode::internal_error, "what the attempt came to could not be recorded: " + settled.error().message, settled.error().field};
    log::error("job_not_settled", {{"job", to_string(job)}, {"why", settled.error().message}});
    auto failed = co_await commit(Commit{.job = job, .fence = fence, .to = Commit::To::failed, .output = {}, .error = std::move(why), .delay = {}, .also = {}, .children = {}});
    told = failed.has_value() || draining_;    // the next start counts it as a crash
    if (!told && holds()) co_await SleepUntil(home_, home_.clock().mono() + kAskAgain);
  }
  co_return settled;
}

// ---- from outside ----

struct Engine::CancelAsk final : Ask {
  std::vector<JobId> ids;
  std::string reason;
  Also also;
  std::vector<Result<JobState>> results;

  void stage(Engine& engine, Cycle& cycle) override {
    results.clear();
    bool any = false;
    for (const JobId id : ids) {
      const auto e = engine.board_.hold(id);
      if (!e) {
        results.emplace_back(std::unexpected(e.error()));
        continue;
      }
      any = true;
      results.emplace_back((*e)->place == Entry::Place::waiting ? JobState::waiting : JobState::queued);
      engine.stage_end(cycle, **e, JobState::cancelled, std::nullopt, pack_error(refusal(ErrorCode::caller_cancelled, reason, "")));
    }
    if (also && any) cycle.also.push_back(&also);        // who cancelled nothing did nothing
  }
  void settled(Engine&, Cycle&) override {}
  void failed(const Error& error) override { results.assign(ids.size(), std::unexpected(error)); }
};

Task<std::vector<Result<JobState>>> Engine::cancel(std::vector<JobId> ids, std::string reason, Also also) {
  CancelAsk ask;
  ask.also = std::move(also);
  ask.ids = std::move(ids);
  ask.reason = std::move(reason);
  co_await Ask::Queued{*this, ask};
  // Which of those that are not live have ended, and which never were.
  auto ended = co_await database_.read(home_, [&ask](store::Tx& tx) -> Result<std::vector<Job>> {
    std::vector<JobId> unknown;
    for (std::size_t i = 0; i < ask.ids.size(); ++i)
      if (!ask.results[i] && ask.results[i].error().code == ErrorCode::caller_not_found) unknown.push_back(ask.ids[i]);
    return load_jobs(tx, unknown);
  });
  if (!ended) co_return std::move(ask.results);
  for (const Job& job : *ended)
    for (std::size_t i = 0; i < ask.ids.size(); ++i)
      if (ask.ids[i] == job.id && !ask.results[i] && terminal(job.state))      // else it is on another node's board
        ask.results[i] = fail(ErrorCode::caller_conflict, fmt::format("{} has ended already: {}", to_string(job.id), to_string(job.state)), "id");
  co_return std::move(ask.results);
}

struct Engine::WakeAsk final : Ask {
  JobId id;
  Also also;
  bool insist = false;
  Result<bool> result = false;

  bool insists() const override { return insist; }
  void stage(Engine& engine, Cycle& cycle) override {
    if (also) cycle.also.push_back(&also);
    result = engine.board_.wake(id);
    if (!*result) return;                    // it runs: it will find out before it waits, or it has ended
    const auto e = engine.board_.hold(id);
    if (!e) return;
    cycle.moves.push_back({.row = {.id = id, .fence = 0, .state = JobState::queued, .attempt = (*e)->attempt, .due = {}, .finished = {}, .output = {}, .error = {}},
                           .due = cycle.now});
  }
  void settled(Engine&, Cycle&) override {}
  void failed(const Error& error) override { result = std::unexpected(error); }
};

Task<Result<bool>> Engine::wake(JobId id, Also also) {
  WakeAsk ask;
  ask.id = id;
  ask.also = std::move(also);
  co_await Ask::Queued{*this, ask};
  co_return std::move(ask.result);
}

Task<Result<bool>> Engine::wake_surely(JobId id) {
  WakeAsk ask;
  ask.id = id;
  ask.insist = true;
  co_await Ask::Queued{*this, ask};
  co_return std::move(ask.result);
}

struct Engine::ReplaceAsk final : Ask {
  JobPtr as;
  Also also;
  Result<void> result;

  void stage(Engine& engine, Cycle& cycle) override {
    const Entry* e = engine.board_.find(as->id);
    if (e && e->place == Entry::Place::leased) {
      result = fail(refusal(ErrorCode::caller_conflict, "somebody has it in hand at this moment; ask again when it waits", "id"));
      return;
    }
    const auto held = engine.board_.hold(as->id);
    result = held ? Result<void>{} : fail(held.error());
    if (!held) return;
    cycle.also.push_back(&also);
    if (e->place != Entry::Place::waiting) return cycle.held.push_back(as->id);
    cycle.moves.push_back({.row = {.id = as->id, .fence = 0, .state = JobState::queued, .attempt = e->attempt, .due = {}, .finished = {}, .output = {}, .error = {}},
                           .due = cycle.now});
  }
  void settled(Engine& engine, Cycle&) override {
    if (!result) return;
    if (engine.take_hot(as->id)) engine.keep_hot(as);
    engine.feed_.notify(as->id);
  }
  void failed(const Error& error) override { result = std::unexpected(error); }
};

Task<Result<void>> Engine::replace(JobPtr as, Also also) {
  ReplaceAsk ask;
  ask.as = std::move(as);
  ask.also = std::move(also);
  co_await Ask::Queued{*this, ask};
  co_return std::move(ask.result);
}

Task<Result<void>> Engine::set_queue(std::string name, QueueRules rules, Also also) {
  if (auto fine = check_name(name, "queue", true); !fine) co_return fine;
  if (auto room = has_room(name); !room) co_return room;
  auto put = co_await database_.write(home_, [&](store::Tx& tx) -> Result<void> {
    if (auto done = put_queue(tx, {name, rules}); !done) return done;
    return also ? also(tx) : Result<void>{};
  });
  if (!put) co_return put;
  board_.set_rules(name, rules);
  nudge();
  co_return Result<void>{};
}

void Engine::take_rules(std::string_view name, QueueRules rules) {
  if (board_.rules(name) == rules || !has_room(name)) return;
  board_.set_rules(name, rules);
  nudge();
}

}  // namespace ballast::work
