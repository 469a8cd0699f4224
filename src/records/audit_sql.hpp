// Private to the audit trail's files: an entry as it stands in its table.
#pragma once
#include "records/audit.hpp"
#include "records/sql_values.hpp"

namespace ballast::records {

// From nine columns: seq, at_us, actor, action, subject, arguments, outcome, previous, hash.
inline AuditRow audit_row(store::Row r, std::size_t first) {
  return {.seq = r.integer(first),
          .entry = {.actor = r.string(first + 2), .action = r.string(first + 3), .subject = r.string(first + 4),
                    .arguments = digest_from(r.bytes(first + 5)), .outcome = r.string(first + 6), .at = wall_from_us(r.integer(first + 1))},
          .previous = digest_from(r.bytes(first + 7)),
          .hash = digest_from(r.bytes(first + 8))};
}

}  // namespace ballast::records
