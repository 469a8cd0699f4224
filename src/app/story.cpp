#include "app/story.hpp"

#include "app/table.hpp"
#include "app/terminal.hpp"
#include "base/money.hpp"

namespace ballast::app {

namespace {

std::string text(const json::object& o, std::string_view name) {
  const auto* v = o.if_contains(name);
  return v ? one_line(plain(*v)) : std::string();
}
double number(const json::object& o, std::string_view name) {
  const auto* v = o.if_contains(name);
  return v && v->is_number() ? v->to_number<double>() : 0;
}
bool flag(const json::object& o, std::string_view name) {
  const auto* v = o.if_contains(name);
  return v && v->is_bool() && v->get_bool();
}

std::string time_text(double us) {
  if (us < 1000) return fmt::format("{:.0f} µs", us);
  if (us < 1'000'000) return fmt::format("{:.1f} ms", us / 1000);
  return fmt::format("{:.2f} s", us / 1'000'000);
}

// What a step is called in words, with {name} for its facts: `{us}` is told as a time, `{ceiling_nano}` as dollars. A step that is not here is told
// by its facts.
struct Phrase {
  std::string_view step, words;
};
constexpr Phrase kPhrases[] = {
    {"stale", "by keys, breakers and rules as this node last heard of them, at {since}"},
    {"route", "asked for \"{model}\", which is route \"{route}\"; key \"{key}\""},
    {"admitted", "limits let it in, at an estimate of {tokens_estimated} tokens"},
    {"waited", "a limit made it wait {us}"},
    {"slice_waited", "waited {us} until this node had a part of the limit of {of}"},
    {"limit_refused", "a limit refused it: {why}"},
    {"cache_miss", "not in the cache"},
    {"cache_bypassed", "past the cache, as {by} asked"},
    {"cache_hit", "answered from the cache; call {of} made that answer"},
    {"idempotent_replay", "the same Idempotency-Key was used before: the answer of call {of} was given again"},
    {"idempotency_refused", "its Idempotency-Key was refused: {why}"},
    {"rested", "every target rested: waited {us} for one"},
    {"early_try", "nobody else to ask: {target} was asked although its breaker rests"},
    {"another_round", "all had failed ({why}); began again with {target}"},
    {"rounds_used_up", "all had failed ({why}), and so had too many other calls: no further round"},
    {"not_blamed", "{target} is not to blame: it was given less than its own time"},
    {"breaker_open", "left {target} out: its breaker is open"},
    {"no_credential", "left {target} out: no usable credential ({why})"},
    {"target_limited", "left {target} out: {why}"},
    {"budget_refused", "left {target} out: {why}"},
    {"intent", "{classifier} takes it for \"{label}\", at {percent} %: {verdict}"},
    {"intent_asked", "asked {target} what it wants: {said}; {first} comes first"},
    {"intent_not_asked", "did not ask {target} what it wants: {why}"},
    {"counted", "its prompt was counted for the {for} of {of}: {tokens} tokens ({by})"},
    {"counted_beyond", "its prompt was counted for the {for} of {of}: more than {tokens} tokens ({by})"},
    {"plan", "planned to try {order} ({strategy})"},
    {"skipped", "left {target} out: {why}"},
    {"warning", "{text}"},
    {"held", "held up to {ceiling_nano} against its budgets"},
    {"waited_for_money", "this node's part of a budget was too small: waited {us} for the database's word"},
    {"hedge", "slow: asked {target} as well"},
    {"attempt", "asked {target}: {outcome}"},
    {"routing_saved", "at {than} it would have cost {would_cost_nano}: {saved_nano} saved"},
    {"settled", "settled: {outcome}"},
    {"retry", "{target} failed ({why}); tried again"},
    {"fail_over", "{from} failed ({why}); went on to {to}"},
    {"rescue", "the stream broke; rescued by {mode} on {to}"},
    {"rescue_impossible", "the stream broke and could not be rescued ({mode}): {why}"},
    {"reconciled", "{by} said what attempt {attempt} cost, ${incurred_usd} instead of ${was_usd}, at {at}"},
    {"call_not_judged", "calls of the tool {tool} are not judged: {why}"},
    {"judged", "the answer of {target} was judged against the JSON that was asked for: {verdict} {how}{rule}"},
    {"asked_again", "{target} was told what was wrong ({why}) and asked again"},
    {"passed_on", "the answer of {target} was passed on although it is {why}"},
    {"degraded", "every target failed ({why}); answered by {to}"},
    {"truncated", "and {steps} more steps, which did not fit"},
    {"unknown", "{why}"},
};

// The same step, where a fact that its words are made of is missing.
std::string_view words_of(const Phrase& phrase, const json::object& step) {
  if (phrase.step == "cache_hit" && flag(step, "shared")) return "answered from the cache of all nodes; call {of} made that answer";
  if (phrase.step == "route" && text(step, "route").empty()) return "asked for \"{model}\" by name; key \"{key}\"";
  if (phrase.step == "budget_refused" && !step.contains("target")) return "a budget has no room for up to {ceiling_nano}: {why}";
  return phrase.words;
}

// A fact in its unit, which its name ends with.
std::string fact_text(const json::object& step, std::string_view name) {
  const auto* v = step.if_contains(name);
  const bool figure = v && v->is_number();
  if (figure && (name == "us" || name.ends_with("_us"))) return time_text(v->to_number<double>());
  if (figure && v->is_int64() && name.ends_with("_nano")) return "$" + to_usd({v->get_int64()});
  return text(step, name);
}

std::string in_words(const json::object& step) {
  const std::string name = text(step, "step");
  const auto* phrase = std::ranges::find(kPhrases, name, &Phrase::step);
  std::string out;
  if (phrase == std::end(kPhrases)) {
    out = name;
    for (const auto& [fact, value] : step)
      if (fact != "step" && fact != "at_us" && !plain(value).empty())
        out += fmt::format("{} {} {}", out == name ? ":" : ",", one_line(fact), fact_text(step, fact));
    return out;
  }
  std::string_view rest = words_of(*phrase, step);
  while (!rest.empty()) {
    const auto open = rest.find('{');
    out += rest.substr(0, open);
    if (open == std::string_view::npos) break;
    const auto close = rest.find('}', open);
    out += fact_text(step, rest.substr(open + 1, close - open - 1));
    rest.remove_prefix(close + 1);
  }
  if (name == "route" && flag(step, "stream")) out += "; a stream";
  return out;
}

void headline(std::string& out, const json::object& r) {
  out += fmt::format("{}  {}  {}\n", text(r, "id"), text(r, "arrived"), text(r, "status"));
  const std::string user = text(r, "user"), feature = text(r, "feature"), team = text(r, "team");
  out += fmt::format("asked by   key {}{}{}{}\n", text(r, "key_name").empty() ? text(r, "key_id") : text(r, "key_name"),
                     user.empty() ? "" : ", user " + user, feature.empty() ? "" : ", feature " + feature, team.empty() ? "" : ", team " + team);
  out += fmt::format("asked for  {} ({}, {})\n", text(r, "requested_model"), text(r, "operation"), text(r, "api"));
  const std::string error = text(r, "error"), served = text(r, "served_by");
  if (!served.empty()) out += fmt::format("served by  {}\n", served);
  if (!error.empty()) out += fmt::format("ended in   {} (HTTP {})\n", error, text(r, "http_status"));
  out += fmt::format("cost       ${} incurred, ${} billed", text(r, "incurred_usd"), text(r, "billed_usd"));
  for (const auto& [member, by] : {std::pair("saved_usd", "the cache"), std::pair("routing_saved_usd", "routing")})
    if (r.contains(member)) out += fmt::format(", ${} saved by {}", text(r, member), by);
  out += '\n';
  if (const auto* tokens = r.if_contains("tokens")) out += fmt::format("tokens     {}\n", one_line(plain(*tokens)));
  out += fmt::format("took       {}", time_text(number(r, "latency_us")));
  if (number(r, "first_token_us") > 0) out += fmt::format(", first token after {}", time_text(number(r, "first_token_us")));
  out += '\n';
}

std::string cost_text(const json::object& attempt) {
  const std::string cost = text(attempt, "cost");
  if (cost == "unknown") return ", its ceiling: nobody told what it cost";
  if (cost == "reconciled") return fmt::format(", reconciled by {} (was ${})", text(attempt, "reconciled_by"), text(attempt, "was_usd"));
  return "";
}

void attempts(std::string& out, const json::array& list) {
  if (list.empty()) return;
  out += "\nattempts\n";
  for (const auto& item : list) {
    const auto* a = item.if_object();
    if (!a) continue;
    const std::string status = text(*a, "http_status");
    out += fmt::format("  {}/{}  {}{}  {}  ${}{}{}{}\n", text(*a, "provider"), text(*a, "model"), text(*a, "outcome"),
                       status.empty() || status == "0" ? "" : " (HTTP " + status + ")", time_text(number(*a, "latency_us")),
                       text(*a, "incurred_usd"), flag(*a, "hedged") ? ", hedged" : "", flag(*a, "cut") ? ", cut mid-stream" : "", cost_text(*a));
  }
}

void verdicts(std::string& out, const json::array& list) {
  if (list.empty()) return;
  out += "\nwhat was said of it\n";
  for (const auto& item : list) {
    const auto* f = item.if_object();
    if (!f) continue;
    const std::string user = text(*f, "user"), score = text(*f, "score"), comment = text(*f, "comment");
    out += fmt::format("  {}  {}{}{}{}\n", text(*f, "at"), text(*f, "verdict"), score.empty() ? "" : ", score " + score, user.empty() ? "" : ", by " + user,
                       comment.empty() ? "" : ": " + comment);
  }
}

}  // namespace

std::string tell(const json::value& record) {
  const auto* r = record.if_object();
  if (!r) return one_line(to_json(record)) + "\n";
  std::string out;
  headline(out, *r);
  if (const auto* list = r->if_contains("attempts"); list && list->is_array()) attempts(out, list->get_array());
  const auto* decision = r->if_contains("decision");
  if (decision && decision->is_array() && !decision->get_array().empty()) {
    out += "\nwhat happened\n";
    for (const auto& step : decision->get_array())
      if (const auto* o = step.if_object()) out += fmt::format("  {:>9}  {}\n", time_text(number(*o, "at_us")), in_words(*o));
  }
  if (const auto* list = r->if_contains("feedback"); list && list->is_array()) verdicts(out, list->get_array());
  const auto* charges = r->if_contains("charges");
  if (charges && charges->is_object() && !charges->get_object().empty()) {
    out += "\ncharged to budgets\n";
    for (const auto& [window, usd] : charges->get_object()) out += fmt::format("  {}  ${}\n", one_line(window), one_line(plain(usd)));
  }
  return out;
}

}  // namespace ballast::app
