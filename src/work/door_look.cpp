// Looking: answers for who asked here, what others ask of the jobs here, and news of jobs elsewhere that somebody here follows.
#include <algorithm>

#include "base/log.hpp"
#include "work/door_parts.hpp"
#include "work/signals.hpp"

namespace ballast::work {

namespace {

constexpr std::size_t kAtOnce = 256;
constexpr std::uint64_t kBytesAtOnce = 32u << 20;        // of payloads
constexpr Duration kOrphaned = std::chrono::seconds(10); // a signal whose sender has woken nobody in this time
constexpr Duration kRules = std::chrono::seconds(1);     // between two looks at the rules of queues
constexpr Duration kShortest = std::chrono::milliseconds(10);          // between two looks

Also both(Also first, Also second) {
  if (!first) return second;
  return [first = std::move(first), second = std::move(second)](store::Tx& tx) -> Result<void> {
    if (auto done = first(tx); !done) return done;
    return second(tx);
  };
}

// An owner's no to whoever asked, not a hindrance that may pass.
bool is_refusal(const Error& error) { return error.code != ErrorCode::internal_unavailable && store::fault_of(error) == store::Fault::none; }

}  // namespace

// One round: what it reads, and what it has read.
struct Door::Look {
  std::vector<JobId> seqs, asked_jobs, followed, reminded;
  std::vector<AskRow> open;
  std::vector<Sight> asked, news, owners;
  std::vector<AskAnswer> answers;
  std::optional<std::vector<QueueRow>> queues;           // once in a while
  WallTime now{};
};

void Door::open() {
  if (!shared()) return;
  if (options_.notifier) {
    const std::string mine = ask_word(engine_.node());
    hearing_ = options_.notifier->hear(mine, [this, mine](std::string_view word) {
      if (word.empty() || word == mine) remind();
    });
  }
  tasks_.spawn(run());
}

void Door::remind() {
  engine_.home().post([this, lives = std::weak_ptr<bool>(lives_)] {
    if (lives.lock()) poke();
  });
}

void Door::poke() {
  poked_ = true;
  if (!nap_) return;
  const MonoTime soon = std::max(mono(), looked_ + kShortest);
  engine_.home().arm(timer_, soon, [](void* self) {
    auto* door = static_cast<Door*>(self);
    if (const auto nap = std::exchange(door->nap_, {})) door->engine_.home().resume(nap);
  }, this);
}

Task<void> Door::stop() {
  closing_ = true;
  if (options_.notifier && hearing_) options_.notifier->unhear(std::exchange(hearing_, 0));
  std::vector<JobId> seqs;
  for (const auto& [seq, asking] : asking_) seqs.push_back(seq);
  for (const JobId seq : seqs)
    settle(seq, std::unexpected(Error{ErrorCode::internal_unavailable, "this node is shutting down; whether it was done is seen from the job", {}, true, std::chrono::seconds(2), {}, {}, {}}));
  poke();
  co_await tasks_.join();
}

Task<void> Door::run() {
  struct Nap {
    Door& door;
    MonoTime until;
    bool await_ready() const noexcept { return door.closing_; }
    void await_suspend(std::coroutine_handle<> h) const {
      door.nap_ = h;
      if (door.poked_) return door.poke();
      door.engine_.home().arm(door.timer_, until, [](void* self) {
        auto* d = static_cast<Door*>(self);
        if (const auto nap = std::exchange(d->nap_, {})) d->engine_.home().resume(nap);
      }, &door);
    }
    void await_resume() const { door.timer_.cancel(); }
  };
  while (!closing_) {
    const bool wanted = poked_ || !asking_.empty() || !options_.company || options_.company();
    if (wanted || mono() >= looked_ + options_.alone) {
      poked_ = false;
      co_await look();
      looked_ = mono();
    }
    leave_moved();
    co_await Nap{*this, mono() + options_.look};
  }
}

// Who waits at the engine for a job that has left its board waits for it elsewhere.
void Door::leave_moved() {
  for (const auto& [own, wait] : waits_)
    if (wait.at_engine && !here(wait.job)) engine_.stop_waiting(own);
}

Door::Look Door::what_to_look_at() {
  Look round;
  for (const auto& [seq, asking] : asking_) {
    round.seqs.push_back(seq);
    round.asked_jobs.push_back(asking->open.at(seq).job);
  }
  std::vector<JobId> foreign = engine_.feed().followed();
  std::erase_if(foreign, [&](JobId id) { return here(id); });
  std::ranges::sort(foreign);
  std::erase_if(followed_, [&](const auto& item) { return !std::ranges::binary_search(foreign, item.first); });
  const std::size_t pages = (foreign.size() + options_.followed - 1) / options_.followed;
  page_ = pages == 0 ? 0 : (page_ + 1) % pages;
  const std::size_t from = page_ * options_.followed, to = std::min(foreign.size(), from + options_.followed);
  round.followed.assign(foreign.begin() + static_cast<std::ptrdiff_t>(from), foreign.begin() + static_cast<std::ptrdiff_t>(to));
  round.reminded.assign(reminded_.begin(), reminded_.end());
  return round;
}

Task<void> Door::look() {
  ++stats_.looks;
  Look round = what_to_look_at();
  const bool rules = mono() >= rules_read_ + kRules;
  // A job that is not live any more was ended by its answered ask, if at all: so the jobs are looked at before the answers.
  const auto seen = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) -> Result<void> {
    const auto into = [](auto& where, auto found) -> Result<void> {
      if (!found) return std::unexpected(std::move(found.error()));
      where = std::move(*found);
      return {};
    };
    if (auto ok = into(round.asked, look_at(tx, round.asked_jobs)); !ok) return ok;
    if (!round.seqs.empty())
      if (auto ok = into(round.answers, answers_of(tx, round.seqs)); !ok) return ok;
    if (auto ok = into(round.news, look_at_leases(tx, round.followed)); !ok) return ok;
    if (auto ok = into(round.owners, look_at(tx, round.reminded)); !ok) return ok;
    if (rules)
      if (auto ok = into(round.queues.emplace(), load_queues(tx)); !ok) return ok;
    round.now = tx.now();
    return into(round.open, open_asks(tx, engine_.epoch(), round.now - kOrphaned, kAtOnce, kBytesAtOnce));
  });
  if (!seen) {
    if (!std::exchange(blind_, true)) log::warn("asks_not_read", {{"why", seen.error().message}});
    co_return;
  }
  blind_ = false;
  if (round.queues) {
    rules_read_ = mono();
    for (const QueueRow& q : *round.queues) engine_.take_rules(q.name, q.rules);
  }
  for (AskAnswer& a : round.answers) settle(a.seq, std::move(a.answer));
  std::unordered_map<JobId, JobState> over;
  for (const Sight& s : round.asked)
    if (!s.live) over.emplace(s.job, s.state);
  for (std::size_t i = 0; i < round.seqs.size(); ++i)
    if (const auto at = over.find(round.asked_jobs[i]); at != over.end())
      settle(round.seqs[i], fail(ErrorCode::caller_conflict, fmt::format("{} has ended already: {}", to_string(at->first), to_string(at->second)), "id"));
  for (const Sight& s : round.owners) hint(s.node);
  for (const JobId id : round.reminded) reminded_.erase(id);
  tell_followers(round.news);
  std::vector<AskRow> beats;
  for (AskRow& ask : round.open) {
    if (!performing_.insert(ask.seq).second) continue;
    if (ask.kind == AskKind::heartbeats) beats.push_back(std::move(ask));
    else tasks_.spawn(perform(std::move(ask)));
  }
  if (!beats.empty()) co_await take_beats(std::move(beats), round.now);
}

