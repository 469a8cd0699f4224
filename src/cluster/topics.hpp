// Topics: that something which every node keeps in memory has changed in the database. A number per topic, raised in the transaction of the change.
//
// Who keeps such a thing reads all numbers now and then, a row each, and reads the thing itself when its number is another one. Commits of one topic are
// one after the other, so a number that was read names a change that can be read. Repositories take a Tx and never begin one.
#pragma once
#include <array>
#include <cstdint>

#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::cluster {

enum class Topic : std::uint8_t { keys, sessions, resting, erasures };
constexpr std::size_t kTopics = 4;

using TopicNumbers = std::array<std::int64_t, kTopics>;    // zero: never changed

Result<void> touch(store::Tx& tx, Topic topic);
Result<TopicNumbers> load_topics(store::Tx& tx);

}  // namespace ballast::cluster
