#include "work/approval_rows.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "records/audit.hpp"
#include "work/canonical.hpp"
#include "work/lives_sql.hpp"

namespace ballast::work {

namespace {

namespace audit = records::audit;

constexpr std::size_t kLookedAt = 20'000, kPage = 500;

// What lists show; a whole row has `shown` and `value` behind it.
#define APPROVAL_COLUMNS                                                                                                          \
  "job, n, state, path, input, digest, flow, definition, policy, key_id, user_name, assignees, rule, signature, self, asked_us, " \
  "expires_us, escalate_us, escalate_to, decided_us, decided_by, note, value_digest, taken_us"
constexpr std::size_t kShownColumn = 24;
constexpr store::Statement kGet("SELECT " APPROVAL_COLUMNS ", shown, value FROM approvals WHERE job = $1 AND n = $2");

std::string_view view(const Digest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }
store::Value bytes_of(const Digest& d) { return store::Value::bytes(view(d)); }
Digest digest_from(std::string_view bytes) {
  Digest d{};
  if (bytes.size() == d.size()) std::copy(bytes.begin(), bytes.end(), d.begin());
  return d;
}

std::vector<std::string> names_from(std::string_view packed) {
  std::vector<std::string> out;
  for (const auto name : split(packed, '\n'))
    if (!name.empty()) out.emplace_back(name);
  return out;
}

Approval approval_from(const store::Row& r) {
  Approval a;
  a.id = {JobId{r.integer(0)}, r.integer(1)};
  a.state = static_cast<ApprovalState>(r.integer(2));
  ApprovalAsk& q = a.ask;
  q.job = a.id.job;
  q.path = r.string(3);
  q.input = digest_from(r.bytes(4));
  a.digest = digest_from(r.bytes(5));
  q.flow = r.string(6);
  q.definition = digest_from(r.bytes(7));
  q.policy = r.string(8);
  q.key_id = r.string(9);
  q.user = r.string(10);
  q.assignees = names_from(r.text(11));
  q.edit = unpack_rule(r.text(12));
  q.signature = r.boolean(13);
  q.self = r.boolean(14);
  a.asked = from_unix_us(r.integer(15));
  q.expires = from_unix_us(r.integer(16));
  if (!r.text(18).empty()) q.escalate = {.at = from_unix_us(r.integer(17)), .to = r.string(18)};
  if (r.integer(19) != 0) a.decided = from_unix_us(r.integer(19));
  a.by = r.string(20);
  a.note = r.string(21);
  a.value_digest = digest_from(r.bytes(22));
  a.taken = r.integer(23) != 0;
  return a;
}

Result<Approval> whole_from(const store::Row& r) {
  Approval a = approval_from(r);
  auto shown = parse_json(r.text(kShownColumn));
  if (!shown) return fail(ErrorCode::internal_error, fmt::format("the row of {} cannot be read: {}", to_string(a.id), shown.error().message));
  a.ask.shown = std::move(*shown);
  if (r.null(kShownColumn + 1)) return a;
  auto value = parse_json(r.text(kShownColumn + 1));
  if (!value) return fail(ErrorCode::internal_error, fmt::format("the row of {} cannot be read: {}", to_string(a.id), value.error().message));
  a.value = std::move(*value);
  return a;
}

struct Told {
  const Approval& approval;
  std::string_view actor, action;
  json::object outcome;
};

// `arguments`: what was shown, or what it was edited to.
Result<void> tell(store::Tx& tx, std::span<Told> told, WallTime now) {
  std::vector<records::AuditEntry> entries;
  std::vector<std::string> chains;
  for (Told& t : told) {
    const bool edited = t.action == audit::approval_edited;
    t.outcome["approval"] = to_string(t.approval.id);
    if (edited) t.outcome["shown"] = to_hex(t.approval.digest);
    chains.push_back(to_string(t.approval.id.job));
    entries.push_back({.actor = std::string(t.actor), .action = std::string(t.action), .subject = t.approval.ask.path,
                       .arguments = edited ? t.approval.value_digest : t.approval.digest, .outcome = to_json(t.outcome), .at = now});
  }
  std::vector<records::AuditAppend> appends;
  for (std::size_t i = 0; i < told.size(); ++i) appends.push_back({chains[i], std::span(&entries[i], 1)});
  return records::append_audits(tx, appends, now);
}

Result<void> tell_all(store::Tx& tx, const std::vector<Approval>& approvals, std::string_view action, const json::object& outcome, WallTime now) {
  std::vector<Told> told;
  for (const Approval& a : approvals) told.push_back({a, "system", action, outcome});
  return tell(tx, told, now);
}

std::vector<Approval> approvals_from(const store::Rows& rows) {
  std::vector<Approval> out;
  for (const store::Row r : rows) out.push_back(approval_from(r));
  return out;
}

// Ends pending ones as `statement`, an UPDATE … RETURNING, says, and tells of it.
Result<std::vector<Approval>> end_pending(store::Tx& tx, const store::Statement& statement, store::Args args, std::string_view action, const json::object& outcome, WallTime now) {
  const auto rows = tx.run(statement, args);
  if (!rows) return std::unexpected(rows.error());
  auto ended = approvals_from(*rows);
  std::ranges::sort(ended, {}, &Approval::id);
  if (auto done = tell_all(tx, ended, action, outcome, now); !done) return std::unexpected(std::move(done.error()));
  return ended;
}

Result<void> check_ask(const ApprovalAsk& ask, std::string_view shown, WallTime now) {
  if (shown.size() > kMaxShown)
    return fail(ErrorCode::caller_too_large, fmt::format("shows {} bytes; a human is asked to look at {} at most: show less", shown.size(), kMaxShown), ask.path);
  if (ask.assignees.size() > kMaxAssignees) return fail(ErrorCode::caller_invalid_request, fmt::format("has more than {} assignees", kMaxAssignees), ask.path);
  for (const auto& name : ask.assignees)
    if (!is_assignee(name)) return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" is no assignee: user:NAME, group:NAME or key:NAME", name), ask.path);
  if (ask.escalate && !is_assignee(ask.escalate->to)) return fail(ErrorCode::caller_invalid_request, "escalates to nobody: user:NAME, group:NAME or key:NAME", ask.path);
  if (ask.expires <= now) return fail(ErrorCode::caller_invalid_request, "would have expired before it is asked", ask.path);
  return {};
}

