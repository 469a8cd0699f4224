// Approvals: the inbox, one of them, and what is decided. Scope approve: those that the key, its user or its team is asked for; admin: all.
#include "base/config_node.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "base/text.hpp"
#include "server/approval_json.hpp"
#include "server/job_json.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/work_door.hpp"
#include "records/audit.hpp"
#include "work/approval_links.hpp"
#include "work/approval_rows.hpp"

namespace ballast::server {

namespace {

using work::ApprovalId;
using Choice = work::Decision::Choice;

constexpr std::size_t kMostListed = 1'000;
constexpr JsonLimits kBody{.max_bytes = work::kMaxShown + (64u << 10), .max_depth = 256};
constexpr Duration kLinkLife = std::chrono::hours(24);

Error gone() { return {ErrorCode::caller_not_found, "there is no such approval, or not any more, or others are asked", "id"}; }

Result<work::ApprovalFilter> filter_from(const net::RequestHead& request, const gateway::Principal& who) {
  work::ApprovalFilter f;
  if (!who.admin()) f.seen_by = decider_of(who);
  f.assignee = query(request, "assignee");
  if (!f.assignee.empty() && !work::is_assignee(f.assignee)) return fail(ErrorCode::caller_invalid_request, "must be user:NAME, group:NAME or key:NAME", "assignee");
  if (const std::string state = query(request, "state"); state == "any") {
    f.state.reset();
  } else if (!state.empty()) {
    f.state = work::approval_state_from(state);
    if (!f.state) return fail(ErrorCode::caller_invalid_request, "must be pending, approved, edited, rejected, expired, withdrawn or any", "state");
  }
  if (const std::string job = query(request, "job"); !job.empty()) {
    f.job = work::parse_job_id(job);
    if (!f.job) return fail(ErrorCode::caller_invalid_request, "must be a job's id", "job");
  }
  auto limit = query_count(request, "limit", f.limit, 1, kMostListed);
  if (!limit) return fail(std::move(limit.error()));
  f.limit = *limit;
  if (const std::string before = query(request, "before"); !before.empty()) {
    const auto id = work::parse_approval_id(before);
    if (!id) return fail(ErrorCode::caller_invalid_request, "must be an approval's id: the `next` of the page before", "before");
    f.before = *id;
  }
  return f;
}

Task<void> list(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who) {
  const auto filter = filter_from(exchange.request(), who);
  if (!filter) co_return co_await reply_problem(exchange, filter.error());
  const auto page = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) { return work::list_approvals(tx, *filter); });
  if (!page) co_return co_await reply_problem(exchange, page.error());
  json::array approvals;
  for (const auto& a : page->approvals) approvals.push_back(approval_json(a, false));
  json::object body{{"approvals", std::move(approvals)}};
  if (page->next) body["next"] = to_string(page->next);
  co_await reply_json(exchange, 200, std::move(body));
}

// That `who` may look at.
Task<Result<work::Approval>> look(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, ApprovalId id) {
  auto found = co_await parts.database.read(exchange.loop(), [id](store::Tx& tx) { return work::get_approval(tx, id); });
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (!*found || !work::may_look(**found, decider_of(who))) co_return fail(gone());
  co_return std::move(**found);
}

Task<void> show(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, ApprovalId id) {
  const auto found = co_await look(exchange, parts, who, id);
  if (!found) co_return co_await reply_problem(exchange, found.error());
  co_await reply_json(exchange, 200, approval_json(*found, true));
}

