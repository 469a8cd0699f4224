#include "server/readiness.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "records/ledger.hpp"

namespace ballast::server {

namespace {

constexpr auto kDay = std::chrono::hours(24);
constexpr Duration kDeadTooLong = kDay * 3, kBackupLasts = kDay * 7, kShortMemory = kDay * 7, kRestoreLasts = kDay * 180;

Judgement passed(std::string evidence) { return {Readiness::passed, std::move(evidence), {}}; }
Judgement failed(std::string evidence, std::string todo) { return {Readiness::failed, std::move(evidence), std::move(todo)}; }
Judgement unproven(std::string evidence, std::string todo) { return {Readiness::unproven, std::move(evidence), std::move(todo)}; }
Judgement nothing_to_ask(std::string evidence) { return {Readiness::not_applicable, std::move(evidence), {}}; }

std::string day(WallTime t) { return to_rfc3339(t).substr(0, 10); }
std::string usd(std::int64_t nano) { return "$" + records::nano_to_usd(nano); }
std::string counted(std::uint64_t n, std::string_view one, std::string_view many) { return fmt::format("{} {}", n, n == 1 ? one : many); }

// At most five names.
std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < 5; ++i) out += (i ? ", " : "") + names[i];
  if (names.size() > 5) out += fmt::format(" and {} more", names.size() - 5);
  return out;
}

const SeenFacts* looked(const ReadinessFacts& f) { return f.seen ? &*f.seen : nullptr; }
std::string not_looked() { return "only the configuration was read"; }
constexpr std::string_view kTry = "send a notice by way of trial: POST /api/alerts/test";
constexpr std::string_view kAsk = "ask the running server: ballast check --production beside it";

// What was seen to step in where a provider failed.
std::string stepped_in(const SeenFacts& s) {
  if (s.fell_over == 0 && s.degraded == 0) return "nothing had to step in within the last 30 days";
  std::string out = counted(s.fell_over, "call was", "calls were") + " answered by another target than the first";
  if (s.fell_over) out += ", the last on " + day(s.last_fall_over);
  if (s.rescued) out += fmt::format(" ({} a stream that had begun)", s.rescued);
  if (s.degraded) out += fmt::format(", {} by a route's own answer or an old one", s.degraded);
  return out;
}

// What a person told, while it counts; else `otherwise`, with what to do to tell it.
Judgement told_or(const ReadinessFacts& f, std::string_view line, Judgement otherwise) {
  const auto at = std::ranges::find(f.evidence, line, &records::Evidence::line);
  if (at == f.evidence.end()) {
    otherwise.todo += fmt::format("{}when it is done: ballast check --production --record {}=DAY --note TEXT", otherwise.todo.empty() ? "" : "; ", line);
    return otherwise;
  }
  const std::string what = fmt::format("{} told on {} that it was done on {}{}{}", at->actor, day(at->told), day(at->at), at->note.empty() ? "" : ": ", at->note);
  if (f.now - at->at <= kEvidenceLasts) return passed(what);
  return unproven(what + ", which is long ago", fmt::format("do it again, and tell: ballast check --production --record {}=DAY", line));
}

// ---- before you ship

Judgement when_wrong(const ReadinessFacts& f) {
  const auto& c = f.configured;
  if (const auto* s = looked(f); s && (s->approvals || s->verdicts))
    return passed(fmt::format("people answered {} and gave {} in the last 30 days; {} configured", counted(s->approvals, "approval", "approvals"), counted(s->verdicts, "verdict", "verdicts"),
                              counted(c.approvals, "approval stage is", "approval stages are")));
  if (c.approvals || c.classifiers || c.structured)
    return unproven(fmt::format("{}, {}, {} that judge the answer's form; nobody was seen to correct an answer", counted(c.approvals, "approval stage", "approval stages"),
                                counted(c.classifiers, "classifier", "classifiers"), counted(c.structured, "route", "routes")),
                    "have users judge answers (POST /api/feedback, ballast feedback), or let a person approve what has consequences");
  return unproven("nothing catches a wrong answer", "let a person approve what has consequences (flows, `approve`), ask for JSON by a schema, and collect verdicts (POST /api/feedback)");
}

