// The rows of alerts and silences. Repositories take a `Tx&`, never begin one.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/database.hpp"
#include "watch/silence.hpp"

namespace ballast::watch {

std::span<const store::Migration> migrations();

// Inserts or replaces. `live`: it fires, is pending, or its end is still to be told; what an early end of the process must not forget.
Result<void> put_alert(store::Tx& tx, const Alert& alert);
Result<void> drop_alert(store::Tx& tx, std::int64_t id);       // that lapsed
Result<std::vector<Alert>> live_alerts(store::Tx& tx);
// Newest first, below `before` (0: from the newest).
Result<std::vector<Alert>> list_alerts(store::Tx& tx, std::optional<State> state, std::int64_t before, std::size_t limit);
Result<std::uint64_t> sweep_alerts(store::Tx& tx, WallTime before, std::size_t limit);   // resolved ones

inline constexpr std::size_t kMostSilences = 1'000;
// caller_too_large: there are kMostSilences in force.
Result<void> add_silence(store::Tx& tx, const Silence& silence, WallTime now);
Result<bool> end_silence(store::Tx& tx, std::int64_t id);      // false: there is none
Result<std::vector<Silence>> silences(store::Tx& tx, WallTime now);   // in force

// Those that have this user for a label, firing or not; silences of his too. Returns how many alerts went.
Result<std::uint64_t> erase_alerts_of(store::Tx& tx, std::string_view user);

}  // namespace ballast::watch
