#include "work/job_rows.hpp"

#include <algorithm>
#include <cstdlib>
#include <tuple>
#include <unordered_map>

#include "work/lives_sql.hpp"
#include "work/packed_ids.hpp"

namespace ballast::work {

namespace {

std::string_view view(const Digest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }

std::int64_t time_or_zero(WallTime t) { return t == WallTime{} ? 0 : unix_us(t); }

Result<void> insert_rows(store::Tx& tx, std::span<const NewJob* const> jobs) {
  std::vector<std::string> specs;
  specs.reserve(jobs.size());
  store::Batch batch(13);
  batch.reserve(jobs.size());
  const JobSpec* packed = nullptr;
  for (const NewJob* n : jobs) {
    const Job& j = *n->job;
    if (!packed || j.spec != *packed) specs.push_back(pack_spec(*(packed = &j.spec)));   // what is submitted together is mostly alike
    batch.add({j.id.value, static_cast<int>(j.state < JobState::done), static_cast<int>(j.state), static_cast<int>(j.spec.kind), j.spec.queue, j.spec.tenant,
               j.spec.name, j.spec.priority, j.attempt, time_or_zero(j.due), specs.back(), store::Value::bytes(j.input), n->home});
  }
  static constexpr store::Statement insert(
      "INSERT INTO jobs (id, live, state, kind, queue, tenant, name, priority, attempt, due_us, spec, input, home, fence, finished_us) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, 0)",
      "INSERT INTO jobs (id, live, state, kind, queue, tenant, name, priority, attempt, due_us, spec, input, home, fence, finished_us) "
      "SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::text[]), unnest($6::text[]), "
      "unnest($7::text[]), unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::bigint[]), unnest($11::text[]), unnest($12::bytea[]), unnest($13::bigint[]), 0, 0");
  return tx.run_set(insert, batch);
}

// What a loser's key belongs to already.
Result<Insertion> holder_of(store::Tx& tx, const Digest& key, const Digest& body) {
  auto rows = tx.run("SELECT job, body FROM job_keys WHERE digest = $1", {store::Value::bytes(view(key))});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::unexpected(store::make_error(store::Fault::conflict, "a key's row went away meanwhile"));
  return Insertion{.existing = JobId{(*rows)[0].integer(0)}, .other_body = (*rows)[0].bytes(1) != view(body)};
}

#define BALLAST_TAKE_KEY \
  "INSERT INTO job_keys (digest, job, body, while_live, until_us) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (digest) DO UPDATE SET " \
  "job = excluded.job, body = excluded.body, while_live = excluded.while_live, until_us = excluded.until_us "
constexpr store::Statement kTakeFree(BALLAST_TAKE_KEY "WHERE job_keys.while_live = 0 AND job_keys.until_us <= $6"),
    kTakeKey(BALLAST_TAKE_KEY "WHERE (job_keys.while_live = 0 AND job_keys.until_us <= $6) OR "
                              "(job_keys.while_live = 1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = job_keys.job AND jobs." BALLAST_JOB_LIVES "))");

// How many of `keys` were taken by each run. Whoever waited for another node's transaction must not ask whether that one's job lives with what could be seen before:
// PostgreSQL locks the row first, and looks again with a statement of its own.
Result<std::vector<std::int64_t>> take(store::Tx& tx, const store::Batch& keys, bool unique) {
  if (tx.dialect() == store::Dialect::sqlite) return tx.run_many(kTakeKey, keys);
  auto taken = tx.run_many(kTakeFree, keys);
  if (!taken || !unique) return taken;
  store::Batch again(keys.width());
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < taken->size(); ++i) {
    if ((*taken)[i] > 0) continue;
    const auto row = keys.row(i);
    again.add({row[0], row[1], row[2], row[3], row[4], row[5]});
    rows.push_back(i);
  }
  if (rows.empty()) return taken;
  auto second = tx.run_many(kTakeKey, again);
  if (!second) return second;
  for (std::size_t i = 0; i < rows.size(); ++i) (*taken)[rows[i]] = (*second)[i];
  return taken;
}

// One kind of key, of those that have one and have not lost already. In the order of the keys, so that two nodes do not wait for each other.
Result<void> take_keys(store::Tx& tx, std::span<const NewJob* const> jobs, bool unique, WallTime now, std::vector<Insertion>& out) {
  std::vector<std::size_t> keyed;
  const Digest none{};
  const auto key_of = [&](std::size_t i) -> const Digest& { return unique ? jobs[i]->unique : jobs[i]->key; };
  for (std::size_t i = 0; i < jobs.size(); ++i)
    if (key_of(i) != none && !out[i].existing) keyed.push_back(i);
  if (keyed.empty()) return {};
  std::ranges::sort(keyed, [&](std::size_t a, std::size_t b) { return std::tie(key_of(a), a) < std::tie(key_of(b), b); });
  store::Batch keys(6);
  for (const std::size_t i : keyed) {
    const NewJob& j = *jobs[i];
    keys.add({store::Value::bytes(view(key_of(i))), j.job->id.value, store::Value::bytes(view(unique ? none : j.body)), unique && j.while_live,
              unix_us(unique ? j.unique_until : j.key_until), unix_us(now)});
  }
  auto taken = take(tx, keys, unique);
  if (!taken) return std::unexpected(taken.error());
  for (std::size_t k = 0; k < keyed.size(); ++k) {
    if ((*taken)[k] > 0) continue;
    const NewJob& j = *jobs[keyed[k]];
    auto holder = unique ? holder_of(tx, j.unique, none) : holder_of(tx, j.key, j.body);
    if (!holder) return std::unexpected(std::move(holder.error()));
    out[keyed[k]] = {holder->existing, !unique && holder->other_body};
  }
  return {};
}

}  // namespace

