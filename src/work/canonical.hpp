// One text for equal JSON values: what digests of values and definitions are taken of.
#pragma once
#include <string>

#include "base/hash.hpp"
#include "base/json.hpp"

namespace ballast::work {

// Compact JSON with members sorted by their bytes; a number without a fraction within ±2^53 is written as an integer, so that 1.0
// and 1 are the same.
std::string canonical_json(const json::value& value);
void append_canonical(std::string& out, const json::value& value);
// SHA-256 of it: what an approval is bound to, and what a stage's input hash is made of.
Digest value_digest(const json::value& value);

}  // namespace ballast::work
