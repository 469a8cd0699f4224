#include "work/erase.hpp"

#include <fmt/ranges.h>

#include "records/audit.hpp"
#include "work/job_rows.hpp"

namespace ballast::work {

Result<JobId> find_user_jobs(store::Tx& tx, std::string_view user, JobId after, std::size_t limit, UserJobs& found) {
  auto rows = tx.run("SELECT id, live, spec FROM jobs WHERE id > $1 ORDER BY id LIMIT $2", {after.value, limit});
  if (!rows) return std::unexpected(rows.error());
  for (const store::Row r : *rows) {
    JobSpec spec;
    if (auto read = unpack_spec(r.text(2), spec); !read) return std::unexpected(std::move(read.error()));
    const JobId id{r.integer(0)};
    if (spec.user != user && !(spec.parent && found.all.contains(spec.parent))) continue;
    if (!found.all.insert(id).second) continue;
    (r.boolean(1) ? found.live : found.ended).push_back(id);
  }
  return rows->size() < limit ? JobId{} : JobId{(*rows)[rows->size() - 1].integer(0)};
}

Result<ErasedJobs> erase_jobs(store::Tx& tx, std::span<const JobId> jobs, bool retire_trail, std::string_view actor, WallTime now) {
  if (jobs.empty()) return ErasedJobs{};
  store::Batch ids(1);
  std::vector<std::int64_t> numbers;
  std::vector<std::string> chains;
  for (const JobId id : jobs) {
    ids.add({id.value});
    numbers.push_back(id.value);
    chains.push_back(to_string(id));
  }
  ErasedJobs erased;
  auto rows = delete_jobs(tx, ids);
  if (!rows) return std::unexpected(rows.error());
  erased.rows = *rows;
  auto webhooks = tx.run_many("DELETE FROM outbox WHERE id = $1", ids);
  if (!webhooks) return std::unexpected(webhooks.error());
  for (const std::int64_t n : *webhooks) erased.webhooks += static_cast<std::uint64_t>(n);
  // Keys are found by what they are keys to, which has no index: one look for all of them.
  const bool lite = tx.dialect() == store::Dialect::sqlite;
  const std::string list = fmt::format("{}{}{}", lite ? "[" : "{", fmt::join(numbers, ","), lite ? "]" : "}");
  static constexpr store::Statement keys("DELETE FROM job_keys WHERE job IN (SELECT value FROM json_each($1))", "DELETE FROM job_keys WHERE job = ANY(CAST($1 AS BIGINT[]))");
  auto gone = tx.run(keys, {list});
  if (!gone) return std::unexpected(gone.error());
  erased.keys = static_cast<std::uint64_t>(gone->affected());
  if (!retire_trail) return erased;
  auto retired = records::retire_chains(tx, chains, "0", actor, "a user was erased", now);
  if (!retired) return std::unexpected(retired.error());
  erased.chains = *retired;
  return erased;
}

#define OF_THE_USER "owner IN (SELECT id FROM api_keys WHERE user_id = $1)"

Result<ErasedFiles> erase_files(store::Tx& tx, std::string_view user) {
  ErasedFiles erased;
  for (const auto& [sql, count] : {std::pair("DELETE FROM file_pieces WHERE file IN (SELECT id FROM files WHERE " OF_THE_USER ")", static_cast<std::uint64_t*>(nullptr)),
                                   {"DELETE FROM files WHERE " OF_THE_USER, &erased.files},
                                   {"DELETE FROM batch_lines WHERE batch IN (SELECT id FROM batches WHERE live = 0 AND " OF_THE_USER ")", nullptr},
                                   {"DELETE FROM batches WHERE live = 0 AND " OF_THE_USER, &erased.batches}}) {
    auto gone = tx.run(sql, {user});
    if (!gone) return std::unexpected(gone.error());
    if (count) *count = static_cast<std::uint64_t>(gone->affected());
  }
  return erased;
}

Result<std::vector<JobId>> live_batches_of(store::Tx& tx, std::string_view user) {
  auto rows = tx.run("SELECT id FROM batches WHERE live = 1 AND " OF_THE_USER " ORDER BY id", {user});
  if (!rows) return std::unexpected(rows.error());
  std::vector<JobId> out;
  for (const store::Row r : *rows) out.push_back(JobId{r.integer(0)});
  return out;
}

}  // namespace ballast::work
