#include "work/event_rows.hpp"

namespace ballast::work {

Result<void> append_events(store::Tx& tx, JobId job, std::span<const JobEvent> events) {
  if (events.empty()) return {};
  store::Batch batch(5);
  for (const JobEvent& e : events) batch.add({job.value, unix_us(e.at), e.attempt, e.kind, e.data});
  return tx.run_later("INSERT INTO job_events (job, seq, at_us, attempt, kind, data) "
                      "SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5 FROM job_events WHERE job = $1",
                      batch);
}

Result<std::vector<JobEvent>> list_events(store::Tx& tx, JobId job, std::int64_t after, std::size_t limit) {
  auto rows = tx.run("SELECT seq, at_us, attempt, kind, data FROM job_events WHERE job = $1 AND seq > $2 ORDER BY seq LIMIT $3", {job.value, after, limit});
  if (!rows) return std::unexpected(rows.error());
  std::vector<JobEvent> out;
  for (const store::Row r : *rows)
    out.push_back({r.integer(0), from_unix_us(r.integer(1)), static_cast<std::uint32_t>(r.integer(2)), r.string(3), r.string(4)});
  return out;
}

}  // namespace ballast::work
