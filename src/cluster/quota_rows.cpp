#include "cluster/quota_rows.hpp"

#include <algorithm>
#include <cassert>
#include <map>
#include <set>

#include "base/json.hpp"

namespace ballast::cluster {

namespace {

using store::Statement;

#define BALLAST_NAMES "(SELECT json_array_elements_text(CAST(CAST($1 AS TEXT) AS json)))"
#define BALLAST_SLICE "quota, holder, seq, share, floor, want, least, asked_us, served_us, expires_us, spent, closed"
// A slice of nobody's, for ever: quota and money are the columns named.
#define BALLAST_NOBODYS(quota, nano) "SELECT " quota ", 'ledger', 0, " nano ", 0, 0, 0, 0, 0, 9223372036854775807, " nano ", 1 "
#define BALLAST_OR_MORE "ON CONFLICT (quota, holder) DO UPDATE SET share = slices.share + excluded.share, spent = slices.spent + excluded.spent"

constexpr Statement kMake(
    "INSERT INTO quotas (name, kind, amount, period_us, linger_us, ends_us, version, level, at_us) "
    "SELECT unnest($1::text[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::bigint[]), unnest($6::bigint[]), "
    "unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::bigint[]) ON CONFLICT (name) DO NOTHING");
constexpr Statement kLock(
    "SELECT name, kind, amount, period_us, linger_us, ends_us, version, level, at_us FROM quotas WHERE name IN " BALLAST_NAMES " ORDER BY name FOR UPDATE");
constexpr Statement kSlices(
    "SELECT " BALLAST_SLICE " FROM slices WHERE quota IN " BALLAST_NAMES
    " ORDER BY quota, holder");
constexpr Statement kWriteQuotas(
    "UPDATE quotas SET amount = v.amount, linger_us = v.linger, ends_us = v.ends, version = v.version, level = v.level, at_us = v.at "
    "FROM (SELECT unnest($1::text[]) AS name, unnest($2::bigint[]) AS amount, unnest($3::bigint[]) AS linger, unnest($4::bigint[]) AS ends, "
    "unnest($5::bigint[]) AS version, unnest($6::bigint[]) AS level, unnest($7::bigint[]) AS at) v WHERE quotas.name = v.name");
constexpr Statement kWriteSlices(
    "INSERT INTO slices (" BALLAST_SLICE ") "
    "SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::bigint[]), unnest($6::bigint[]), unnest($7::bigint[]), "
    "unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::bigint[]), 0, 0 "
    "ON CONFLICT (quota, holder) DO UPDATE SET seq = excluded.seq, share = excluded.share, floor = excluded.floor, want = excluded.want, least = excluded.least, "
    "asked_us = excluded.asked_us, served_us = excluded.served_us, expires_us = excluded.expires_us");
constexpr Statement kMakeNobodys("INSERT INTO slices (" BALLAST_SLICE ") " BALLAST_NOBODYS("unnest($1::text[])", "unnest($2::bigint[])") "ON CONFLICT (quota, holder) DO NOTHING");
constexpr Statement kNoteSpent(
    "WITH more AS (SELECT e->>0 AS quota, CAST(e->>1 AS BIGINT) AS nano FROM json_array_elements(CAST(CAST($1 AS TEXT) AS json)) e), "
    "theirs AS (UPDATE slices SET spent = slices.spent + more.nano FROM more WHERE slices.quota = more.quota AND slices.holder = $2 AND slices.closed = 0 "
    "RETURNING slices.quota) "
    "INSERT INTO slices (" BALLAST_SLICE ") " BALLAST_NOBODYS("more.quota", "more.nano")
    "FROM more JOIN quotas ON quotas.name = more.quota WHERE more.quota NOT IN (SELECT quota FROM theirs) " BALLAST_OR_MORE);
constexpr Statement kClose(
    "WITH gone AS (DELETE FROM slices WHERE holder = $1 AND quota IN (SELECT name FROM quotas WHERE kind = $2) RETURNING quota, spent) "
    "INSERT INTO slices (" BALLAST_SLICE ") " BALLAST_NOBODYS("quota", "spent") "FROM gone WHERE true " BALLAST_OR_MORE);
constexpr Statement kDropSlices("DELETE FROM slices USING (SELECT unnest($1::text[]) AS quota, unnest($2::text[]) AS holder) v "
                                "WHERE slices.quota = v.quota AND slices.holder = v.holder");

struct Loaded {
  Quota quota;
  std::vector<Slice> slices;
};

std::string names_of(std::span<const QuotaAsk> asks) {
  std::string out;
  for (const QuotaAsk& a : asks) {
    out += out.empty() ? '[' : ',';
    append_json_string(out, a.name);
  }
  return out + "]";
}

// Whether a standby has taken over lately, which may have forgotten what was granted.
Result<bool> is_calm(store::Tx& tx, std::int64_t now) {
  static constexpr Statement notice(
      "UPDATE quota_calm SET until_us = CASE WHEN timeline = 0 THEN 0 ELSE $1 END, timeline = t.present "
      "FROM (SELECT CAST(CAST('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS BIT(32)) AS BIGINT) AS present) t WHERE n = 1 AND timeline <> t.present");
  store::Batch until(1);
  until.add({now + kCalmUs});
  if (auto noticed = tx.run_later(notice, until); !noticed) return std::unexpected(std::move(noticed.error()));
  auto rows = tx.run("SELECT until_us FROM quota_calm WHERE n = 1");
  if (!rows) return std::unexpected(rows.error());
  return !rows->empty() && now < (*rows)[0].integer(0);
}

Result<std::map<std::string, Loaded, std::less<>>> load(store::Tx& tx, const std::string& names) {
  auto quotas = tx.run(kLock, {names});
  if (!quotas) return std::unexpected(quotas.error());
  std::map<std::string, Loaded, std::less<>> out;
  for (const store::Row r : *quotas)
    out[r.string(0)].quota = {.terms = {.kind = static_cast<QuotaKind>(r.integer(1)), .amount = r.integer(2), .period_us = r.integer(3), .linger_us = r.integer(4),
                                        .ends_us = r.integer(5), .version = r.integer(6)},
                              .level = r.integer(7), .at_us = r.integer(8)};
  auto slices = tx.run(kSlices, {names});                // after the lock: as whoever had it before has left them
  if (!slices) return std::unexpected(slices.error());
  for (const store::Row r : *slices)
    if (const auto at = out.find(r.text(0)); at != out.end())
      at->second.slices.push_back({.holder = r.string(1), .seq = static_cast<std::uint64_t>(r.integer(2)), .share = r.integer(3), .floor = r.integer(4),
                                   .want = r.integer(5), .least = r.integer(6), .asked_us = r.integer(7), .served_us = r.integer(8),
                                   .expires_us = r.integer(9), .spent = r.integer(10), .closed = r.integer(11) != 0});
  return out;
}

// What changed, gathered over the batch.
struct Changes {
  store::Batch quotas{7}, slices{10}, dropped{2};

