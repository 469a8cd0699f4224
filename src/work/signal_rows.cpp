#include "work/signal_rows.hpp"

namespace ballast::work {

namespace {

std::string_view view(const Digest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }

}  // namespace

Result<void> put_signal(store::Tx& tx, const Signal& s, WallTime until) {
  auto put = tx.run("INSERT INTO signals (id, name, key, key_id, payload, at_us, until_us) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    {s.id.value, s.name, s.key, s.key_id, store::Value::bytes(s.payload), unix_us(s.at), unix_us(until)});
  if (!put) return std::unexpected(put.error());
  return {};
}

Result<std::vector<JobId>> listeners(store::Tx& tx, const Signal& s, std::size_t most) {
  auto rows = tx.run("SELECT DISTINCT job FROM signal_waits WHERE name = $1 AND (any_key = 1 OR key = $2) AND ($3 = '' OR key_id = $3) ORDER BY job LIMIT $4",
                     {s.name, s.key, s.key_id, static_cast<std::int64_t>(most)});
  if (!rows) return std::unexpected(rows.error());
  std::vector<JobId> out;
  for (const store::Row r : *rows) out.push_back(JobId{r.integer(0)});
  return out;
}

Result<void> put_wait(store::Tx& tx, const SignalWait& w, std::string_view key_id) {
  auto put = tx.run("INSERT INTO signal_waits (job, path, input, name, key, any_key, key_id) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (job, path, input) DO NOTHING",
                    {w.job.value, w.path, store::Value::bytes(view(w.input)), w.name, w.key.value_or(""), w.key ? 0 : 1, key_id});
  if (!put) return std::unexpected(put.error());
  return {};
}

Result<void> delete_wait(store::Tx& tx, const SignalWait& w) {
  auto gone = tx.run("DELETE FROM signal_waits WHERE job = $1 AND path = $2 AND input = $3", {w.job.value, w.path, store::Value::bytes(view(w.input))});
  if (!gone) return std::unexpected(gone.error());
  return {};
}

Result<std::optional<Signal>> find_signal(store::Tx& tx, const SignalWait& w, std::string_view key_id, WallTime after) {
  auto rows = tx.run("SELECT id, key, payload, at_us FROM signals WHERE name = $1 AND at_us > $2 AND ($3 = 1 OR key = $4) AND (key_id = '' OR key_id = $5) ORDER BY at_us, id LIMIT 1",
                     {w.name, unix_us(after), w.key ? 0 : 1, w.key.value_or(""), key_id});
  if (!rows) return std::unexpected(rows.error());
  for (const store::Row r : *rows) return Signal{.id = JobId{r.integer(0)}, .name = w.name, .key = r.string(1), .key_id = {}, .payload = std::string(r.bytes(2)), .at = from_unix_us(r.integer(3))};
  return std::optional<Signal>{};
}

Result<void> delete_waits(store::Tx& tx, JobId job) {
  auto gone = tx.run("DELETE FROM signal_waits WHERE job = $1", {job.value});
  if (!gone) return std::unexpected(gone.error());
  return {};
}

Result<void> sweep_signals(store::Tx& tx, WallTime now, std::size_t most) {
  auto gone = tx.run("DELETE FROM signals WHERE id IN (SELECT id FROM signals WHERE until_us <= $1 ORDER BY until_us LIMIT $2)", {unix_us(now), static_cast<std::int64_t>(most)});
  if (!gone) return std::unexpected(gone.error());
  return {};
}

}  // namespace ballast::work