// Why the guarded statement found nothing.
Error refusal(const Approval& a, WallTime now) {
  if (a.state == ApprovalState::withdrawn) return {ErrorCode::caller_conflict, "it was withdrawn: the run has ended, or asks anew", "id"};
  if (a.state == ApprovalState::expired || (a.state == ApprovalState::pending && a.ask.expires <= now))
    return {ErrorCode::caller_conflict, "it has expired at " + to_rfc3339(a.ask.expires), "id"};
  if (a.state == ApprovalState::pending) return {ErrorCode::caller_conflict, "its run has ended", "id"};
  return {ErrorCode::caller_conflict, fmt::format("it was {} already, by {} at {}", to_string(a.state), a.by, to_rfc3339(a.decided)), "id"};
}

Result<Approval> must_get(store::Tx& tx, ApprovalId id) {
  auto found = get_approval(tx, id);
  if (!found) return std::unexpected(std::move(found.error()));
  if (!*found) return fail(ErrorCode::caller_not_found, "there is no such approval, or not any more", "id");
  return std::move(**found);
}

// Sets what is decided on `a`. Errors: of the decision itself.
Result<void> judge(const Decision& d, Approval& a, WallTime now) {
  if (auto may = may_decide(a, d.by); !may) return may;
  if (a.state != ApprovalState::pending) return fail(refusal(a, now));
  if (d.seen != a.digest) return fail(ErrorCode::caller_conflict, "what you saw is not what is asked; look again and decide on its digest", "digest");
  if (d.note.size() > kMaxNote) return fail(ErrorCode::caller_too_large, fmt::format("must be {} bytes at most", kMaxNote), "note");
  if (!is_utf8(d.note) || d.note.find('\0') != std::string::npos) return fail(ErrorCode::caller_invalid_request, "must be text without a zero byte", "note");
  a.decided = from_unix_us(unix_us(now));
  a.by = d.by.name();
  a.note = d.note;
  if (d.choice == Decision::Choice::reject) {
    a.state = ApprovalState::rejected;
    return {};
  }
  a.state = ApprovalState::approved;
  a.value_digest = a.digest;
  if (d.choice == Decision::Choice::approve) return {};
  if (!d.value) return fail(ErrorCode::caller_invalid_request, "is required: the edited form of what was shown", "value");
  if (to_json(*d.value).size() > kMaxShown) return fail(ErrorCode::caller_too_large, fmt::format("must be {} bytes at most", kMaxShown), "value");
  if (auto fine = check_edit(a.ask.edit, a.ask.shown, *d.value); !fine) return fine;
  a.state = ApprovalState::edited;
  a.value = *d.value;
  a.value_digest = value_digest(*d.value);
  return {};
}