Result<work::Decision> decision_from(const JsonRef& body, ApprovalId id, Choice choice, const gateway::Principal& who) {
  auto known = choice == Choice::edit ? only_members(body, {"digest", "note", "value"}) : only_members(body, {"digest", "note"});
  if (!known) return fail(std::move(known.error()));
  work::Decision d{.id = id, .choice = choice, .seen = {}, .value = {}, .note = {}, .by = decider_of(who)};
  const auto digest = body.get<std::string_view>("digest");
  if (!digest) return fail(digest.error());
  const auto bytes = from_hex(*digest);
  if (!bytes || bytes->size() != d.seen.size()) return fail(ErrorCode::caller_invalid_request, "must be the 64 hexadecimal digits that were shown with the value", "digest");
  std::copy(bytes->begin(), bytes->end(), d.seen.begin());
  auto note = body.maybe<std::string>("note");
  if (!note) return fail(std::move(note.error()));
  d.note = note->value_or("");
  if (choice != Choice::edit) return d;
  const json::value* value = body.value().get_object().if_contains("value");
  if (!value) return fail(ErrorCode::caller_invalid_request, "is required: the edited form of what was shown", "value");
  d.value = *value;
  return d;
}

Task<void> decide(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, ApprovalId id, Choice choice) {
  const auto document = parse_json(exchange.body(), kBody);
  if (!document) co_return co_await reply_problem(exchange, document.error());
  if (!document->is_object()) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_invalid_request, "must be an object with the digest of what you saw", "digest"});
  const auto decision = decision_from(JsonRef(*document), id, choice, who);
  if (!decision) co_return co_await reply_problem(exchange, decision.error());
  const auto decided = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) { return work::decide_approval(tx, *decision, parts.clock.wall()); });
  if (!decided) co_return co_await reply_problem(exchange, decided.error());
  co_await tell_run(exchange, parts, *decided);
  co_await reply_json(exchange, 200, approval_json(*decided, true));
}

struct Wanted {
  work::ApprovalLink link;
  Duration life = kLinkLife;
};
Result<Wanted> link_from(const JsonRef& body, ApprovalId id) {
  if (auto known = only_members(body, {"user", "expires", "may"}); !known) return fail(std::move(known.error()));
  Wanted w;
  w.link.id = id;
  auto user = body.get<std::string>("user");
  if (!user) return fail(std::move(user.error()));
  w.link.user = user->starts_with("user:") ? user->substr(5) : std::move(*user);
  const auto life = maybe_duration(body, "expires");
  if (!life) return fail(life.error());
  w.life = life->value_or(kLinkLife);
  if (w.life < std::chrono::seconds(1)) return fail(ErrorCode::caller_invalid_request, "must be a second at least", "expires");
  const auto may = body.maybe<std::string>("may");
  if (!may) return fail(may.error());
  const std::string_view what = *may ? std::string_view(**may) : "decide";
  if (what != "decide" && what != "approve" && what != "reject") return fail(ErrorCode::caller_invalid_request, "must be decide, approve or reject", "may");
  w.link.may_approve = what != "reject";
  w.link.may_reject = what != "approve";
  return w;
}

Task<void> make_link(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, ApprovalId id) {
  const auto document = parse_json(exchange.body(), {.max_bytes = 4096, .max_depth = 4});
  if (!document) co_return co_await reply_problem(exchange, document.error());
  auto wanted = link_from(JsonRef(*document), id);
  if (!wanted) co_return co_await reply_problem(exchange, wanted.error());
  const WallTime now = parts.clock.wall();
  const auto made = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) -> Result<work::Approval> {
    auto found = work::get_approval(tx, id);
    if (!found) return fail(std::move(found.error()));
    if (!*found) return fail(gone());
    if (auto may = work::may_link(**found, decider_of(who), wanted->link.user); !may) return fail(std::move(may.error()));
    if ((*found)->state != work::ApprovalState::pending || (*found)->ask.expires <= now) return fail(ErrorCode::caller_conflict, "it is not pending any more", "id");
    json::object outcome{{"for", "user:" + wanted->link.user}};
    if (auto told = work::tell_of_approval(tx, **found, "key:" + who.key_id(), records::audit::approval_linked, std::move(outcome), now); !told) return fail(std::move(told.error()));
    return std::move(**found);
  });
  if (!made) co_return co_await reply_problem(exchange, made.error());
  work::ApprovalLink& link = wanted->link;
  link.shown = made->digest;
  link.nonce = secret_token(12);
  link.expires = std::chrono::ceil<std::chrono::seconds>(std::min(made->ask.expires, now + std::min<Duration>(wanted->life, std::chrono::hours(24 * 365))));
  log::info("approval_linked", {{"id", to_string(id)}, {"user", link.user}, {"by", who.key_id()}});
  co_await reply_json(exchange, 201, json::object{{"path", "/approve/" + parts.links->sign(link)}, {"user", link.user}, {"expires", to_rfc3339(link.expires)}});
}

}  // namespace

