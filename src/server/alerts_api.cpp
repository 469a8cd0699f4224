// Alerts: those that fire and those that are over, the rules, and silences.
#include <algorithm>

#include "base/config_node.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "server/job_records.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "watch/rows.hpp"
#include "watch/watcher.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kMostListed = 1'000, kMostLabels = 10, kLongestText = 500;
constexpr Duration kLongestSilence = std::chrono::hours(24 * 90);
constexpr double kFalseAlarmsADay = 0.32;               // measured by bench/watch_replay: the highest mean of docs/alerts.md's unseen rows

json::object rule_json(const watch::Rule& r) {
  json::array by;
  for (const auto& label : r.by) by.push_back(json::value(label));
  json::object where;
  for (const auto& [name, value] : r.where) where[name] = value;
  json::array burns;
  for (const auto& b : r.burns) burns.push_back(json::object{{"rate", b.rate}, {"over_s", std::chrono::duration<double>(b.over).count()}, {"now_s", std::chrono::duration<double>(b.now).count()}});
  return {{"name", r.name}, {"kind", to_string(r.kind)}, {"severity", to_string(r.severity)}, {"off", r.off}, {"unit", unit_of(r.kind)}, {"by", std::move(by)}, {"where", std::move(where)},
          {"for_s", std::chrono::duration<double>(r.hold).count()}, {"resolve_s", std::chrono::duration<double>(r.resolve).count()}, {"factor", r.factor}, {"floor", r.floor},
          {"threshold", r.threshold}, {"age_s", std::chrono::duration<double>(r.age).count()}, {"least", r.least}, {"objective", r.objective},
          {"bound_s", std::chrono::duration<double>(r.bound).count()}, {"burns", std::move(burns)}};
}

std::optional<std::int64_t> id_from(std::string_view text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return std::nullopt;
  return parse_int<std::int64_t>(text.substr(prefix.size()));
}

struct Page {
  std::optional<watch::State> state;
  std::string wanted;                                   // silenced is firing, and more
  std::int64_t before = 0;
  std::size_t limit = 100;
};

Result<Page> page_from(const net::RequestHead& request) {
  Page page;
  page.wanted = query(request, "state");
  if (!page.wanted.empty()) {
    page.state = watch::state_from(page.wanted == "silenced" ? "firing" : page.wanted);
    if (!page.state) return fail(ErrorCode::caller_invalid_request, "must be pending, firing, silenced or resolved", "state");
  }
  auto limit = query_count(request, "limit", page.limit, 1, kMostListed);
  if (!limit) return fail(std::move(limit.error()));
  page.limit = *limit;
  if (const std::string before = query(request, "before"); !before.empty()) {
    const auto id = id_from(before, "alert_");
    if (!id || *id <= 0) return fail(ErrorCode::caller_invalid_request, "must be an alert's id: the `next` of the page before", "before");
    page.before = *id;
  }
  return page;
}

struct Listed {
  std::vector<watch::Alert> alerts;
  std::vector<watch::Silence> silences;
};

Task<void> list(net::Exchange& exchange, const Parts& parts) {
  const auto page = page_from(exchange.request());
  if (!page) co_return co_await reply_problem(exchange, page.error());
  const WallTime now = parts.clock.wall();
  const auto read = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) -> Result<Listed> {
    auto alerts = watch::list_alerts(tx, page->state, page->before, page->limit);
    if (!alerts) return fail(std::move(alerts.error()));
    auto silences = watch::silences(tx, now);
    if (!silences) return fail(std::move(silences.error()));
    return Listed{std::move(*alerts), std::move(*silences)};
  });
  if (!read) co_return co_await reply_problem(exchange, read.error());
  json::array alerts, rules, silences;
  for (watch::Alert a : read->alerts) {
    a.silenced = std::ranges::any_of(read->silences, [&](const auto& s) { return watch::matches(s, a); });
    json::object o = watch::alert_json(a);
    const bool fits = page->wanted.empty() || o.at("state").as_string() == std::string_view(page->wanted);
    if (fits) alerts.push_back(std::move(o));
  }
  for (const auto& r : parts.watcher->options().rules) rules.push_back(rule_json(r));
  for (const auto& s : read->silences) silences.push_back(watch::silence_json(s));
  json::object body{{"alerts", std::move(alerts)}, {"rules", std::move(rules)}, {"silences", std::move(silences)}, {"false_alarm_rate", kFalseAlarmsADay}};
  if (read->alerts.size() == page->limit) body["next"] = "alert_" + std::to_string(read->alerts.back().id);
  co_await reply_json(exchange, 200, std::move(body));
}

Result<watch::Labels> labels_from(const JsonRef& root) {
  watch::Labels out;
  const auto labels = root.find("labels");
  if (!labels) return out;
  if (!labels->is_object() || labels->value().get_object().size() > kMostLabels) return fail(ErrorCode::caller_invalid_request, fmt::format("must be an object of at most {} texts", kMostLabels), "labels");
  for (const auto& [name, value] : labels->value().get_object()) {
    if (!value.is_string() || name.size() > 64 || value.get_string().size() > kLongestText) return fail(ErrorCode::caller_invalid_request, "must be an object of short texts", "labels");
    out.emplace_back(std::string(name), std::string(value.get_string()));
  }
  return out;
}

