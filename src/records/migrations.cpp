#include "records/migrations.hpp"

#include "records/ledger_import.hpp"

namespace ballast::records {

namespace {

// As first drawn, with a row for every call; kSecond and kThird replace it.
// calls: `id` is time-ordered, so its index is the index by time and inserts append to it. `detail` is the encoded CallRecord, decision
// and attempts included; columns exist only for what queries filter, group or sum by. `split`: its attempts differ from the call (retries,
// failed attempts that cost money) and have rows of their own in call_attempts.
constexpr std::string_view kFirst = R"sql(
CREATE TABLE calls (
  id {blob} NOT NULL PRIMARY KEY,
  at_ms {int} NOT NULL, key_id {text} NOT NULL, user_id {text} NOT NULL, feature {text} NOT NULL, team {text} NOT NULL,
  route {text} NOT NULL, operation {text} NOT NULL, provider {text} NOT NULL, model {text} NOT NULL,
  status {int} NOT NULL, cache {int} NOT NULL, split {int} NOT NULL,
  incurred {int} NOT NULL, billed {int} NOT NULL,
  input {int} NOT NULL, cached {int} NOT NULL, cache_write {int} NOT NULL, output {int} NOT NULL, reasoning {int} NOT NULL, images {int} NOT NULL,
  latency_us {int} NOT NULL, detail {blob} NOT NULL) {table};
CREATE INDEX calls_by_key ON calls (key_id, id);
CREATE INDEX calls_by_user ON calls (user_id, id) WHERE user_id <> '';

CREATE TABLE call_attempts (
  call_id {blob} NOT NULL, n {int} NOT NULL, provider {text} NOT NULL, model {text} NOT NULL, failed {int} NOT NULL,
  incurred {int} NOT NULL, billed {int} NOT NULL,
  input {int} NOT NULL, cached {int} NOT NULL, cache_write {int} NOT NULL, output {int} NOT NULL, reasoning {int} NOT NULL, images {int} NOT NULL,
  latency_us {int} NOT NULL, PRIMARY KEY (call_id, n)) {clustered};

CREATE TABLE budget_spend (
  window_id {text} NOT NULL PRIMARY KEY, start_s {int} NOT NULL, nano {int} NOT NULL) {clustered};

CREATE TABLE journal_positions (
  journal {text} NOT NULL, file {text} NOT NULL, done {int} NOT NULL, PRIMARY KEY (journal, file)) {clustered};

CREATE TABLE api_keys (
  id {text} NOT NULL PRIMARY KEY, name {text} NOT NULL, digest {blob} NOT NULL UNIQUE, prefix {text} NOT NULL, scopes {text} NOT NULL,
  models {text} NOT NULL, team {text} NOT NULL, user_id {text} NOT NULL, feature {text} NOT NULL,
  created_us {int} NOT NULL, expires_us {int}, revoked_us {int}, used_us {int}) {table};
CREATE TABLE teams (id {text} NOT NULL PRIMARY KEY, name {text} NOT NULL, created_us {int} NOT NULL) {table};

CREATE TABLE idempotency (
  key_id {text} NOT NULL, idem_key {blob} NOT NULL, body_hash {blob} NOT NULL, call_id {blob} NOT NULL, owner {text} NOT NULL,
  state {int} NOT NULL, created_us {int} NOT NULL, expires_us {int} NOT NULL, reply {blob}, PRIMARY KEY (key_id, idem_key)) {table};
CREATE INDEX idempotency_by_expiry ON idempotency (expires_us);
CREATE INDEX idempotency_started ON idempotency (owner) WHERE state = 1;
)sql";

// call_blocks: up to 256 calls in a row (records/call_block). Found by `last_id`, since a block spans at most a minute.
constexpr std::string_view kSecond = R"sql(
CREATE TABLE call_blocks (
  last_id {blob} NOT NULL, first_id {blob} NOT NULL, calls {int} NOT NULL, summary {blob} NOT NULL, details {blob} NOT NULL,
  PRIMARY KEY (last_id, first_id)) {table};
)sql";

// When all calls are in blocks.
constexpr std::string_view kThird = R"sql(
DROP TABLE calls;
DROP TABLE call_attempts;
)sql";

constexpr std::string_view kFourth = R"sql(
ALTER TABLE api_keys ADD COLUMN old_digest {blob};
ALTER TABLE api_keys ADD COLUMN old_until_us {int};
)sql";