Judgement when_down(const ReadinessFacts& f) {
  const auto& c = f.configured;
  if (c.routes == 0) return failed("there are no routes: callers name models, and nothing steps in for one", "give each purpose a route with targets at two providers (docs/configuration.md, routes)");
  if (!c.alone.empty())
    return failed(fmt::format("{} depend{} on one provider and have no answer of their own: {}", counted(c.alone.size(), "route", "routes"), c.alone.size() == 1 ? "s" : "", listed(c.alone)),
                  "give them a target at another provider, or `degrade: {stale, answer}`");
  const auto* s = looked(f);
  return passed(fmt::format("each of {} has targets at two providers, or an answer of its own ({} do); {}", counted(c.routes, "route", "routes"), c.degrading, s ? stepped_in(*s) : not_looked()));
}

Judgement explained(const ReadinessFacts& f) {
  const auto& c = f.configured;
  if (c.retention > Duration::zero() && c.retention < kShortMemory) return failed("calls are forgotten before a week is over", "raise ledger.retention");
  const auto* s = looked(f);
  if (!s) return unproven(not_looked(), std::string(kAsk));
  if (s->calls == 0) return unproven("no call is on record yet", "make one, then: ballast explain CALL");
  return passed(fmt::format("{} on record, each with why it went the way it went (ballast explain CALL)", counted(s->calls, "call is", "calls are")));
}

Judgement critical_path(const ReadinessFacts& f) {
  const auto* s = looked(f);
  if (f.configured.settles)
    return passed(fmt::format("{}: values that depend on a model never reach {}, which is proven when flows are loaded{}", counted(f.configured.settles, "settle stage", "settle stages"),
                              f.configured.settles == 1 ? "it" : "them", s ? fmt::format("; {} done off the request's path in the last 30 days", counted(s->jobs, "job was", "jobs were")) : ""));
  if (s && s->jobs) return passed(counted(s->jobs, "job was", "jobs were") + " done off the request's path in the last 30 days");
  return told_or(f, "critical_path", unproven("nothing is done off the request's path here", "move what need not be answered at once into jobs or flows, and money into `settle`"));
}

Judgement request_cost(const ReadinessFacts& f) {
  const auto& c = f.configured;
  if (c.real.empty()) return nothing_to_ask("only the simulator answers, which costs nothing");
  if (!c.unpriced.empty()) return failed("nobody knows the price of " + listed(c.unpriced), "give it under models: in the configuration");
  const auto* s = looked(f);
  if (!s) return unproven("all targets are priced; " + not_looked(), std::string(kAsk));
  if (s->calls == 0) return unproven("all targets are priced; no call was made yet", "make calls, then: ballast usage --by feature,model");
  return passed(fmt::format("{} a call on average, {} the dearest, of {}", usd(s->incurred_nano / static_cast<std::int64_t>(s->calls)), usd(s->dearest_nano), counted(s->calls, "call", "calls")));
}

// ---- before launch

Judgement queued(const ReadinessFacts& f) {
  const auto* s = looked(f);
  if (s && s->jobs) return passed(counted(s->jobs, "job", "jobs") + " went through the durable queue in the last 30 days");
  return unproven(s ? "no job was submitted in the last 30 days" : not_looked(), "submit what nobody waits for as a job: POST /api/jobs (docs/reliability.md)");
}

Judgement retries(const ReadinessFacts& f) {
  const auto& c = f.configured;
  if (!c.untried.empty()) return failed("tried once only: " + listed(c.untried), "raise retries.attempts of these routes");
  const auto* s = looked(f);
  if (s && s->retried) return passed(counted(s->retried, "call", "calls") + " needed more than one attempt, with backoff in between");
  if (c.routes == 0) return unproven("there are no routes; calls that name a model are tried again by default", "give each purpose a route");
  return unproven("every route tries again with backoff; none had to yet", "let a provider fail on purpose (docs/reliability.md), or wait for the first");
}

Judgement idempotent(const ReadinessFacts& f) {
  const auto* s = looked(f);
  if (s && s->idempotent) return passed(counted(s->idempotent, "key is", "keys are") + " on record: what is sent twice is done once");
  return unproven(s ? "no caller sends an Idempotency-Key" : not_looked(), "send header Idempotency-Key with calls and jobs that are tried again");
}

