// The front: what is on this board, and what is asked of others.
#include "work/door.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace ballast::work {

namespace {

constexpr std::uint64_t kOwnTickets = 1ull << 62;        // apart from those of callers

Result<void> only_whether(const auto& result) { return result ? Result<void>{} : Result<void>(std::unexpected(result.error())); }

}  // namespace

Door::Door(Engine& engine, DoorOptions options) : engine_(engine), options_(std::move(options)) {}
Door::~Door() { timer_.cancel(); }

// ---- cancelling

Task<std::vector<Result<void>>> Door::cancel(std::vector<JobId> ids, std::string reason, std::string actor) {
  std::vector<Result<void>> out(ids.size());
  std::vector<JobId> mine;
  std::vector<std::size_t> at, elsewhere;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (shared() && !here(ids[i])) elsewhere.push_back(i);
    else mine.push_back(ids[i]), at.push_back(i);
  }
  const WallTime now = engine_.home().clock().wall();
  if (!mine.empty()) {
    auto results = co_await engine_.cancel(mine, reason, tell_of_cancel(actor, mine, now));
    for (std::size_t k = 0; k < at.size(); ++k) {
      out[at[k]] = only_whether(results[k]);
      if (shared() && !results[k] && results[k].error().code == ErrorCode::caller_not_found) elsewhere.push_back(at[k]);      // it left meanwhile
    }
  }
  if (elsewhere.empty()) co_return out;
  std::vector<AskRow> asks;
  for (const std::size_t i : elsewhere) asks.push_back({.seq = {}, .kind = AskKind::cancel, .job = ids[i], .owner = 0, .asker = {}, .body = pack_cancel({reason, actor}), .payload = {}, .asked = {}});
  const auto answers = co_await ask(std::move(asks));
  for (std::size_t k = 0; k < elsewhere.size(); ++k) out[elsewhere[k]] = answers[k] ? only_whether(read_state(*answers[k])) : only_whether(answers[k]);
  co_return out;
}

// ---- waking

Task<Result<bool>> Door::wake(JobId id) {
  if (!shared() || here(id)) {
    auto woken = co_await engine_.wake(id);
    if (!shared() || !woken || *woken || here(id)) co_return woken;
  }
  const std::vector<JobId> one{id};
  const auto sent = co_await send_wakes(one);
  if (!sent) co_return fail(sent.error());
  co_return *sent > 0;
}

Task<Result<void>> Door::wake_surely(std::vector<JobId> ids) {
  std::vector<JobId> elsewhere;
  for (const JobId id : ids) {
    if (shared() && !here(id)) {
      elsewhere.push_back(id);
      continue;
    }
    const auto woken = co_await engine_.wake_surely(id);
    if (!woken) co_return fail(woken.error());
    if (shared() && !*woken && !here(id)) elsewhere.push_back(id);
  }
  while (!elsewhere.empty()) {
    const auto sent = co_await send_wakes(elsewhere);
    if (sent) break;
    if (sent.error().code != ErrorCode::internal_unavailable || engine_.draining()) co_return fail(sent.error());
    log::warn("runs_not_woken", {{"runs", elsewhere.size()}, {"why", sent.error().message}});
    co_await SleepUntil(engine_.home(), mono() + kAskAgain);
  }
  co_return Result<void>{};
}

Task<Result<void>> Door::child_ended(JobId run) {
  if (shared() && !here(run)) {
    reminded_.insert(run);
    poke();
    co_return Result<void>{};
  }
  auto woken = co_await engine_.wake_surely(run);
  co_return only_whether(woken);
}

// ---- what workers say