Result<watch::Silence> silence_from(std::string_view body, const watch::Options& options, WallTime now) {
  const auto document = parse_json(body, {.max_bytes = 16 * 1024, .max_depth = 4});
  if (!document) return fail(document.error());
  const JsonRef root(*document);
  const auto rule = root.maybe<std::string>("rule");
  if (!rule) return fail(rule.error());
  if (*rule && !(*rule)->empty() && std::ranges::find(options.rules, **rule, &watch::Rule::name) == options.rules.end())
    return fail(ErrorCode::caller_invalid_request, "there is no such rule; GET /api/alerts lists them", "rule");
  const auto span = root.get<std::string>("for");
  if (!span) return fail(span.error());
  const auto length = parse_duration(*span, "for");
  if (!length) return fail(length.error());
  if (*length <= Duration::zero() || *length > kLongestSilence) return fail(ErrorCode::caller_invalid_request, "must be above 0 and at most 90d", "for");
  const auto note = root.maybe<std::string>("note");
  if (!note) return fail(note.error());
  if (*note && ((*note)->size() > kLongestText || (*note)->find('\0') != std::string::npos)) return fail(ErrorCode::caller_invalid_request, fmt::format("must be a text of at most {} bytes", kLongestText), "note");
  auto labels = labels_from(root);
  if (!labels) return fail(std::move(labels.error()));
  for (const auto& [member, ignored] : document->get_object())
    if (member != "rule" && member != "labels" && member != "for" && member != "note") return fail(ErrorCode::caller_invalid_request, "is not known; there are rule, labels, for, note", std::string(member));
  return watch::Silence{.id = unix_us(now), .rule = rule->value_or(""), .labels = std::move(*labels), .until = now + *length, .note = note->value_or(""), .actor = {}, .created = now};
}

std::string silence_name(std::int64_t id) { return "silence_" + std::to_string(id); }

Task<void> silence(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who) {
  auto made = silence_from(exchange.body(), parts.watcher->options(), parts.clock.wall());
  if (!made) co_return co_await reply_problem(exchange, made.error());
  made->actor = who.key_name().empty() ? who.key_id() : fmt::format("{} ({})", who.key_name(), who.key_id());
  const auto told = tell_of_act(who, records::audit::alerts_silenced, silence_name(made->id), made->created, exchange.body());
  const auto added = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) -> Result<bool> {
    auto done = watch::add_silence(tx, *made, made->created);
    if (done) done = told(tx);
    if (!done) return fail(std::move(done.error()));
    return true;
  });
  if (!added) co_return co_await reply_problem(exchange, added.error());
  log::info("alerts_silenced", {{"rule", made->rule}, {"until", to_rfc3339(made->until)}, {"by", made->actor}});
  co_await reply_json(exchange, 201, watch::silence_json(*made));
}

Task<void> unsilence(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, std::string_view name) {
  const auto id = id_from(name, "silence_");
  const auto told = tell_of_act(who, records::audit::silence_ended, silence_name(id.value_or(0)), parts.clock.wall());
  const auto ended = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) -> Result<bool> {
    auto gone = id ? watch::end_silence(tx, *id) : Result<bool>(false);
    if (!gone || !*gone) return gone;
    if (auto done = told(tx); !done) return fail(std::move(done.error()));
    return true;
  });
  if (!ended) co_return co_await reply_problem(exchange, ended.error());
  if (!*ended) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "there is no such silence, or not any more", "id"});
  log::info("alerts_no_longer_silenced", {{"silence", name}, {"by", who.key_id()}});
  co_await reply_json(exchange, 200, json::object{{"ended", true}});
}

// A row for the outbox, written as the API's other writes are; the watcher's own call would block this loop.
Task<void> try_receiver(net::Exchange& exchange, const Parts& parts) {
  const auto document = parse_json(exchange.body(), {.max_bytes = 4'096, .max_depth = 2});
  if (!document) co_return co_await reply_problem(exchange, document.error());
  const auto name = JsonRef(*document).get<std::string>("receiver");
  if (!name) co_return co_await reply_problem(exchange, name.error());
  const auto trial = parts.watcher->trial(*name, parts.clock.wall());
  if (!trial) co_return co_await reply_problem(exchange, trial.error());
  const auto owed = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) -> Result<bool> {
    auto done = trial->owe(tx);
    if (!done) return fail(std::move(done.error()));
    return true;
  });
  if (!owed) co_return co_await reply_problem(exchange, owed.error());
  parts.watcher->poke();
  co_await reply_json(exchange, 202, json::object{{"receiver", *name}, {"owed", true}});
}

}  // namespace

Task<bool> alerts_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view all = "/api/alerts", silences = "/api/alerts/silences", one = "/api/alerts/silences/", trial = "/api/alerts/test";
  if (!parts.watcher || !request.path.starts_with(all)) co_return false;
  const bool listing = request.method == "GET" && request.path == all, silencing = request.method == "POST" && request.path == silences;
  const bool ending = request.method == "DELETE" && request.path.starts_with(one), trying = request.method == "POST" && request.path == trial;
  if (!listing && !silencing && !ending && !trying) co_return false;
  const auto who = require_scope(exchange, parts, listing ? gateway::Scope::read : gateway::Scope::admin);
  if (!who) co_await reply_problem(exchange, who.error());
  else if (listing) co_await list(exchange, parts);
  else if (silencing) co_await silence(exchange, parts, *who);
  else if (ending) co_await unsilence(exchange, parts, *who, request.path.substr(one.size()));
  else co_await try_receiver(exchange, parts);
  co_return true;
}

}  // namespace ballast::server
