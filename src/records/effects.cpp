#include "records/effects.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"
#include "records/audit.hpp"
#include "records/sql_values.hpp"

namespace ballast::records {

namespace {

constexpr std::string_view kKinds[] = {"http", "settle", "worker", "compensation"};
constexpr std::string_view kStates[] = {"intended", "dispatched", "confirmed", "failed", "unknown", "compensated", "compensation_failed"};

constexpr std::int64_t kNoLease = 0;     // of a person: no fence is asked for

#define EFFECT_COLUMNS \
  "path, input, attempt, kind, target, arguments, idempotency_key, state, fence, outcome, intended_us, dispatched_us, settled_us, undone_us"
// A probe of an index each, however many effects the run has.
#define NEXT_N "(SELECT COALESCE(MAX(e.n), 0) + 1 FROM effects e WHERE e.job = $1)"
#define NEXT_PLACE "(SELECT COALESCE(MAX(e.place), 0) + 1 FROM effects e WHERE e.job = $1 AND e.place > 0)"
#define THE_EFFECT "job = $1 AND path = $2 AND input = $3 AND attempt = $4 AND kind = $5"

store::Value number(EffectKind kind) { return static_cast<std::int64_t>(kind); }
store::Value number(EffectState state) { return static_cast<std::int64_t>(state); }

// The five of THE_EFFECT, and what follows.
std::vector<store::Value> key_args(const EffectHand& hand, const EffectId& id, std::initializer_list<store::Value> more = {}) {
  std::vector<store::Value> args{hand.job, id.path, bytes_of(id.input), id.attempt, number(id.kind)};
  args.insert(args.end(), more);
  return args;
}

Effect effect_row(store::Row r) {
  return {.intent = {.id = {.path = r.string(0), .input = digest_from(r.bytes(1)), .attempt = static_cast<std::uint32_t>(r.integer(2)),
                            .kind = static_cast<EffectKind>(r.integer(3))},
                     .target = r.string(4), .arguments = digest_from(r.bytes(5)), .idempotency_key = r.string(6)},
          .state = static_cast<EffectState>(r.integer(7)), .fence = r.integer(8), .outcome = r.string(9), .intended = wall_from_us(r.integer(10)),
          .dispatched = wall_from_us(r.integer(11)), .settled = wall_from_us(r.integer(12)), .undone = wall_from_us(r.integer(13))};
}

Result<std::vector<Effect>> effects_of(Result<store::Rows> rows) {
  if (!rows) return fail(std::move(rows.error()));
  std::vector<Effect> out;
  out.reserve(rows->size());
  for (store::Row r : *rows) out.push_back(effect_row(r));
  return out;
}

// When it came to be in the state `to`.
WallTime moment(const Effect& e, EffectState to) {
  switch (to) {
    case EffectState::intended: return e.intended;
    case EffectState::dispatched: return e.dispatched;
    case EffectState::compensated:
    case EffectState::compensation_failed: return e.undone;
    default: return e.settled;
  }
}

// Nothing was moved to `to`: because this very move was made before, or why not.
Result<void> explain(store::Tx& tx, const EffectHand& hand, const EffectId& id, EffectState to) {
  const auto found = effects_of(tx.run("SELECT " EFFECT_COLUMNS " FROM effects WHERE " THE_EFFECT, key_args(hand, id)));
  if (!found) return fail(found.error());
  if (found->empty()) return fail(ErrorCode::caller_not_found, "the run has no such effect of stage " + id.path, "effect");
  const Effect& e = found->front();
  // `intend` and `dispatch` in one transaction: the row is one state further.
  const bool reached = e.state == to || (to == EffectState::intended && e.state == EffectState::dispatched);
  if (reached && (e.fence == hand.fence || hand.fence == kNoLease) && unix_us(moment(e, to)) == unix_us(hand.now)) return {};
  if (e.fence > hand.fence && hand.fence != kNoLease) return fail(ErrorCode::caller_conflict, "this lease is over: another holder has the effect of stage " + id.path, "fence");
  return fail(ErrorCode::caller_conflict, "the effect of stage " + id.path + " is " + std::string(to_string(e.state)) + ": it cannot become " + std::string(to_string(to)),
              "effect");
}

AuditEntry told(const EffectHand& hand, std::string_view action, const EffectIntent& effect, std::string outcome) {
  return {.actor = std::string(hand.actor), .action = std::string(action), .subject = effect.id.path, .arguments = effect.arguments,
          .outcome = std::move(outcome), .at = hand.now};
}

Result<void> tell(store::Tx& tx, const EffectHand& hand, std::span<const AuditEntry> entries) {
  const AuditAppend one{hand.chain, entries};
  return append_audits(tx, {&one, 1}, hand.now);
}

std::string how_sent(const EffectIntent& effect) {
  return to_json(json::object{{"kind", to_string(effect.id.kind)}, {"attempt", effect.id.attempt}, {"target", effect.target}});
}

std::string_view action_of(EffectState state) {
  switch (state) {
    case EffectState::confirmed: return audit::effect_confirmed;
    case EffectState::failed: return audit::effect_failed;
    case EffectState::compensated: return audit::compensation_done;
    case EffectState::compensation_failed: return audit::compensation_failed;
    default: return audit::effect_unknown;
  }
}

// Runs a guarded UPDATE that returns EFFECT_COLUMNS. Nothing: nothing was left to move.
Result<std::optional<Effect>> move(store::Tx& tx, const store::Statement& update, const EffectHand& hand, const EffectId& id, EffectState to,
                                   std::initializer_list<store::Value> more) {
  auto moved = effects_of(tx.run(update, key_args(hand, id, more)));
  if (!moved) return fail(std::move(moved.error()));
  if (!moved->empty()) return std::move(moved->front());
  if (auto fine = explain(tx, hand, id, to); !fine) return fail(std::move(fine.error()));
  return std::nullopt;
}

Result<void> must_be(bool allowed, EffectState state) {
  if (allowed) return {};
  return fail(ErrorCode::caller_invalid_request, "an effect does not end as " + std::string(to_string(state)) + " here", "state");
}

}  // namespace

std::string_view to_string(EffectKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }
std::string_view to_string(EffectState state) { return kStates[static_cast<std::size_t>(state)]; }

Result<void> intend(store::Tx& tx, const EffectHand& hand, std::span<const EffectIntent> intents) {
  for (const EffectIntent& i : intents) {
    if (i.idempotency_key.size() > kMaxEffectKey || stored_text(i.idempotency_key, kMaxEffectKey) != i.idempotency_key)
      return fail(ErrorCode::caller_invalid_request, "an effect's key is text of at most 255 bytes", "idempotency_key");
    const std::string target = stored_text(i.target, kMaxEffectTarget);
    const auto done = tx.run(
        "INSERT INTO effects (job, path, input, attempt, kind, target, arguments, idempotency_key, fence, intended_us, n, state, outcome, place, "
        "dispatched_us, settled_us, undone_us) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, " NEXT_N ", 0, '', 0, 0, 0, 0) "
        "ON CONFLICT (job, path, input, attempt, kind) DO UPDATE SET target = excluded.target, arguments = excluded.arguments, "
        "idempotency_key = excluded.idempotency_key, fence = excluded.fence, intended_us = excluded.intended_us "
        "WHERE effects.state = 0 AND effects.fence <= excluded.fence",
        key_args(hand, i.id, {target, bytes_of(i.arguments), i.idempotency_key, hand.fence, unix_us(hand.now)}));
    if (!done) return fail(done.error());
    if (done->affected() > 0) continue;
    if (auto fine = explain(tx, hand, i.id, EffectState::intended); !fine) return fine;
  }
  return {};
}

Result<void> dispatch(store::Tx& tx, const EffectHand& hand, std::span<const EffectId> effects) {
  std::vector<AuditEntry> entries;
  for (const EffectId& id : effects) {
    const auto moved = move(tx,
                            "UPDATE effects SET state = 1, fence = $6, dispatched_us = $7 WHERE " THE_EFFECT " AND state = 0 AND fence <= $6 "
                            "RETURNING " EFFECT_COLUMNS,
                            hand, id, EffectState::dispatched, {hand.fence, unix_us(hand.now)});
    if (!moved) return fail(moved.error());
    if (*moved) entries.push_back(told(hand, audit::effect_dispatched, (*moved)->intent, how_sent((*moved)->intent)));
  }
  return tell(tx, hand, entries);
}

// `place` numbers the run's ends, so that their order does not hang on a clock.
Result<void> settle(store::Tx& tx, const EffectHand& hand, std::span<const EffectEnd> ends) {
  std::vector<AuditEntry> entries;
  for (const EffectEnd& end : ends) {
    const bool ended = end.state == EffectState::confirmed || end.state == EffectState::failed || end.state == EffectState::unknown;
    if (auto fine = must_be(ended, end.state); !fine) return fine;
    const auto earliest = end.state == EffectState::failed ? EffectState::intended : EffectState::dispatched;
    const std::string outcome = stored_text(end.outcome, kMaxEffectOutcome);
    const auto moved = move(tx,
                            "UPDATE effects SET state = $8, fence = $6, settled_us = $7, outcome = $10, "
                            "place = " NEXT_PLACE " "
                            "WHERE " THE_EFFECT " AND state IN (1, $9) AND fence <= $6 RETURNING " EFFECT_COLUMNS,
                            hand, end.id, end.state, {hand.fence, unix_us(hand.now), number(end.state), number(earliest), outcome});
    if (!moved) return fail(moved.error());
    if (*moved) entries.push_back(told(hand, action_of(end.state), (*moved)->intent, outcome));
  }
  return tell(tx, hand, entries);
}

Result<std::size_t> mark_unknown(store::Tx& tx, const EffectHand& hand, std::string_view why) {
  const std::string outcome = to_json(json::object{{"why", stored_text(why, kMaxAuditText)}});
  auto moved = effects_of(tx.run(
      "UPDATE effects SET state = 4, fence = $2, settled_us = $3, outcome = $4, place = " NEXT_PLACE " "
      "WHERE job = $1 AND state = 1 AND fence <= $2 RETURNING " EFFECT_COLUMNS,
      {hand.job, hand.fence, unix_us(hand.now), outcome}));
  if (!moved) return fail(std::move(moved.error()));
  std::vector<AuditEntry> entries;
  for (const Effect& e : *moved) entries.push_back(told(hand, audit::effect_unknown, e.intent, outcome));
  if (auto done = tell(tx, hand, entries); !done) return fail(done.error());
  return moved->size();
}

Result<void> resolve(store::Tx& tx, const EffectHand& hand, const EffectEnd& end) {
  if (auto fine = must_be(end.state == EffectState::confirmed || end.state == EffectState::failed, end.state); !fine) return fine;
  const std::string outcome = stored_text(end.outcome, kMaxEffectOutcome);
  EffectHand person = hand;
  person.fence = kNoLease;
  const auto moved = move(tx, "UPDATE effects SET state = $6, settled_us = $7, outcome = $8 WHERE " THE_EFFECT " AND state = 4 RETURNING " EFFECT_COLUMNS,
                          person, end.id, end.state, {number(end.state), unix_us(hand.now), outcome});
  if (!moved) return fail(moved.error());
  if (!*moved) return {};
  const AuditEntry entry = told(hand, audit::effect_resolved, (*moved)->intent, to_json(json::object{{"state", to_string(end.state)}, {"outcome", outcome}}));
  return tell(tx, hand, {&entry, 1});
}

Result<void> undone(store::Tx& tx, const EffectHand& hand, const EffectEnd& end) {
  const bool ended = end.state == EffectState::compensated || end.state == EffectState::compensation_failed;
  if (auto fine = must_be(ended && end.id.kind != EffectKind::compensation, end.state); !fine) return fine;
  const auto moved = move(tx,
                          "UPDATE effects SET state = $8, fence = $6, undone_us = $7 WHERE " THE_EFFECT " AND state IN (2, 6) AND fence <= $6 "
                          "RETURNING " EFFECT_COLUMNS,
                          hand, end.id, end.state, {hand.fence, unix_us(hand.now), number(end.state)});
  if (!moved) return fail(moved.error());
  if (!*moved) return {};
  const AuditEntry entry = told(hand, action_of(end.state), (*moved)->intent, end.outcome);
  return tell(tx, hand, {&entry, 1});
}

Result<std::vector<Effect>> list_effects(store::Tx& tx, std::int64_t job) {
  return effects_of(tx.run("SELECT " EFFECT_COLUMNS " FROM effects WHERE job = $1 ORDER BY n, path, attempt LIMIT 70000", {job}));
}

Result<std::vector<Effect>> unsettled(store::Tx& tx, std::int64_t job) {
  return effects_of(tx.run("SELECT " EFFECT_COLUMNS " FROM effects WHERE job = $1 AND state IN (0, 1) ORDER BY n, path, attempt LIMIT 70000", {job}));
}

Result<std::vector<Effect>> confirmed_in_reverse(store::Tx& tx, std::int64_t job) {
  return effects_of(tx.run("SELECT " EFFECT_COLUMNS " FROM effects WHERE job = $1 AND state IN (2, 6) AND kind <> 3 "
                           "ORDER BY place DESC, n DESC, path DESC, attempt DESC LIMIT 70000", {job}));
}

Result<std::optional<Effect>> last_effect(store::Tx& tx, std::int64_t job, const EffectId& id) {
  auto found = effects_of(tx.run("SELECT " EFFECT_COLUMNS " FROM effects WHERE job = $1 AND path = $2 AND input = $3 AND kind = $4 ORDER BY attempt DESC LIMIT 1",
                                 {job, id.path, bytes_of(id.input), number(id.kind)}));
  if (!found) return fail(std::move(found.error()));
  if (found->empty()) return std::nullopt;
  return std::move(found->front());
}

Result<std::uint64_t> delete_effects(store::Tx& tx, std::int64_t job) {
  auto gone = tx.run("DELETE FROM effects WHERE job = $1", {job});
  if (!gone) return fail(gone.error());
  return static_cast<std::uint64_t>(gone->affected());
}

std::uint32_t next_attempt(std::span<const Effect> effects, const EffectId& id) {
  std::uint32_t highest = 0;
  for (const Effect& e : effects)
    if (const EffectId& other = e.intent.id; other.path == id.path && other.input == id.input && other.kind == id.kind) highest = std::max(highest, other.attempt);
  return highest + 1;
}

#undef EFFECT_COLUMNS
#undef THE_EFFECT

}  // namespace ballast::records