// audit_heads: the newest entry of each chain; audit_dirty: those of them that no anchor knows yet; audit_anchors: how far each node's file
// of anchors goes. Tombstones are found by the chain they tell of.
constexpr std::string_view kFifth = R"sql(
CREATE TABLE audit_entries (
  chain {text} NOT NULL, seq {int} NOT NULL, at_us {int} NOT NULL, actor {text} NOT NULL, action {text} NOT NULL, subject {text} NOT NULL,
  arguments {blob} NOT NULL, outcome {text} NOT NULL, previous {blob} NOT NULL, hash {blob} NOT NULL, PRIMARY KEY (chain, seq)) {clustered};
CREATE INDEX audit_tombstones ON audit_entries (subject) WHERE action = 'audit.erased';
CREATE TABLE audit_heads (chain {text} NOT NULL PRIMARY KEY, length {int} NOT NULL, hash {blob} NOT NULL) {clustered};
CREATE TABLE audit_dirty (chain {text} NOT NULL PRIMARY KEY, length {int} NOT NULL, hash {blob} NOT NULL) {clustered};
CREATE TABLE audit_anchors (
  node {text} NOT NULL PRIMARY KEY, number {int} NOT NULL, at_us {int} NOT NULL, hash {blob} NOT NULL) {clustered};
)sql";

// run_blobs: what a run has computed, by what it is (records/blobs).
constexpr std::string_view kSixth = R"sql(
CREATE TABLE run_blobs (
  job {int} NOT NULL, hash {blob} NOT NULL, raw_size {int} NOT NULL, packed {blob} NOT NULL, PRIMARY KEY (job, hash)) {clustered};
)sql";

// effects: what runs do to the world outside (records/effects). n: the order in which they were intended, place: in which they ended.
constexpr std::string_view kSeventh = R"sql(
CREATE TABLE effects (
  job {int} NOT NULL, path {text} NOT NULL, input {blob} NOT NULL, attempt {int} NOT NULL, kind {int} NOT NULL,
  n {int} NOT NULL, place {int} NOT NULL, target {text} NOT NULL, arguments {blob} NOT NULL, idempotency_key {text} NOT NULL, fence {int} NOT NULL,
  state {int} NOT NULL, outcome {text} NOT NULL, intended_us {int} NOT NULL, dispatched_us {int} NOT NULL, settled_us {int} NOT NULL,
  undone_us {int} NOT NULL, PRIMARY KEY (job, path, input, attempt, kind)) {clustered};
)sql";

// So that the next number of an effect is found without looking at all of its run's.
constexpr std::string_view kEighth = R"sql(
CREATE INDEX effects_by_n ON effects (job, n);
CREATE INDEX effects_by_place ON effects (job, place) WHERE place > 0;
)sql";

// rollups, rollup_users: what calls add up to (records/rollups), by level (0 minute, 1 hour, 2 day) and start. rollup_dirty: rows that are to
// be made anew. call_zones: of each block what a search skips it by (records/zones).
constexpr std::string_view kNinth = R"sql(
CREATE TABLE rollups (
  level {int} NOT NULL, start_s {int} NOT NULL, calls {int} NOT NULL, sums {blob} NOT NULL, cells {blob}, PRIMARY KEY (level, start_s)) {table};
CREATE INDEX rollups_wide ON rollups (start_s) WHERE cells IS NULL;
CREATE TABLE rollup_users (
  level {int} NOT NULL, start_s {int} NOT NULL, shard {int} NOT NULL, shards {int} NOT NULL, users {blob} NOT NULL,
  PRIMARY KEY (level, start_s, shard)) {table};
CREATE TABLE rollup_dirty (level {int} NOT NULL, start_s {int} NOT NULL, seq {int} NOT NULL, PRIMARY KEY (level, start_s)) {clustered};
CREATE TABLE rollup_state (
  n {int} NOT NULL PRIMARY KEY, noted {int} NOT NULL, calls_from {int} NOT NULL, minutes_from {int} NOT NULL, hours_from {int} NOT NULL) {table};
INSERT INTO rollup_state (n, noted, calls_from, minutes_from, hours_from) VALUES (1, 0, 0, 0, 0);
CREATE TABLE call_zones (last_id {blob} NOT NULL, first_id {blob} NOT NULL, zone {blob} NOT NULL, PRIMARY KEY (last_id, first_id)) {clustered};
)sql";

// sessions: who is signed in to the dashboard (records/sessions).
constexpr std::string_view kTenth = R"sql(
CREATE TABLE sessions (
  digest {blob} NOT NULL PRIMARY KEY, key_id {text} NOT NULL, proof {blob} NOT NULL, created_us {int} NOT NULL, expires_us {int} NOT NULL,
  seen_us {int} NOT NULL) {clustered};
)sql";

