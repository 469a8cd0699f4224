// Values between Boost.JSON and libjq, without text. For work/jq*.cpp alone.
#pragma once
extern "C" {
#include <jq.h>   // has no linkage of its own
}

#include <functional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"

namespace ballast::work {

// Whether the program may read this place.
using JqPlaces = std::function<bool(const std::vector<std::string>&)>;

// An owned jv. Error: an integer outside ±2^53 in a place that may be read, or a value deeper than 512. `place` is where `value`
// stands and is left as it was.
Result<jv> jq_to_jv(const json::value& value, std::vector<std::string>& place, const JqPlaces& readable);

// Borrows `value`. `bytes` counts what was written, roughly; above `max_bytes` it is caller_too_large.
Result<json::value> jq_from_jv(jv value, std::size_t max_bytes, std::size_t& bytes);

}  // namespace ballast::work
