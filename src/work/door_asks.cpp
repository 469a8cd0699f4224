// Asking: rows for other nodes, and the wait for what they answer.
#include <algorithm>

#include "base/log.hpp"
#include "work/door_parts.hpp"

namespace ballast::work {

namespace {

constexpr std::size_t kMostBeats = 10'000;               // gathered at once
constexpr std::chrono::milliseconds kComeAgain{2'000};

Error no_answer() {
  return {ErrorCode::internal_unavailable, "the node that has this job did not answer in time; nothing was done. Try again in a moment", {}, true, kComeAgain, {}, {}, {}};
}
Error perhaps_done() {
  return {ErrorCode::internal_unavailable, "the database is away; whether it was done is seen from the job", {}, true, kComeAgain, {}, {}, {}};
}
Error is_over(JobId id, const Sight* seen) {
  if (!seen) return {ErrorCode::caller_not_found, "there is no such live job: it ended or never was", "id"};
  return {ErrorCode::caller_conflict, fmt::format("{} has ended already: {}", to_string(id), to_string(seen->state)), "id"};
}

using ByJob = std::unordered_map<JobId, const Sight*>;
ByJob by_job(const std::vector<Sight>& seen) {
  ByJob out;
  for (const Sight& s : seen) out.emplace(s.job, &s);
  return out;
}
const Sight* find(const ByJob& seen, JobId job) {
  const auto at = seen.find(job);
  return at == seen.end() ? nullptr : at->second;
}

}  // namespace

void Door::hint(std::optional<unsigned> node) {
  if (!node) return;
  if (*node == engine_.node()) return poke();
  if (options_.notifier) options_.notifier->say(ask_word(*node));
}

void Door::settle(JobId seq, Result<std::string> answer) {
  const auto at = asking_.find(seq);
  if (at == asking_.end()) return;
  Asking& asking = *at->second;
  asking_.erase(at);
  const auto open = asking.open.find(seq);
  asking.out[open->second.index] = std::move(answer);
  asking.open.erase(open);
  if (!asking.open.empty()) return;
  if (const auto waiter = std::exchange(asking.waiter, {})) engine_.home().resume(waiter);
}

// They are waited for before they are written: no look that follows can miss one.
Task<std::vector<Result<std::string>>> Door::ask(std::vector<AskRow> asks) {
  Asking mine{.home = engine_.home(), .open = {}, .out = std::vector<Result<std::string>>(asks.size(), std::unexpected(no_answer())), .waiter = {}, .timer = {}};
  if (closing_) co_return std::move(mine.out);
  std::vector<JobId> jobs;
  for (std::size_t i = 0; i < asks.size(); ++i) {
    asks[i].seq = engine_.new_id();
    asks[i].asker = engine_.node();
    jobs.push_back(asks[i].job);
    mine.open.emplace(asks[i].seq, Asking::Open{i, asks[i].job});
    asking_.emplace(asks[i].seq, &mine);
  }
  stats_.asked += asks.size();
  const MonoTime until = mono() + options_.patience;
  const auto put = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<std::vector<Sight>> {
    auto seen = look_at(tx, jobs);
    if (!seen) return seen;
    const ByJob known = by_job(*seen);
    std::vector<AskRow> live;
    for (const AskRow& a : asks)
      if (const Sight* s = find(known, a.job); s && s->live) live.push_back(a);
    if (auto kept = insert_asks(tx, live); !kept) return std::unexpected(std::move(kept.error()));
    return seen;
  });
  const bool unknown = !put && store::fault_of(put.error()) == store::Fault::commit_unknown;     // there, perhaps: waited for, and withdrawn
  const ByJob known = put ? by_job(*put) : ByJob{};
  for (const AskRow& a : asks) {
    if (!put && !unknown) settle(a.seq, std::unexpected(put.error()));
    const Sight* seen = find(known, a.job);
    if (put && (!seen || !seen->live)) settle(a.seq, std::unexpected(is_over(a.job, seen)));
    else if (seen) hint(seen->node);
  }
  co_await Asking::Until{mine, until};
  if (!mine.open.empty()) co_await give_up(mine);
  co_return std::move(mine.out);
}

// What can still be withdrawn was not done and will not be; of the rest there is an answer.
Task<void> Door::give_up(Asking& mine) {
  std::vector<JobId> seqs;
  for (const auto& [seq, open] : mine.open) seqs.push_back(seq);
  std::vector<AskAnswer> answers;
  const auto back = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<void> {
    auto gone = withdraw_asks(tx, seqs);
    if (!gone) return std::unexpected(std::move(gone.error()));
    auto found = answers_of(tx, seqs);
    if (!found) return std::unexpected(std::move(found.error()));
    answers = std::move(*found);
    return {};
  });
  if (back)
    for (AskAnswer& a : answers) settle(a.seq, std::move(a.answer));
  for (const JobId seq : seqs) {
    if (!mine.open.contains(seq)) continue;
    ++stats_.refused;
    settle(seq, std::unexpected(back ? no_answer() : perhaps_done()));
  }
}