// Messages of calls: ids are time-ordered, so the primary key is the index of retention too.
constexpr std::string_view kTwelfth = R"sql(
CREATE TABLE recorded_messages (
  call_id {blob} NOT NULL PRIMARY KEY, user_id {text} NOT NULL, key_id {text} NOT NULL, at_us {int} NOT NULL, flags {int} NOT NULL, packed {blob} NOT NULL) {table};
CREATE INDEX recorded_messages_by_user ON recorded_messages (user_id, call_id) WHERE user_id <> '';
)sql";

// feedback: what people say of calls and jobs (records/feedback). Found by what was judged, by its time, and by who gave it.
// readiness_evidence: what people have done that no figure shows (records/evidence).
constexpr std::string_view kEleventh = R"sql(
CREATE TABLE feedback (
  subject {text} NOT NULL, user_id {text} NOT NULL, id {blob} NOT NULL, call_id {blob} NOT NULL, at_us {int} NOT NULL, given_us {int} NOT NULL,
  good {int} NOT NULL, score {real}, comment {text} NOT NULL, key_id {text} NOT NULL, subject_key {text} NOT NULL, subject_user {text} NOT NULL,
  feature {text} NOT NULL, team {text} NOT NULL, route {text} NOT NULL, provider {text} NOT NULL, model {text} NOT NULL, incurred {int} NOT NULL,
  PRIMARY KEY (subject, user_id)) {table};
CREATE INDEX feedback_by_time ON feedback (at_us);
CREATE INDEX feedback_by_giver ON feedback (user_id) WHERE user_id <> '';
CREATE INDEX feedback_by_asker ON feedback (subject_user) WHERE subject_user <> '';
CREATE TABLE readiness_evidence (
  line {text} NOT NULL PRIMARY KEY, at_us {int} NOT NULL, note {text} NOT NULL, actor {text} NOT NULL, told_us {int} NOT NULL) {clustered};
)sql";

// rollup_user_calls: how many calls each user made in an hour or a day (records/rollups_users). Rows that can be made anew are noted, so that they get
// theirs; the others are read without.
constexpr std::string_view kThirteenth = R"sql(
CREATE TABLE rollup_user_calls (level {int} NOT NULL, start_s {int} NOT NULL, calls {blob} NOT NULL, PRIMARY KEY (level, start_s)) {table};
INSERT INTO rollup_dirty (level, start_s, seq)
  SELECT r.level, r.start_s, r.start_s FROM rollups AS r, rollup_state AS s
  WHERE (r.level = 1 AND r.start_s >= s.minutes_from) OR (r.level = 2 AND r.start_s >= s.hours_from)
  ON CONFLICT (level, start_s) DO UPDATE SET seq = rollup_dirty.seq + 1;
)sql";

// shared_answers: answers that one node's cache keeps for all nodes (records/shared_answers). Found by the request's digest; by route, whether there are any;
// swept by expiry and, where there are too many, by age, whose index has the bytes too.
constexpr std::string_view kFourteenth = R"sql(
CREATE TABLE shared_answers (
  digest {blob} NOT NULL PRIMARY KEY, route {text} NOT NULL, user_id {text} NOT NULL, stored_us {int} NOT NULL, expires_us {int} NOT NULL, bytes {int} NOT NULL,
  packed {blob} NOT NULL) {table};
CREATE INDEX shared_answers_by_route ON shared_answers (route, expires_us);
CREATE INDEX shared_answers_by_expiry ON shared_answers (expires_us);
CREATE INDEX shared_answers_by_age ON shared_answers (stored_us, bytes);
CREATE INDEX shared_answers_by_user ON shared_answers (user_id) WHERE user_id <> '';
)sql";

constexpr store::Migration kMigrations[] = {
    {"records", 1, "calls, attempts, budgets, keys, idempotency", kFirst},
    {"records", 2, "calls in blocks", kSecond},
    {"records", 3, "rows of calls move into blocks", kThird, move_rows_to_blocks},
    {"records", 4, "a key's secret before its last rotation", kFourth},
    {"records", 5, "the audit trail", kFifth},
    {"records", 6, "values of runs", kSixth},
    {"records", 7, "effects of runs", kSeventh},
    {"records", 8, "the order of a run's effects", kEighth},
    {"records", 9, "rollups and zones", kNinth},
    {"records", 10, "sessions of the dashboard", kTenth},
    {"records", 11, "verdicts of users, and what people have proven", kEleventh},
    {"records", 12, "recorded messages of calls", kTwelfth},
    {"records", 13, "calls of each user by hour and day", kThirteenth},
    {"records", 14, "answers of the cache that all nodes share", kFourteenth},
};

}  // namespace

std::span<const store::Migration> migrations() { return kMigrations; }

}  // namespace ballast::records
