#include <iostream>

#include "app/acts.hpp"
#include "app/table.hpp"
#include "app/terminal.hpp"
#include "base/text.hpp"
#include "gateway/shared_books.hpp"
#include "server/unknown_json.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string call, attempt, incurred, before;
  std::size_t limit = 100;
};

Result<json::value> unknown(Access& access, const Flags& f) {
  std::optional<Id> before;
  if (!f.before.empty() && !(before = parse_id(f.before, "call")))
    return fail(ErrorCode::caller_invalid_request, "is not a call's id (call_ and 26 characters)", "--before");
  if (auto* db = access.database()) {
    const auto calls = db->read_now([&](store::Tx& tx) { return records::list_unreconciled(tx, {}, f.limit, before); });
    if (!calls) return fail(calls.error());
    return server::unknown_json(*calls, f.limit);
  }
  std::string target = fmt::format("/api/budgets/unknown?limit={}", f.limit);
  if (before) target += "&before=" + f.before;
  return access.call("GET", target);
}

Result<json::value> reconcile(Access& access, const Flags& f) {
  records::Reconciliation by{.actor = "command line", .at = SystemClock().wall()};
  const auto call = parse_id(f.call, "call");
  if (!call) return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" is not a call's id (call_ and 26 characters)", f.call), "CALL");
  by.call = *call;
  if (!f.attempt.empty()) {
    by.attempt = parse_int<std::uint32_t>(f.attempt);
    if (!by.attempt) return fail(ErrorCode::caller_invalid_request, "must be the number of one of the call's attempts", "ATTEMPT");
  }
  const auto incurred = money_from_usd(f.incurred, "--incurred");
  if (!incurred) return fail(incurred.error());
  by.incurred = *incurred;
  if (auto* db = access.database()) {
    const auto done = db->write_now([&](store::Tx& tx) { return gateway::reconcile_charge(tx, by); });
    if (!done) return fail(done.error());
    return server::reconciled_json(by.call, *done);
  }
  json::object body{{"call", f.call}, {"incurred", f.incurred}};
  if (by.attempt) body["attempt"] = *by.attempt;
  return access.call("POST", "/api/budgets/reconcile", std::move(body));
}

void print_unknown(const json::value& answer) {
  const auto* rows = rows_of(answer);
  std::cout << (rows && !rows->empty() ? table(*rows) : "every charge is settled\n");
  if (const auto* next = answer.as_object().if_contains("next")) std::cerr << "there may be more: --before " << one_line(plain(*next)) << '\n';
}

void print_reconciled(const json::value& answer) {
  const auto& o = answer.as_object();
  std::cout << one_line(fmt::format("attempt {} of {} cost ${}, was charged ${}{}", plain(o.at("attempt")), plain(o.at("call")), plain(o.at("incurred_usd")),
                           plain(o.at("was_usd")), o.at("already").as_bool() ? ": reconciled already, by " + plain(o.at("reconciled_by")) : "")) << '\n';
}

using Act = ActOf<Flags>;

}  // namespace

void add_budgets(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("budgets", "Charges whose cost no provider told: list them and put them right.");
  command->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  const auto add = [&](const char* name, const char* about, Act act) { return add_act(*command, run, flags, name, about, act, act == Act(unknown) ? print_unknown : print_reconciled); };
  auto* list = add("unknown", "Attempts charged at their ceilings because nobody knows what they cost.", unknown);
  list->add_option("--limit", flags->limit, "Calls on a page.")->check(CLI::Range(1, 1000))->capture_default_str();
  list->add_option("--before", flags->before, "The page after this call.");
  auto* fix = add("reconcile", "Say what such an attempt cost: ledger and budgets are corrected, once.", reconcile);
  fix->add_option("CALL", flags->call, "call_…")->required();
  fix->add_option("ATTEMPT", flags->attempt, "Its number, where the call has several of them.");
  fix->add_option("--incurred", flags->incurred, "What the provider charged, in dollars: 0.0123.")->required();
}

}  // namespace ballast::app
