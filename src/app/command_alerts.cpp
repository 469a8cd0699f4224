#include <iostream>

#include "app/acts.hpp"
#include "app/table.hpp"
#include "net/url.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string state, rule, span = "2h", note, silence, receiver;
  std::vector<std::string> labels;
  std::size_t limit = 50;
};

Result<json::value> ask(Access& access, std::string_view method, const std::string& target, std::optional<json::value> body = {}) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  return access.call(method, target, std::move(body));
}

Result<json::value> list(Access& access, const Flags& f) {
  return ask(access, "GET", fmt::format("/api/alerts?limit={}{}", f.limit, f.state.empty() ? "" : "&state=" + net::percent_encode(f.state)));
}
Result<json::value> rules(Access& access, const Flags&) { return ask(access, "GET", "/api/alerts?limit=1"); }

Result<json::value> silence(Access& access, const Flags& f) {
  json::object body{{"for", f.span}}, labels;
  if (!f.rule.empty()) body["rule"] = f.rule;
  if (!f.note.empty()) body["note"] = f.note;
  for (const auto& label : f.labels) {
    const auto equals = label.find('=');
    if (equals == std::string::npos || equals == 0) return fail(ErrorCode::caller_invalid_request, "must be NAME=VALUE, for example model=gpt-5", "--label");
    labels[label.substr(0, equals)] = label.substr(equals + 1);
  }
  if (!labels.empty()) body["labels"] = std::move(labels);
  return ask(access, "POST", "/api/alerts/silences", std::move(body));
}
Result<json::value> unsilence(Access& access, const Flags& f) { return ask(access, "DELETE", "/api/alerts/silences/" + net::percent_encode(f.silence)); }
Result<json::value> test(Access& access, const Flags& f) { return ask(access, "POST", "/api/alerts/test", json::object{{"receiver", f.receiver}}); }

std::string labels_of(const json::value& alert) {
  std::string out;
  for (const auto& [name, value] : alert.at("labels").as_object()) out += fmt::format("{}{}={}", out.empty() ? "" : " ", std::string_view(name), plain(value));
  return out;
}

void print_list(const json::value& answer) {
  json::array rows, quiet;
  for (const auto& a : answer.at("alerts").as_array())
    rows.push_back(json::object{{"since", a.at("since")}, {"state", a.at("state")}, {"severity", a.at("severity")}, {"rule", a.at("rule")}, {"about", labels_of(a)}, {"what", a.at("title")}});
  for (const auto& s : answer.at("silences").as_array())
    quiet.push_back(json::object{{"silence", s.at("id")}, {"rule", s.at("rule").is_null() ? json::value("(any)") : s.at("rule")}, {"about", labels_of(s)}, {"until", s.at("until")}, {"by", s.at("by")}, {"note", s.at("note")}});
  std::cout << (rows.empty() ? "no alerts\n" : table(rows));
  if (!quiet.empty()) std::cout << '\n' << table(quiet);
}

void print_rules(const json::value& answer) {
  json::array rows;
  for (const auto& r : answer.at("rules").as_array()) {
    std::string by;
    for (const auto& label : r.at("by").as_array()) by += (by.empty() ? "" : " ") + plain(label);
    rows.push_back(json::object{{"rule", r.at("name")}, {"kind", r.at("kind")}, {"severity", r.at("severity")}, {"by", by}, {"off", r.at("off").as_bool() ? "off" : ""}});
  }
  std::cout << table(rows);
}

void print_one(const json::value& answer) { std::cout << members(answer); }

}  // namespace

void add_alerts(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("alerts", "Alerts: what is wrong now, and who is told.");
  command->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  auto* all = add_act(*command, run, flags, "list", "Those that fire and those that are over, newest first; silences.", list, print_list);
  all->add_option("--state", flags->state, "pending, firing, silenced or resolved.")->check(CLI::IsMember({"pending", "firing", "silenced", "resolved"}));
  all->add_option("--limit", flags->limit, "So many at most.")->check(CLI::Range(1, 1000))->capture_default_str();
  add_act(*command, run, flags, "rules", "What is watched; docs/alerts.md says how.", rules, print_rules);
  auto* quiet = add_act(*command, run, flags, "silence", "Tell receivers nothing for a while; alerts are shown as silenced.", silence, print_one);
  quiet->add_option("RULE", flags->rule, "Its alerts; absent: of all rules.");
  quiet->add_option("--label", flags->labels, "Only those with it: model=gpt-5, model=gpt*; several must all fit.");
  quiet->add_option("--for", flags->span, "How long: 30m, 2h, 3d.")->capture_default_str();
  quiet->add_option("--note", flags->note, "Why.");
  add_act(*command, run, flags, "unsilence", "End a silence.", unsilence, print_one)->add_option("SILENCE", flags->silence, "silence_…")->required();
  add_act(*command, run, flags, "test", "Send a receiver a notice by way of trial.", test, print_one)->add_option("RECEIVER", flags->receiver, "Its name under alerts.receivers.")->required();
}

}  // namespace ballast::app
