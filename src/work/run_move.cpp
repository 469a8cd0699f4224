#include "work/run_move.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "records/audit.hpp"
#include "work/approval_rows.hpp"
#include "work/decide.hpp"
#include "work/event_rows.hpp"
#include "work/flow_check.hpp"
#include "work/run_node.hpp"
#include "work/runner_run.hpp"

namespace ballast::work {
namespace {

using records::EffectKind;
using records::EffectState;
using What = StageRecord::What;

constexpr std::size_t kMostTold = 8;                     // stages that a refusal names

Error conflict(std::string message, std::string field) { return run_refusal(ErrorCode::caller_conflict, std::move(message), std::move(field)); }

// What the journal has of one question.
struct Had {
  const StageRecord* result = nullptr;
  const StageRecord* started = nullptr;                  // the newest
  std::uint32_t failed = 0;                              // attempts
  bool open() const { return !result && started && started->attempt > failed; }
};

// What was only worked out: doing it again costs nothing and reaches nobody.
bool worked_out(const Stage& stage) {
  const StageKind kind = stage.kind();
  return kind == StageKind::transform || kind == StageKind::text || kind == StageKind::choose || kind == StageKind::map;
}

std::string prefix_of(std::string_view path) {
  const auto dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string() : std::string(path.substr(0, dot + 1));
}

using Views = std::map<std::string, RunState::View, std::less<>>;
Views views_of(const RunState& state) {
  Views out;
  for (auto& view : state.stages()) out.emplace(view.path, view);
  return out;
}

RunState state_of(const MoveSight& sight, const FlowPtr& flow, json::value input) {
  RunState state(flow, RunStart{.id = sight.run.spec.lineage.empty() ? to_string(sight.run.id) : sight.run.spec.lineage, .input = std::move(input), .taint = {}, .at = sight.run.created});
  for (const StageRecord& r : sight.journal) static_cast<void>(state.apply(r));     // of a stage that this version does not have: ignored
  return state;
}

bool reaches_out(const Stages& stages, std::string_view name) {
  return std::ranges::any_of(with_followers(stages, name), [&](std::string_view s) { return risk_of(*find_stage(stages, s)) >= Risk::write; });
}

// The same stage, at the same place in the order.
bool same_stage(const Stage* a, const Stage* b) {
  return a && b && a->digest == b->digest && a->waits_for == b->waits_for && a->chosen_by == b->chosen_by;
}

class Judge {
 public:
  Judge(const MoveSight& sight, bool call_off) : sight_(sight), call_off_(call_off) {}

  Result<MoveReport> judge() {
    auto input = parse_json(sight_.run.input, {.max_bytes = sight_.run.input.size() + 1, .max_depth = 512});
    if (!input) return fail(conflict("the run's input cannot be read: " + input.error().message, "input"));
    for (const StageRecord& r : sight_.journal)
      if (r.what == What::compensated) return fail(conflict("the run is undoing what it did; it ends with the version it has", "stages." + r.path));
    RunState before = state_of(sight_, sight_.from, *input), after = state_of(sight_, sight_.to, std::move(*input));
    take_stock(before);
    if (auto goes = go_on(after); !goes) return fail(std::move(goes.error()));
    take_stock(after);
    was_ = views_of(before);
    is_ = views_of(after);
    read_journal();
    for (const auto& view : before.stages()) look_at(view);
    for (const auto& view : after.stages()) ask_anew(view);
    for (const auto& effect : sight_.effects) look_at(effect);
    if (report_.kept > 0 && sight_.from->input_trusted() && !sight_.to->input_trusted())
      stands_in_the_way("", fmt::format("results were made while the run's input was trusted, and version {} does not trust it", sight_.to->version_name()));
    if (!in_the_way_.empty()) return fail(refusal());
    return std::move(report_);
  }

