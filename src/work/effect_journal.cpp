#include "work/effect_journal.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/json.hpp"
#include "work/job_rows.hpp"

namespace ballast::work {
namespace {

using records::EffectEnd;
using records::EffectHand;
using records::EffectId;
using records::EffectKind;
using records::EffectState;

constexpr std::string_view kInDoubt = "effect";    // `field` of an error that a person has to look into

template <class Body>
Result<void> by(const EffectTry& t, Body body) {
  const std::string chain = to_string(t.run);
  return body(EffectHand{.job = t.run.value, .chain = chain, .fence = t.fence, .actor = "system", .now = t.at});
}

Result<void> end_try(store::Tx& tx, const EffectTry& t, EffectState state, const std::string& outcome) {
  const auto last = records::last_effect(tx, t.run.value, t.id);
  if (!last) return fail(last.error());
  if (!*last) return fail(ErrorCode::internal_error, "the effect of stage " + t.id.path + " was never begun", "effect");
  const EffectEnd end{(*last)->intent.id, state, outcome};
  return by(t, [&](const EffectHand& hand) { return records::settle(tx, hand, {&end, 1}); });
}

// What the stage itself had done, if that left an effect, was undone, or could not be.
Result<void> end_original(store::Tx& tx, const EffectTry& undoing, EffectState state, const std::string& outcome) {
  for (const EffectKind kind : {EffectKind::http, EffectKind::settle}) {
    EffectId id = undoing.id;
    id.kind = kind;
    const auto done = records::last_effect(tx, undoing.run.value, id);
    if (!done) return fail(done.error());
    if (!*done || ((*done)->state != EffectState::confirmed && (*done)->state != EffectState::compensation_failed)) continue;
    const EffectEnd end{(*done)->intent.id, state, outcome};
    return by(undoing, [&](const EffectHand& hand) { return records::undone(tx, hand, end); });
  }
  return {};
}

// Ends of tries of one run, as whoever holds it now; what an undoing of unknown fate was to undo could not be.
Result<void> end_all(store::Tx& tx, const EffectTry& hold, std::span<const EffectEnd> ends) {
  if (auto told = by(hold, [&](const EffectHand& hand) { return records::settle(tx, hand, ends); }); !told) return told;
  for (const EffectEnd& end : ends) {
    if (end.id.kind != EffectKind::compensation || end.state != EffectState::unknown) continue;
    if (auto told = end_original(tx, {.run = hold.run, .fence = hold.fence, .id = end.id, .at = hold.at}, EffectState::compensation_failed, end.outcome); !told) return told;
  }
  return {};
}

bool may_repeat(const Stage* stage, EffectKind kind) {
  if (!stage) return false;
  if (kind == EffectKind::compensation) return stage->compensate && stage->compensate->idempotency != Idempotency::none;
  return idempotency_of(*stage) != Idempotency::none;
}

// A run's journal, question by question.
class Answered {
 public:
  explicit Answered(std::span<const StageRecord> journal) {
    for (const StageRecord& r : journal) by_question_[{r.path, r.input}].push_back(&r);
  }
  const std::vector<const StageRecord*>& of(const EffectId& id) const {
    static const std::vector<const StageRecord*> none;
    const auto at = by_question_.find({id.path, id.input});
    return at == by_question_.end() ? none : at->second;
  }