Judgement dead_letters(const ReadinessFacts& f) {
  const auto* s = looked(f);
  if (s && s->dead && f.now - s->oldest_dead > kDeadTooLong)
    return failed(fmt::format("{} dead, the oldest since {}: nobody looks", counted(s->dead, "job is", "jobs are"), day(s->oldest_dead)), "ballast jobs dead; fix the cause and redrive them, or delete them");
  if (s && s->jobs == 0 && s->dead == 0 && f.configured.flows == 0) return nothing_to_ask("nothing is queued");
  const auto& receivers = f.configured.receivers;
  if (!receivers) return unproven("dead letters are kept and counted (ballast_jobs_dead_letters)", "watch that figure");
  if (*receivers == 0) return failed("dead letters are kept, and an alert about them reaches nobody", "name a receiver under alerts:");
  const std::string kept = fmt::format("an alert tells {} of them", counted(*receivers, "receiver", "receivers"));
  if (!s) return unproven(kept + "; " + not_looked(), std::string(kAsk));
  const std::string now = fmt::format("{}; {}, {} driven again in the last 30 days", kept, counted(s->dead, "is dead now", "are dead now"), s->redriven);
  if (s->last_alert > WallTime{} || s->redriven) return passed(now);
  return unproven(now + "; no notice was delivered yet", std::string(kTry));
}

Judgement external_state(const ReadinessFacts& f) {
  const auto& c = f.configured;
  if (c.temporary) return failed("the database or the data folder is in a temporary place", "put `database` and `data_dir` where a restart does not empty them");
  return passed(c.sqlite ? "SQLite on this machine's disk, synced at every commit" : "PostgreSQL");
}

Judgement cost_alerts(const ReadinessFacts& f) {
  const auto& c = f.configured;
  if (!c.receivers) return unproven("it is not known here whom an alert about cost reaches", "watch ballast_incurred_usd_total and the budgets");
  if (*c.receivers == 0) return failed("an alert about cost reaches nobody but the log", "name a receiver under alerts:");
  const std::string configured = counted(*c.receivers, "receiver is", "receivers are") + " configured";
  const auto* s = looked(f);
  if (!s) return unproven(configured + "; " + not_looked(), std::string(kAsk));
  if (s->last_alert_lost > s->last_alert)
    return failed(fmt::format("{}; the last notice, of {}, was not taken: {}", configured, day(s->last_alert_lost), s->alert_lost_why), "mend the receiver, then " + std::string(kTry));
  if (s->last_alert > WallTime{}) return passed(fmt::format("{}; a notice was delivered on {}", configured, day(s->last_alert)));
  return unproven(configured + "; none was told anything in the last 30 days", std::string(kTry));
}

Judgement observed(const ReadinessFacts& f) {
  if (!f.configured.telemetry)
    return told_or(f, "observability", unproven("latency, errors and tokens are at /metrics and in the ledger; whether anybody reads them is not known here", "scrape /metrics, or name a collector: telemetry.otlp"));
  const auto* s = looked(f);
  if (!s) return unproven("spans go to a collector (telemetry.otlp); " + not_looked(), std::string(kAsk));
  if (s->exported) return passed(fmt::format("a collector took {} since the start; {} lost", counted(s->exported, "span", "spans"), counted(s->not_exported, "was", "were")));
  if (s->not_exported) return failed(fmt::format("the collector took no span since the start; {} lost", counted(s->not_exported, "was", "were")), "see the log (otlp), and telemetry.otlp");
  return unproven("a collector is configured (telemetry.otlp); nothing was sent to it since the start", "make a call");
}

Judgement load_test(const ReadinessFacts& f) {
  const auto* s = looked(f);
  return told_or(f, "load_test", unproven(fmt::format("no load test at two to three times the expected volume was told of{}", s && s->calls ? fmt::format("; the busiest minute had {}", counted(s->busiest_minute, "call", "calls")) : ""),
                                          "run one, against `ballast simulate` first"));
}

Judgement interface(const ReadinessFacts& f) {
  const auto& c = f.configured;
  if (const auto* s = looked(f); s && s->calls >= 20 && s->direct * 2 > s->calls)
    return failed(fmt::format("{} of {} calls name a model of a provider, not a route", s->direct, s->calls), "give each purpose a route or an alias, and let callers name that");
  if (c.routes == 0) return failed("there are no routes to name", "give each purpose a route (docs/configuration.md, routes)");
  return passed(fmt::format("callers name {}; {} in {} stand behind", counted(c.routes, "route", "routes"), counted(c.providers, "provider", "providers"), counted(c.wires, "dialect", "dialects")));
}

// ---- in production

Judgement breakers(const ReadinessFacts& f) {
  const auto* s = looked(f);
  if (!s) return unproven("every target has one; " + not_looked(), std::string(kAsk));
  if (s->breakers_opened > s->breakers_open_now) return passed(fmt::format("opened {} times since the start, and closed again", s->breakers_opened));
  if (s->breakers_open_now) return unproven(counted(s->breakers_open_now, "target rests", "targets rest") + " now; none came back yet", "see GET /api/breakers");
  return unproven("every target has one; none had to open since the start", "let a provider fail on purpose (docs/reliability.md)");
}

