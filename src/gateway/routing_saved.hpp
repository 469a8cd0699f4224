// What routing saved: how much more the answer of a call would have cost at the dearest of the targets it could have gone to. Pure.
//
// The same tokens are priced: what another model's tokenizer would have made of the same text, or another model have said, nobody knows.
#pragma once
#include <cstddef>
#include <optional>
#include <span>

#include "base/money.hpp"
#include "llm/prices.hpp"

namespace ballast::gateway {

struct Dearest {
  std::size_t at = 0;                      // in `choice`; of equals the first
  Money cost;
  friend bool operator==(const Dearest&, const Dearest&) = default;
};
// What `usage` costs at the dearest of `choice`, at the service tier it tells. Nothing with fewer than two: there was no choice; nor where one is
// null, which is unpriced: it may be the dearest.
std::optional<Dearest> dearest_of(const llm::Usage& usage, std::span<const llm::ModelInfo* const> choice);

}  // namespace ballast::gateway