namespace {

constexpr std::int64_t kCyclesKept = 1'024;  // at least, to twice that

Error taken_over() {
  return {ErrorCode::internal_unavailable, "another process has taken this node over; nothing more is written here", "node", false, {}, {}, {}, {}};
}

}  // namespace

bool is_taken_over(const Error& error) { return error.code == ErrorCode::internal_unavailable && !error.retryable && error.field == "node"; }

Result<void> check_epoch(store::Tx& tx, unsigned node, std::uint32_t epoch, std::int64_t cycle, std::int64_t kept) {
  if (tx.dialect() == store::Dialect::sqlite) {
    auto rows = tx.run("SELECT 1 FROM nodes WHERE node = $1 AND epoch = $2", {node, epoch});
    if (!rows) return std::unexpected(rows.error());
    return rows->empty() ? Result<void>(std::unexpected(taken_over())) : Result<void>{};
  }
  store::Batch one(4);
  one.add({node, epoch, cycle, kept});
  auto told = tx.run_later("INSERT INTO cycles (epoch, cycle, refused) SELECT n.epoch, $3, 0 FROM nodes AS n WHERE n.node = $1 AND n.epoch = $2 "
                           "AND (SELECT COALESCE(MAX(c.cycle), 0) FROM cycles AS c WHERE c.epoch = $2) BETWEEN $4 AND $3 - 1 "
                           "FOR NO KEY UPDATE OF n ON CONFLICT DO NOTHING", one, [](std::size_t) { return taken_over(); });
  if (!told || kept / kCyclesKept == cycle / kCyclesKept) return told;
  store::Batch old(3);                       // between bounds: what was deleted before is not walked through
  old.add({epoch, (kept / kCyclesKept - 1) * kCyclesKept, (cycle / kCyclesKept - 1) * kCyclesKept});
  return tx.run_later("DELETE FROM cycles WHERE epoch = $1 AND cycle >= $2 AND cycle < $3", old);
}

