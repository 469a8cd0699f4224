#include "work/erase.hpp"

#include <fmt/ranges.h>

#include <array>

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

namespace {

// $1 is the user, whose keys are in the database; or a key.
#define OF_THE_USER "owner IN (SELECT id FROM api_keys WHERE user_id = $1)"
#define OF_THE_KEY "owner = $1"

struct Owned {
  const char* live_batches;
  std::array<const char*, 4> deletions;        // pieces, files, lines, batches
};
#define OWNED(WHOSE)                                                                                                                          \
  {"SELECT id FROM batches WHERE live = 1 AND " WHOSE " ORDER BY id",                                                                         \
   {"DELETE FROM file_pieces WHERE file IN (SELECT id FROM files WHERE " WHOSE ")", "DELETE FROM files WHERE " WHOSE,                         \
    "DELETE FROM batch_lines WHERE batch IN (SELECT id FROM batches WHERE live = 0 AND " WHOSE ")", "DELETE FROM batches WHERE live = 0 AND " WHOSE}}
constexpr Owned kOfUser = OWNED(OF_THE_USER), kOfKey = OWNED(OF_THE_KEY);

template <class Body>
Result<void> for_each_owner(const UserKeys& whose, Body body) {
  if (auto done = body(kOfUser, whose.user); !done) return done;
  for (const auto& key : whose.configured)
    if (auto done = body(kOfKey, key); !done) return done;
  return {};
}

}  // namespace

Result<ErasedFiles> erase_files(store::Tx& tx, const UserKeys& whose) {
  ErasedFiles erased;
  auto done = for_each_owner(whose, [&](const Owned& owned, const std::string& who) -> Result<void> {
    std::array<std::uint64_t, 4> counts{};
    for (std::size_t i = 0; i < counts.size(); ++i) {
      auto gone = tx.run(owned.deletions[i], {who});
      if (!gone) return std::unexpected(gone.error());
      counts[i] = static_cast<std::uint64_t>(gone->affected());
    }
    erased.files += counts[1];
    erased.batches += counts[3];
    return {};
  });
  if (!done) return std::unexpected(std::move(done.error()));
  return erased;
}

Result<std::vector<JobId>> live_batches_of(store::Tx& tx, const UserKeys& whose) {
  std::vector<JobId> out;
  auto done = for_each_owner(whose, [&](const Owned& owned, const std::string& who) -> Result<void> {
    auto rows = tx.run(owned.live_batches, {who});
    if (!rows) return std::unexpected(rows.error());
    for (const store::Row r : *rows) out.push_back(JobId{r.integer(0)});
    return {};
  });
  if (!done) return std::unexpected(std::move(done.error()));
  return out;
}

}  // namespace ballast::work
