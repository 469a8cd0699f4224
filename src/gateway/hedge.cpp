#include "gateway/hedge.hpp"

namespace ballast::gateway {

namespace {

struct Racer {
  std::size_t candidate = 0;
  std::unique_ptr<Lane> lane;
  CancelSource cancel;
  Timer patience;                        // until it is cut, once it is overtaken
  bool overtaken = false;
  Answer answer;
  AttemptOutcome outcome{.answer = answer};
  bool done = false;
};

// The race of one call: single-threaded, on the call's loop.
class Race {
 public:
  Race(const Scene& scene, const Asked& asked, Planned& plan, AttemptOptions options, Trail& trail)
      : scene_(scene), asked_(asked), plan_(plan), options_(options), trail_(trail) {}

  void start(std::size_t candidate, std::unique_ptr<Lane> lane) {
    auto racer = std::make_unique<Racer>();
    Racer& r = *racer;
    r.candidate = candidate;
    r.lane = std::move(lane);
    const std::size_t index = racers_.size();
    r.lane->out.race([this, index] { return claim(index); });
    racers_.push_back(std::move(racer));
    if (index > 0) trail_.decision.step(scene_.now(), "hedge", {{"target", plan_.candidates[candidate].target->name}});
    group_.spawn(run(r, index));
  }

  // Something finished, or `due` passed.
  struct Change {
    Race& race;
    MonoTime due;
    Timer timer;
    bool await_ready() const { return race.changed_; }
    void await_suspend(std::coroutine_handle<> h) {
      race.waiter_ = h;
      if (due != MonoTime::max()) race.scene_.sink.loop().arm(timer, due, [](void* self) { static_cast<Race*>(self)->wake(); }, &race);
    }
    void await_resume() const { race.changed_ = false; }
  };
  Change change(MonoTime due) { return {*this, due, {}}; }

  bool over() const {
    if (winner_) return racers_[*winner_]->done;
    return unfinished() == 0;
  }
  bool decided() const { return winner_.has_value(); }
  std::size_t started() const { return racers_.size(); }
  std::size_t unfinished() const {
    std::size_t n = 0;
    for (const auto& r : racers_) n += !r->done;
    return n;
  }
  // The answer is whole: who is still under way is cut.
  auto finish() {
    for (auto& r : racers_)
      if (!r->done) r->cancel.cancel();
    return group_.join();
  }

  // After `finish`. The winner, or the last to fail.
  Racer& result() { return winner_ ? *racers_[*winner_] : *racers_.back(); }
  bool dispatched() const {
    for (const auto& r : racers_)
      if (r->outcome.dispatched) return true;
    return false;
  }
  void mark_hedges() {
    for (std::size_t i = 1; i < racers_.size(); ++i)
      if (racers_[i]->outcome.dispatched) trail_.record.attempts[racers_[i]->outcome.record].hedged = true;
  }

 private:
  // First to speak wins. The others are read on for what they cost, as a call is whose caller left, while the winner is heard.
  bool claim(std::size_t index) {
    if (winner_) return *winner_ == index;
    winner_ = index;
    const Target& target = *plan_.candidates[racers_[index]->candidate].target;
    trail_.record.provider = target.provider;
    trail_.record.model = target.model;
    trail_.record.served_by = target.name;
    for (std::size_t i = 0; i < racers_.size(); ++i)
      if (i != index) overtake(*racers_[i]);
    return true;
  }

  void overtake(Racer& r) {
    r.overtaken = true;
    const Duration patience = scene_.setup.drain_on_disconnect;
    if (r.done) return;
    if (patience <= Duration::zero()) return r.cancel.cancel();
    scene_.sink.loop().arm(r.patience, scene_.now() + patience, [](void* racer) { static_cast<Racer*>(racer)->cancel.cancel(); }, &r);
  }

  Task<void> run(Racer& r, std::size_t index) {
    AttemptOptions options = options_;
    options.cancel = &r.cancel;
    options.overtaken = &r.overtaken;
    co_await attempt_once(scene_, asked_, plan_, plan_.candidates[r.candidate], options, r.lane->out, r.lane->relay, trail_, r.outcome);
    if (r.answer.end) claim(index);
    r.done = true;
    wake();
  }

  void wake() {
    changed_ = true;
    if (waiter_) scene_.sink.loop().resume(std::exchange(waiter_, {}));
  }

  const Scene& scene_;
  const Asked& asked_;
  Planned& plan_;
  AttemptOptions options_;
  Trail& trail_;
  std::vector<std::unique_ptr<Racer>> racers_;
  std::optional<std::size_t> winner_;
  bool changed_ = false;
  std::coroutine_handle<> waiter_;
  TaskGroup group_{"hedge"};
};

}  // namespace

Task<void> attempt_hedged(const Scene& scene, const Asked& asked, Planned& plan, std::size_t& at, AttemptOptions options,
                          const LaneMaker& make_lane, std::unique_ptr<Lane>& lane, Trail& trail, AttemptOutcome& outcome) {
  const HedgeOptions& hedge = asked.route->hedge;
  Race race(scene, asked, plan, options, trail);
  std::size_t next = at;
  race.start(next++, std::move(lane));
  MonoTime due = scene.now() + *hedge.after;
  while (!race.over()) {
    const bool may_start = !race.decided() && race.started() <= hedge.max && next < plan.admitted;
    co_await race.change(may_start ? due : MonoTime::max());
    if (may_start && !race.decided() && race.unfinished() > 0 && scene.now() >= due) {
      race.start(next++, make_lane());
      due = scene.now() + *hedge.after;
    }
  }
  co_await race.finish();
  race.mark_hedges();
  Racer& result = race.result();
  outcome.answer = std::move(result.answer);
  outcome.credential = result.outcome.credential;
  outcome.record = result.outcome.record;
  outcome.dispatched = race.dispatched();
  lane = std::move(result.lane);
  lane->out.race(nullptr);
  at = outcome.answer.end ? result.candidate : next - 1;
  if (outcome.answer.end) {
    const Target& target = *plan.candidates[result.candidate].target;
    trail.record.provider = target.provider;
    trail.record.model = target.model;
    trail.record.served_by = target.name;
    trail.record.billed_nano = outcome.answer.billed.nano;
    if (outcome.answer.usage) trail.record.usage = token_counts(*outcome.answer.usage);
  }
}

}  // namespace ballast::gateway
