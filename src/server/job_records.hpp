// What is told of an act on jobs, in the transaction of the act.
#pragma once
#include <string_view>
#include <vector>

#include "gateway/principal.hpp"
#include "records/audit.hpp"
#include "work/engine.hpp"

namespace ballast::server {

// One entry on each job's own chain: who did `action` to it. Values are copied.
inline work::Also tell_of_jobs(const gateway::Principal& who, std::string_view action, std::vector<work::JobId> jobs, WallTime now) {
  return [actor = "key:" + who.key_id(), action = std::string(action), jobs = std::move(jobs), now](store::Tx& tx) -> Result<void> {
    std::vector<records::AuditEntry> entries;
    std::vector<std::string> chains;
    for (const work::JobId id : jobs) {
      chains.push_back(to_string(id));
      entries.push_back({.actor = actor, .action = action, .subject = chains.back(), .arguments = {}, .outcome = {}, .at = now});
    }
    std::vector<records::AuditAppend> appends;
    for (std::size_t i = 0; i < jobs.size(); ++i) appends.push_back({chains[i], std::span(&entries[i], 1)});
    return records::append_audits(tx, appends, now);
  };
}

// On this node's chain of administrative acts. `arguments`: what was asked, exactly; its digest is told.
inline work::Also tell_of_act(const gateway::Principal& who, std::string_view action, std::string subject, WallTime now, std::string_view arguments = {}) {
  return [entry = records::AuditEntry{.actor = "key:" + who.key_id(), .action = std::string(action), .subject = std::move(subject),
                                      .arguments = arguments.empty() ? Digest{} : sha256(arguments), .outcome = {}, .at = now}](store::Tx& tx) -> Result<void> {
    auto head = records::append_audit(tx, records::admin_chain("0"), std::span(&entry, 1), entry.at);
    if (!head) return std::unexpected(std::move(head.error()));
    return {};
  };
}

}  // namespace ballast::server