// One that is seen for the first time may have changed since its follower read it.
void Door::tell_followers(const std::vector<Sight>& seen) {
  for (const Sight& s : seen) {
    const auto [at, fresh] = followed_.try_emplace(s.job, s);
    if (!fresh && at->second == s) continue;
    at->second = s;
    engine_.feed().notify(s.job);
  }
}

// ---- what others ask

Task<void> Door::perform(AskRow ask) {
  std::optional<Error> no;
  switch (ask.kind) {
    case AskKind::cancel: no = co_await do_cancel(ask); break;
    case AskKind::wake: no = co_await do_wake(ask); break;
    case AskKind::commit: no = co_await do_commit(ask); break;
    case AskKind::move: no = co_await do_move(ask); break;
    case AskKind::signal: no = co_await do_signal(ask); break;
    case AskKind::heartbeats: break;
    default: no = Error{ErrorCode::internal_error, "this node does not know how to do what was asked: it runs another version"};
  }
  if (no && is_refusal(*no)) {
    const std::string answer = pack_refusal(*no);
    const std::vector<JobId> one{ask.seq};
    const auto told = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<void> {
      if (!ask.asker) return delete_asks(tx, one);
      auto answered = answer_ask(tx, ask.seq, answer);
      return answered ? Result<void>{} : Result<void>(std::unexpected(std::move(answered.error())));
    });
    if (!told) no = told.error();
  }
  if (!no) ++stats_.performed;
  if (!no || is_refusal(*no)) hint(ask.asker);
  performing_.erase(ask.seq);
}