std::string_view action_of(ApprovalState state) {
  return state == ApprovalState::rejected ? audit::approval_rejected : state == ApprovalState::edited ? audit::approval_edited : audit::approval_granted;
}

// What is bound otherwise than it was; nothing: all is as it was.
std::string_view difference(const Approval& a, const Binding& b) {
  const Binding was = a.binding();
  if (value_digest(a.ask.shown) != a.digest || was.shown != b.shown) return "the value";
  if (a.state == ApprovalState::edited && (!a.value || value_digest(*a.value) != a.value_digest)) return "the edited value";
  if (was.input != b.input) return "the question";
  if (was.definition != b.definition) return "the flow's definition";
  if (was.policy != b.policy) return "the policy";
  if (was.key_id != b.key_id || was.user != b.user) return "the principal";
  return {};
}

}  // namespace

Result<void> tell_of_approval(store::Tx& tx, const Approval& approval, std::string_view actor, std::string_view action, json::object outcome, WallTime now) {
  Told one{approval, actor, action, std::move(outcome)};
  return tell(tx, std::span(&one, 1), now);
}

Result<ApprovalId> request_approval(store::Tx& tx, const ApprovalAsk& ask, WallTime now) {
  const std::string shown = to_json(ask.shown), rule = pack_rule(ask.edit), assignees = fmt::format("{}", fmt::join(ask.assignees, "\n"));
  if (auto fine = check_ask(ask, shown, now); !fine) return std::unexpected(std::move(fine.error()));
  const auto withdrawn = end_pending(tx,
                                     "UPDATE approvals SET state = 5, decided_us = $3, taken_us = $3, decided_by = 'system' WHERE job = $1 AND path = $2 AND state = 0 "
                                     "RETURNING " APPROVAL_COLUMNS,
                                     {ask.job.value, ask.path, unix_us(now)}, audit::approval_withdrawn, {{"why", "the stage asks anew"}}, now);
  if (!withdrawn) return std::unexpected(withdrawn.error());
  Approval a{.id = {.job = ask.job, .n = 0}, .ask = {}, .digest = value_digest(ask.shown)};
  a.ask.path = ask.path;
  const auto rows = tx.run(
      "INSERT INTO approvals (job, n, state, path, input, digest, flow, definition, policy, key_id, user_name, assignees, rule, signature, self, asked_us, "
      "expires_us, escalate_us, escalate_to, shown, decided_us, decided_by, note, taken_us) "
      "SELECT $1, COALESCE(MAX(n), 0) + 1, 0, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, 0, '', '', 0 "
      "FROM approvals WHERE job = $1 RETURNING n",
      {ask.job.value, ask.path, bytes_of(ask.input), bytes_of(a.digest), ask.flow, bytes_of(ask.definition), ask.policy, ask.key_id, ask.user, assignees, rule,
       ask.signature, ask.self.value_or(ask.assignees.empty()), unix_us(now), unix_us(ask.expires), ask.escalate ? unix_us(ask.escalate->at) : 0,
       ask.escalate ? ask.escalate->to : std::string(), shown});
  if (!rows) return std::unexpected(rows.error());
  a.id.n = (*rows)[0].integer(0);
  json::object outcome{{"policy", utf8_prefix(ask.policy, 512)}, {"definition", to_hex(ask.definition)}, {"assignees", json::value_from(ask.assignees)}, {"expires", to_rfc3339(ask.expires)}};
  if (auto told = tell_of_approval(tx, a, "system", audit::approval_requested, std::move(outcome), now); !told) return std::unexpected(std::move(told.error()));
  return a.id;
}

