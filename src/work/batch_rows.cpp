#include "work/batch_rows.hpp"

namespace ballast::work {

namespace {

#define BALLAST_BATCH "SELECT id, owner, endpoint, state, submitted, input, created_us, expires_us, rest FROM batches "

Result<void> done(const Result<store::Rows>& rows) {
  if (!rows) return std::unexpected(rows.error());
  return {};
}

Result<std::vector<Batch>> batches_of(const Result<store::Rows>& rows) {
  if (!rows) return std::unexpected(rows.error());
  std::vector<Batch> out;
  for (const store::Row r : *rows) {
    Batch b;
    b.id = JobId{r.integer(0)};
    b.owner = r.string(1);
    b.endpoint = r.string(2);
    b.state = static_cast<BatchState>(r.integer(3));
    b.submitted = r.boolean(4);
    b.input = JobId{r.integer(5)};
    b.created = from_unix_us(r.integer(6));
    b.expires = from_unix_us(r.integer(7));
    if (auto read = unpack_batch(r.text(8), b); !read) return std::unexpected(std::move(read.error()));
    out.push_back(std::move(b));
  }
  return out;
}

// When it was over; 0: it is not.
std::int64_t ended_us(const Batch& b) {
  if (!terminal(b.state)) return 0;
  return unix_us(std::max({b.completed, b.failed, b.expired, b.cancelled}));
}

}  // namespace

Result<void> insert_batch(store::Tx& tx, const Batch& b) {
  return done(tx.run("INSERT INTO batches (id, owner, endpoint, state, live, submitted, input, created_us, expires_us, ended_us, rest) "
                     "VALUES ($1, $2, $3, $4, 1, 0, $5, $6, $7, 0, $8)",
                     {b.id.value, b.owner, b.endpoint, static_cast<int>(b.state), b.input.value, unix_us(b.created), unix_us(b.expires), pack_batch(b)}));
}

Result<void> update_batch(store::Tx& tx, const Batch& b) {
  const std::string rest = pack_batch(b);
  return done(tx.run("UPDATE batches SET state = $2, live = $3, submitted = $4, ended_us = $5, rest = $6 WHERE id = $1",
                     {b.id.value, static_cast<int>(b.state), !terminal(b.state), b.submitted, ended_us(b), rest}));
}

Result<bool> lock_batch(store::Tx& tx, JobId id, BatchState state) {
  auto rows = tx.run("UPDATE batches SET state = state WHERE id = $1 AND state = $2", {id.value, static_cast<int>(state)});
  if (!rows) return std::unexpected(rows.error());
  return rows->affected() == 1;
}

Result<std::optional<Batch>> get_batch(store::Tx& tx, JobId id) {
  auto found = batches_of(tx.run(BALLAST_BATCH "WHERE id = $1", {id.value}));
  if (!found) return std::unexpected(std::move(found.error()));
  if (found->empty()) return std::optional<Batch>{};
  return std::optional(std::move(found->front()));
}

Result<std::vector<Batch>> list_batches(store::Tx& tx, std::string_view owner, JobId after, std::size_t limit) {
  return batches_of(tx.run(BALLAST_BATCH "WHERE owner = $1 AND id < $2 ORDER BY id DESC LIMIT $3", {owner, after ? after.value : INT64_MAX, limit}));
}

Result<std::vector<Batch>> live_batches(store::Tx& tx) { return batches_of(tx.run(BALLAST_BATCH "WHERE live = 1 ORDER BY id")); }

Result<void> insert_lines(store::Tx& tx, JobId batch, std::span<const LineRow> lines) {
  if (lines.empty()) return {};
  store::Batch rows(4);
  for (const LineRow& l : lines) rows.add({batch.value, l.line, l.custom_id, l.job.value});
  auto added = tx.run_many("INSERT INTO batch_lines (batch, line, custom_id, job) VALUES ($1, $2, $3, $4)", rows);
  if (!added) return std::unexpected(added.error());
  return {};
}

Result<std::vector<LineRow>> list_lines(store::Tx& tx, JobId batch, std::uint64_t line, std::size_t limit) {
  auto rows = tx.run("SELECT l.line, l.custom_id, l.job, j.id FROM batch_lines l LEFT JOIN jobs j ON j.id = l.job WHERE l.batch = $1 AND l.line > $2 ORDER BY l.line LIMIT $3",
                     {batch.value, line, limit});
  if (!rows) return std::unexpected(rows.error());
  std::vector<LineRow> out;
  for (const store::Row r : *rows) out.push_back({static_cast<std::uint64_t>(r.integer(0)), r.string(1), JobId{r.integer(2)}, !r.null(3)});
  return out;
}

Result<void> delete_lines(store::Tx& tx, JobId batch) { return done(tx.run("DELETE FROM batch_lines WHERE batch = $1", {batch.value})); }

Result<LineCounts> count_lines(store::Tx& tx, JobId batch) {
  auto rows = tx.run("SELECT j.state, COUNT(*) FROM batch_lines l LEFT JOIN jobs j ON j.id = l.job WHERE l.batch = $1 GROUP BY j.state", {batch.value});
  if (!rows) return std::unexpected(rows.error());
  LineCounts counts;
  for (const store::Row r : *rows) {
    const auto n = static_cast<std::uint64_t>(r.integer(1));
    counts.total += n;
    const auto state = r.null(0) ? JobState::queued : static_cast<JobState>(r.integer(0));
    if (r.null(0)) counts.missing += n;
    else if (state == JobState::done) counts.completed += n;
    else if (terminal(state)) counts.failed += n;
  }
  return counts;
}

Result<std::uint64_t> sweep_batches(store::Tx& tx, WallTime ended_before, std::size_t limit) {
  auto gone = tx.run("DELETE FROM batches WHERE id IN (SELECT id FROM batches WHERE live = 0 AND ended_us < $1 ORDER BY id LIMIT $2)", {unix_us(ended_before), limit});
  if (!gone) return std::unexpected(gone.error());
  return static_cast<std::uint64_t>(gone->affected());
}

}  // namespace ballast::work
