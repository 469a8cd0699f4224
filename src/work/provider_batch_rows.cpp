#include "work/provider_batch_rows.hpp"

#include <unordered_map>

#include "base/compress.hpp"
#include "work/lives_sql.hpp"

namespace ballast::work {

namespace {

constexpr std::size_t kMostPacked = 256u << 20;          // of one body or answer, unpacked

Result<void> done(const Result<store::Rows>& rows) {
  if (!rows) return std::unexpected(rows.error());
  return {};
}

Result<bool> any(const Result<store::Rows>& rows) {
  if (!rows) return std::unexpected(rows.error());
  return !rows->empty();
}

Result<std::vector<JobId>> jobs_in(const Result<store::Rows>& rows) {
  if (!rows) return std::unexpected(rows.error());
  std::vector<JobId> out;
  for (const store::Row r : *rows) out.push_back(JobId{r.integer(0)});
  return out;
}

#define BALLAST_BATCH_CALL "SELECT c.job, c.state, c.provider, c.model, c.operation, c.api, c.body, c.status, c.answer, c.parent, c.cancel FROM batch_calls c "

Result<std::vector<BatchCall>> calls_of(const Result<store::Rows>& rows) {
  if (!rows) return std::unexpected(rows.error());
  std::vector<BatchCall> out;
  for (const store::Row r : *rows) {
    auto body = unpack(r.bytes(6), kMostPacked), answer = unpack(r.bytes(8), kMostPacked);
    if (!body || !answer) return fail(ErrorCode::internal_error, "a stored call of a batch is damaged");
    out.push_back({.job = JobId{r.integer(0)}, .state = static_cast<BatchCallState>(r.integer(1)), .provider = r.string(2), .model = r.string(3),
                   .operation = static_cast<llm::Operation>(r.integer(4)), .api = static_cast<llm::BatchApi>(r.integer(5)), .body = std::move(*body),
                   .status = static_cast<int>(r.integer(7)), .answer = std::move(*answer), .parent = JobId{r.integer(9)}, .cancel = r.boolean(10)});
  }
  return out;
}

}  // namespace

Result<void> put_batch_call(store::Tx& tx, const BatchCall& c) {
  const std::string body = pack(c.body), answer = pack(c.answer);
  return done(tx.run("INSERT INTO batch_calls (job, state, provider, model, operation, api, body, batch, status, answer, parent) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10)",
                     {c.job.value, static_cast<int>(c.state), c.provider, c.model, static_cast<int>(c.operation), static_cast<int>(c.api), store::Value::bytes(body), c.status,
                      store::Value::bytes(answer), c.parent.value}));
}

Result<std::optional<BatchCall>> get_batch_call(store::Tx& tx, JobId job) {
  auto found = calls_of(tx.run(BALLAST_BATCH_CALL "WHERE c.job = $1", {job.value}));
  if (!found) return std::unexpected(std::move(found.error()));
  if (found->empty()) return std::optional<BatchCall>{};
  return std::optional(std::move(found->front()));
}

Result<void> delete_batch_call(store::Tx& tx, JobId job) { return done(tx.run("DELETE FROM batch_calls WHERE job = $1", {job.value})); }

Result<void> refuse_batch_call(store::Tx& tx, JobId job) {
  return done(tx.run("UPDATE batch_calls SET state = $2 WHERE job = $1", {job.value, static_cast<int>(BatchCallState::refused)}));
}

Result<std::optional<ProviderBatch>> begin_batch(store::Tx& tx, JobId id, WallTime now, std::size_t most, std::size_t most_bytes) {
  auto first = calls_of(tx.run(BALLAST_BATCH_CALL "JOIN jobs j ON j.id = c.job WHERE c.state = 0 AND c.cancel = 0 AND j." BALLAST_JOB_LIVES " ORDER BY c.job LIMIT 1"));
  if (!first) return std::unexpected(std::move(first.error()));
  if (first->empty()) return std::optional<ProviderBatch>{};
  const BatchCall& kind = first->front();
  const int operation = static_cast<int>(kind.operation), api = static_cast<int>(kind.api);
  auto rows = tx.run("SELECT c.job, length(c.body) FROM batch_calls c JOIN jobs j ON j.id = c.job WHERE c.state = 0 AND c.cancel = 0 AND j." BALLAST_JOB_LIVES " "
                     "AND c.provider = $1 AND c.model = $2 AND c.operation = $3 AND c.api = $4 AND c.parent = $5 ORDER BY c.job LIMIT $6",
                     {kind.provider, kind.model, operation, api, kind.parent.value, most});
  if (!rows) return std::unexpected(rows.error());
  store::Batch taken(2);
  std::size_t bytes = 0;
  for (const store::Row r : *rows) {
    bytes += static_cast<std::size_t>(r.integer(1)) * 4;            // about what it takes unpacked
    if (taken.size() > 0 && bytes > most_bytes) break;
    taken.add({r.integer(0), id.value});
  }
  if (auto moved = tx.run_many("UPDATE batch_calls SET state = 1, batch = $2 WHERE job = $1", taken); !moved) return std::unexpected(moved.error());
  ProviderBatch b{.id = id, .created = false, .provider = kind.provider, .model = kind.model, .operation = kind.operation, .api = kind.api, .credential = {}, .remote = {}, .begun = now};
  auto put = tx.run("INSERT INTO provider_batches (id, created, provider, model, operation, api, credential, remote, begun_us) VALUES ($1, 0, $2, $3, $4, $5, '', '', $6)",
                    {b.id.value, b.provider, b.model, operation, api, unix_us(now)});
  if (!put) return std::unexpected(put.error());
  return std::optional(std::move(b));
}

Result<std::vector<ProviderBatch>> list_provider_batches(store::Tx& tx) {
  auto rows = tx.run("SELECT id, created, provider, model, operation, api, credential, remote, begun_us, cancelled FROM provider_batches ORDER BY id");
  if (!rows) return std::unexpected(rows.error());
  std::vector<ProviderBatch> out;
  for (const store::Row r : *rows)
    out.push_back({.id = JobId{r.integer(0)}, .created = r.boolean(1), .provider = r.string(2), .model = r.string(3), .operation = static_cast<llm::Operation>(r.integer(4)),
                   .api = static_cast<llm::BatchApi>(r.integer(5)), .credential = r.string(6), .remote = r.string(7), .begun = from_unix_us(r.integer(8)),
                   .cancelled = r.boolean(9)});
  return out;
}

Result<std::vector<llm::BatchItem>> batch_items(store::Tx& tx, JobId batch) {
  auto calls = calls_of(tx.run(BALLAST_BATCH_CALL "WHERE c.batch = $1 AND c.state = 1 ORDER BY c.job", {batch.value}));
  if (!calls) return std::unexpected(std::move(calls.error()));
  std::vector<llm::BatchItem> out;
  for (BatchCall& c : *calls) out.push_back({to_string(c.job), std::move(c.body)});
  return out;
}

Result<void> update_provider_batch(store::Tx& tx, const ProviderBatch& b) {
  return done(tx.run("UPDATE provider_batches SET created = $2, credential = $3, remote = $4, cancelled = $5 WHERE id = $1", {b.id.value, b.created, b.credential, b.remote, b.cancelled}));
}

Result<void> end_provider_batch(store::Tx& tx, JobId batch, std::span<const llm::BatchResult> results) {
  std::vector<std::string> packed;
  packed.reserve(results.size());
  store::Batch rows(4);
  for (const llm::BatchResult& r : results) {
    const auto job = parse_job_id(r.id);
    if (!job || r.status == 0) continue;
    packed.push_back(pack(r.body));
    rows.add({job->value, batch.value, r.status, store::Value::bytes(packed.back())});
  }
  if (rows.size() > 0)
    if (auto put = tx.run_many("UPDATE batch_calls SET state = 2, status = $3, answer = $4 WHERE job = $1 AND batch = $2 AND state = 1", rows); !put) return std::unexpected(put.error());
  if (auto rest = tx.run("UPDATE batch_calls SET state = 3 WHERE batch = $1 AND state = 1", {batch.value}); !rest) return std::unexpected(rest.error());
  return done(tx.run("DELETE FROM provider_batches WHERE id = $1", {batch.value}));
}

Result<bool> is_wanted(store::Tx& tx, JobId batch) {
  return any(tx.run("SELECT 1 FROM batch_calls c JOIN jobs j ON j.id = c.job WHERE c.batch = $1 AND c.state = 1 AND c.cancel = 0 AND j." BALLAST_JOB_LIVES " LIMIT 1", {batch.value}));
}

Result<std::vector<JobId>> call_off(store::Tx& tx, JobId parent) {
  if (auto told = tx.run("UPDATE batch_calls SET cancel = 1 WHERE parent = $1", {parent.value}); !told) return std::unexpected(told.error());
  return jobs_in(tx.run("SELECT job FROM batch_calls WHERE parent = $1 AND state IN (1, 2)", {parent.value}));
}

Result<bool> any_called_off(store::Tx& tx, JobId parent) {
  return any(tx.run("SELECT 1 FROM batch_calls c JOIN jobs j ON j.id = c.job WHERE c.parent = $1 AND c.cancel = 1 AND j." BALLAST_JOB_LIVES " LIMIT 1", {parent.value}));
}

Result<std::vector<JobId>> answered_and_waiting(store::Tx& tx, std::size_t limit, bool called_off) {
  return jobs_in(tx.run("SELECT c.job FROM batch_calls c JOIN jobs j ON j.id = c.job WHERE c.state >= 2 AND j.state = $1 AND (CASE WHEN c.state = 3 THEN c.cancel ELSE 0 END) = $2 LIMIT $3",
                        {static_cast<int>(JobState::waiting), called_off ? 1 : 0, limit}));
}

Result<std::vector<BatchCall>> orphaned_batch_calls(store::Tx& tx, std::size_t limit) {
  return calls_of(tx.run(BALLAST_BATCH_CALL "LEFT JOIN jobs j ON j.id = c.job WHERE c.state <> 1 AND (j.id IS NULL OR j.live = 0) LIMIT $1", {limit}));
}

}  // namespace ballast::work
