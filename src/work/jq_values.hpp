// Values between Boost.JSON and libjq, without text. For work/jq*.cpp alone.
#pragma once
extern "C" {
#include <jq.h>   // has no linkage of its own
}

#include <string_view>

#include "base/json.hpp"
#include "base/result.hpp"
#include "work/jq.hpp"

namespace ballast::work {

// An owned jv of what `reads` names of `value`, which is the input (`root` empty) or a variable (`root` "$name"); members that
// cannot be read are left out. Error: an integer outside ±2^53, or a value deeper than 512.
Result<jv> jq_to_jv(const json::value& value, std::string_view root, const Jq::Reads& reads);

// Borrows `value`. `bytes` counts what was written, roughly; above `max_bytes` it is caller_too_large.
Result<json::value> jq_from_jv(jv value, std::size_t max_bytes, std::size_t& bytes);

}  // namespace ballast::work