Result<Approval> decide_approval(store::Tx& tx, const Decision& decision, WallTime now) {
  auto a = must_get(tx, decision.id);
  if (!a) return a;
  if (auto fine = judge(decision, *a, now); !fine) return std::unexpected(std::move(fine.error()));
  const std::string value = a->value ? to_json(*a->value) : std::string();
  const auto rows = tx.run(
      "UPDATE approvals SET state = $3, decided_us = $4, decided_by = $5, note = $6, value = $7, value_digest = $8 "
      "WHERE job = $1 AND n = $2 AND state = 0 AND expires_us > $4 AND digest = $9 AND EXISTS (SELECT 1 FROM jobs WHERE jobs.id = approvals.job AND jobs." BALLAST_JOB_LIVES ")",
      {a->id.job.value, a->id.n, static_cast<int>(a->state), unix_us(now), a->by, a->note, a->value ? store::Value(value) : store::Value(nullptr),
       bytes_of(a->value_digest), bytes_of(decision.seen)});
  if (!rows) return std::unexpected(rows.error());
  if (rows->affected() == 0) {
    const auto is = must_get(tx, decision.id);
    return std::unexpected(is ? refusal(*is, now) : is.error());
  }
  const std::string_view how = decision.by.link ? "link" : decision.by.admin && !is_assigned(*a, decision.by) ? "as an administrator" : "key";
  json::object outcome{{"decision", to_string(a->state)}, {"how", how}};
  if (!decision.by.link) outcome["key"] = decision.by.key_id;
  if (auto told = tell_of_approval(tx, *a, a->by, action_of(a->state), std::move(outcome), now); !told) return std::unexpected(std::move(told.error()));
  return a;
}

Result<std::vector<Approval>> decisions_of(store::Tx& tx, JobId job) {
  const auto rows = tx.run("SELECT " APPROVAL_COLUMNS ", shown, value FROM approvals WHERE job = $1 AND state > 0 AND taken_us = 0 ORDER BY n", {job.value});
  if (!rows) return std::unexpected(rows.error());
  std::vector<Approval> out;
  for (const store::Row r : *rows) {
    auto a = whole_from(r);
    if (!a) return std::unexpected(std::move(a.error()));
    out.push_back(std::move(*a));
  }
  return out;
}

Result<Approval> take_decision(store::Tx& tx, ApprovalId id, const Binding& now_bound, WallTime now) {
  auto a = must_get(tx, id);
  if (!a) return a;
  if (a->state == ApprovalState::pending || a->state == ApprovalState::withdrawn)
    return fail(ErrorCode::caller_conflict, fmt::format("the approval {} is {}", to_string(id), to_string(a->state)), a->ask.path);
  if (const auto what = difference(*a, now_bound); !what.empty())
    return fail(ErrorCode::caller_conflict, fmt::format("the approval {} does not hold any more: {} is not the one that was approved", to_string(id), what), a->ask.path);
  const auto rows = tx.run("UPDATE approvals SET taken_us = $3 WHERE job = $1 AND n = $2 AND state > 0 AND taken_us = 0", {id.job.value, id.n, unix_us(now)});
  if (!rows) return std::unexpected(rows.error());
  if (rows->affected() == 0) return fail(ErrorCode::caller_conflict, fmt::format("the approval {} was used already", to_string(id)), a->ask.path);
  a->taken = true;
  return a;
}

Result<std::size_t> withdraw_approvals(store::Tx& tx, JobId job, std::string_view why, WallTime now) {
  const auto ended = end_pending(tx,
                                 "UPDATE approvals SET state = 5, decided_us = $2, taken_us = $2, decided_by = 'system' WHERE job = $1 AND state = 0 RETURNING " APPROVAL_COLUMNS,
                                 {job.value, unix_us(now)}, audit::approval_withdrawn, {{"why", utf8_prefix(why, 512)}}, now);
  if (!ended) return std::unexpected(ended.error());
  return ended->size();
}

Result<std::vector<Approval>> expire_due(store::Tx& tx, WallTime now, std::size_t limit) {
  return end_pending(tx,
                     "UPDATE approvals SET state = 4, decided_us = $1, decided_by = 'system' WHERE state = 0 AND expires_us <= $1 AND (job, n) IN "
                     "(SELECT job, n FROM approvals WHERE state = 0 AND expires_us <= $1 ORDER BY expires_us LIMIT $2) RETURNING " APPROVAL_COLUMNS,
                     {unix_us(now), limit}, audit::approval_expired, {}, now);
}

