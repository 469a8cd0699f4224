// Step 6 of the road: one attempt after the other until one answers.
#include "base/log.hpp"
#include "gateway/hedge.hpp"
#include "gateway/road.hpp"

namespace ballast::gateway {

namespace {

// The next candidate worth trying after `at` failed with `code`; nothing if there is none.
std::optional<std::size_t> next_candidate(const Planned& plan, std::size_t at, ErrorCode code) {
  for (std::size_t i = at + 1; i < plan.admitted; ++i) {
    if (code == ErrorCode::provider_context_length && !larger_context(plan.candidates[at].view, plan.candidates[i].view)) continue;
    return i;
  }
  return std::nullopt;
}

// May the caller's stream go on with another provider after `relay` delivered a part?
bool can_continue(const Asked& asked, const Relay& relay) {
  return asked.route->rescue.mode == RescueMode::proceed && relay.only_text() && !relay.text().empty() && !relay.finished() &&
         !asked.facts.has_tools;
}

struct Course {                          // where the loop stands
  std::size_t at = 0;
  unsigned tries_on_target = 0;
  TriedCredentials tried = 0;
  bool continuing = false;
  bool early = false;                    // an early try at a target that rests
};

void move_on(Course& course, std::size_t to) { course = {.at = to, .continuing = course.continuing}; }

// A part of the answer is out. The rest comes from a target that can be made to go on, or not at all.
bool steer_rescue(const Scene& scene, const Asked& asked, const Planned& plan, const Relay& relay, const Error& why, Course& course,
                  Trail& trail) {
  const auto mode = to_string(asked.route->rescue.mode);
  if (can_continue(asked, relay)) {
    for (std::size_t i = course.at + 1; i < plan.admitted; ++i) {
      if (!plan.candidates[i].view.prefill) continue;
      move_on(course, i);
      course.continuing = true;
      trail.decision.step(scene.now(), "rescue", {{"mode", mode}, {"to", plan.candidates[i].target->name}, {"after_bytes", relay.text().size()}});
      scene.metrics.rescues.with({mode, "continued"}).add();
      return true;
    }
  }
  trail.decision.step(scene.now(), "rescue_impossible", {{"mode", mode}, {"why", to_string(why.code)}});
  scene.metrics.rescues.with({mode, "lost"}).add();
  return false;
}

// Nobody admits, or everybody failed: from the first that may be tried again, or may be tried at all.
Task<bool> begin_again(const Scene& scene, const Asked& asked, const Planned& plan, const Error& why, Duration pause, Course& course, Trail& trail) {
  const auto opening = co_await wait_for_opening(scene, asked, plan, pause, trail);
  if (!opening) co_return false;
  // Probes and early tries are few by themselves, and one that came back since is news. Else a round is a call more, in hope alone.
  const Candidate& to = plan.candidates[opening->candidate];
  const Target& target = *to.target;
  const BreakerView breaker = to.breaker->view();
  const bool in_hope = breaker.state == BreakerState::closed && to.tries > 0 && to.breaker_changes == breaker.changes;
  if (in_hope && !scene.here.rounds.take(scene.now())) {
    trail.decision.step(scene.now(), "rounds_used_up", {{"why", to_string(why.code)}});
    co_return false;
  }
  trail.decision.step(scene.now(), "another_round", {{"target", target.name}, {"why", to_string(why.code)}});
  move_on(course, opening->candidate);
  course.early = opening->early;
  co_return true;
}

// Decides what follows a failure; false: nothing does.
Task<bool> steer(const Scene& scene, const Asked& asked, const Planned& plan, const Relay& relay, const StreamOut& out, const Error& why,
                 Course& course, Trail& trail) {
  if (out.committed()) co_return steer_rescue(scene, asked, plan, relay, why, course, trail);
  const Candidate& now = plan.candidates[course.at];
  const auto next = next_candidate(plan, course.at, why.code);
  const MonoTime deadline = trail.started + asked.route->retries.deadline;
  const RetryState state{.attempts_made = attempts_made(plan, trail),
                         .tries_on_target = course.tries_on_target,
                         .more_credentials = now.access->credentials->available(course.tried),
                         .more_targets = next.has_value(),
                         .several_targets = plan.candidates.size() > 1,
                         .content_filter_moves_on = asked.route->on_content_filter == OnContentFilter::next,
                         .deadline_left = deadline - scene.now()};
  const RetryDecision decision = decide_retry(why, state, asked.route->retries, scene.here.random);
  switch (decision.next) {
    case Next::stop:
      co_return false;
    case Next::other_credential:
      break;
    case Next::next_target:
      trail.decision.step(scene.now(), "fail_over", {{"from", now.target->name}, {"to", plan.candidates[*next].target->name}, {"why", to_string(why.code)}});
      move_on(course, *next);
      break;
    case Next::same_target:
      trail.decision.step(scene.now(), "retry", {{"target", now.target->name}, {"why", to_string(why.code)}, {"wait_us", decision.wait.count() / 1000}});
      course.tried = 0;
      if (decision.wait > Duration::zero()) co_await SleepUntil(scene.sink.loop(), scene.now() + decision.wait);
      break;
    case Next::another_round:
      co_return co_await begin_again(scene, asked, plan, why, decision.wait, course, trail);
  }
  co_return true;
}

// After an attempt without an answer: true to try again along `course`; else `answer` says why not.
Task<bool> recover(const Scene& scene, const Asked& asked, const Planned& plan, Lane& lane, Course& course, Trail& trail, Answer& answer) {
  const Error why = std::move(answer.end.error());
  answer = Answer{.dispatched = answer.dispatched};
  const auto gone = scene.sink.gone();
  StreamOut& out = lane.out;
  if (out.caller_left() || (gone && gone->cancelled())) {
    answer.caller_left = true;
    answer.end = fail(ErrorCode::caller_cancelled, "the caller left before the answer was complete");
    co_return false;
  }
  if (!out.committed()) out.discard();
  const bool again = co_await steer(scene, asked, plan, lane.relay, out, why, course, trail);
  if (again) co_return true;
  answer.end = fail(why);
  Error& told = answer.end.error();
  if (answer.dispatched && !told.retry_after && llm::http_status(why.code, scene.call.wire) >= 500) told.retry_after = std::chrono::seconds(1);
  co_return false;
}

}  // namespace

Task<void> attempt_all(const Scene& scene, const Asked& asked, Planned& plan, const LaneMaker& make_lane, std::unique_ptr<Lane>& lane,
                       Trail& trail, Answer& answer) {
  Course course;
  std::unique_ptr<Correction> correction;
  scene.here.rounds.called();
  if (!plan.warm())
    if (const auto opening = first_opening(plan)) course = {.at = opening->candidate, .early = opening->early};
  for (;;) {
    ++course.tries_on_target;
    Candidate& now = plan.candidates[course.at];
    ++now.tries;
    now.breaker_changes = now.tries == 1 && plan.warm() ? now.view.breaker.changes : now.breaker->view().changes;
    const AttemptOptions options{.continuing = course.continuing, .early = course.early, .exclude = course.tried, .correction = correction.get()};
    const bool hedged = asked.route->hedge.after && asked.route->hedge.max > 0 && !course.continuing && course.at + 1 < plan.admitted;
    AttemptOutcome outcome{.answer = answer};
    const bool dispatched = answer.dispatched;
    if (hedged) co_await attempt_hedged(scene, asked, plan, course.at, options, make_lane, lane, trail, outcome);
    else co_await attempt_once(scene, asked, plan, plan.candidates[course.at], options, lane->out, lane->relay, trail, outcome);
    course.tried |= outcome.credential;
    answer.dispatched = dispatched || outcome.dispatched || answer.end.has_value();
    if (asked.judged_by()) {
      const Judgement verdict = judge_attempt({scene, asked, plan, course.at, outcome.record, *lane, trail, answer, correction});
      if (verdict == Judgement::over) co_return;
      if (verdict == Judgement::again) {
        course.tried = 0;
        continue;
      }
    }
    if (answer.end) co_return;
    const bool again = co_await recover(scene, asked, plan, *lane, course, trail, answer);
    if (!again && correction) fall_back({scene, asked, plan, course.at, outcome.record, *lane, trail, answer, correction});
    if (!again) co_return;
    if (course.continuing) raise_ceilings(asked, plan, plan.added_bytes + lane->relay.text().size());   // it goes on after them
  }
}

}  // namespace ballast::gateway