 private:
  // What the run would do first, worked out with what it has.
  Result<void> go_on(RunState& after) {
    for (const Action& action : decide(after, sight_.now)) {
      if (const auto* failed = std::get_if<FailRun>(&action))
        return fail(conflict(fmt::format("with version {} the run would fail at once: {}", sight_.to->version_name(), failed->error.message),
                             failed->path.empty() ? "version" : "stages." + failed->path));
      if (const auto* undo = std::get_if<Compensate>(&action))
        return fail(conflict(fmt::format("with version {} the run would fail at once, and undo what it did", sight_.to->version_name()), "stages." + undo->path));
      if (const auto* begun = std::get_if<RunStage>(&action)) report_.begins.push_back(begun->path);
    }
    return {};
  }

  void read_journal() {
    for (const StageRecord& r : sight_.journal) {
      Had& had = had_[{r.path, r.input}];
      if (r.what == What::done || r.what == What::skipped) had.result = &r;
      else if (r.what == What::failed) had.failed = std::max(had.failed, r.attempt);
      else if (r.what == What::started && (!had.started || had.started->attempt < r.attempt)) had.started = &r;
    }
  }

  bool same_question(const std::string& path, const Digest& input) const {
    const auto at = is_.find(path);
    return at != is_.end() && at->second.input == input;
  }

  void look_at(const RunState::View& view) {
    const auto at = had_.find({view.path, view.input});
    if (view.input == Digest{} || at == had_.end()) return;
    const Had& had = at->second;
    const bool same = same_question(view.path, view.input);
    if (had.result && same) {
      ++report_.kept;
      if (view.stage->as<ApproveStage>()) stays_approved(view, *had.result);
    } else if (had.result && !worked_out(*view.stage)) {
      stands_in_the_way(view.path, "has a result, and " + how_it_differs(view.path));
    } else if (had.open() && view.stage->kind() != StageKind::map) {
      waits(view, *had.started, same);
    } else if (!same && sight_.to->at_path(view.path)) {
      report_.again.push_back(view.path);
    }
  }

  void waits(const RunState::View& view, const StageRecord& started, bool same) {
    const JobId child = child_in(started);
    const bool person = view.stage->as<ApproveStage>() != nullptr;
    if (same) return;
    if (child) stands_in_the_way(view.path, fmt::format("waits for {}, and {}; what that does cannot be taken back: wait for its end, or cancel the run", to_string(child), how_it_differs(view.path)));
    else if (call_off_) report_.called_off.push_back({view.path, view.input});
    else stands_in_the_way(view.path, fmt::format("waits for {}, and {}; with call_off what it asked is withdrawn",
                                                  person ? "an approval" : started.value && started.value->is_object() && started.value->get_object().contains("event") ? "an event" : "a time",
                                                  how_it_differs(view.path)));
  }

  // Of the new version: what waits, perhaps since an earlier move to it and back, is asked; what people decide is bound to the version.
  void ask_anew(const RunState::View& view) {
    const auto at = had_.find({view.path, view.input});
    if (at == had_.end() || !at->second.open()) return;
    if (view.stage->as<ApproveStage>()) report_.asked_again.push_back({view.path, view.input});
    else if (const auto* wait = view.stage->as<WaitStage>(); wait && !wait->event.empty()) report_.listens.push_back({view.path, view.input});
  }

  void look_at(const records::Effect& e) {
    const auto& id = e.intent.id;
    const bool happened = e.state == EffectState::dispatched || e.state == EffectState::unknown || e.state == EffectState::confirmed || e.state == EffectState::compensation_failed;
    if (id.kind == EffectKind::compensation || !happened || same_question(id.path, id.input)) return;
    const bool doubt = e.state == EffectState::dispatched || e.state == EffectState::unknown;
    stands_in_the_way(id.path, fmt::format("{} {}, and {}", e.intent.target, doubt ? "may have happened, nobody knows" : "has happened", how_it_differs(id.path)));
  }

