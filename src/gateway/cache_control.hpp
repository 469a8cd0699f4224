// What a caller asks of the cache for one call: the request directives of Cache-Control (RFC 9111, section 5.2.1).
#pragma once
#include <optional>
#include <string_view>

#include "base/clock.hpp"

namespace ballast::gateway {

struct CacheControl {
  bool no_cache = false;                   // make the answer anew, and keep it for those who ask later
  bool no_store = false;                   // neither answer from memory nor keep the answer
  bool only_if_cached = false;             // answer from memory or not at all
  std::optional<Duration> max_age;         // an answer older than that will not do

  bool reads() const { return !no_cache && !no_store; }
  Duration oldest() const { return max_age.value_or(Duration::max()); }
};

// Several field values are one, with commas between. Unknown directives, and those for others (no-transform, min-fresh,
// max-stale), change nothing. A max-age that is no number accepts nothing stored.
CacheControl cache_control_from(std::string_view value);

}  // namespace ballast::gateway
