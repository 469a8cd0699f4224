#include <iostream>

#include "app/acts.hpp"
#include "app/table.hpp"
#include "app/terminal.hpp"
#include "base/text.hpp"
#include "net/url.hpp"
#include "server/feedback_json.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string subject, verdict, comment, user, by, from, to;
  std::optional<double> score;
  std::size_t limit = 20;
};

Result<json::value> judge(Access& access, const Flags& f) {
  if (access.database()) return fail(ErrorCode::internal_unavailable, "no server answers: verdicts are taken by a running one; start `ballast serve`, or name it with --server");
  json::object body{{f.subject.starts_with("job_") ? "job" : "call", f.subject}, {"verdict", f.verdict}};
  if (!f.comment.empty()) body["comment"] = f.comment;
  if (!f.user.empty()) body["user"] = f.user;
  if (f.score) body["score"] = *f.score;
  return access.call("POST", "/api/feedback", std::move(body));
}

struct Range {
  WallTime from{}, to = WallTime(std::chrono::hours(24 * 365 * 200));
};

Result<Range> range_of(const Flags& f) {
  Range range;
  for (const auto& [text, field, into] : {std::tuple(&f.from, "--from", &range.from), {&f.to, "--to", &range.to}}) {
    if (text->empty()) continue;
    const auto at = parse_time(*text, field);
    if (!at) return fail(at.error());
    *into = *at;
  }
  return range;
}

Result<json::value> report(Access& access, const Flags& f) {
  const auto by = server::feedback_by(f.by, "--by");
  if (!by) return fail(by.error());
  const auto range = range_of(f);
  if (!range) return fail(range.error());
  if (auto* db = access.database())
    return db->read_now([&](store::Tx& tx) -> Result<json::value> {
      const auto rows = records::feedback_report(tx, range->from, range->to, *by);
      if (!rows) return fail(rows.error());
      const auto recent = records::recent_feedback(tx, range->from, range->to, f.limit);
      if (!recent) return fail(recent.error());
      return server::feedback_report_json(*rows, *recent);
    });
  std::string target = fmt::format("/api/feedback?limit={}", f.limit);
  for (const auto& [name, value] : {std::pair("by", &f.by), {"from", &f.from}, {"to", &f.to}})
    if (!value->empty()) target += fmt::format("&{}={}", name, net::percent_encode(*value));
  return access.call("GET", target);
}

void print_judged(const json::value& answer) {
  const auto& o = answer.as_object();
  std::cout << fmt::format("kept as {}{}\n", one_line(plain(o.at("id"))), o.at("replaced").as_bool() ? ", in place of the verdict before" : "");
}

std::string percent(const json::value& share) { return share.is_number() ? fmt::format("{:.1f} %", share.to_number<double>() * 100) : std::string(); }

void print_report(const json::value& answer) {
  const auto& o = answer.as_object();
  json::array rows;
  for (const auto& item : o.at("rows").as_array()) {
    const auto& r = item.as_object();
    rows.push_back(json::object{{"group", r.at("group")}, {"good", r.at("good")}, {"bad", r.at("bad")}, {"content", percent(r.at("satisfaction"))},
                                {"95 % within", percent(r.at("satisfaction_low")) + " to " + percent(r.at("satisfaction_high"))}, {"incurred_usd", r.at("incurred_usd")},
                                {"each_successful_usd", plain(r.at("usd_per_good"))}});
  }
  if (rows.empty()) {
    std::cout << "nobody has judged anything\n";
    return;
  }
  std::cout << table(rows);
  if (const auto& recent = o.at("recent").as_array(); !recent.empty()) {
    json::array newest;
    for (const auto& item : recent) {
      const auto& r = item.as_object();
      newest.push_back(json::object{{"at", r.at("at")}, {"subject", r.contains("job") ? r.at("job") : r.at("call")}, {"verdict", r.at("verdict")}, {"user", r.at("user")}, {"comment", r.at("comment")}});
    }
    std::cout << '\n' << table(newest);
  }
  if (const auto* cut = o.if_contains("cut")) std::cerr << one_line(plain(*cut)) << '\n';
}

int give(const Flags& f) {
  if (f.subject.empty() || f.verdict.empty()) {
    complain("say what is judged and how: ballast feedback call_… good; or: ballast feedback report");
    return kUsage;
  }
  return ask_and_tell(f.access, [&](Access& access) { return judge(access, f); }, print_judged);
}

}  // namespace

void add_feedback(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("feedback", "What users say of answers. A later verdict of the same user replaces the one before.");
  command->require_subcommand(0, 1);
  auto flags = std::make_shared<Flags>();
  add_access_flags(*command, flags->access);
  command->add_option("SUBJECT", flags->subject, "call_… (x-ballast-call-id of the answer), or job_… of a job that is over.");
  command->add_option("VERDICT", flags->verdict, "good or bad.")->check(CLI::IsMember({"good", "bad"}));
  command->add_option("--comment", flags->comment, "Why, in words.");
  command->add_option("--score", flags->score, "From 0 to 1.")->check(CLI::Range(0.0, 1.0));
  command->add_option("--user", flags->user, "Who judges (default: whose call it was).");
  auto* tell = add_act(*command, run, flags, "report", "How content users are, and what a successful answer costs.", ActOf<Flags>(report), print_report);
  tell->add_option("--by", flags->by, "Group by model, provider, route, feature, key, team, user or day.");
  tell->add_option("--from", flags->from, "Calls and jobs from this time on.");
  tell->add_option("--to", flags->to, "Those before this time.");
  tell->add_option("--limit", flags->limit, "Newest verdicts shown.")->check(CLI::Range(std::size_t{0}, std::size_t{1000}))->capture_default_str();
  command->callback([&run, flags, tell] {
    if (!tell->parsed()) run = [flags] { return give(*flags); };
  });
}

}  // namespace ballast::app