 private:
  std::map<std::pair<std::string_view, Digest>, std::vector<const StageRecord*>> by_question_;
};

// Has the journal an answer that goes with this try?
bool answered(const Answered& journal, const records::Effect& e) {
  const EffectId& id = e.intent.id;
  return std::ranges::any_of(journal.of(id), [&](const StageRecord* record) {
    const StageRecord& r = *record;
    if (r.what == StageRecord::What::started) return false;
    if (id.kind == EffectKind::compensation) return r.what == StageRecord::What::compensated;
    if (r.what != StageRecord::What::failed) return r.what != StageRecord::What::compensated;
    return e.state != EffectState::dispatched && (unix_us(r.at) >= unix_us(e.settled) || (r.error && r.error->field == kInDoubt));
  });
}

// `run`: whose effect it is, this run's or one's that it repeats.
StageRecord lost_record(const Opening& opening, const Answered& journal, JobId run, const records::Effect& e) {
  const EffectId& id = e.intent.id;
  StageRecord r;
  r.path = id.path;
  r.input = id.input;
  r.at = opening.now;
  r.what = id.kind == EffectKind::compensation ? StageRecord::What::compensated : StageRecord::What::failed;
  for (const StageRecord* other : journal.of(id))
    if (other->what == StageRecord::What::failed) r.attempt = std::max(r.attempt, other->attempt + 1);
  if (e.state == EffectState::dispatched || e.state == EffectState::unknown)
    r.error = in_doubt(run, id.path, e.intent.target, Error{.code = ErrorCode::provider_error, .message = "the process ended while it was under way", .field = {}});
  else if (id.kind != EffectKind::compensation)
    r.error = Error{.code = ErrorCode::provider_error, .message = e.intent.target + " has happened, and what it answered is lost: it is not sent again. Fork the run from this stage to do it once more",
                    .field = std::string(kInDoubt)};
  return r;
}

using Question = std::tuple<std::string_view, Digest, EffectKind>;
std::map<Question, const records::Effect*> newest_of(std::span<const records::Effect> effects) {
  std::map<Question, const records::Effect*> newest;
  for (const auto& e : effects) newest[{e.intent.id.path, e.intent.id.input, e.intent.id.kind}] = &e;
  return newest;
}

constexpr int kMostRepeated = 100;           // runs before this one that are looked at

// What the runs that this one repeats did or left in doubt, and it must not do once more. A redrive sends what has a key under the first run's; a fork has keys of
// its own, and does again what it is asked to.
Result<void> add_inherited(store::Tx& tx, const Opening& opening, const Answered& journal, std::span<const records::Effect> own, std::vector<StageRecord>& lost) {
  std::set<std::pair<std::string, Digest>> seen;
  for (const auto& e : own) seen.insert({e.intent.id.path, e.intent.id.input});
  bool forked = false;
  JobId before = opening.run.spec.parent;
  Origin how = opening.run.spec.origin;
  for (int n = 0; n < kMostRepeated && before && (how == Origin::redrive || how == Origin::fork); ++n) {
    forked |= how == Origin::fork;
    const auto job = get_job(tx, before);
    const auto effects = records::list_effects(tx, before.value);
    if (!job || !effects) return fail(job ? effects.error() : job.error());
    for (const auto& [question, e] : newest_of(*effects)) {
      const EffectId& id = e->intent.id;
      const Stage* stage = opening.flow.at_path(id.path);
      if (!stage || !is_effect(*stage) || (id.kind != EffectKind::http && id.kind != EffectKind::settle) || !seen.insert({id.path, id.input}).second) continue;
      const bool repeat = may_repeat(stage, id.kind) && (!forked || idempotency_of(*stage) == Idempotency::natural);
      const bool doubt = e->state == EffectState::dispatched || e->state == EffectState::unknown;
      const bool done = !forked && (e->state == EffectState::confirmed || e->state == EffectState::compensation_failed);
      const bool told = std::ranges::any_of(journal.of(id), [](const StageRecord* r) {
        return r->what == StageRecord::What::done || r->what == StageRecord::What::skipped || (r->error && r->error->field == kInDoubt);
      });
      if (!repeat && (doubt || done) && !told) lost.push_back(lost_record(opening, journal, before, *e));
    }
    how = *job ? (*job)->spec.origin : Origin::submitted;
    before = *job ? (*job)->spec.parent : JobId{};
  }
  return {};
}

Result<std::vector<StageRecord>> recover(store::Tx& tx, const Opening& opening) {
  const auto effects = records::list_effects(tx, opening.run.id.value);
  if (!effects) return fail(effects.error());
  const Answered journal(opening.journal);
  std::vector<EffectEnd> ends;
  std::vector<StageRecord> lost;
  for (const auto& [question, e] : newest_of(*effects)) {
    const EffectId& id = e->intent.id;
    if (id.kind == EffectKind::worker) continue;
    const bool repeat = may_repeat(opening.flow.at_path(id.path), id.kind), sent = e->state == EffectState::dispatched;
    if (e->state == EffectState::intended) ends.push_back({id, EffectState::failed, R"({"why":"it was not sent"})"});
    else if (sent && repeat) ends.push_back({id, EffectState::failed, R"({"why":"superseded: its process ended, and the same is sent again"})"});
    else if (sent) ends.push_back({id, EffectState::unknown, R"({"why":"its process ended while it was under way"})"});
    const bool happened = sent || e->state == EffectState::unknown || e->state == EffectState::confirmed;
    if (happened && !repeat && !answered(journal, *e)) lost.push_back(lost_record(opening, journal, opening.run.id, *e));
  }
  if (auto read = add_inherited(tx, opening, journal, *effects, lost); !read) return fail(std::move(read.error()));
  const EffectTry hold{.run = opening.run.id, .fence = opening.fence, .id = {}, .at = opening.now};
  if (auto told = end_all(tx, hold, ends); !told) return fail(std::move(told.error()));
  return lost;
}

}  // namespace

Also begin_effect(EffectTry t, std::string target, Digest arguments, std::string idempotency_key) {
  return [t = std::move(t), target = std::move(target), arguments, key = std::move(idempotency_key)](store::Tx& tx) -> Result<void> {
    const auto last = records::last_effect(tx, t.run.value, t.id);
    if (!last) return fail(last.error());
    const bool ours = *last && (*last)->state == EffectState::dispatched && (*last)->fence == t.fence && unix_us((*last)->dispatched) == unix_us(t.at);
    if (ours) return {};                       // this body ran before
    records::EffectIntent intent{.id = t.id, .target = target, .arguments = arguments, .idempotency_key = key};
    intent.id.attempt = *last ? (*last)->intent.id.attempt + 1 : 1;
    return by(t, [&](const EffectHand& hand) -> Result<void> {
      if (auto meant = records::intend(tx, hand, {&intent, 1}); !meant) return meant;
      return records::dispatch(tx, hand, {&intent.id, 1});
    });
  };
}

Also end_effect(EffectTry t, EffectState state, std::string outcome) {
  return [t = std::move(t), state, outcome = std::move(outcome)](store::Tx& tx) { return end_try(tx, t, state, outcome); };
}

Also end_undoing(EffectTry t, EffectState state, std::string outcome) {
  return [t = std::move(t), state, outcome = std::move(outcome)](store::Tx& tx) -> Result<void> {
    if (auto told = end_try(tx, t, state, outcome); !told) return told;
    return end_original(tx, t, state == EffectState::confirmed ? EffectState::compensated : EffectState::compensation_failed, outcome);
  };
}

Error in_doubt(JobId run, std::string_view path, std::string_view target, Error why) {
  const bool cut = why.code == ErrorCode::caller_cancelled;
  Error e{.code = cut ? ErrorCode::provider_error : why.code, .message = {}, .field = std::string(kInDoubt)};
  e.message = fmt::format("it is not known whether {} has happened: {}. It is not sent again. Find out there, then say so: POST /api/jobs/{}/effects/resolve "
                          "{{\"stage\": \"{}\", \"state\": \"confirmed\" or \"failed\"}}, or `ballast jobs resolve`",
                          target, cut ? "the call was cut" : why.message, to_string(run), path);
  return e;
}

Recovery effects_recovery() { return recover; }

Result<void> close_effects(store::Tx& tx, JobId run, std::string_view why, WallTime now) {
  const auto open = records::unsettled(tx, run.value);
  if (!open) return fail(open.error());
  if (open->empty()) return {};
  EffectTry hold{.run = run, .fence = 0, .id = {}, .at = now};
  std::vector<EffectEnd> ends;
  for (const auto& e : *open) {
    hold.fence = std::max(hold.fence, e.fence);
    const bool sent = e.state == EffectState::dispatched;
    ends.push_back({e.intent.id, sent ? EffectState::unknown : EffectState::failed, to_json(json::object{{"why", why}})});
  }
  return end_all(tx, hold, ends);
}

Result<void> EffectCloser::write(store::Tx& tx, const Job& ended) const {
  const bool over = ended.spec.kind == JobKind::flow && ended.state != JobState::done;
  const JobId run = ended.spec.origin == Origin::rollback ? ended.spec.parent : ended.id;
  if (over)
    if (auto closed = close_effects(tx, run, fmt::format("the run is {}", to_string(ended.state)), ended.finished); !closed) return closed;
  return next_ && next_->wants(ended.spec) ? next_->write(tx, ended) : Result<void>{};
}

Result<records::Effect> resolve_effect(store::Tx& tx, JobId run, const EffectChoice& which, EffectState state, std::string_view note, std::string_view actor,
                                       WallTime now) {
  const auto effects = records::list_effects(tx, run.value);
  if (!effects) return fail(effects.error());
  const records::Effect *any = nullptr, *found = nullptr;
  for (const auto& e : *effects) {
    const EffectId& id = e.intent.id;
    if (id.path != which.path || (which.attempt != 0 && id.attempt != which.attempt) || (which.kind && id.kind != *which.kind) || (which.input && id.input != *which.input)) continue;
    any = &e;
    if (e.state != EffectState::unknown) continue;
    if (found) return fail(ErrorCode::caller_conflict, "several effects of this stage are unknown: say attempt, kind and input as GET …/effects shows them", "stage");
    found = &e;
  }
  if (!any) return fail(ErrorCode::caller_not_found, "the run has no such effect; GET …/effects lists them", "stage");
  if (!found) return fail(ErrorCode::caller_conflict, fmt::format("the effect is {}: only one that is unknown can be resolved", to_string(any->state)), "stage");
  const std::string chain = to_string(run), outcome = to_json(json::object{{"note", note}});
  const EffectHand person{.job = run.value, .chain = chain, .fence = found->fence, .actor = actor, .now = now};
  if (auto told = records::resolve(tx, person, {found->intent.id, state, outcome}); !told) return fail(std::move(told.error()));
  if (found->intent.id.kind == EffectKind::compensation && state == EffectState::confirmed)
    if (auto told = end_original(tx, {.run = run, .fence = found->fence, .id = found->intent.id, .at = now}, EffectState::compensated, outcome); !told) return fail(std::move(told.error()));
  records::Effect now_is = *found;
  now_is.state = state;
  now_is.outcome = outcome;
  now_is.settled = now;
  return now_is;
}

}  // namespace ballast::work
