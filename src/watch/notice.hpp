// Who is told what, and when: alerts of one rule are told together, new ones after a short wait, changes at intervals, what goes on firing
// again after hours (as Alertmanager's group_wait, group_interval and repeat_interval). Pure: all it remembers is in the alerts themselves
// (`announced`, `told`), so a restart tells nothing twice.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "watch/silence.hpp"

namespace ballast::watch {

struct Receiver {
  enum class Type : std::uint8_t { webhook, slack };
  std::string name;
  Type type = Type::webhook;
  std::string url;
  std::string secret;                        // a name of webhooks.secrets; empty: the one called default, if there is one
  Severity least = Severity::ticket;         // less grave alerts are not told
  std::vector<std::string> rules;            // empty: all
  bool resolved = true;                      // tell the end, too
};

struct Grouping {
  Duration wait = std::chrono::seconds(10), interval = std::chrono::minutes(5), repeat = std::chrono::hours(4);
};

// What the configuration says.
struct Options {
  std::vector<Rule> rules = default_rules();
  std::vector<Receiver> receivers;
  Grouping grouping;
  Duration retention = std::chrono::hours(24 * 90);   // of resolved alerts
};

struct Notice {
  std::string rule;
  std::vector<Alert> firing, resolved;
};

// Which groups are due now. Of the alerts in a notice `announced` and `told` are set; silenced ones are in none. `alerts`: those that fire or
// are pending, and resolved ones whose end nobody was told.
std::vector<Notice> plan(std::span<Alert> alerts, WallTime now, const Grouping& grouping);
// Has the end of this one still to be told?
inline bool owed(const Alert& a) { return a.state == State::resolved && a.told == State::firing; }
// The part of the notice that this receiver wants; both empty: nothing.
Notice for_receiver(const Notice& notice, const Receiver& receiver);

// What is sent: {type: "alert.firing" or "alert.resolved", timestamp, data: {rule, firing: [Alert], resolved: [Alert]}}, and Slack's {text, blocks}.
// Text from outside is escaped as Slack wants it; at most 20 alerts are spelled out.
std::string webhook_body(const Notice& notice, WallTime now);
std::string slack_body(const Notice& notice);
// The same body with `pseudonym` in the place of the user; nothing where no alert in it is of that user.
std::optional<std::string> without_user(std::string_view body, std::string_view user, std::string_view pseudonym);
inline std::string_view type_of(const Notice& n) { return n.firing.empty() ? "alert.resolved" : "alert.firing"; }

}  // namespace ballast::watch
