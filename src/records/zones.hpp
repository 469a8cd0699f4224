// Zones: of each block of the ledger what a search can pass it over by, about 400 bytes where its summary has 12 KB: which names are in it
// (a Bloom filter of about 10 bits a name, so that one block in a hundred is read in vain), which statuses and cache states, how dear and how
// slow its calls are at least and at most. A zone never hides a match; a block without one, or with a damaged one, is read.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "records/ledger.hpp"

namespace ballast::records {

// Empty where the summary cannot be read.
std::string zone_of(std::string_view summary);

class ZoneProbe {
 public:
  explicit ZoneProbe(const CallFilter& filter);
  // Nothing but time is asked: every block may match.
  bool idle() const { return idle_; }
  bool may_match(std::string_view zone) const;

 private:
  const CallFilter& filter_;
  std::vector<std::uint64_t> hashes_;      // of the names that must be there
  bool idle_ = true;
};

}  // namespace ballast::records
