// Reading jobs: by id, the live ones at start, pages of a search; and forgetting those whose time is over.
#include <algorithm>

#include "work/job_rows.hpp"
#include "work/lives_sql.hpp"

namespace ballast::work {

namespace {

constexpr std::size_t kMaxLooked = 20'000;               // rows a page looks at

#define BALLAST_JOB_HEAD "id, state, kind, queue, tenant, name, priority, attempt, due_us, finished_us, spec, fence"
#define BALLAST_JOB_WHOLE BALLAST_JOB_HEAD ", input, output, error"
constexpr std::size_t kFence = 11, kInput = 12, kOutput = 13, kError = 14;   // of a whole row
constexpr std::size_t kHome = 12;                        // of a live one

Result<Job> job_of(const store::Row& r, bool whole) {
  Job job;
  job.id = JobId{r.integer(0)};
  job.state = static_cast<JobState>(r.integer(1));
  job.spec.kind = static_cast<JobKind>(r.integer(2));
  job.spec.queue = r.string(3);
  job.spec.tenant = r.string(4);
  job.spec.name = r.string(5);
  job.spec.priority = static_cast<std::uint8_t>(r.integer(6));
  job.attempt = static_cast<std::uint32_t>(r.integer(7));
  job.created = WallTime(std::chrono::milliseconds(job.id.unix_ms()));
  if (r.integer(8)) job.due = from_unix_us(r.integer(8));
  if (r.integer(9)) job.finished = from_unix_us(r.integer(9));
  if (auto read = unpack_spec(r.text(10), job.spec); !read) return std::unexpected(std::move(read.error()));
  if (!whole) return job;
  job.input = r.string(kInput);
  job.output = r.string(kOutput);
  job.error = r.string(kError);
  return job;
}

bool fits(const JobFilter& f, const Job& job) {
  if (!f.name.empty() && job.spec.name != f.name) return false;
  if (!f.tenant.empty() && job.spec.tenant != f.tenant) return false;
  if (!f.queue.empty() && job.spec.queue != f.queue) return false;
  if (f.kind && job.spec.kind != *f.kind) return false;
  if (f.state && job.state != *f.state) return false;
  if (!f.tag.empty() && std::ranges::find(job.spec.tags, f.tag) == job.spec.tags.end()) return false;
  return f.text.empty() || job.input.find(f.text) != std::string::npos || job.output.find(f.text) != std::string::npos || job.error.find(f.text) != std::string::npos;
}

// Live jobs and ended ones are in an index each. Both are read in their order as far as the page goes: PostgreSQL merges what is ordered already,
// SQLite what it may order itself.
#define BALLAST_JOBS_OF_TENANT(live) "SELECT " BALLAST_JOB_WHOLE " FROM jobs WHERE live = " live " AND tenant = $1 AND id < $2 AND id >= $3 "
#define BALLAST_NEWEST_FIRST "ORDER BY id DESC LIMIT $4"
Result<store::Rows> page_of_tenant(store::Tx& tx, const JobFilter& f, std::int64_t before, std::int64_t after, std::size_t rows) {
  static constexpr store::Statement live(BALLAST_JOBS_OF_TENANT("1") BALLAST_NEWEST_FIRST), ended(BALLAST_JOBS_OF_TENANT("0") BALLAST_NEWEST_FIRST),
      all(BALLAST_JOBS_OF_TENANT("1") "UNION ALL " BALLAST_JOBS_OF_TENANT("0") BALLAST_NEWEST_FIRST,
          "(" BALLAST_JOBS_OF_TENANT("1") BALLAST_NEWEST_FIRST ") UNION ALL (" BALLAST_JOBS_OF_TENANT("0") BALLAST_NEWEST_FIRST ") " BALLAST_NEWEST_FIRST);
  return tx.run(!f.state ? all : terminal(*f.state) ? ended : live, {f.tenant, before, after, rows});
}

// Newest first below `before`. The index that narrows most: the dead, a flow's name, a tenant, else the ids alone.
Result<store::Rows> page_of(store::Tx& tx, const JobFilter& f, std::int64_t before, std::int64_t after, std::size_t rows) {
  if (f.state == JobState::dead)
    return tx.run("SELECT " BALLAST_JOB_WHOLE " FROM jobs WHERE state = 3 AND id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3", {before, after, rows});
  if (!f.name.empty() && f.kind == JobKind::flow)
    return tx.run("SELECT " BALLAST_JOB_WHOLE " FROM jobs WHERE kind = 2 AND name = $1 AND id < $2 AND id >= $3 ORDER BY id DESC LIMIT $4", {f.name, before, after, rows});
  if (!f.tenant.empty()) return page_of_tenant(tx, f, before, after, rows);
  return tx.run("SELECT " BALLAST_JOB_WHOLE " FROM jobs WHERE id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3", {before, after, rows});
}

}  // namespace

namespace {

Result<void> keep_live(const Result<store::Rows>& rows, std::vector<LiveRow>& out) {
  if (!rows) return std::unexpected(rows.error());
  for (const store::Row r : *rows) {
    auto job = job_of(r, false);
    if (!job) return std::unexpected(std::move(job.error()));
    out.push_back({std::move(*job), r.integer(kFence), static_cast<std::uint32_t>(r.integer(kHome))});
  }
  return {};
}

}  // namespace

// The rest of the tenant first, then the tenants behind it: a comparison of pairs is not what every database finds in an index.
#define BALLAST_LIVE "SELECT " BALLAST_JOB_HEAD ", home FROM jobs WHERE live = 1 "
#define BALLAST_OF_TAKEN "AND home IN (SELECT home FROM homes WHERE taken = $3) "
Result<std::vector<LiveRow>> load_live(store::Tx& tx, const LivePlace& after, std::size_t limit, std::uint32_t taken) {
  std::vector<LiveRow> out;
  auto kept = keep_live(taken == 0 ? tx.run(BALLAST_LIVE "AND tenant = $1 AND id > $2 ORDER BY tenant, id LIMIT $3", {after.tenant, after.id.value, limit})
                                   : tx.run(BALLAST_LIVE "AND tenant = $1 AND id > $2 " BALLAST_OF_TAKEN "ORDER BY tenant, id LIMIT $4",
                                            {after.tenant, after.id.value, taken, limit}), out);
  if (!kept) return std::unexpected(std::move(kept.error()));
  if (out.size() == limit) return out;
  const std::size_t more = limit - out.size();
  kept = keep_live(taken == 0 ? tx.run(BALLAST_LIVE "AND tenant > $1 ORDER BY tenant, id LIMIT $2", {after.tenant, more})
                              : tx.run(BALLAST_LIVE "AND tenant > $1 " BALLAST_OF_TAKEN "ORDER BY tenant, id LIMIT $2", {after.tenant, more, taken}), out);
  if (!kept) return std::unexpected(std::move(kept.error()));
  return out;
}

Result<std::vector<LiveRow>> load_live_of(store::Tx& tx, std::span<const JobId> ids, std::uint32_t owner) {
  std::vector<LiveRow> out;
  for (const JobId id : ids)
    if (auto kept = keep_live(tx.run("SELECT " BALLAST_JOB_HEAD ", home FROM jobs WHERE id = $1 AND " BALLAST_JOB_LIVES " AND home IN (SELECT home FROM homes WHERE owner = $2)", {id.value, owner}), out); !kept)
      return std::unexpected(std::move(kept.error()));
  return out;
}

Result<std::optional<JobState>> state_of(store::Tx& tx, JobId id) {
  auto rows = tx.run("SELECT state FROM jobs WHERE id = $1", {id.value});
  if (!rows) return std::unexpected(rows.error());
  return rows->empty() ? std::optional<JobState>() : std::optional(static_cast<JobState>((*rows)[0].integer(0)));
}

Result<std::optional<Job>> get_job(store::Tx& tx, JobId id) {
  auto rows = tx.run("SELECT " BALLAST_JOB_WHOLE " FROM jobs WHERE id = $1", {id.value});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::optional<Job>{};
  auto job = job_of((*rows)[0], true);
  if (!job) return std::unexpected(std::move(job.error()));
  return std::optional<Job>(std::move(*job));
}

Result<std::vector<Job>> load_jobs(store::Tx& tx, std::span<const JobId> ids) {
  std::vector<Job> out;
  out.reserve(ids.size());
  for (const JobId id : ids) {
    auto job = get_job(tx, id);
    if (!job) return std::unexpected(std::move(job.error()));
    if (*job) out.push_back(std::move(**job));
  }
  return out;
}

Result<JobId> last_job_id(store::Tx& tx) {
  auto rows = tx.run("SELECT id FROM jobs ORDER BY id DESC LIMIT 1");
  if (!rows) return std::unexpected(rows.error());
  return rows->empty() ? JobId{} : JobId{(*rows)[0].integer(0)};
}

Result<JobPage> list_jobs(store::Tx& tx, const JobFilter& f) {
  JobPage page;
  std::int64_t before = f.before ? f.before.value : INT64_MAX;
  if (f.until) before = std::min(before, first_job_id(*f.until).value);
  const std::int64_t after = f.since ? first_job_id(*f.since).value : 0;
  for (std::size_t looked = 0;;) {
    const std::size_t rows_wanted = std::clamp<std::size_t>(f.limit, 50, 500);
    auto rows = page_of(tx, f, before, after, rows_wanted);
    if (!rows) return std::unexpected(rows.error());
    for (const store::Row r : *rows) {
      before = r.integer(0);
      auto job = job_of(r, true);
      if (!job) return std::unexpected(std::move(job.error()));
      if (!fits(f, *job)) continue;
      page.jobs.push_back(std::move(*job));
      if (page.jobs.size() == f.limit) {
        page.next = JobId{before};
        return page;
      }
    }
    looked += rows->size();
    if (rows->size() < rows_wanted) return page;
    if (looked >= kMaxLooked) {
      page.next = JobId{before};
      return page;
    }
  }
}

Result<std::vector<DeadLetters>> count_dead(store::Tx& tx, std::size_t limit) {
  auto rows = tx.run("SELECT queue, COUNT(*), MIN(finished_us) FROM (SELECT queue, finished_us FROM jobs WHERE state = 3 ORDER BY id LIMIT $1) AS dead GROUP BY queue", {limit});
  if (!rows) return std::unexpected(rows.error());
  std::vector<DeadLetters> out;
  for (const store::Row r : *rows) out.push_back({r.string(0), static_cast<std::uint64_t>(r.integer(1)), from_unix_us(r.integer(2))});
  return out;
}

Result<Swept> sweep_jobs(store::Tx& tx, JobId after, WallTime now, Duration retention, std::size_t limit) {
  auto rows = tx.run("SELECT id, live, finished_us, spec FROM jobs WHERE id > $1 ORDER BY id LIMIT $2", {after.value, limit});
  if (!rows) return std::unexpected(rows.error());
  Swept swept{.next = rows->size() < limit ? JobId{} : JobId{(*rows)[rows->size() - 1].integer(0)}};
  store::Batch gone(1);
  for (const store::Row r : *rows) {
    if (r.boolean(1)) continue;
    JobSpec spec;
    if (auto read = unpack_spec(r.text(3), spec); !read) return std::unexpected(std::move(read.error()));
    if (from_unix_us(r.integer(2)) + (spec.retention.count() > 0 ? spec.retention : retention) <= now) gone.add({r.integer(0)});
  }
  swept.deleted = gone.size();
  if (gone.size() == 0) return swept;
  if (auto deleted = delete_jobs(tx, gone); !deleted) return std::unexpected(std::move(deleted.error()));
  return swept;
}

Result<std::uint64_t> delete_jobs(store::Tx& tx, const store::Batch& ids) {
  std::uint64_t rows = 0;
  for (const char* sql : {"DELETE FROM job_attempts WHERE job = $1", "DELETE FROM job_events WHERE job = $1", "DELETE FROM approvals WHERE job = $1",
                          "DELETE FROM run_steps WHERE job = $1", "DELETE FROM signal_waits WHERE job = $1", "DELETE FROM run_blobs WHERE job = $1", "DELETE FROM effects WHERE job = $1",
                          "DELETE FROM batch_calls WHERE job = $1", "DELETE FROM jobs WHERE id = $1"}) {
    auto deleted = tx.run_many(sql, ids);
    if (!deleted) return std::unexpected(deleted.error());
    for (const std::int64_t n : *deleted) rows += static_cast<std::uint64_t>(n);
  }
  return rows;
}

}  // namespace ballast::work