Judgement rate_limits(const ReadinessFacts& f) {
  if (f.configured.limits == 0) return failed("nothing bounds how much one caller may ask", "set limits: for keys, users or the whole system (docs/configuration.md)");
  const std::string rules = counted(f.configured.limits, "rule is", "rules are") + " in force";
  const auto* s = looked(f);
  if (!s) return passed(rules + "; " + not_looked());
  if (s->limited == 0) return passed(rules + "; none had to refuse a call in the last 30 days");
  return passed(fmt::format("{}; {} refused, the last on {}", rules, counted(s->limited, "call was", "calls were"), day(s->last_limited)));
}

Judgement fallbacks(const ReadinessFacts& f) {
  const auto* s = looked(f);
  if (s && (s->fell_over || s->degraded)) return passed(stepped_in(*s));
  return told_or(f, "fallbacks", unproven(s ? stepped_in(*s) : not_looked(), "let the first target of a route fail on purpose"));
}

Judgement budgets(const ReadinessFacts& f) {
  if (f.configured.budgets == 0)
    return failed("nothing bounds what may be spent", "set budgets: (docs/configuration.md); money is held before a call is sent");
  const auto* s = looked(f);
  if (s && s->budget_windows_charged) return passed(fmt::format("{}, {} charged now; {} refused for want of money in the last 30 days", counted(f.configured.budgets, "budget", "budgets"),
                                                                  counted(s->budget_windows_charged, "window is", "windows are"), counted(s->over_budget, "call was", "calls were")));
  return unproven(counted(f.configured.budgets, "budget is", "budgets are") + " set; none was charged yet", s ? "make a call" : std::string(kAsk));
}

Judgement evals(const ReadinessFacts& f) {
  return told_or(f, "evals", unproven("no evaluation was told of", "run `ballast contract` and your questions against every change of model or prompt"));
}

// ---- this installation

Judgement backups(const ReadinessFacts& f) {
  const auto* s = looked(f);
  if (!s) return told_or(f, "backup", unproven(not_looked(), std::string(kAsk)));
  if (s->last_backup > WallTime{} && f.now - s->last_backup <= kBackupLasts) return passed("made on " + day(s->last_backup));
  if (s->last_backup > WallTime{}) return failed("the last was made on " + day(s->last_backup), "ballast backup --to FOLDER, at least once a week");
  return told_or(f, "backup", unproven("none was made with `ballast backup`", "ballast backup --to FOLDER, regularly"));
}

Judgement restores(const ReadinessFacts& f) {
  if (const auto* s = looked(f); s && s->last_restore > WallTime{} && f.now - s->last_restore <= kRestoreLasts) return passed("a backup was restored on " + day(s->last_restore));
  return told_or(f, "restore", unproven("no backup was seen to be restored", "restore one somewhere else, and start it"));
}

Judgement keys(const ReadinessFacts& f) {
  const auto& c = f.configured;
  if (!c.require_key && !c.loopback) return failed("calls need no key, and this listens beyond this machine", "set require_key: true");
  if (!c.require_key) return unproven("calls need no key; this machine alone can make them", "set require_key: true before others can");
  if (!c.keys_without_end.empty()) return passed("every call needs a key; without an expiry: " + listed(c.keys_without_end));
  return passed("every call needs a key");
}

Judgement transport(const ReadinessFacts& f) {
  const auto& c = f.configured;
  if (c.tls) return passed("TLS");
  if (c.loopback) return passed("listens on this machine alone");
  return told_or(f, "tls", unproven("listens beyond this machine in clear; whether something in front of it speaks TLS is not known here", "set tls_cert and tls_key, or put a proxy in front"));
}

Judgement providers(const ReadinessFacts& f) {
  const auto& real = f.configured.real;
  if (real.empty()) return unproven("only the simulator answers", "name a provider under providers:");
  const auto* s = looked(f);
  if (!s) return unproven(fmt::format("{} configured: {}; {}", counted(real.size(), "provider is", "providers are"), listed(real), not_looked()), std::string(kAsk));
  std::vector<std::string> answered;
  std::ranges::copy_if(real, std::back_inserter(answered), [&](const auto& name) { return std::ranges::find(s->answered_by, name) != s->answered_by.end(); });
  if (answered.empty()) return unproven(fmt::format("{} configured; none of them answered a call in the last 30 days", counted(real.size(), "provider is", "providers are")), "make a call to each");
  return passed(fmt::format("{} of {} answered calls in the last 30 days: {}", answered.size(), counted(real.size(), "provider", "providers"), listed(answered)));
}

