// Evidence: what people have done that no figure of a running system shows, such as a load test. One row a line of the readiness checklist;
// telling again replaces it, and each telling is an entry of the audit trail.
//
// Repositories take a Tx and never begin one.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::records {

inline constexpr std::size_t kMaxEvidenceNote = 1000;    // bytes
inline constexpr std::string_view kEvidenceTold = "readiness.evidence";   // the audit trail's action

struct Evidence {
  std::string line;                      // its id: "load_test"
  WallTime at{};                         // when it was done
  std::string note;
  std::string actor;                     // as in the audit trail
  WallTime told{};
};
// With its entry in the chain of administrative acts.
Result<void> put_evidence(store::Tx& tx, const Evidence& evidence);
Result<std::vector<Evidence>> list_evidence(store::Tx& tx);      // by line; at most 1,000

}  // namespace ballast::records