// The row of the node first, and then, by a statement of its own, what whoever held it has committed.
Result<bool> settle_cycle(store::Tx& tx, unsigned node, std::uint32_t epoch, std::int64_t cycle, std::int64_t kept) {
  static constexpr store::Statement lock("SELECT 1 FROM nodes WHERE node = $1 AND epoch = $2", "SELECT 1 FROM nodes WHERE node = $1 AND epoch = $2 FOR UPDATE");
  auto mine = tx.run(lock, {node, epoch});
  if (!mine) return std::unexpected(mine.error());
  auto newest = tx.run("SELECT cycle, refused FROM cycles WHERE epoch = $1 ORDER BY cycle DESC LIMIT 1", {epoch});
  if (!newest) return std::unexpected(newest.error());
  const std::int64_t there = newest->empty() ? 0 : (*newest)[0].integer(0);
  if (mine->empty() || there < kept) return std::unexpected(taken_over());
  if (there == cycle) return !(*newest)[0].boolean(1);
  auto refused = tx.run("INSERT INTO cycles (epoch, cycle, refused) VALUES ($1, $2, 1)", {epoch, cycle});
  if (!refused) return std::unexpected(refused.error());
  return false;
}

// Rows first, keys after: a key whose job has ended is told from one whose job is being inserted here. Who loses its key leaves no row.
Result<std::vector<Insertion>> insert_jobs(store::Tx& tx, std::span<const NewJob* const> jobs, WallTime now) {
  std::vector<Insertion> out(jobs.size());
  if (jobs.empty()) return out;
  if (auto inserted = insert_rows(tx, jobs); !inserted) return std::unexpected(std::move(inserted.error()));
  if (auto kept = take_keys(tx, jobs, false, now, out); !kept) return std::unexpected(std::move(kept.error()));
  std::vector<bool> repeated(jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i) repeated[i] = static_cast<bool>(out[i].existing);
  if (auto kept = take_keys(tx, jobs, true, now, out); !kept) return std::unexpected(std::move(kept.error()));
  store::Batch lost(1), kept(3);
  std::unordered_map<JobId, JobId> winners;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (!out[i].existing) continue;
    const NewJob& j = *jobs[i];
    lost.add({j.job->id.value});
    if (repeated[i] || j.key == Digest{}) continue;
    winners.emplace(j.job->id, out[i].existing);
    kept.add({store::Value::bytes(view(j.key)), j.job->id.value, out[i].existing.value});
  }
  for (Insertion& i : out)
    if (const auto winner = winners.find(i.existing); winner != winners.end()) i.existing = winner->second;
  if (kept.size() > 0)
    if (auto moved = tx.run_later("UPDATE job_keys SET job = $3 WHERE digest = $1 AND job = $2", kept); !moved) return std::unexpected(std::move(moved.error()));
  if (lost.size() > 0)
    if (auto gone = tx.run_later("DELETE FROM jobs WHERE id = $1", lost); !gone) return std::unexpected(std::move(gone.error()));
  return out;
}

Result<std::uint64_t> sweep_keys(store::Tx& tx, WallTime now, std::size_t limit) {
  auto rows = tx.run("DELETE FROM job_keys WHERE digest IN (SELECT digest FROM job_keys WHERE until_us <= $1 AND (while_live = 0 OR NOT EXISTS "
                     "(SELECT 1 FROM jobs WHERE jobs.id = job_keys.job AND jobs." BALLAST_JOB_LIVES ")) ORDER BY until_us LIMIT $2)", {unix_us(now), limit});
  if (!rows) return std::unexpected(rows.error());
  return static_cast<std::uint64_t>(rows->affected());
}

Result<void> insert_claims(store::Tx& tx, std::span<const Claim* const> claims, WallTime now) {
  if (claims.empty()) return {};
  std::vector<std::string> packed;
  packed.reserve(claims.size());
  store::Batch batch(4);
  for (const Claim* c : claims) {
    packed.push_back(pack_ids(c->jobs));
    batch.add({c->fence, c->holder, store::Value::bytes(packed.back()), unix_us(now)});
  }
  return tx.run_later("INSERT INTO claims (fence, holder, jobs, at_us) VALUES ($1, $2, $3, $4)", batch);
}

Result<void> delete_claims(store::Tx& tx, std::span<const Fence> fences) {
  if (fences.empty()) return {};
  store::Batch batch(1);
  for (const Fence f : fences) batch.add({f});
  return tx.run_later("DELETE FROM claims WHERE fence = $1", batch);
}

