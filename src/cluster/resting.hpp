// Resting targets: which providers' models a node has stopped calling, and until when, told to the others. News, not orders: each node has a breaker of
// its own, and what it has seen itself since counts for more.
//
// Times are told as durations, measured on the database's clock: nodes' own clocks do not matter. Repositories take a Tx and never begin one.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::cluster {

struct RestingNews {
  enum class What : std::uint8_t { rests = 0, reset = 1 };
  std::string provider, model;
  What what = What::rests;                               // reset: somebody has closed it by hand
  unsigned slot = 0;                                     // the node that says so
  Duration ago{}, left{};                                // since it happened; until it may be tried again (below zero: it may)
  WallTime when{};                                       // as read: by the database's clock, the name of this news of its target
};

// One per target: the newest is what counts.
Result<void> put_resting(store::Tx& tx, std::span<const RestingNews> news);
Result<void> drop_resting(store::Tx& tx, std::string_view provider, std::string_view model);
// Of the last ten minutes; what is older goes. `limit` rows.
Result<std::vector<RestingNews>> load_resting(store::Tx& tx, std::size_t limit);
Result<void> sweep_resting(store::Tx& tx);

}  // namespace ballast::cluster
