#include "records/evidence.hpp"

#include "base/config_node.hpp"
#include "records/audit.hpp"
#include "records/sql_values.hpp"

namespace ballast::records {

Result<void> put_evidence(store::Tx& tx, const Evidence& e) {
  const std::string note = stored_text(e.note, kMaxEvidenceNote);
  auto put = tx.run("INSERT INTO readiness_evidence (line, at_us, note, actor, told_us) VALUES ($1, $2, $3, $4, $5) "
                    "ON CONFLICT (line) DO UPDATE SET at_us = excluded.at_us, note = excluded.note, actor = excluded.actor, told_us = excluded.told_us",
                    {e.line, unix_us(e.at), note, stored_text(e.actor, 512), unix_us(e.told)});
  if (!put) return std::unexpected(put.error());
  const AuditEntry entry{.actor = e.actor, .action = std::string(kEvidenceTold), .subject = e.line, .arguments = sha256(note), .outcome = to_rfc3339(e.at), .at = e.told};
  auto head = append_audit(tx, admin_chain("0"), std::span(&entry, 1), e.told);
  return head ? Result<void>{} : std::unexpected(head.error());
}

Result<std::vector<Evidence>> list_evidence(store::Tx& tx) {
  auto rows = tx.run("SELECT line, at_us, note, actor, told_us FROM readiness_evidence ORDER BY line LIMIT 1000");
  if (!rows) return std::unexpected(rows.error());
  std::vector<Evidence> out;
  for (const store::Row r : *rows) out.push_back({.line = r.string(0), .at = wall_from_us(r.integer(1)), .note = r.string(2), .actor = r.string(3), .told = wall_from_us(r.integer(4))});
  return out;
}

}  // namespace ballast::records