Result<std::vector<ClaimRow>> load_claims(store::Tx& tx, std::uint32_t taken) {
  auto rows = taken == 0 ? tx.run("SELECT fence, holder, jobs FROM claims ORDER BY fence")
                         : tx.run("SELECT c.fence, c.holder, c.jobs FROM homes h JOIN claims c ON c.fence >= h.home * 4294967296 AND c.fence < (h.home + 1) * 4294967296 "
                                  "WHERE h.taken = $1 ORDER BY c.fence", {taken});
  if (!rows) return std::unexpected(rows.error());
  std::vector<ClaimRow> out;
  for (const store::Row r : *rows) out.push_back({r.integer(0), r.string(1), unpack_ids(r.bytes(2))});
  return out;
}

Result<void> apply_transitions(store::Tx& tx, std::span<const Transition> transitions) {
  if (transitions.empty()) return {};
  store::Batch batch(9);
  batch.reserve(transitions.size());
  std::vector<JobId> ids;
  ids.reserve(transitions.size());
  for (const Transition& t : transitions) {
    ids.push_back(t.id);
    batch.add({static_cast<int>(t.state < JobState::done), static_cast<int>(t.state), t.attempt, t.fence, time_or_zero(t.due), time_or_zero(t.finished),
               t.output ? store::Value::bytes(*t.output) : store::Value(nullptr), t.error ? store::Value(*t.error) : store::Value(nullptr), t.id.value});
  }
  return tx.run_later(
      "UPDATE jobs SET live = $1, state = $2, attempt = $3, fence = CASE WHEN $4 = 0 THEN fence ELSE $4 END, due_us = $5, finished_us = $6, "
      "output = $7, error = COALESCE($8, error) WHERE id = $9 AND " BALLAST_JOB_LIVES " AND ($4 = 0 OR fence < $4)",
      batch, [ids = std::move(ids)](std::size_t row) {
        return Error{ErrorCode::caller_conflict, fmt::format("{} is not as this process has it: it ended, or its lease was taken over", to_string(ids[row])), "id"};
      });
}

Result<void> insert_attempts(store::Tx& tx, std::span<const AttemptRow> attempts) {
  if (attempts.empty()) return {};
  store::Batch batch(6);
  for (const AttemptRow& a : attempts) batch.add({a.job.value, a.n, a.fence, a.holder, unix_us(a.at), a.error});
  return tx.run_later("INSERT INTO job_attempts (job, n, fence, holder, at_us, error) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (job, n) DO NOTHING", batch);
}

Result<std::vector<AttemptRow>> list_attempts(store::Tx& tx, JobId job) {
  auto rows = tx.run("SELECT n, fence, holder, at_us, error FROM job_attempts WHERE job = $1 ORDER BY n", {job.value});
  if (!rows) return std::unexpected(rows.error());
  std::vector<AttemptRow> out;
  for (const store::Row r : *rows)
    out.push_back({job, static_cast<std::uint32_t>(r.integer(0)), r.integer(1), r.string(2), from_unix_us(r.integer(3)), r.string(4)});
  return out;
}

Result<void> put_queue(store::Tx& tx, const QueueRow& row) {
  auto put = tx.run("INSERT INTO queues (name, concurrency, per_tenant, paused) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO UPDATE SET "
                    "concurrency = excluded.concurrency, per_tenant = excluded.per_tenant, paused = excluded.paused",
                    {row.name, row.rules.concurrency, row.rules.per_tenant, row.rules.paused});
  if (!put) return std::unexpected(put.error());
  return {};
}

Result<std::vector<QueueRow>> load_queues(store::Tx& tx) {
  auto rows = tx.run("SELECT name, concurrency, per_tenant, paused FROM queues ORDER BY name");
  if (!rows) return std::unexpected(rows.error());
  std::vector<QueueRow> out;
  for (const store::Row r : *rows)
    out.push_back({r.string(0), {static_cast<std::uint32_t>(r.integer(1)), static_cast<std::uint32_t>(r.integer(2)), r.boolean(3)}});
  return out;
}

}  // namespace ballast::work