constexpr ReadinessLine kLines[] = {
    {"when_wrong", "before you ship", "What happens when the AI is wrong?", "docs/readiness.md#when_wrong", false, when_wrong},
    {"when_down", "before you ship", "What happens when a provider is down?", "docs/readiness.md#when_down", false, when_down},
    {"explained", "before you ship", "Can the decision be explained?", "docs/readiness.md#explained", false, explained},
    {"critical_path", "before you ship", "Is the AI off the critical path?", "docs/readiness.md#critical_path", true, critical_path},
    {"request_cost", "before you ship", "What does a request cost?", "docs/readiness.md#request_cost", false, request_cost},
    {"queue", "before launch", "Is there a queue between request and worker?", "docs/readiness.md#queue", false, queued},
    {"retries", "before launch", "Do failures get retries with backoff?", "docs/readiness.md#retries", false, retries},
    {"idempotency", "before launch", "Are operations idempotent?", "docs/readiness.md#idempotency", false, idempotent},
    {"dead_letters", "before launch", "Are dead letters watched?", "docs/readiness.md#dead_letters", false, dead_letters},
    {"external_state", "before launch", "Is state kept outside the process?", "docs/readiness.md#external_state", false, external_state},
    {"cost_alerts", "before launch", "Does somebody hear of costs in time?", "docs/readiness.md#cost_alerts", false, cost_alerts},
    {"load_test", "before launch", "Was it load tested at two to three times the expected volume?", "docs/readiness.md#load_test", true, load_test},
    {"interface", "before launch", "Are models behind an interface?", "docs/readiness.md#interface", false, interface},
    {"breakers", "in production", "Do circuit breakers work?", "docs/readiness.md#breakers", false, breakers},
    {"rate_limits", "in production", "Are rate limits configured?", "docs/readiness.md#rate_limits", false, rate_limits},
    {"observability", "in production", "Is the observability pipeline live?", "docs/readiness.md#observability", true, observed},
    {"fallbacks", "in production", "Are fallbacks tested?", "docs/readiness.md#fallbacks", true, fallbacks},
    {"evals", "in production", "Do evaluations run?", "docs/readiness.md#evals", true, evals},
    {"budgets", "in production", "Is spending bounded?", "docs/readiness.md#budgets", false, budgets},
    {"providers", "this installation", "Is there a real provider?", "docs/readiness.md#providers", false, providers},
    {"keys", "this installation", "Does every call need a key?", "docs/readiness.md#keys", false, keys},
    {"tls", "this installation", "Can nobody listen in?", "docs/readiness.md#tls", true, transport},
    {"backup", "this installation", "Are there backups?", "docs/readiness.md#backup", true, backups},
    {"restore", "this installation", "Was a backup ever restored?", "docs/readiness.md#restore", true, restores},
};

}  // namespace

std::string_view to_string(Readiness state) {
  switch (state) {
    case Readiness::passed: return "passed";
    case Readiness::failed: return "failed";
    case Readiness::unproven: return "unproven";
    case Readiness::not_applicable: return "not_applicable";
  }
  return "unproven";
}

std::span<const ReadinessLine> readiness_lines() { return kLines; }

const ReadinessLine* told_line(std::string_view id) {
  const auto at = std::ranges::find_if(kLines, [&](const ReadinessLine& l) { return l.told && l.id == id; });
  return at == std::end(kLines) ? nullptr : at;
}

json::object readiness_json(const ReadinessFacts& facts) {
  std::uint64_t count[4] = {};
  json::array lines;
  for (const auto& line : kLines) {
    const Judgement j = line.judge(facts);
    ++count[static_cast<std::size_t>(j.state)];
    lines.push_back(json::object{{"id", line.id}, {"group", line.group}, {"question", line.question}, {"state", to_string(j.state)}, {"evidence", j.evidence}, {"todo", j.todo}, {"see", line.see}, {"told", line.told}});
  }
  json::object out{{"passed", count[0]}, {"failed", count[1]}, {"unproven", count[2]}, {"not_applicable", count[3]}};
  if (facts.seen) out["looked_back_to"] = to_rfc3339(facts.seen->since);
  out["lines"] = std::move(lines);
  return out;
}

}  // namespace ballast::server
