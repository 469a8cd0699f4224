#include "work/homes.hpp"

#include <algorithm>
#include <cstdlib>

#include "work/lives_sql.hpp"
#include "work/packed_ids.hpp"

namespace ballast::work {

namespace {

// Waits for whoever takes a number at this moment. A transaction that takes one is short, and has locked its node's row before.
Result<std::uint32_t> next_epoch(store::Tx& tx) {
  static_assert(kEpochsSkipped == 100'000);
  static constexpr store::Statement next(
      "UPDATE epochs SET last = last + 1 WHERE n = 1 RETURNING last",
      "UPDATE epochs SET last = last + CASE WHEN timeline IN (0, t.present) THEN 1 ELSE 100000 END, timeline = t.present "
      "FROM (SELECT CAST(CAST('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS BIT(32)) AS BIGINT) AS present) t WHERE n = 1 RETURNING last");
  auto rows = tx.run(next);
  if (!rows) return std::unexpected(rows.error());
  return static_cast<std::uint32_t>((*rows)[0].integer(0));
}

Result<void> without_rows(Result<store::Rows> done) {
  if (!done) return std::unexpected(std::move(done.error()));
  return {};
}

Result<void> add_home(store::Tx& tx, std::uint32_t home, std::uint32_t owner) {
  return without_rows(tx.run("INSERT INTO homes (home, owner, taken) VALUES ($1, $2, 0)", {home, owner}));
}

}  // namespace

Result<std::uint32_t> begin_epoch(store::Tx& tx, unsigned node, std::string_view boot, bool shared) {
  auto rows = tx.run("INSERT INTO nodes (node, epoch, cycle, boot) VALUES ($1, 0, 0, $2) ON CONFLICT (node) DO UPDATE SET cycle = 0, boot = excluded.boot "
                     "RETURNING epoch", {node, boot});
  if (!rows) return std::unexpected(rows.error());
  const std::int64_t before = (*rows)[0].integer(0);
  const auto epoch = next_epoch(tx);
  if (!epoch) return epoch;
  Result<void> done = without_rows(tx.run("UPDATE nodes SET epoch = $2 WHERE node = $1", {node, *epoch}));
  if (done) done = without_rows(tx.run("DELETE FROM cycles WHERE epoch = $1", {std::abs(before)}));
  if (done && shared) {
    done = without_rows(tx.run("UPDATE homes SET owner = $1, taken = $1 WHERE owner = $2 OR owner = 0", {*epoch, before}));
    if (done) done = without_rows(tx.run("DELETE FROM handovers WHERE owner = $1", {before}));
  } else if (done) {
    done = without_rows(tx.run("UPDATE nodes SET epoch = 0, boot = '' WHERE node <> $1", {node}));
    if (done) done = without_rows(tx.run("UPDATE homes SET owner = $1, taken = $1", {*epoch}));
    if (done) done = without_rows(tx.run("DELETE FROM handovers"));
    if (done) done = without_rows(tx.run("DELETE FROM key_homes"));
  }
  if (done) done = add_home(tx, *epoch, *epoch);
  if (!done) return std::unexpected(std::move(done.error()));
  return epoch;
}

Result<std::vector<NodeBoot>> load_boots(store::Tx& tx) {
  auto rows = tx.run("SELECT node, epoch, boot FROM nodes WHERE epoch > 0 ORDER BY node");
  if (!rows) return std::unexpected(rows.error());
  std::vector<NodeBoot> out;
  for (const store::Row r : *rows) out.push_back({static_cast<unsigned>(r.integer(0)), static_cast<std::uint32_t>(r.integer(1)), r.string(2)});
  return out;
}

namespace {

// A process that was stopped in the middle of a transaction still holds its node's row: its session is ended, when it has said nothing for a second.
Result<void> end_open_transaction(store::Tx& tx, unsigned node, std::string_view boot) {
  if (tx.dialect() == store::Dialect::sqlite) return {};
  if (auto patience = without_rows(tx.run("SET LOCAL lock_timeout = '500ms'")); !patience) return patience;
  return without_rows(tx.run("SELECT pg_terminate_backend(a.pid) FROM nodes n JOIN pg_stat_activity a ON a.backend_xid = n.xmax WHERE n.node = $1 AND n.boot = $2 "
                             "AND a.wait_event = 'ClientRead' AND a.state_change < clock_timestamp() - INTERVAL '1 second'", {node, boot}));
}

}  // namespace

// Both nodes' rows are locked in one order, so that two that adopt each other do not wait for each other.
Result<std::optional<std::uint32_t>> adopt_homes(store::Tx& tx, unsigned node, std::string_view boot, std::uint32_t owner) {
  if (auto ended = end_open_transaction(tx, node, boot); !ended) return std::unexpected(std::move(ended.error()));
  static constexpr store::Statement lock("SELECT node, epoch, boot FROM nodes WHERE node = $1 OR epoch = $2 ORDER BY node",
                                         "SELECT node, epoch, boot FROM nodes WHERE node = $1 OR epoch = $2 ORDER BY node FOR UPDATE");
  auto rows = tx.run(lock, {node, owner});
  if (!rows) return std::unexpected(rows.error());
  std::int64_t dead = 0;
  for (const store::Row r : *rows)
    if (r.integer(0) == node && r.integer(1) > 0 && r.integer(1) != owner && r.text(2) == boot) dead = r.integer(1);
  if (dead == 0) return std::optional<std::uint32_t>();
  // Below zero, it still says of which boot its cycle is.
  auto done = without_rows(tx.run("UPDATE nodes SET epoch = -epoch, boot = '' WHERE node = $1", {node}));
  if (!done) return std::unexpected(std::move(done.error()));
  const auto home = raise_home(tx, owner);
  if (!home) return std::unexpected(home.error());
  done = without_rows(tx.run("UPDATE homes SET owner = $1, taken = $2 WHERE owner = $3", {owner, *home, dead}));
  if (done) done = without_rows(tx.run("DELETE FROM handovers WHERE owner = $1", {dead}));
  if (!done) return std::unexpected(std::move(done.error()));
  return std::optional(*home);
}

Result<void> disown_homes(store::Tx& tx, std::uint32_t skipped) {
  Result<void> done = without_rows(tx.run("UPDATE epochs SET last = last + $1", {skipped}));
  if (done) done = without_rows(tx.run("UPDATE nodes SET epoch = 0, boot = ''"));
  if (done) done = without_rows(tx.run("UPDATE homes SET owner = 0"));
  if (done) done = without_rows(tx.run("DELETE FROM handovers"));
  return done;
}

Result<void> skip_epochs(store::Tx& tx, std::uint32_t known, std::uint32_t skipped) {
  return without_rows(tx.run("UPDATE epochs SET last = CASE WHEN last < $1 THEN $1 ELSE last END + $2 WHERE n = 1", {known, skipped}));
}

Result<std::optional<std::int64_t>> newest_cycle(store::Tx& tx, unsigned node, std::uint32_t epoch) {
  auto rows = tx.run("SELECT epoch FROM nodes WHERE node = $1", {node});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::optional<std::int64_t>(0);
  const std::int64_t there = std::abs((*rows)[0].integer(0));
  if (there != epoch) return there > 0 && there < epoch ? std::optional<std::int64_t>(0) : std::nullopt;
  auto newest = tx.run("SELECT MAX(cycle) FROM cycles WHERE epoch = $1", {epoch});
  if (!newest) return std::unexpected(newest.error());
  return std::optional((*newest)[0].maybe_integer(0).value_or(0));
}

Result<std::uint32_t> raise_home(store::Tx& tx, std::uint32_t owner) {
  const auto home = next_epoch(tx);
  if (!home) return home;
  if (auto added = add_home(tx, *home, owner); !added) return std::unexpected(std::move(added.error()));
  return home;
}

Result<void> forget_homes(store::Tx& tx, std::uint32_t taken, std::span<const std::uint32_t> kept) {
  auto rows = tx.run("SELECT home FROM homes WHERE taken = $1 AND NOT EXISTS (SELECT 1 FROM key_homes WHERE key_homes.home = homes.home)", {taken});
  if (!rows) return std::unexpected(rows.error());
  store::Batch empty(2);
  for (const store::Row r : *rows)
    if (!std::ranges::binary_search(kept, static_cast<std::uint32_t>(r.integer(0)))) empty.add({r.integer(0), taken});
  return empty.size() == 0 ? Result<void>{} : tx.run_later("DELETE FROM homes WHERE home = $1 AND taken = $2", empty);
}

Result<std::optional<Owner>> owner_of(store::Tx& tx, JobId job) {
  auto rows = tx.run("SELECT h.owner, n.node, n.boot FROM jobs j JOIN homes h ON h.home = j.home LEFT JOIN nodes n ON n.epoch = h.owner AND h.owner > 0 "
                     "WHERE j.id = $1 AND j." BALLAST_JOB_LIVES, {job.value});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::optional<Owner>();
  const store::Row r = (*rows)[0];
  return std::optional(Owner{.epoch = static_cast<std::uint32_t>(r.integer(0)), .node = static_cast<unsigned>(r.integer(1)), .boot = r.string(2)});
}

Result<void> hand_over(store::Tx& tx, std::uint32_t to, std::int64_t seq, std::span<const JobId> jobs) {
  static constexpr store::Statement lock("SELECT 1 FROM homes WHERE home = $1 AND owner = $1", "SELECT 1 FROM homes WHERE home = $1 AND owner = $1 FOR SHARE");
  auto lives = tx.run(lock, {to});
  if (!lives) return std::unexpected(lives.error());
  if (lives->empty()) return fail(ErrorCode::caller_conflict, "this node has gone; give to another", "owner");
  store::Batch moved(2);
  moved.reserve(jobs.size());
  for (const JobId id : jobs) moved.add({id.value, to});
  auto done = tx.run_later("UPDATE jobs SET home = $2 WHERE id = $1 AND " BALLAST_JOB_LIVES, moved, [ids = std::vector(jobs.begin(), jobs.end())](std::size_t row) {
    return Error{ErrorCode::caller_conflict, fmt::format("{} is not as this process has it: it has ended", to_string(ids[row])), "id"};
  });
  if (!done) return done;
  const std::string packed = pack_ids(jobs);
  return without_rows(tx.run("INSERT INTO handovers (owner, seq, jobs) VALUES ($1, $2, $3)", {to, seq, store::Value::bytes(packed)}));
}

Result<std::vector<Handover>> load_handovers(store::Tx& tx, std::uint32_t to, std::size_t limit) {
  auto rows = tx.run("SELECT seq, jobs FROM handovers WHERE owner = $1 ORDER BY seq LIMIT $2", {to, limit});
  if (!rows) return std::unexpected(rows.error());
  std::vector<Handover> out;
  for (const store::Row r : *rows) out.push_back({r.integer(0), unpack_ids(r.bytes(1))});
  return out;
}

Result<void> delete_handovers(store::Tx& tx, std::uint32_t to, std::span<const Handover> received) {
  if (received.empty()) return {};
  store::Batch gone(2);
  for (const Handover& h : received) gone.add({to, h.seq});
  return tx.run_later("DELETE FROM handovers WHERE owner = $1 AND seq = $2", gone);
}


// Its row may go, or its home change hands, between two statements: then once more.
Result<std::uint32_t> key_owner(store::Tx& tx, std::string_view queue, std::string_view key, std::uint32_t me) {
  static constexpr store::Statement find("SELECT h.owner FROM key_homes k LEFT JOIN homes h ON h.home = k.home WHERE k.queue = $1 AND k.key = $2",
                                         "SELECT h.owner FROM key_homes k LEFT JOIN homes h ON h.home = k.home WHERE k.queue = $1 AND k.key = $2 FOR SHARE OF k");
  for (int tries = 0; tries < 5; ++tries) {
    auto made = tx.run("INSERT INTO key_homes (queue, key, home) VALUES ($1, $2, $3) ON CONFLICT (queue, key) DO NOTHING", {queue, key, me});
    if (!made) return std::unexpected(made.error());
    if (made->affected() == 1) return me;
    auto rows = tx.run(find, {queue, key});
    if (!rows) return std::unexpected(rows.error());
    if (!rows->empty() && (*rows)[0].integer(0) > 0) return static_cast<std::uint32_t>((*rows)[0].integer(0));
  }
  return std::unexpected(store::make_error(store::Fault::unavailable, "a concurrency key changes hands; try again"));
}

Result<void> keep_key(store::Tx& tx, std::string_view queue, std::string_view key, std::uint32_t home) {
  return without_rows(tx.run("INSERT INTO key_homes (queue, key, home) VALUES ($1, $2, $3) ON CONFLICT (queue, key) DO NOTHING", {queue, key, home}));
}

Result<std::vector<KeyPlace>> load_keys(store::Tx& tx, std::uint32_t owner, const KeyPlace& after, std::size_t limit) {
  auto rows = tx.run("SELECT queue, key FROM key_homes WHERE (queue > $2 OR (queue = $2 AND key > $3)) AND home IN (SELECT home FROM homes WHERE owner = $1) "
                     "ORDER BY queue, key LIMIT $4", {owner, after.queue, after.key, limit});
  if (!rows) return std::unexpected(rows.error());
  std::vector<KeyPlace> out;
  for (const store::Row r : *rows) out.push_back({r.string(0), r.string(1)});
  return out;
}

// Whoever accepts a job of such a key elsewhere holds its row until the handover is there to be seen, or finds no row afterwards.
Result<void> forget_keys(store::Tx& tx, std::uint32_t owner, std::span<const KeyPlace> keys) {
  if (keys.empty()) return {};
  static constexpr store::Statement lock("SELECT 1 FROM key_homes WHERE queue = $1 AND key = $2", "SELECT 1 FROM key_homes WHERE queue = $1 AND key = $2 FOR UPDATE");
  store::Batch gone(2);
  for (const KeyPlace& k : keys) {
    if (auto locked = without_rows(tx.run(lock, {k.queue, k.key})); !locked) return locked;
    gone.add({k.queue, k.key});
  }
  auto given = tx.run("SELECT COUNT(*) FROM handovers WHERE owner = $1", {owner});
  if (!given) return std::unexpected(given.error());
  return (*given)[0].integer(0) > 0 ? Result<void>{} : tx.run_later("DELETE FROM key_homes WHERE queue = $1 AND key = $2", gone);
}

}  // namespace ballast::work