Task<std::vector<Result<Settled>>> Door::commit(std::vector<WorkerWord> words) {
  std::vector<Result<Settled>> out(words.size());
  std::vector<Commit> mine;
  std::vector<AskRow> asks;
  std::vector<std::size_t> at, elsewhere;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!shared() || here(words[i].job)) {
      mine.push_back(commit_of(words[i]));
      at.push_back(i);
      continue;
    }
    pack_commit(words[i], asks.emplace_back());
    elsewhere.push_back(i);
  }
  if (!mine.empty()) {
    auto results = co_await engine_.commit(std::move(mine));
    for (std::size_t k = 0; k < at.size(); ++k) out[at[k]] = std::move(results[k]);
  }
  if (asks.empty()) co_return out;
  const auto answers = co_await ask(std::move(asks));
  for (std::size_t k = 0; k < elsewhere.size(); ++k) {
    auto& r = out[elsewhere[k]];
    if (answers[k]) r = read_state(*answers[k]);
    else if (answers[k].error().field == "id") r = fail(ErrorCode::caller_not_found, "there is no such live job: it ended, was cancelled or never was", "id");
    else r = fail(answers[k].error());
  }
  co_return out;
}

// ---- moving

Task<Result<MovePlan>> Door::move(MoveWish wish, WallTime now) {
  auto plan = co_await plan_move(engine_.home(), engine_.database(), *options_.flows, wish, now);
  if (!plan || !plan->run) co_return plan;
  if (!shared() || here(wish.run)) {
    const auto moved = co_await engine_.replace(plan->run, plan->write);
    if (moved) co_return plan;
    if (!shared() || moved.error().code != ErrorCode::caller_not_found) co_return fail(moved.error());
  }
  wish.to = plan->to;                        // the version that was in force here
  std::vector<AskRow> one{{.seq = {}, .kind = AskKind::move, .job = wish.run, .owner = 0, .asker = {}, .body = pack_move(wish), .payload = {}, .asked = {}}};
  const auto answers = co_await ask(std::move(one));
  if (!answers.front()) co_return fail(answers.front().error());
  auto moved = read_moved(*answers.front());
  if (moved && moved->from != moved->to) moved->run = plan->run;
  co_return moved;
}

// ---- waiting

// What is on the board is waited for there; should it leave, and for what lives elsewhere, by following it.
Task<Result<std::optional<Job>>> Door::wait_for(JobId id, MonoTime deadline, std::uint64_t ticket) {
  if (!shared()) co_return co_await engine_.wait_for(id, deadline, ticket);
  const std::uint64_t own = kOwnTickets + ++tickets_;
  waits_[own] = {.job = id, .ticket = ticket, .stopped = false, .at_engine = false};
  Result<std::optional<Job>> job = std::optional<Job>{};
  for (bool over = false; !over;) {
    if (here(id)) {
      waits_[own].at_engine = true;
      job = co_await engine_.wait_for(id, deadline, own);
      waits_[own].at_engine = false;
      over = !job || !*job || terminal((*job)->state) || mono() >= deadline || waits_[own].stopped || engine_.feed().closed();
      continue;
    }
    engine_.feed().follow(own, id);
    job = co_await engine_.get(id);
    over = !job || !*job || terminal((*job)->state) || mono() >= deadline || waits_[own].stopped || engine_.feed().closed();
    if (!over) co_await engine_.feed().wait(own, deadline);
    engine_.feed().leave(own);
  }
  waits_.erase(own);
  co_return job;
}

void Door::stop_waiting(std::uint64_t ticket) {
  for (auto& [own, wait] : waits_) {
    if (wait.ticket != ticket || ticket == 0) continue;
    wait.stopped = true;
    engine_.stop_waiting(own);
    engine_.feed().leave(own);
    return;
  }
  engine_.stop_waiting(ticket);
}

Task<std::vector<bool>> Door::running(std::vector<JobId> ids) {
  std::vector<bool> out;
  std::vector<JobId> elsewhere;
  for (const JobId id : ids) {
    out.push_back(engine_.running(id));
    if (shared() && !here(id)) elsewhere.push_back(id);
  }
  if (elsewhere.empty()) co_return out;
  const auto seen = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return look_at_leases(tx, elsewhere); });
  if (!seen) co_return out;
  for (const Sight& s : *seen)
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (ids[i] == s.job && s.leased) out[i] = true;
  co_return out;
}

}  // namespace ballast::work