  // An approval holds for what was to come of it when it was given.
  void stays_approved(const RunState::View& view, const StageRecord& result) {
    const auto* decision = result.value && result.value->is_object() ? result.value->get_object().if_contains("decision") : nullptr;
    const bool passed = decision && *decision == "passed";
    const auto* now = sight_.to->at_path(view.path)->as<ApproveStage>();
    if (passed && !(view.stage->as<ApproveStage>()->when == now->when))
      return stands_in_the_way(view.path, fmt::format("was passed without a human, and version {} asks one at other times", sight_.to->version_name()));
    const Stages *old_stages = &sight_.from->stages(), *new_stages = &sight_.to->stages();
    std::string prefix;
    for (std::string_view rest = view.path; !rest.empty();) {
      const std::string_view step = take_until(rest, '.'), name = step.substr(0, step.find('['));
      follows(view.path, prefix, *old_stages, *new_stages, name);
      if (rest.empty()) return;
      old_stages = &find_stage(*old_stages, name)->as<MapStage>()->stages;
      new_stages = &find_stage(*new_stages, name)->as<MapStage>()->stages;
      prefix += std::string(step) + ".";
    }
  }

  void follows(const std::string& approval, const std::string& prefix, const Stages& old_stages, const Stages& new_stages, std::string_view name) {
    auto after = with_followers(old_stages, name);
    after.merge(with_followers(new_stages, name));
    for (const std::string_view s : after) {
      const Stage *was = find_stage(old_stages, s), *is = find_stage(new_stages, s);
      const bool matters = (was && reaches_out(old_stages, s)) || (is && reaches_out(new_stages, s));
      if (s == name || !matters || same_stage(was, is)) continue;
      stands_in_the_way(prefix + std::string(s), fmt::format("is {} in version {}, and comes after the approval {}, which was given for what it was; fork the run from there to ask again",
                                                             !was ? "new" : !is ? "gone" : "another", sight_.to->version_name(), approval));
    }
  }

  std::string how_it_differs(const std::string& path) const {
    const std::string version = "version " + sight_.to->version_name();
    const Stage* stage = sight_.to->at_path(path);
    if (!stage) return version + " has no such stage";
    const auto at = is_.find(path);
    if (at != is_.end() && at->second.input != Digest{}) return fmt::format("{} asks it something else", version);
    for (const auto& name : stage->waits_for) {
      const auto before = is_.find(prefix_of(path) + name);
      if (before == is_.end() || (before->second.state != StageState::done && before->second.state != StageState::skipped))
        return fmt::format("in {} it comes after {}, which is not done", version, prefix_of(path) + name);
    }
    return fmt::format("{} does not come to it", version);
  }

  void stands_in_the_way(const std::string& path, std::string why) {
    if (named_.insert(path).second) in_the_way_.emplace_back(path, std::move(why));
  }

  Error refusal() const {
    std::string all;
    for (std::size_t i = 0; i < std::min(kMostTold, in_the_way_.size()); ++i) {
      const auto& [path, why] = in_the_way_[i];
      all += fmt::format("{}{}{}", i == 0 ? "" : "; ", path.empty() ? "" : path + " ", why);
    }
    if (in_the_way_.size() > kMostTold) all += fmt::format("; and {} more", in_the_way_.size() - kMostTold);
    const auto& first = in_the_way_.front().first;
    return conflict(std::move(all), first.empty() ? "version" : "stages." + first);
  }

