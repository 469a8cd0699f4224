#include "records/reconcile.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "records/audit.hpp"
#include "records/budgets.hpp"
#include "records/ledger_import.hpp"
#include "records/ledger_scan.hpp"

namespace ballast::records {

namespace {

bool is_open(const AttemptRecord& a) { return a.cost == Cost::unknown; }

Result<CallRecord> read(std::string_view bytes) {
  auto call = decode_call(bytes);
  if (call && call->status == CallStatus::unknown && call->attempts.empty()) add_lost_attempt(*call);
  return call;
}

void keep_newest(std::vector<CallRecord>& calls, std::size_t limit) {
  std::sort(calls.begin(), calls.end(), [](const CallRecord& a, const CallRecord& b) { return a.id > b.id; });
  if (calls.size() > limit) calls.resize(limit);
}

// The calls of a block that are wanted and still open.
Result<void> add_open(store::Tx& tx, const BlockScan::Block& block, std::pair<Id, Id> range, CallMatcher& matcher, std::vector<CallRecord>& out) {
  SummaryReader reader(block.summary);
  std::vector<std::size_t> wanted;
  std::size_t position = 0;
  if (matcher.begin(reader)) {
    for (CallRow row; reader.next(row); ++position)
      if (!row.told && row.id >= range.first && row.id <= range.second && matcher.call(row) &&
          matcher.target(row.name(Name::provider), row.name(Name::model)))
        wanted.push_back(position);
  }
  if (!reader.good()) return std::unexpected(damaged_block());
  if (wanted.empty()) return {};
  auto details = read_details(tx, block.key);
  if (!details) return std::unexpected(details.error());
  std::string plain;
  auto records = unpack_details(*details, plain);
  if (!records) return std::unexpected(records.error());
  for (const std::size_t at : wanted) {
    if (at >= records->size()) return std::unexpected(damaged_block());
    auto call = read((*records)[at]);
    if (!call) return std::unexpected(call.error());
    if (std::any_of(call->attempts.begin(), call->attempts.end(), is_open)) out.push_back(std::move(*call));
  }
  return {};
}

std::string numbers(const CallRecord& call, Cost cost) {
  std::string out;
  for (const AttemptRecord& a : call.attempts)
    if (a.cost == cost) out += (out.empty() ? "" : ", ") + std::to_string(a.n);
  return out;
}

// Which attempt is meant.
Result<AttemptRecord*> pick(CallRecord& call, const Reconciliation& by) {
  if (by.attempt) {
    const auto at = std::find_if(call.attempts.begin(), call.attempts.end(), [&](const AttemptRecord& a) { return a.n == *by.attempt; });
    if (at != call.attempts.end()) return &*at;
    return fail(ErrorCode::caller_not_found, "the call has no attempt " + std::to_string(*by.attempt), "attempt");
  }
  for (const Cost cost : {Cost::unknown, Cost::reconciled}) {
    AttemptRecord* only = nullptr;
    for (AttemptRecord& a : call.attempts) {
      if (a.cost != cost) continue;
      if (only) return fail(ErrorCode::caller_invalid_request, "name which one of the attempts " + numbers(call, cost), "attempt");
      only = &a;
    }
    if (only) return only;
  }
  return fail(ErrorCode::caller_conflict, "what this call cost is known", "call");
}

// Is there anything left to do?
Result<bool> is_settled(const AttemptRecord& a, Money incurred) {
  if (a.cost == Cost::unknown) return false;
  if (a.cost == Cost::known) return fail(ErrorCode::caller_conflict, "what this attempt cost is known: $" + to_usd({a.incurred_nano}), "attempt");
  if (a.incurred_nano == incurred.nano) return true;
  return fail(ErrorCode::caller_conflict,
              "it was reconciled already, at $" + to_usd({a.incurred_nano}) + ", by " + a.reconciled_by + " at " + to_rfc3339(a.reconciled_at), "incurred");
}

void note(std::string& decision, const CallRecord& call, const AttemptRecord& a) {
  std::string step = "{\"at_us\":" + std::to_string(std::max<std::int64_t>(0, (a.reconciled_at - call.arrived).count() / 1000));
  step += ",\"step\":\"reconciled\",\"attempt\":" + std::to_string(a.n) + ",\"by\":";
  append_json_string(step, a.reconciled_by);
  step += ",\"at\":\"" + to_rfc3339(a.reconciled_at) + "\",\"was_usd\":\"" + to_usd({a.ceiling_nano}) + "\",\"incurred_usd\":\"" + to_usd({a.incurred_nano}) + "\"}";
  if (decision.size() < 2 || !decision.ends_with(']')) decision = "[]";
  decision.pop_back();
  if (decision.size() > 1) decision += ',';
  decision += step + ']';
}

// The attempt that answered: the last good one of the model that the call names.
bool answered(const CallRecord& call, const AttemptRecord& a) {
  const AttemptRecord* last = nullptr;
  for (const AttemptRecord& at : call.attempts)
    if (at.outcome == "ok" && at.provider == call.provider && at.model == call.model) last = &at;
  return last == &a;
}

// Returns what changed in each window.
std::vector<BudgetCharge> correct(CallRecord& call, AttemptRecord& a, const Reconciliation& by) {
  const Money difference = by.incurred - Money{a.incurred_nano};
  a.ceiling_nano = a.incurred_nano;
  a.incurred_nano = by.incurred.nano;
  a.cost = Cost::reconciled;
  a.reconciled_by = by.actor;
  a.reconciled_at = by.at;
  call.incurred_nano = (Money{call.incurred_nano} + difference).nano;
  if (call.status == CallStatus::unknown) call.billed_nano = call.incurred_nano;
  else if (answered(call, a)) call.billed_nano = a.incurred_nano;
  std::vector<BudgetCharge> changes;
  for (BudgetCharge& charge : call.charges) {
    if (std::find(a.windows.begin(), a.windows.end(), charge.window) == a.windows.end()) continue;
    const Money now = std::max(Money{}, Money{charge.nano} + difference);
    changes.push_back({charge.window, (now - Money{charge.nano}).nano});
    charge.nano = now.nano;
  }
  note(call.decision, call, a);
  return changes;
}

}  // namespace

Result<std::vector<CallRecord>> list_unreconciled(store::Tx& tx, const CallFilter& filter, std::size_t limit, std::optional<Id> before) {
  limit = std::min<std::size_t>(limit, 1000);
  std::vector<CallRecord> out;
  const auto range = page_of(filter, before);
  if (!range || limit == 0) return out;
  CallMatcher matcher(filter);
  BlockScan scan(BlockScan::Order::descending, range->first, range->second);
  for (;;) {
    auto block = scan.next(tx);
    if (!block) return std::unexpected(block.error());
    if (!*block) break;
    if (out.size() >= limit) {
      keep_newest(out, limit);
      if (out.back().id > (*block)->last) break;
    }
    if (auto added = add_open(tx, **block, *range, matcher, out); !added) return std::unexpected(added.error());
  }
  keep_newest(out, limit);
  return out;
}

Result<Reconciled> reconcile(store::Tx& tx, const Reconciliation& by) {
  if (by.incurred < Money{} || by.incurred > kMostReconciled)
    return fail(ErrorCode::caller_invalid_request, "must be 0 to " + to_usd(kMostReconciled) + " dollars", "incurred");
  const auto place = find_call(tx, by.call);
  if (!place) return std::unexpected(place.error());
  if (!*place) return fail(ErrorCode::caller_not_found, "the ledger has no call " + to_string(by.call, "call"), "call");
  auto details = read_details(tx, (*place)->block);
  if (!details) return std::unexpected(details.error());
  std::string plain;
  auto records = unpack_details(*details, plain);
  if (!records) return std::unexpected(records.error());
  const std::size_t at = (*place)->position;
  if (at >= records->size() || decode_id((*records)[at]).value_or(Id{}) != by.call)
    return std::unexpected(store::make_error(store::Fault::unavailable, "another node changed the ledger at the same place"));
  auto call = read((*records)[at]);
  if (!call) return std::unexpected(call.error());
  const auto attempt = pick(*call, by);
  if (!attempt) return std::unexpected(attempt.error());
  const auto settled = is_settled(**attempt, by.incurred);
  if (!settled) return std::unexpected(settled.error());
  if (*settled) return Reconciled{.attempt = **attempt, .already = true, .changes = {}};

  auto changes = correct(*call, **attempt, by);
  std::string corrected;
  encode(corrected, *call);
  std::vector<EncodedCall> calls;
  for (const std::string_view bytes : *records) {
    const auto id = decode_id(bytes);
    if (!id) return std::unexpected(id.error());
    calls.push_back({*id, *id == by.call ? std::string_view(corrected) : bytes});
  }
  if (auto written = replace_block(tx, (*place)->block, *details, calls); !written) return std::unexpected(written.error());
  if (auto spent = correct_spend(tx, changes); !spent) return std::unexpected(spent.error());
  const AuditEntry told{.actor = by.actor, .action = std::string(audit::charge_reconciled), .subject = to_string(by.call, "call"), .arguments = {},
                        .outcome = R"({"attempt":)" + std::to_string((*attempt)->n) + R"(,"incurred_usd":")" + to_usd(by.incurred) + "\"}", .at = by.at};
  if (auto head = append_audit(tx, admin_chain("0"), std::span(&told, 1), by.at); !head) return std::unexpected(head.error());
  return Reconciled{.attempt = **attempt, .already = false, .changes = std::move(changes)};
}

}  // namespace ballast::records