json::object approval_json(const work::Approval& a, bool whole) {
  const work::ApprovalAsk& q = a.ask;
  json::object o{{"id", to_string(a.id)}, {"job", to_string(a.id.job)}, {"stage", q.path}, {"flow", q.flow}, {"state", to_string(a.state)}, {"digest", to_hex(a.digest)},
                 {"policy", q.policy}, {"assignees", json::value_from(q.assignees)}, {"asked", to_rfc3339(a.asked)}, {"expires", to_rfc3339(q.expires)}};
  o["submitted_by"] = json::object{{"key", q.key_id}, {"user", q.user}};
  if (q.signature) o["signature"] = true;
  if (q.escalate && q.escalate->at > WallTime{}) o["escalates"] = json::object{{"at", to_rfc3339(q.escalate->at)}, {"to", q.escalate->to}};
  if (a.state != work::ApprovalState::pending) {
    o["decided"] = to_rfc3339(a.decided);
    o["by"] = a.by;
    if (!a.note.empty()) o["note"] = a.note;
    o["used"] = a.taken;
  }
  if (!whole) return o;
  o["definition"] = to_hex(q.definition);
  o["may_be_decided_by_submitter"] = a.self_allowed();
  if (q.edit.allowed) o["edit"] = json::object{{"paths", json::value_from(q.edit.paths)}, {"schema", q.edit.schema}};
  o["shown"] = q.shown;
  if (a.value) {
    o["value"] = *a.value;
    o["value_digest"] = to_hex(a.value_digest);
  }
  return o;
}

work::Decider decider_of(const gateway::Principal& who) {
  return {.key_id = who.key->id, .key_name = who.key->name, .user = who.key->user, .team = who.key->team, .admin = who.admin(), .link = false};
}

Task<void> tell_run(net::Exchange& exchange, const Parts& parts, const work::Approval& decided) {
  WorkDoor& door = *parts.work;
  const auto woken = co_await door.ask(exchange, [&] { return door.jobs().wake(decided.id.job); });
  if (!woken) log::warn("run_not_woken", {{"job", to_string(decided.id.job)}, {"why", woken.error().message}});
  log::info("approval_decided", {{"id", to_string(decided.id)}, {"state", to_string(decided.state)}, {"by", decided.by}});
}

Task<bool> approvals_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view all = "/api/approvals", one = "/api/approvals/";
  const bool reading = request.method == "GET", single = request.path.starts_with(one);
  const std::string_view rest = single ? request.path.substr(one.size()) : std::string_view();
  const auto slash = rest.find('/');
  const std::string_view action = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  static constexpr std::pair<std::string_view, Choice> kChoices[] = {{"approve", Choice::approve}, {"edit", Choice::edit}, {"reject", Choice::reject}};
  const auto choice = std::ranges::find(kChoices, action, &std::pair<std::string_view, Choice>::first);
  const bool deciding = !reading && request.method == "POST" && choice != std::end(kChoices), linking = request.method == "POST" && action == "link" && parts.links;
  if (!(reading && request.path == all) && !(single && ((reading && slash == std::string_view::npos) || deciding || linking))) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::approve);
  const auto id = work::parse_approval_id(rest.substr(0, slash));
  if (!who) co_await reply_problem(exchange, who.error());
  else if (!single) co_await list(exchange, parts, *who);
  else if (!id) co_await reply_problem(exchange, gone());
  else if (deciding) co_await decide(exchange, parts, *who, *id, choice->second);
  else if (linking) co_await make_link(exchange, parts, *who, *id);
  else co_await show(exchange, parts, *who, *id);
  co_return true;
}

}  // namespace ballast::server
