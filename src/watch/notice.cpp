#include "watch/notice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <ranges>

#include "base/text.hpp"

namespace ballast::watch {

namespace {

constexpr std::size_t kMostSpelled = 20;

bool news(const Alert& a) { return (a.state == State::firing && a.told != State::firing) || owed(a); }

bool due(const std::vector<Alert*>& group, WallTime now, const Grouping& g) {
  std::optional<WallTime> announced, first;
  bool repeat = false;
  for (const Alert* a : group) {
    if (a->announced) announced = std::max(announced.value_or(*a->announced), *a->announced);
    if (news(*a)) first = std::min(first.value_or(a->updated), a->since);
    repeat = repeat || (a->state == State::firing && a->told == State::firing && now - *a->announced >= g.repeat);
  }
  if (repeat) return true;
  return first && (announced ? now - *announced >= g.interval : now - *first >= g.wait);
}

json::array list_of(const std::vector<Alert>& alerts) {
  json::array out;
  for (const Alert& a : alerts | std::views::take(kMostSpelled)) out.push_back(alert_json(a));
  return out;
}

// Slack's three control characters; what is between < and > would be a link or a mention.
std::string slack_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else out += c;
  }
  return out;
}

std::string line_of(const Alert& a) {
  std::string labels;
  for (const auto& [name, value] : a.labels) labels += fmt::format(" {}={}", name, value);
  return slack_text(fmt::format("[{}] {}{}: {}. {}", to_string(a.severity), a.rule, labels, a.title, a.detail));
}

constexpr std::string_view kUser = "user";

// In what `webhook_body` made.
bool rename_labels(json::object& data, std::string_view user, std::string_view pseudonym) {
  bool found = false;
  for (const std::string_view list : {"firing", "resolved"}) {
    auto* alerts = data.if_contains(list) ? data.at(list).if_array() : nullptr;
    for (std::size_t i = 0; alerts && i < alerts->size(); ++i) {
      auto* alert = (*alerts)[i].if_object();
      auto* labels = alert && alert->if_contains("labels") ? alert->at("labels").if_object() : nullptr;
      auto* name = labels ? labels->if_contains(kUser) : nullptr;
      if (!name || !name->is_string() || name->get_string() != user) continue;
      *name = pseudonym;
      found = true;
    }
  }
  return found;
}

// In what `slack_body` made: a label ends where the next one, or the alert's title, begins; the text may end within it.
bool rename_text(json::value* text, std::string_view user, std::string_view pseudonym) {
  if (!text || !text->is_string()) return false;
  std::string all(text->get_string());
  const std::string label = slack_text(fmt::format(" {}=", kUser)), named = label + slack_text(user);
  bool found = false;
  for (std::size_t at = all.find(label); at != std::string::npos; at = all.find(label, at + 1)) {
    const std::string_view rest = std::string_view(all).substr(at);
    const bool whole = rest.starts_with(named) && (rest.size() == named.size() || rest[named.size()] == ' ' || rest[named.size()] == ':');
    const bool cut = rest.size() > label.size() && rest.size() < named.size() && named.starts_with(rest);
    if (!whole && !cut) continue;
    all.replace(at + label.size(), std::min(named.size(), rest.size()) - label.size(), pseudonym);
    found = true;
  }
  if (found) *text = all;
  return found;
}

}  // namespace

bool matches(const Silence& s, const Alert& a) {
  if (!s.rule.empty() && s.rule != a.rule) return false;
  return std::ranges::all_of(s.labels, [&](const auto& wanted) {
    return std::ranges::any_of(a.labels, [&](const auto& has) {
      const std::string_view value = wanted.second;
      return has.first == wanted.first && (value.ends_with('*') ? has.second.starts_with(value.substr(0, value.size() - 1)) : has.second == value);
    });
  });
}

