// What a call that a slice had too little for waits for: the database's answer to what the slice asked for when it refused (cluster/quota.hpp).
#pragma once
#include <cstdint>

#include "base/cancel.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "cluster/quota.hpp"

namespace ballast::gateway {

// Two asks of the database (QuotasOptions::gap) and a slow answer. Who was refused by a slice, and not by the whole quota, waits no longer than this before he is told.
inline constexpr Duration kSliceWait = std::chrono::milliseconds(1'500);

// True: an ask was answered since `seen`, which is `quota.figures().answers` from before the take that failed. False: not until `until`, or the caller left.
// Looks every 2 to 25 ms: answers come a few times a second at most. `quota` and `here` outlive the task; resumes on `here`.
Task<bool> answered(const cluster::HeldQuota& quota, std::uint64_t seen, Scheduler& here, MonoTime until, CancelToken gone);

}  // namespace ballast::gateway
