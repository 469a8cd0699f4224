// Approval links: GET shows what is asked and changes nothing, whoever follows it (mail scanners do); POST, from the page's buttons, decides. The path
// is a secret: it is in no log.
#include "base/log.hpp"
#include "net/url.hpp"
#include "server/approval_json.hpp"
#include "server/approval_page.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "work/approval_rows.hpp"

namespace ballast::server {

namespace {

constexpr std::string_view kFront = "/approve/";

Task<void> send_page(net::Exchange& exchange, int status, std::string_view html) {
  const net::Headers headers = page_headers();
  const auto sent = co_await exchange.respond(status, headers, html);
  (void)sent;                            // a reader that left wants nothing
}

Task<void> send_refusal(net::Exchange& exchange, const Error& error) {
  const bool over = error.code == ErrorCode::caller_conflict;
  const std::string html = notice_page(over ? "There is nothing to decide here any more" : "This cannot be decided here", log::redact(error.message));
  co_await send_page(exchange, problem_status(error.code), html);
}

struct Open {
  work::ApprovalLink link;
  work::Approval approval;
};
// What the link leads to, if it still can be decided by it.
Task<Result<Open>> open(net::Exchange& exchange, const Parts& parts) {
  const WallTime now = parts.clock.wall();
  auto link = parts.links->read(exchange.request().path.substr(kFront.size()), now);
  if (!link) co_return std::unexpected(std::move(link.error()));
  auto found = co_await parts.database.read(exchange.loop(), [id = link->id](store::Tx& tx) { return work::get_approval(tx, id); });
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (!*found) co_return fail(ErrorCode::caller_not_found, "what was asked is not kept any more");
  work::Approval& a = **found;
  if (auto may = work::may_decide(a, work::link_decider(*link)); !may) co_return std::unexpected(std::move(may.error()));
  if (a.state != work::ApprovalState::pending)
    co_return fail(ErrorCode::caller_conflict, fmt::format("It was {} by {} at {}.", to_string(a.state), a.by, to_rfc3339(a.decided)));
  if (a.ask.expires <= now) co_return fail(ErrorCode::caller_conflict, "It has expired at " + to_rfc3339(a.ask.expires) + ".");
  co_return Open{std::move(*link), std::move(a)};
}

Task<void> show(net::Exchange& exchange, const Parts& parts) {
  const auto asked = co_await open(exchange, parts);
  if (!asked) co_return co_await send_refusal(exchange, asked.error());
  const std::string html = question_page(asked->approval, asked->link);
  if (html.empty()) co_return co_await send_refusal(exchange, Error{ErrorCode::caller_too_large, "There is more to look at than a page shows: decide it in the inbox, as " + to_string(asked->approval.id)});
  co_await send_page(exchange, 200, html);
}

Result<work::Decision> decision_from(std::string_view form, const work::ApprovalLink& link) {
  work::Decision d{.id = link.id, .choice = work::Decision::Choice::approve, .seen = {}, .value = {}, .note = {}, .by = work::link_decider(link)};
  std::string choice, digest;
  net::query_value(form, "decision", choice);
  net::query_value(form, "digest", digest);
  net::query_value(form, "note", d.note);
  const bool approve = choice == "approve" && link.may_approve, reject = choice == "reject" && link.may_reject;
  if (!approve && !reject) return fail(ErrorCode::caller_invalid_request, "This link does not allow that decision.", "decision");
  if (reject) d.choice = work::Decision::Choice::reject;
  // Both what the page showed and what the link was made for.
  if (digest != to_hex(link.shown)) return fail(ErrorCode::caller_conflict, "What you saw is not what is asked; open the link again.", "digest");
  d.seen = link.shown;
  return d;
}

Task<void> decide(net::Exchange& exchange, const Parts& parts) {
  const auto asked = co_await open(exchange, parts);
  if (!asked) co_return co_await send_refusal(exchange, asked.error());
  const auto decision = decision_from(exchange.body(), asked->link);
  if (!decision) co_return co_await send_refusal(exchange, decision.error());
  const auto decided = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) { return work::decide_approval(tx, *decision, parts.clock.wall()); });
  if (!decided) co_return co_await send_refusal(exchange, decided.error());
  co_await tell_run(exchange, parts, *decided);
  const bool yes = decided->state == work::ApprovalState::approved;
  const std::string html = notice_page(yes ? "Approved" : "Rejected", fmt::format("Recorded for {} as {}. You can close this page.", decided->by, to_string(decided->id)));
  co_await send_page(exchange, 200, html);
}

}  // namespace

Task<bool> approve_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  const bool reading = request.method == "GET", deciding = request.method == "POST";
  if (!parts.links || !request.path.starts_with(kFront) || (!reading && !deciding)) co_return false;
  bool threw = false;
  try {                                  // what the codec would log of an exception has the path in it
    if (reading) co_await show(exchange, parts);
    else co_await decide(exchange, parts);
  } catch (const std::exception& e) {
    log::error("approval_link_threw", {{"what", log::redact(e.what())}});
    threw = true;
  }
  if (threw && !exchange.started()) co_await send_refusal(exchange, Error{ErrorCode::internal_error, "Something broke here. Try again, or use the inbox."});
  co_return true;
}

}  // namespace ballast::server