// How many of them are live, and will be told.
Task<Result<std::size_t>> Door::send_wakes(std::span<const JobId> ids) {
  std::vector<AskRow> asks;
  for (const JobId id : ids) asks.push_back({.seq = engine_.new_id(), .kind = AskKind::wake, .job = id, .owner = 0, .asker = {}, .body = {}, .payload = {}, .asked = {}});
  const auto put = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<std::vector<Sight>> {
    auto seen = look_at(tx, ids);
    if (!seen) return seen;
    std::erase_if(*seen, [](const Sight& s) { return !s.live; });
    const ByJob known = by_job(*seen);
    std::vector<AskRow> live;
    for (const AskRow& a : asks)
      if (find(known, a.job)) live.push_back(a);
    if (auto kept = insert_asks(tx, live); !kept) return std::unexpected(std::move(kept.error()));
    return seen;
  });
  if (!put) co_return fail(put.error());
  stats_.asked += put->size();
  for (const Sight& s : *put) hint(s.node);
  co_return put->size();
}

// ---- heartbeats

Task<std::vector<Result<void>>> Door::heartbeat(std::vector<Beat> beats) {
  std::vector<Result<void>> out(beats.size());
  std::vector<std::size_t> elsewhere;
  for (std::size_t i = 0; i < beats.size(); ++i) {
    out[i] = engine_.heartbeat(beats[i].job, beats[i].fence, beats[i].lease);
    if (!out[i] && shared() && !here(beats[i].job)) elsewhere.push_back(i);
  }
  if (elsewhere.empty()) co_return out;
  const auto mine = gathering_ ? gathering_ : gathering_ = std::make_shared<Beats>();
  if (closing_ || mine->beats.size() + elsewhere.size() > kMostBeats) {
    for (const std::size_t i : elsewhere) out[i] = std::unexpected(no_answer());
    co_return out;
  }
  if (mine->beats.empty()) tasks_.spawn(send_beats(mine));
  const std::size_t at = mine->beats.size();
  for (const std::size_t i : elsewhere) mine->beats.push_back(beats[i]);
  struct Gathered {
    Beats& all;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const { all.waiters.push_back(h); }
    void await_resume() const noexcept {}
  };
  co_await Gathered{*mine};
  for (std::size_t k = 0; k < elsewhere.size(); ++k) out[elsewhere[k]] = mine->results[at + k];
  co_return out;
}

// One look at all of them, one row for each node that has some.
Task<void> Door::send_beats(std::shared_ptr<Beats> beats) {
  co_await SleepUntil(engine_.home(), mono() + options_.gather);
  if (gathering_ == beats) gathering_.reset();
  std::vector<JobId> jobs;
  for (const Beat& b : beats->beats) jobs.push_back(b.job);
  const auto seen = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return look_at_leases(tx, jobs); });
  beats->results.assign(beats->beats.size(), seen ? Result<void>{} : Result<void>(std::unexpected(seen.error())));
  const ByJob known = seen ? by_job(*seen) : ByJob{};
  std::unordered_map<std::uint32_t, std::vector<Beat>> by_owner;
  std::unordered_map<std::uint32_t, std::optional<unsigned>> nodes;
  for (std::size_t i = 0; seen && i < beats->beats.size(); ++i) {
    const Beat& b = beats->beats[i];
    const Sight* lease = find(known, b.job);
    if (!lease || !lease->live) {
      beats->results[i] = fail(ErrorCode::caller_not_found, "there is no such live job: it ended, was cancelled or never was", "id");
    } else if (lease->leased != b.fence) {
      beats->results[i] = fail(ErrorCode::caller_conflict, "this lease is over: it expired, was cancelled, or another worker has the job now", "fence");
    } else {
      by_owner[lease->owner].push_back(b);
      nodes[lease->owner] = lease->node;
    }
  }
  std::vector<AskRow> asks;
  for (const auto& [owner, list] : by_owner)
    if (owner) asks.push_back({.seq = engine_.new_id(), .kind = AskKind::heartbeats, .job = {}, .owner = owner, .asker = {}, .body = pack_beats(list), .payload = {}, .asked = {}});
  if (!asks.empty()) {
    const auto put = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) { return insert_asks(tx, asks); });
    if (!put)
      for (auto& r : beats->results)
        if (r) r = std::unexpected(put.error());
    stats_.asked += put ? asks.size() : 0;
    for (const auto& [owner, node] : nodes)
      if (put) hint(node);
  }
  for (const auto waiter : beats->waiters) engine_.home().resume(waiter);
}

}  // namespace ballast::work