Result<std::vector<Approval>> escalate_due(store::Tx& tx, WallTime now, std::size_t limit) {
  // To nobody in particular it was asked of all already: they are not made fewer.
  const auto rows = tx.run(
      "UPDATE approvals SET escalate_us = 0, assignees = CASE WHEN assignees = '' THEN '' ELSE assignees || $3 || escalate_to END "
      "WHERE state = 0 AND escalate_us > 0 AND escalate_us <= $1 AND expires_us > $1 AND (job, n) IN "
      "(SELECT job, n FROM approvals WHERE state = 0 AND escalate_us > 0 AND escalate_us <= $1 ORDER BY escalate_us LIMIT $2) RETURNING " APPROVAL_COLUMNS,
      {unix_us(now), limit, "\n"});
  if (!rows) return std::unexpected(rows.error());
  auto escalated = approvals_from(*rows);
  std::ranges::sort(escalated, {}, &Approval::id);
  std::vector<Told> told;
  for (const Approval& a : escalated) told.push_back({a, "system", audit::approval_escalated, {{"to", a.ask.escalate ? a.ask.escalate->to : std::string()}}});
  if (auto done = tell(tx, told, now); !done) return std::unexpected(std::move(done.error()));
  return escalated;
}

Result<std::size_t> withdraw_orphans(store::Tx& tx, WallTime now, std::size_t limit) {
  const auto ended = end_pending(tx,
                                 "UPDATE approvals SET state = 5, decided_us = $1, taken_us = $1, decided_by = 'system' WHERE state = 0 AND (job, n) IN "
                                 "(SELECT a.job, a.n FROM approvals a WHERE a.state = 0 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = a.job AND jobs." BALLAST_JOB_LIVES ") LIMIT $2) "
                                 "RETURNING " APPROVAL_COLUMNS,
                                 {unix_us(now), limit}, audit::approval_withdrawn, {{"why", "the run has ended"}}, now);
  if (!ended) return std::unexpected(ended.error());
  return ended->size();
}

Result<std::vector<JobId>> undelivered(store::Tx& tx, WallTime before, std::size_t limit) {
  const auto rows = tx.run(
      "SELECT DISTINCT a.job FROM approvals a JOIN jobs j ON j.id = a.job WHERE a.taken_us = 0 AND a.state > 0 AND a.decided_us < $1 AND j.state = 1 LIMIT $2",
      {unix_us(before), limit});
  if (!rows) return std::unexpected(rows.error());
  std::vector<JobId> out;
  for (const store::Row r : *rows) out.push_back(JobId{r.integer(0)});
  return out;
}

Result<std::optional<Approval>> get_approval(store::Tx& tx, ApprovalId id) {
  const auto rows = tx.run(kGet, {id.job.value, id.n});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::optional<Approval>{};
  auto whole = whole_from((*rows)[0]);
  if (!whole) return std::unexpected(std::move(whole.error()));
  return std::optional(std::move(*whole));
}

Result<ApprovalPage> list_approvals(store::Tx& tx, const ApprovalFilter& filter) {
  static constexpr store::Statement open("SELECT " APPROVAL_COLUMNS " FROM approvals WHERE state = 0 AND job <= $1 AND (job < $1 OR n < $2) AND job >= $3 ORDER BY job DESC, n DESC LIMIT $4");
  static constexpr store::Statement all("SELECT " APPROVAL_COLUMNS " FROM approvals WHERE job <= $1 AND (job < $1 OR n < $2) AND job >= $3 ORDER BY job DESC, n DESC LIMIT $4");
  constexpr std::int64_t kTop = std::numeric_limits<std::int64_t>::max();
  const auto fits = [&](const Approval& a) {
    return (!filter.state || a.state == *filter.state) && (filter.assignee.empty() || std::ranges::find(a.ask.assignees, filter.assignee) != a.ask.assignees.end()) &&
           (!filter.seen_by || may_look(a, *filter.seen_by));
  };
  ApprovalPage page;
  ApprovalId at = filter.before ? filter.before : ApprovalId{JobId{filter.job ? filter.job->value : kTop}, kTop};
  const std::int64_t lowest = filter.job ? filter.job->value : 0;
  for (std::size_t looked = 0; looked < kLookedAt;) {
    const auto rows = tx.run(filter.state == ApprovalState::pending ? open : all, {at.job.value, at.n, lowest, kPage});
    if (!rows) return std::unexpected(rows.error());
    for (const store::Row r : *rows) {
      at = {JobId{r.integer(0)}, r.integer(1)};
      ++looked;
      Approval a = approval_from(r);
      if (!fits(a)) continue;
      page.approvals.push_back(std::move(a));
      if (page.approvals.size() < filter.limit) continue;
      page.next = at;
      return page;
    }
    if (rows->size() < kPage) return page;
  }
  page.next = at;
  return page;
}

}  // namespace ballast::work
