#include "watch/rows.hpp"

#include <array>

#include "base/text.hpp"
#include "watch/notice.hpp"

namespace ballast::watch {

namespace {

constexpr std::string_view kFirst = R"sql(
CREATE TABLE alerts (
  id {int} NOT NULL PRIMARY KEY, live {int} NOT NULL, rule {text} NOT NULL, kind {text} NOT NULL, severity {int} NOT NULL, state {int} NOT NULL,
  labels {text} NOT NULL, title {text} NOT NULL, detail {text} NOT NULL, value {real} NOT NULL, bound {real} NOT NULL, since_us {int} NOT NULL,
  updated_us {int} NOT NULL, resolved_us {int} NOT NULL, evidence {text} NOT NULL, announced_us {int} NOT NULL, told {int} NOT NULL) {table};
CREATE INDEX alerts_live ON alerts (id) WHERE live = 1;
CREATE TABLE silences (
  id {int} NOT NULL PRIMARY KEY, rule {text} NOT NULL, labels {text} NOT NULL, until_us {int} NOT NULL, note {text} NOT NULL,
  actor {text} NOT NULL, created_us {int} NOT NULL) {table};
CREATE TABLE watchers (name {text} NOT NULL PRIMARY KEY, holder {text} NOT NULL, until_us {int} NOT NULL) {table};
)sql";

constexpr std::array<store::Migration, 1> kMigrations = {{{"watch", 1, "alerts and silences", kFirst}}};

std::string text_of(const Labels& labels) {
  json::array out;
  for (const auto& [name, value] : labels) out.push_back(json::array{name, value});
  return to_json(out);
}

Labels labels_from(std::string_view text) {
  Labels out;
  const auto document = parse_json(text);
  if (!document || !document->is_array()) return out;
  for (const auto& pair : document->get_array())
    if (pair.is_array() && pair.get_array().size() == 2 && pair.get_array()[0].is_string() && pair.get_array()[1].is_string())
      out.emplace_back(std::string(pair.get_array()[0].get_string()), std::string(pair.get_array()[1].get_string()));
  return out;
}

// Names come from callers: what PostgreSQL would refuse is no reason to lose an alert.
std::string clean(std::string_view text) {
  std::string out(text.substr(0, 2'000));
  if (out.find('\0') != std::string::npos || !is_utf8(out))
    for (char& c : out)
      if (c == '\0' || static_cast<unsigned char>(c) >= 0x80) c = '?';
  return out;
}

Labels clean(const Labels& labels) {
  Labels out;
  for (const auto& [name, value] : labels) out.emplace_back(clean(name), clean(value));
  return out;
}

#define BALLAST_ALERT "id, rule, kind, severity, state, labels, title, detail, value, bound, since_us, updated_us, resolved_us, evidence, announced_us, told"

Alert alert_of(const store::Row& r) {
  Alert a{.id = r.integer(0), .rule = r.string(1), .kind = kind_from(r.text(2)).value_or(Kind::error_burst), .severity = static_cast<Severity>(r.integer(3)),
          .state = static_cast<State>(r.integer(4)), .labels = labels_from(r.text(5)), .title = r.string(6), .detail = r.string(7), .value = r.real(8), .threshold = r.real(9),
          .since = from_unix_us(r.integer(10)), .updated = from_unix_us(r.integer(11))};
  if (r.integer(12)) a.resolved_at = from_unix_us(r.integer(12));
  a.evidence = labels_from(r.text(13));
  if (r.integer(14)) a.announced = from_unix_us(r.integer(14));
  a.told = static_cast<State>(r.integer(15));
  return a;
}

Result<std::vector<Alert>> alerts_of(Result<store::Rows> rows) {
  if (!rows) return fail(std::move(rows.error()));
  std::vector<Alert> out;
  for (const store::Row r : *rows) out.push_back(alert_of(r));
  return out;
}

Result<void> done(Result<store::Rows> rows) { return rows ? Result<void>{} : std::unexpected(std::move(rows.error())); }

}  // namespace

std::span<const store::Migration> migrations() { return kMigrations; }

Result<void> put_alert(store::Tx& tx, const Alert& a) {
  const bool live = a.state != State::resolved || owed(a);
  const std::string labels = text_of(clean(a.labels)), evidence = text_of(clean(a.evidence)), title = clean(a.title), detail = clean(a.detail);
  return done(tx.run("INSERT INTO alerts (" BALLAST_ALERT ", live) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) "
                     "ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, state = excluded.state, title = excluded.title, detail = excluded.detail, value = excluded.value, "
                     "bound = excluded.bound, updated_us = excluded.updated_us, resolved_us = excluded.resolved_us, evidence = excluded.evidence, "
                     "announced_us = excluded.announced_us, told = excluded.told, live = excluded.live",
                     {a.id, a.rule, to_string(a.kind), static_cast<int>(a.severity), static_cast<int>(a.state), labels, title, detail, a.value, a.threshold, unix_us(a.since), unix_us(a.updated),
                      a.resolved_at ? unix_us(*a.resolved_at) : 0, evidence, a.announced ? unix_us(*a.announced) : 0, static_cast<int>(a.told), live}));
}

Result<void> drop_alert(store::Tx& tx, std::int64_t id) { return done(tx.run("DELETE FROM alerts WHERE id = $1", {id})); }

Result<std::vector<Alert>> live_alerts(store::Tx& tx) { return alerts_of(tx.run("SELECT " BALLAST_ALERT " FROM alerts WHERE live = 1 ORDER BY id LIMIT 5000")); }

Result<std::vector<Alert>> list_alerts(store::Tx& tx, std::optional<State> state, std::int64_t before, std::size_t limit) {
  const std::int64_t below = before ? before : INT64_MAX;
  if (!state) return alerts_of(tx.run("SELECT " BALLAST_ALERT " FROM alerts WHERE id < $1 ORDER BY id DESC LIMIT $2", {below, limit}));
  return alerts_of(tx.run("SELECT " BALLAST_ALERT " FROM alerts WHERE id < $1 AND state = $3 ORDER BY id DESC LIMIT $2", {below, limit, static_cast<int>(*state)}));
}

Result<std::uint64_t> sweep_alerts(store::Tx& tx, WallTime before, std::size_t limit) {
  auto rows = tx.run("DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE live = 0 AND updated_us < $1 LIMIT $2)", {unix_us(before), limit});
  if (!rows) return fail(std::move(rows.error()));
  return static_cast<std::uint64_t>(rows->affected());
}

Result<void> add_silence(store::Tx& tx, const Silence& s, WallTime now) {
  if (auto swept = done(tx.run("DELETE FROM silences WHERE until_us <= $1", {unix_us(now)})); !swept) return swept;
  const std::string labels = text_of(s.labels);
  auto rows = tx.run("INSERT INTO silences (id, rule, labels, until_us, note, actor, created_us) SELECT $1, $2, $3, $4, $5, $6, $7 "
                     "WHERE (SELECT count(*) FROM silences) < $8",
                     {s.id, s.rule, labels, unix_us(s.until), s.note, s.actor, unix_us(s.created), kMostSilences});
  if (!rows) return fail(std::move(rows.error()));
  if (rows->affected() == 0) return fail(ErrorCode::caller_too_large, "there are too many silences: end some first");
  return {};
}

Result<bool> end_silence(store::Tx& tx, std::int64_t id) {
  auto rows = tx.run("DELETE FROM silences WHERE id = $1", {id});
  if (!rows) return fail(std::move(rows.error()));
  return rows->affected() > 0;
}

Result<std::vector<Silence>> silences(store::Tx& tx, WallTime now) {
  auto rows = tx.run("SELECT id, rule, labels, until_us, note, actor, created_us FROM silences WHERE until_us > $1 ORDER BY id DESC LIMIT 1000", {unix_us(now)});
  if (!rows) return fail(std::move(rows.error()));
  std::vector<Silence> out;
  for (const store::Row r : *rows)
    out.push_back({.id = r.integer(0), .rule = r.string(1), .labels = labels_from(r.text(2)), .until = from_unix_us(r.integer(3)), .note = r.string(4), .actor = r.string(5),
                   .created = from_unix_us(r.integer(6))});
  return out;
}

Result<std::uint64_t> erase_alerts_of(store::Tx& tx, std::string_view user) {
  const std::string label = to_json(json::array{"user", clean(user)});
  if (auto quiet = done(tx.run({"DELETE FROM silences WHERE instr(labels, $1) > 0", "DELETE FROM silences WHERE strpos(labels, $1) > 0"}, {label})); !quiet) return fail(std::move(quiet.error()));
  auto rows = tx.run({"DELETE FROM alerts WHERE instr(labels, $1) > 0", "DELETE FROM alerts WHERE strpos(labels, $1) > 0"}, {label});
  if (!rows) return fail(std::move(rows.error()));
  return static_cast<std::uint64_t>(rows->affected());
}

}  // namespace ballast::watch