  void add(std::string_view name, const Loaded& l, std::string_view holder, std::span<const std::string> before) {
    const Terms& t = l.quota.terms;
    quotas.add({name, t.amount, t.linger_us, t.ends_us, t.version, l.quota.level, l.quota.at_us});
    for (const Slice& s : l.slices)
      if (s.holder == holder && !s.closed)
        slices.add({name, s.holder, s.seq, s.share, s.floor, s.want, s.least, s.asked_us, s.served_us, s.expires_us});
    for (const std::string& gone : before)
      if (std::ranges::find(l.slices, gone, &Slice::holder) == l.slices.end()) dropped.add({name, gone});
  }
  Result<void> write(store::Tx& tx) const {
    for (const auto& [statement, batch] : {std::pair(&kWriteQuotas, &quotas), {&kDropSlices, &dropped}, {&kWriteSlices, &slices}})
      if (batch->size() > 0)
        if (auto done = tx.run_set(*statement, *batch); !done) return done;
    return {};
  }
};

}  // namespace

Result<void> make_quotas(store::Tx& tx, std::span<const QuotaAsk> asks) {
  const std::int64_t now = unix_us(tx.now());
  std::map<std::string_view, const QuotaAsk*> sorted;
  for (const QuotaAsk& a : asks) sorted.emplace(a.name, &a);
  store::Batch quotas(9), spent(2);
  for (const auto& [name, a] : sorted) {
    const Terms& t = a->terms;
    quotas.add({name, static_cast<int>(t.kind), t.amount, t.period_us, t.linger_us, t.ends_us, t.version, new_quota(t, now).level, now});
    if (t.kind == QuotaKind::money) spent.add({name, a->spent_before});      // also nothing: where the quota is, this is
  }
  if (quotas.size() > 0)
    if (auto made = tx.run_set(kMake, quotas); !made) return made;
  return spent.size() > 0 ? tx.run_set(kMakeNobodys, spent) : Result<void>{};
}

Result<std::vector<QuotaAnswer>> settle_quotas(store::Tx& tx, std::span<const QuotaAsk> asks) {
  assert(asks.size() <= kMostAsks);
  const std::int64_t now = unix_us(tx.now());
  Result<bool> calm = false;
  if (std::ranges::any_of(asks, [](const QuotaAsk& a) { return a.terms.kind == QuotaKind::money; })) calm = is_calm(tx, now);
  if (!calm) return std::unexpected(std::move(calm.error()));
  auto loaded = load(tx, names_of(asks));
  if (!loaded) return std::unexpected(loaded.error());
  std::vector<QuotaAnswer> out(asks.size());
  std::vector<std::vector<std::string>> before(asks.size());     // the batch borrows them
  Changes changes;
  for (std::size_t i = 0; i < asks.size(); ++i) {
    const auto at = loaded->find(asks[i].name);
    if (at == loaded->end()) continue;
    Loaded& l = at->second;
    if (!fits(l.quota, asks[i].terms)) {
      out[i].kind = QuotaAnswer::Kind::other;
      continue;
    }
    for (const Slice& s : l.slices) before[i].push_back(s.holder);
    out[i] = {.kind = QuotaAnswer::Kind::settled, .answer = settle(l.quota, l.slices, asks[i].terms, asks[i].ask, now, *calm)};
    changes.add(at->first, l, asks[i].ask.holder, before[i]);
  }
  if (auto written = changes.write(tx); !written) return std::unexpected(written.error());
  return out;
}

Result<void> note_spent(store::Tx& tx, std::string_view holder, std::span<const Spent> spent) {
  if (spent.empty()) return {};
  std::string names, pairs;
  for (const Spent& s : spent) {
    names += names.empty() ? '[' : ',';
    append_json_string(names, s.quota);
    pairs += pairs.empty() ? "[[" : ",[";
    append_json_string(pairs, s.quota);
    pairs += ',' + std::to_string(s.more) + ']';
  }
  auto locked = tx.run(kLock, {names + "]"});
  if (!locked) return std::unexpected(locked.error());
  if (locked->empty()) return {};
  auto noted = tx.run(kNoteSpent, {pairs + "]", holder});
  if (!noted) return std::unexpected(noted.error());
  return {};
}

Result<void> add_holder(store::Tx& tx, std::string_view holder, std::string_view journal) {
  auto added = tx.run("INSERT INTO quota_holders (holder, journal) VALUES ($1, $2) ON CONFLICT (holder) DO NOTHING", {holder, journal});
  if (!added) return std::unexpected(added.error());
  return {};
}

Result<std::vector<std::string>> holders_of(store::Tx& tx, std::string_view journal, std::string_view but) {
  auto rows = tx.run("SELECT holder FROM quota_holders WHERE journal = $1 AND holder <> $2 ORDER BY holder", {journal, but});
  if (!rows) return std::unexpected(rows.error());
  std::vector<std::string> out;
  for (const store::Row r : *rows) out.push_back(r.string(0));
  return out;
}

Result<std::int64_t> close_holder(store::Tx& tx, std::string_view holder) {
  constexpr int money = static_cast<int>(QuotaKind::money);
  auto locked = tx.run("SELECT name FROM quotas WHERE kind = $2 AND name IN (SELECT quota FROM slices WHERE holder = $1) ORDER BY name FOR UPDATE", {holder, money});
  if (!locked) return std::unexpected(locked.error());
  auto closed = tx.run(kClose, {holder, money});
  if (!closed) return std::unexpected(closed.error());
  auto gone = tx.run("DELETE FROM quota_holders WHERE holder = $1", {holder});
  if (!gone) return std::unexpected(gone.error());
  return closed->affected();
}

Result<std::vector<Charged>> charged_beside(store::Tx& tx, std::string_view holder, std::size_t limit) {
  auto rows = tx.run("SELECT slices.quota, CAST(SUM(CASE WHEN closed = 0 AND $2 - asked_us <= $3 THEN floor ELSE share END) AS BIGINT), CAST(SUM(spent) AS BIGINT) FROM quotas "
                     "JOIN slices ON slices.quota = quotas.name WHERE kind = $4 AND (ends_us = 0 OR ends_us > $2) AND slices.holder <> $1 "
                     "GROUP BY slices.quota ORDER BY slices.quota LIMIT $5",
                     {holder, unix_us(tx.now()), kFreshUs, static_cast<int>(QuotaKind::money), limit});
  if (!rows) return std::unexpected(rows.error());
  std::vector<Charged> out;
  for (const store::Row r : *rows) out.push_back({r.string(0), r.integer(1), r.integer(2)});
  return out;
}

Result<std::int64_t> sweep_quotas(store::Tx& tx) {
  const std::int64_t now = unix_us(tx.now());
  constexpr std::int64_t hour = 3'600'000'000, week = 7 * 24 * hour;
  auto swept = tx.run("DELETE FROM quotas WHERE (kind = $1 AND ends_us > 0 AND ends_us < $2) OR (kind <> $1 AND at_us + period_us < $3 "
                      "AND NOT EXISTS (SELECT 1 FROM slices WHERE quota = name AND expires_us > $4))",
                      {static_cast<int>(QuotaKind::money), now - week, now - hour, now});
  if (!swept) return std::unexpected(swept.error());
  auto slices = tx.run("DELETE FROM slices WHERE NOT EXISTS (SELECT 1 FROM quotas WHERE name = quota)");
  if (!slices) return std::unexpected(slices.error());
  return swept->affected();
}

}  // namespace ballast::cluster
