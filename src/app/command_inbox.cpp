#include <iostream>

#include "app/acts.hpp"
#include "app/table.hpp"
#include "app/terminal.hpp"
#include "net/url.hpp"
#include "server/approval_json.hpp"
#include "work/approval_rows.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string id, digest, note, value, state, assignee, job, before, user, expires, may;
  std::size_t limit = 50;
};
using Act = ActOf<Flags>;

Result<work::ApprovalId> id_of(const std::string& text, std::string_view flag) {
  if (const auto id = work::parse_approval_id(text)) return *id;
  return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" is not an approval's id (appr_, 13 characters, _ and a number)", text), std::string(flag));
}

Result<json::value> list_stored(store::Database& database, const Flags& f) {
  work::ApprovalFilter filter{.state = work::ApprovalState::pending, .job = {}, .assignee = f.assignee, .seen_by = {}, .before = {}, .limit = f.limit};
  if (f.state == "any") filter.state.reset();
  else if (!f.state.empty() && !(filter.state = work::approval_state_from(f.state)))
    return fail(ErrorCode::caller_invalid_request, "must be pending, approved, edited, rejected, expired, withdrawn or any", "--state");
  if (!f.job.empty() && !(filter.job = work::parse_job_id(f.job))) return fail(ErrorCode::caller_invalid_request, "must be a job's id", "--job");
  if (!f.before.empty()) {
    const auto id = id_of(f.before, "--before");
    if (!id) return fail(id.error());
    filter.before = *id;
  }
  const auto page = database.read_now([&](store::Tx& tx) { return work::list_approvals(tx, filter); });
  if (!page) return fail(page.error());
  json::array approvals;
  for (const auto& a : page->approvals) approvals.push_back(server::approval_json(a, false));
  json::object answer{{"approvals", std::move(approvals)}};
  if (page->next) answer["next"] = to_string(page->next);
  return answer;
}

Result<json::value> list(Access& access, const Flags& f) {
  if (auto* database = access.database()) return list_stored(*database, f);
  std::string target = fmt::format("/api/approvals?limit={}", f.limit);
  for (const auto& [name, value] : {std::pair("state", &f.state), {"assignee", &f.assignee}, {"job", &f.job}, {"before", &f.before}})
    if (!value->empty()) target += fmt::format("&{}={}", name, net::percent_encode(*value));
  return access.call("GET", target);
}

Result<json::value> show(Access& access, const Flags& f) {
  const auto id = id_of(f.id, "ID");
  if (!id) return fail(id.error());
  auto* database = access.database();
  if (!database) return access.call("GET", "/api/approvals/" + f.id);
  const auto found = database->read_now([&](store::Tx& tx) { return work::get_approval(tx, *id); });
  if (!found) return fail(found.error());
  if (!*found) return fail(ErrorCode::caller_not_found, "there is no such approval, or not any more", "ID");
  return server::approval_json(**found, true);
}

Result<json::value> send(Access& access, const Flags& f, std::string_view action, json::object body) {
  if (access.database()) return fail(ErrorCode::internal_unavailable, "no server answers: decisions are made in one; start `ballast serve`, or name it with --server");
  const auto id = id_of(f.id, "ID");
  if (!id) return fail(id.error());
  if (!f.note.empty()) body["note"] = f.note;
  return access.call("POST", fmt::format("/api/approvals/{}/{}", f.id, action), std::move(body));
}

Result<json::value> approve(Access& access, const Flags& f) { return send(access, f, "approve", {{"digest", f.digest}}); }
Result<json::value> reject(Access& access, const Flags& f) { return send(access, f, "reject", {{"digest", f.digest}}); }
Result<json::value> edit(Access& access, const Flags& f) {
  auto value = parse_json(f.value);
  if (!value) return fail(ErrorCode::caller_invalid_request, "is not JSON: " + value.error().message, "VALUE");
  return send(access, f, "edit", {{"digest", f.digest}, {"value", std::move(*value)}});
}
Result<json::value> link(Access& access, const Flags& f) {
  json::object body{{"user", f.user}};
  if (!f.expires.empty()) body["expires"] = f.expires;
  if (!f.may.empty()) body["may"] = f.may;
  return send(access, f, "link", std::move(body));
}

void print_list(const json::value& answer) {
  const auto* rows = rows_of(answer);
  json::array flat;
  for (const auto& row : rows ? *rows : json::array{}) {
    json::object line;
    for (const std::string_view name : {"id", "flow", "stage", "state", "assignees", "policy", "expires", "by"})
      if (const auto* value = row.as_object().if_contains(name)) line[name] = value->is_array() ? json::value(plain(*value)) : *value;
    flat.push_back(std::move(line));
  }
  std::cout << (flat.empty() ? std::string("nothing is asked\n") : table(flat));
  if (const auto* next = answer.as_object().if_contains("next")) std::cerr << "there may be more: --before " << one_line(plain(*next)) << '\n';
}

void print_one(const json::value& answer) { std::cout << members(answer); }

}  // namespace

void add_inbox(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("inbox", "What runs ask of humans: see it, approve, edit or reject it.");
  command->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  auto* all = add_act(*command, run, flags, "list", "What is asked, newest first.", list, print_list);
  all->add_option("--state", flags->state, "pending (if absent), approved, edited, rejected, expired, withdrawn or any.");
  all->add_option("--assignee", flags->assignee, "user:NAME, group:NAME or key:NAME.");
  all->add_option("--job", flags->job, "Of this run.");
  all->add_option("--limit", flags->limit, "At most.")->check(CLI::Range(1, 1'000))->capture_default_str();
  all->add_option("--before", flags->before, "The page after this one.");
  add_act(*command, run, flags, "show", "What is shown, with the digest that a decision names.", show, print_one)->add_option("ID", flags->id, "appr_…")->required();
  for (const auto& [name, about, act] : {std::tuple("approve", "Let the run go on with exactly what was shown.", Act(approve)), {"edit", "Approve an edited form.", edit},
                                         {"reject", "Refuse it.", reject}}) {
    auto* sub = add_act(*command, run, flags, name, about, act, print_one);
    sub->add_option("ID", flags->id, "appr_…")->required();
    if (act == Act(edit)) sub->add_option("VALUE", flags->value, "The whole value, JSON; only what may be edited may differ.")->required();
    sub->add_option("--digest", flags->digest, "Of what you saw: `show` tells it.")->required();
    sub->add_option("--note", flags->note, "Kept with the decision.");
  }
  auto* made = add_act(*command, run, flags, "link", "Make a link that answers one question once, for a user who is asked.", link, print_one);
  made->add_option("ID", flags->id, "appr_…")->required();
  made->add_option("--user", flags->user, "For whom.")->required();
  made->add_option("--expires", flags->expires, "How long it may be used: 24h.");
  made->add_option("--may", flags->may, "decide (if absent), approve or reject.");
}

}  // namespace ballast::app