// Not done, for the job is not here, or not now: the next look finds it again, here or at whoever has the job then.
namespace {
Error not_here() { return {ErrorCode::internal_unavailable, "the job is not on this board", {}, true, {}, {}, {}, {}}; }
std::optional<Error> error_of(const auto& result) { return result ? std::nullopt : std::optional<Error>(result.error()); }
}  // namespace

Task<std::optional<Error>> Door::do_cancel(const AskRow& ask) {
  const auto word = read_cancel(ask.body);
  if (!word) co_return word.error();
  if (!here(ask.job)) co_return not_here();
  std::vector<JobId> one{ask.job};
  Also also = both(tell_of_cancel(word->actor, one, engine_.home().clock().wall()), performed(ask, engine_.epoch(), {}));
  const auto done = co_await engine_.cancel(std::move(one), word->reason, std::move(also));
  if (done.front()) co_return std::nullopt;
  co_return not_here();                      // it has ended, or is held by what is being written: its asker sees which
}

Task<std::optional<Error>> Door::do_wake(const AskRow& ask) {
  if (!here(ask.job)) co_return not_here();
  co_return error_of(co_await engine_.wake(ask.job, performed(ask, engine_.epoch(), {})));
}

Task<std::optional<Error>> Door::do_commit(const AskRow& ask) {
  const auto word = read_commit(ask);
  if (!word) co_return word.error();
  if (!here(ask.job)) co_return not_here();
  std::vector<Commit> one{commit_of(*word)};
  const bool goes_on = word->to == Commit::To::running;
  one.front().also = both(std::move(one.front().also), performed(ask, engine_.epoch(), goes_on ? pack_state(JobState::queued, true) : std::string()));
  const auto done = co_await engine_.commit(std::move(one));
  if (!done.front() && done.front().error().code == ErrorCode::caller_not_found) co_return not_here();
  co_return error_of(done.front());
}

Task<std::optional<Error>> Door::do_move(const AskRow& ask) {
  auto wish = read_move(ask);
  if (!wish) co_return wish.error();
  if (!options_.flows) co_return Error{ErrorCode::internal_error, "this node has no flows"};
  if (!here(ask.job)) co_return not_here();
  auto plan = co_await plan_move(engine_.home(), engine_.database(), *options_.flows, std::move(*wish), engine_.home().clock().wall());
  if (!plan) co_return plan.error();
  if (plan->run) {
    Also also = both(plan->write, performed(ask, engine_.epoch(), pack_moved(*plan, true)));
    const auto moved = co_await engine_.replace(plan->run, std::move(also));
    if (!moved && moved.error().code == ErrorCode::caller_not_found) co_return not_here();
    co_return error_of(moved);
  }
  const std::string answer = pack_moved(*plan, false);
  co_return error_of(co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) { return answer_ask(tx, ask.seq, answer); }));
}

Task<std::optional<Error>> Door::do_signal(const AskRow& ask) {
  const auto word = read_signal(ask);
  if (!word) co_return word.error();
  (void)co_await wake_listeners(*this, word->signal, word->most);
  if (engine_.draining()) co_return not_here();
  const std::vector<JobId> one{ask.seq};
  co_return error_of(co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) { return delete_asks(tx, one); }));
}

// A lease counts from when its worker spoke. What has been heard twice is heard once.
Task<void> Door::take_beats(std::vector<AskRow> asks, WallTime now) {
  std::vector<JobId> heard;
  for (const AskRow& ask : asks) {
    heard.push_back(ask.seq);
    const auto beats = read_beats(ask.body);
    if (!beats) log::warn("heartbeats_not_read", {{"why", beats.error().message}});
    for (std::size_t i = 0; beats && i < beats->size(); ++i) {
      const Beat& b = (*beats)[i];
      const Duration left = b.lease - (now - ask.asked);
      if (left > Duration::zero()) (void)engine_.heartbeat(b.job, b.fence, left);        // its worker has been told how it stood
    }
  }
  const auto gone = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) { return delete_asks(tx, heard); });
  if (gone) stats_.performed += heard.size();
  else log::warn("heartbeats_not_cleared", {{"why", gone.error().message}});
  for (const JobId seq : heard) performing_.erase(seq);
}

}  // namespace ballast::work
