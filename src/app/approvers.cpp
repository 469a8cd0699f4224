#include "app/approvers.hpp"

#include <algorithm>

#include "app/backup.hpp"
#include "gateway/principal.hpp"
#include "store/backup.hpp"

namespace ballast::app {
namespace {

using gateway::Scope;

void add(Approvers& to, work::Decider who, gateway::Scopes scopes, std::optional<WallTime> expires, WallTime now) {
  if (!scopes.has(Scope::approve) || (expires && *expires <= now)) return;
  who.admin = scopes.has(Scope::admin);
  to.all.push_back(std::move(who));
}

work::Grant grant_by(const std::vector<work::Decider>& all, std::string_view assignee, bool signature) {
  work::Approval asked;
  if (!assignee.empty()) asked.ask.assignees.emplace_back(assignee);
  auto best = work::Grant::nobody;
  for (const auto& who : all) {
    if (signature && who.user.empty()) continue;
    if (work::is_assigned(asked, who)) return work::Grant::yes;
    if (who.admin && !signature) best = work::Grant::administrator;
  }
  return best;
}

}  // namespace

Approvers configured_approvers(const Config& config, WallTime now) {
  Approvers found;
  gateway::Scopes admin;
  admin.add(Scope::admin);
  if (!config.admin_key.empty()) add(found, {.key_id = "admin", .key_name = "admin"}, admin, {}, now);
  for (const auto& k : config.keys) {
    gateway::Scopes scopes;
    for (const auto& name : k.scopes)
      if (const auto scope = gateway::scope_from(name)) scopes.add(*scope);
    add(found, {.key_id = "config:" + k.name, .key_name = k.name, .user = k.user, .team = k.team}, scopes, k.expires, now);
  }
  return found;
}

Result<void> add_stored_approvers(Approvers& approvers, const std::string& url, WallTime now) {
  const auto known = all_migrations();
  const auto taken = store::take_snapshot(url, known);
  if (!taken) return std::unexpected(taken.error());
  const auto rows = (*taken)->run("SELECT id, name, user_id, team, scopes, expires_us FROM api_keys WHERE revoked_us IS NULL ORDER BY id");
  if (!rows) return std::unexpected(rows.error());
  for (const store::Row r : *rows) {
    const auto scopes = gateway::scopes_from(r.text(4), "scopes");
    const auto expires = r.maybe_integer(5);
    if (scopes) add(approvers, {.key_id = r.string(0), .key_name = r.string(1), .user = r.string(2), .team = r.string(3)}, *scopes, expires ? std::optional(from_unix_us(*expires)) : std::nullopt, now);
  }
  approvers.complete = true;
  return {};
}

work::FlowWorld world_of(Approvers approvers) {
  work::FlowWorld world;
  world.knows_all_keys = approvers.complete;
  world.can_approve = [all = std::move(approvers.all)](std::string_view assignee, bool signature) { return grant_by(all, assignee, signature); };
  return world;
}

}  // namespace ballast::app