  const MoveSight& sight_;
  const bool call_off_;
  Views was_, is_;
  std::map<std::pair<std::string, Digest>, Had> had_;
  std::vector<std::pair<std::string, std::string>> in_the_way_;    // stage, why
  std::set<std::string> named_;
  MoveReport report_;
};

// ---- The act

// Reads for a move: one moment of the run.
struct Seen {
  std::optional<Job> run;
  Fence fence = 0;
  std::vector<StageRecord> journal;
  std::vector<records::Effect> effects;
};
Result<Seen> see(store::Tx& tx, JobId id) {
  Seen seen;
  auto run = get_job(tx, id);
  if (!run) return fail(std::move(run.error()));
  seen.run = std::move(*run);
  if (!seen.run) return seen;
  auto fence = recorded_fence(tx, id);
  auto journal = load_records(tx, id);
  auto effects = records::list_effects(tx, id.value);
  if (!fence) return fail(std::move(fence.error()));
  if (!journal) return fail(std::move(journal.error()));
  if (!effects) return fail(std::move(effects.error()));
  seen.fence = *fence;
  seen.journal = std::move(*journal);
  seen.effects = std::move(*effects);
  return seen;
}

// The version that is meant: a digest, "current", or what it calls itself.
Task<Result<FlowPtr>> version_meant(Scheduler& loop, store::Database& database, FlowBook& book, std::string flow, std::string wanted) {
  if (wanted.empty() || wanted == "current") {
    const FlowPtr current = book.current(flow);
    if (!current) co_return fail(ErrorCode::caller_not_found, fmt::format("no flow \"{}\" is in force any more; name a version", flow), "version");
    co_return current;
  }
  if (wanted.size() != 2 * sizeof(Digest)) {
    auto called = co_await database.read(loop, [&](store::Tx& tx) { return flows_called(tx, flow, wanted); });
    if (!called) co_return fail(std::move(called.error()));
    if (called->empty())
      co_return fail(ErrorCode::caller_not_found, fmt::format("no version of {} that was ever in force calls itself {}; give \"current\", its number or its digest", flow, wanted), "version");
    if (called->size() > 1) co_return fail(conflict(fmt::format("{} definitions call themselves version {}; give the digest of one", called->size(), wanted), "version"));
    wanted = to_hex(called->front());
  }
  auto found = co_await book.version(loop, database, std::move(wanted));
  co_return found;
}

// As `ballast check` proves it, among the flows that are in force.
Result<void> proved(const FlowBook& book, const FlowPtr& to) {
  auto flows = book.all();
  if (std::ranges::any_of(flows, [&](const FlowPtr& f) { return f->digest() == to->digest(); })) return {};
  std::erase_if(flows, [&](const FlowPtr& f) { return f->name() == to->name(); });
  flows.push_back(to);
  for (const auto& mistake : check_flows(flows).errors)
    if (mistake.file == to->source().file) return fail(conflict(fmt::format("version {} is not proved any more: {}", to->version_name(), to_string(mistake)), "version"));
  return {};
}

Result<void> may_be_moved(const Job& run, const Flow& to) {
  if (run.spec.origin == Origin::rollback) return fail(conflict("a rollback undoes what was done, and does nothing else", "id"));
  if (terminal(run.state)) return fail(conflict(fmt::format("the run is {}; drive it again or fork it with that version instead", to_string(run.state)), "id"));
  if (to.name() != run.spec.name) return fail(conflict(fmt::format("is a version of the flow {}, and the run is one of {}", to.name(), run.spec.name), "version"));
  auto fits = check_flow_input(to, run.input);
  if (!fits) return fail(conflict(fmt::format("the run's input does not fit version {}: {}", to.version_name(), fits.error().message), fits.error().field));
  return {};
}

// Everything that the move changes, in the order in which it is written.
struct Changes {
  JobPtr run;
  Fence fence = 0;
  std::vector<ApprovalAsk> asks;
  std::vector<SignalWait> called_off, listens;
  records::AuditEntry told;
  JobEvent event;
};

Changes changes_of(const Seen& seen, const FlowPtr& from, const FlowPtr& to, const MovePlan& plan, const MoveWish& wish, WallTime now) {
  Changes c{.run = plan.run, .fence = seen.fence, .asks = {}, .called_off = {}, .listens = {}, .told = {}, .event = {}};
  for (const StageRecord& r : seen.journal) {
    if (r.what != What::started) continue;
    const auto among = [&](const std::vector<MoveReport::Asked>& asked) { return std::ranges::any_of(asked, [&](const auto& a) { return a.path == r.path && a.input == r.input; }); };
    const Stage* stage = to->at_path(r.path);
    if (among(plan.report.called_off)) c.called_off.push_back(wait_of(plan.run->id, r));
    else if (among(plan.report.listens)) c.listens.push_back(wait_of(plan.run->id, r));
    else if (among(plan.report.asked_again)) c.asks.push_back(ask_of(*plan.run, *to, *stage->as<ApproveStage>(), r));
  }
  const std::string what = to_json(json::object{{"from", to_hex(from->digest())}, {"to", to_hex(to->digest())}});
  c.told = {.actor = wish.actor, .action = std::string(records::audit::run_moved), .subject = to_string(plan.run->id), .arguments = sha256(what), .outcome = what, .at = now};
  c.event = {.seq = 0, .at = now, .attempt = seen.run->attempt + 1, .kind = "moved", .data = to_json(json::object{{"from", from->version_name()}, {"to", to->version_name()}})};
  return c;
}

Result<void> write(store::Tx& tx, const Changes& c) {
  const JobId id = c.run->id;
  if (auto put = put_spec(tx, id, c.run->spec, c.fence); !put) return put;
  const auto decided = decisions_of(tx, id);
  if (!decided) return fail(decided.error());
  if (!decided->empty()) return fail(conflict("somebody has just decided what the run asked, and it goes on with that; ask again in a moment", "stages." + decided->front().ask.path));
  if (auto gone = withdraw_approvals(tx, id, "the run was moved to another version of its flow", c.told.at); !gone) return fail(std::move(gone.error()));
  for (const auto& ask : c.asks)
    if (auto asked = request_approval(tx, ask, c.told.at); !asked) return fail(std::move(asked.error()));
  for (const auto& wait : c.called_off)
    if (auto gone = delete_wait(tx, wait); !gone) return gone;
  for (const auto& wait : c.listens)
    if (auto put = put_wait(tx, wait, c.run->spec.key_id); !put) return put;
  if (auto told = records::append_audit(tx, to_string(id), {&c.told, 1}, c.told.at); !told) return fail(std::move(told.error()));
  return append_events(tx, id, {&c.event, 1});
}

}  // namespace

Result<MoveReport> judge_move(const MoveSight& sight, bool call_off) { return Judge(sight, call_off).judge(); }

Task<Result<MovePlan>> plan_move(Scheduler& loop, store::Database& database, FlowBook& book, MoveWish wish, WallTime now) {
  auto seen = co_await database.read(loop, [&](store::Tx& tx) { return see(tx, wish.run); });
  if (!seen) co_return fail(std::move(seen.error()));
  if (!seen->run) co_return fail(ErrorCode::caller_not_found, "there is no such run", "id");
  const Job& run = *seen->run;
  auto to = co_await version_meant(loop, database, book, run.spec.name, wish.to);
  if (!to) co_return fail(std::move(to.error()));
  if (auto may = may_be_moved(run, **to); !may) co_return fail(std::move(may.error()));
  auto from = co_await book.version(loop, database, run.spec.version);
  if (!from) co_return fail(std::move(from.error()));
  MovePlan plan{.report = {}, .from = run.spec.version, .to = to_hex((*to)->digest()), .run = {}, .write = {}};
  if (plan.from == plan.to) co_return plan;
  if (auto fine = proved(book, *to); !fine) co_return fail(std::move(fine.error()));
  auto report = judge_move({.run = run, .journal = seen->journal, .effects = seen->effects, .from = *from, .to = *to, .now = now}, wish.call_off);
  if (!report) co_return fail(std::move(report.error()));
  plan.report = std::move(*report);
  auto moved = std::make_shared<Job>(run);
  moved->spec.version = plan.to;
  plan.run = std::move(moved);
  plan.write = [changes = changes_of(*seen, *from, *to, plan, wish, now)](store::Tx& tx) { return write(tx, changes); };
  co_return plan;
}

}  // namespace ballast::work
