// What happened while a job ran, for those who follow it: progress, pieces of an answer. A sequence per job; the job's own state is not in it.
#pragma once
#include <string>
#include <vector>

#include "store/database.hpp"
#include "work/job.hpp"

namespace ballast::work {

struct JobEvent {
  std::int64_t seq = 0;                      // from 1, without gaps; given at insertion
  WallTime at{};
  std::uint32_t attempt = 1;                 // that it belongs to: a higher one begins anew
  std::string kind;                          // "progress", "text", …
  std::string data;                          // JSON
};
inline constexpr std::size_t kMaxEventData = 256u << 10;

// Appends in the transaction of a commit that the job's fence has passed: there is one writer per job.
Result<void> append_events(store::Tx& tx, JobId job, std::span<const JobEvent> events);
Result<std::vector<JobEvent>> list_events(store::Tx& tx, JobId job, std::int64_t after, std::size_t limit);

}  // namespace ballast::work
