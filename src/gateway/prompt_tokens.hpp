// How many tokens a prompt is: its texts in a model's encoding, and what the wire puts around them.
//
// Reads the body again, into the canonical form: for where the number is the answer, not for every call. The road has a bound by bytes
// (llm::RequestFacts::text_bytes), and that is enough there.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "llm/types.hpp"
#include "tokens/estimate.hpp"

namespace ballast::gateway {

// Nothing if the body is no request of its wire. An image counts as 1,024. However exact the texts, the whole is an estimate: how a vendor writes
// tools and images into a prompt is not published. Time: linear in the body, about 15 ns a byte.
std::optional<std::uint64_t> prompt_tokens(llm::Wire wire, std::string_view body, const tokens::Basis& basis);

}  // namespace ballast::gateway
