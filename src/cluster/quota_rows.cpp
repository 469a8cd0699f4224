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

constexpr Statement kMake(
    "INSERT INTO quotas (name, kind, amount, period_us, linger_us, ends_us, version, level, at_us) "
    "SELECT unnest($1::text[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::bigint[]), unnest($6::bigint[]), "
    "unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::bigint[]) ON CONFLICT (name) DO NOTHING");
constexpr Statement kLock(
    "SELECT name, kind, amount, period_us, linger_us, ends_us, version, level, at_us FROM quotas WHERE name IN " BALLAST_NAMES " ORDER BY name FOR UPDATE");
constexpr Statement kSlices(
    "SELECT quota, holder, seq, share, floor, want, least, asked_us, served_us, expires_us, spent, closed FROM slices WHERE quota IN " BALLAST_NAMES
    " ORDER BY quota, holder");
constexpr Statement kWriteQuotas(
    "UPDATE quotas SET amount = v.amount, linger_us = v.linger, ends_us = v.ends, version = v.version, level = v.level, at_us = v.at "
    "FROM (SELECT unnest($1::text[]) AS name, unnest($2::bigint[]) AS amount, unnest($3::bigint[]) AS linger, unnest($4::bigint[]) AS ends, "
    "unnest($5::bigint[]) AS version, unnest($6::bigint[]) AS level, unnest($7::bigint[]) AS at) v WHERE quotas.name = v.name");
constexpr Statement kWriteSlices(
    "INSERT INTO slices (quota, holder, seq, share, floor, want, least, asked_us, served_us, expires_us, spent, closed) "
    "SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::bigint[]), unnest($6::bigint[]), unnest($7::bigint[]), "
    "unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::bigint[]), 0, 0 "
    "ON CONFLICT (quota, holder) DO UPDATE SET seq = excluded.seq, share = excluded.share, floor = excluded.floor, want = excluded.want, least = excluded.least, "
    "asked_us = excluded.asked_us, served_us = excluded.served_us, expires_us = excluded.expires_us");
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
  std::map<std::string_view, const Terms*> sorted;
  for (const QuotaAsk& a : asks) sorted.emplace(a.name, &a.terms);
  store::Batch batch(9);
  for (const auto& [name, t] : sorted)
    batch.add({name, static_cast<int>(t->kind), t->amount, t->period_us, t->linger_us, t->ends_us, t->version, new_quota(*t, now).level, now});
  return batch.size() > 0 ? tx.run_set(kMake, batch) : Result<void>{};
}

Result<std::vector<QuotaAnswer>> settle_quotas(store::Tx& tx, std::span<const QuotaAsk> asks) {
  assert(asks.size() <= kMostAsks);
  const std::int64_t now = unix_us(tx.now());
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
    out[i] = {.kind = QuotaAnswer::Kind::settled, .answer = settle(l.quota, l.slices, asks[i].terms, asks[i].ask, now)};
    changes.add(at->first, l, asks[i].ask.holder, before[i]);
  }
  if (auto written = changes.write(tx); !written) return std::unexpected(written.error());
  return out;
}

Result<void> note_spent(store::Tx& tx, std::string_view quota, std::string_view holder, Money more) {
  auto done = tx.run("UPDATE slices SET spent = spent + $3 WHERE quota = $1 AND holder = $2 AND closed = 0", {quota, holder, more.nano});
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<std::int64_t> close_holder(store::Tx& tx, std::string_view holder) {
  auto locked = tx.run("SELECT name FROM quotas WHERE kind = $2 AND name IN (SELECT quota FROM slices WHERE holder = $1) ORDER BY name FOR UPDATE",
                       {holder, static_cast<int>(QuotaKind::money)});
  if (!locked) return std::unexpected(locked.error());
  auto closed = tx.run("UPDATE slices SET share = spent, floor = 0, want = 0, least = 0, closed = 1 WHERE holder = $1 AND closed = 0 AND quota IN "
                       "(SELECT name FROM quotas WHERE kind = $2)", {holder, static_cast<int>(QuotaKind::money)});
  if (!closed) return std::unexpected(closed.error());
  return closed->affected();
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
