// Bringing a signal to the runs that wait for it.
#pragma once
#include "base/task.hpp"
#include "work/door.hpp"
#include "work/signal_rows.hpp"

namespace ballast::work {

// Wakes the runs that wait for a signal which is durable, on whichever node, at most `most`, however long the database is away; how many they are. On the
// engine's loop. A process that ends before leaves it to the next.
Task<std::size_t> wake_listeners(Door& door, const Signal& signal, std::size_t most);
// Keeps the signal until `until` and then does so. Error: the signal is not kept.
Task<Result<std::size_t>> send_signal(Door& door, const Signal& signal, WallTime until, std::size_t most);

}  // namespace ballast::work
