// OnDuty: whether this process does what one node of an installation does at a time. Empty members: it is the only one, and does.
#pragma once
#include <functional>

#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::work {

struct OnDuty {
  std::function<bool()> held;                            // as far as this process knows; on any thread, from memory
  std::function<Result<void>(store::Tx&)> check;         // in the transaction itself: what it lets through is the holder's. May run again

  bool shared() const { return static_cast<bool>(held); }
  bool mine() const { return !held || held(); }
  Result<void> still_mine(store::Tx& tx) const { return check ? check(tx) : Result<void>{}; }
};

}  // namespace ballast::work