json::object silence_json(const Silence& s) {
  json::object labels;
  for (const auto& [name, value] : s.labels) labels[name] = value;
  return {{"id", "silence_" + std::to_string(s.id)}, {"rule", s.rule.empty() ? json::value(nullptr) : json::value(s.rule)}, {"labels", std::move(labels)},
          {"until", to_rfc3339(s.until)}, {"note", s.note}, {"by", s.actor}, {"created", to_rfc3339(s.created)}};
}

std::vector<Notice> plan(std::span<Alert> alerts, WallTime now, const Grouping& grouping) {
  std::map<std::string_view, std::vector<Alert*>> groups;
  for (Alert& a : alerts) {
    if (a.silenced && owed(a)) a.told = State::resolved;   // its end is told to nobody
    if (!a.silenced && a.state != State::pending) groups[a.rule].push_back(&a);
  }
  std::vector<Notice> out;
  for (auto& [rule, group] : groups) {
    if (!due(group, now, grouping)) continue;
    Notice notice{.rule = std::string(rule), .firing = {}, .resolved = {}};
    for (Alert* a : group) {
      if (a->state == State::resolved && !owed(*a)) continue;
      a->announced = now;
      a->told = a->state;
      (a->state == State::firing ? notice.firing : notice.resolved).push_back(*a);
    }
    out.push_back(std::move(notice));
  }
  return out;
}

Notice for_receiver(const Notice& notice, const Receiver& r) {
  Notice out{.rule = notice.rule, .firing = {}, .resolved = {}};
  if (!r.rules.empty() && std::ranges::find(r.rules, notice.rule) == r.rules.end()) return out;
  const auto grave = [&](const Alert& a) { return a.severity >= r.least; };
  std::ranges::copy_if(notice.firing, std::back_inserter(out.firing), grave);
  if (r.resolved) std::ranges::copy_if(notice.resolved, std::back_inserter(out.resolved), grave);
  return out;
}

std::string webhook_body(const Notice& n, WallTime now) {
  return to_json(json::object{{"type", type_of(n)}, {"timestamp", to_rfc3339(now)},
                              {"data", json::object{{"rule", n.rule}, {"firing", list_of(n.firing)}, {"resolved", list_of(n.resolved)},
                                                    {"more", n.firing.size() + n.resolved.size() - std::min(n.firing.size(), kMostSpelled) - std::min(n.resolved.size(), kMostSpelled)}}}});
}

std::string slack_body(const Notice& n) {
  std::string text = n.firing.empty() ? fmt::format("resolved: {}", slack_text(n.rule)) : fmt::format("{} firing: {}", n.firing.size(), slack_text(n.rule));
  std::string lines;
  for (const Alert& a : n.firing | std::views::take(kMostSpelled)) lines += line_of(a) + "\n";
  for (const Alert& a : n.resolved | std::views::take(kMostSpelled)) lines += "resolved: " + line_of(a) + "\n";
  json::array blocks;
  blocks.push_back(json::object{{"type", "section"}, {"text", json::object{{"type", "mrkdwn"}, {"text", "*" + text + "*\n" + std::string(utf8_prefix(lines, 2'800))}}}});
  return to_json(json::object{{"text", text + "\n" + lines}, {"blocks", std::move(blocks)}});
}

std::optional<std::string> without_user(std::string_view body, std::string_view user, std::string_view pseudonym) {
  auto document = parse_json(body);
  auto* o = document ? document->if_object() : nullptr;
  if (!o || user.empty()) return std::nullopt;
  auto* data = o->if_contains("data") ? o->at("data").if_object() : nullptr;
  bool found = data && rename_labels(*data, user, pseudonym);
  found = rename_text(o->if_contains("text"), user, pseudonym) || found;
  auto* blocks = o->if_contains("blocks") ? o->at("blocks").if_array() : nullptr;
  for (std::size_t i = 0; blocks && i < blocks->size(); ++i) {
    auto* block = (*blocks)[i].if_object();
    auto* text = block && block->if_contains("text") ? block->at("text").if_object() : nullptr;
    found = (text && rename_text(text->if_contains("text"), user, pseudonym)) || found;
  }
  return found ? std::optional(to_json(*document)) : std::nullopt;
}

}  // namespace ballast::watch
