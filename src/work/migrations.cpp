#include "work/job_rows.hpp"

namespace ballast::work {

namespace {

// jobs: written at submission and at each transition, never for a lease. `live` is state < 2, as a column, because a partial index on it is
// what finds the live ones at start (kIndexes). `fence` is that of the last lease whose outcome is recorded: a claim's job above it is leased.
// `spec` is JSON, empty for a job that says nothing unusual.
// claims: one row for jobs leased together, until none of them is.
constexpr std::string_view kFirst = R"sql(
CREATE TABLE jobs (
  id {int} NOT NULL PRIMARY KEY, live {int} NOT NULL, state {int} NOT NULL, kind {int} NOT NULL, queue {text} NOT NULL, tenant {text} NOT NULL,
  name {text} NOT NULL, priority {int} NOT NULL, attempt {int} NOT NULL, fence {int} NOT NULL, due_us {int} NOT NULL, finished_us {int} NOT NULL,
  spec {text} NOT NULL, input {blob} NOT NULL, output {blob}, error {text}) {table};
CREATE INDEX jobs_live ON jobs (id) WHERE live = 1;
CREATE INDEX jobs_dead ON jobs (id) WHERE state = 3;
CREATE INDEX jobs_by_name ON jobs (name, id) WHERE kind = 2;
CREATE INDEX jobs_by_tenant ON jobs (tenant, id);

CREATE TABLE job_keys (
  digest {blob} NOT NULL PRIMARY KEY, job {int} NOT NULL, body {blob} NOT NULL, while_live {int} NOT NULL, until_us {int} NOT NULL) {clustered};
CREATE INDEX job_keys_by_expiry ON job_keys (until_us);

CREATE TABLE job_attempts (
  job {int} NOT NULL, n {int} NOT NULL, fence {int} NOT NULL, holder {text} NOT NULL, at_us {int} NOT NULL, error {text} NOT NULL,
  PRIMARY KEY (job, n)) {clustered};

CREATE TABLE claims (fence {int} NOT NULL PRIMARY KEY, holder {text} NOT NULL, jobs {blob} NOT NULL, at_us {int} NOT NULL) {table};

CREATE TABLE nodes (node {int} NOT NULL PRIMARY KEY, epoch {int} NOT NULL, cycle {int} NOT NULL) {table};

CREATE TABLE queues (
  name {text} NOT NULL PRIMARY KEY, concurrency {int} NOT NULL, per_tenant {int} NOT NULL, paused {int} NOT NULL) {clustered};
)sql";

constexpr std::string_view kSecond = R"sql(
CREATE TABLE job_events (
  job {int} NOT NULL, seq {int} NOT NULL, at_us {int} NOT NULL, attempt {int} NOT NULL, kind {text} NOT NULL, data {text} NOT NULL,
  PRIMARY KEY (job, seq)) {clustered};
)sql";

// approvals: what runs ask of humans. `state` 0 is pending; `taken_us`: when the run went on with the decision. Nothing of a row but what a decision,
// an escalation and the taking say ever changes.
constexpr std::string_view kApprovals = R"sql(
CREATE TABLE approvals (
  job {int} NOT NULL, n {int} NOT NULL, state {int} NOT NULL, path {text} NOT NULL, input {blob} NOT NULL, digest {blob} NOT NULL, flow {text} NOT NULL,
  definition {blob} NOT NULL, policy {text} NOT NULL, key_id {text} NOT NULL, user_name {text} NOT NULL, assignees {text} NOT NULL, rule {text} NOT NULL,
  signature {int} NOT NULL, self {int} NOT NULL, asked_us {int} NOT NULL, expires_us {int} NOT NULL, escalate_us {int} NOT NULL, escalate_to {text} NOT NULL,
  decided_us {int} NOT NULL, decided_by {text} NOT NULL, note {text} NOT NULL, taken_us {int} NOT NULL, value_digest {blob}, shown {text} NOT NULL, value {text},
  PRIMARY KEY (job, n)) {table};
CREATE INDEX approvals_open ON approvals (job, n) WHERE state = 0;
CREATE INDEX approvals_by_expiry ON approvals (expires_us) WHERE state = 0;
CREATE INDEX approvals_by_escalation ON approvals (escalate_us) WHERE state = 0 AND escalate_us > 0;
CREATE INDEX approvals_untaken ON approvals (decided_us) WHERE state > 0 AND taken_us = 0;
)sql";

// run_steps: the journal of a run (run_state.hpp). `value` is there when it is short, else `blob` names it among the run's blobs.
constexpr std::string_view kRuns = R"sql(
CREATE TABLE run_steps (
  job {int} NOT NULL, path {text} NOT NULL, input {blob} NOT NULL, what {int} NOT NULL, attempt {int} NOT NULL, at_us {int} NOT NULL,
  value {blob}, blob {blob}, output {blob} NOT NULL, confidence {real}, fallback {int} NOT NULL, taint {text} NOT NULL, cost_nano {int} NOT NULL,
  error {text} NOT NULL, PRIMARY KEY (job, path, input, what, attempt)) {clustered};

CREATE TABLE flow_versions (
  digest {blob} NOT NULL PRIMARY KEY, name {text} NOT NULL, version {text} NOT NULL, source {blob} NOT NULL, at_us {int} NOT NULL) {table};
)sql";

// outbox: webhooks owed, delivered and dead. `due_us` is when it may be attempted; while a node (`holder`) has taken it, when it may be taken again.
constexpr std::string_view kOutbox = R"sql(
CREATE TABLE outbox (
  id {int} NOT NULL PRIMARY KEY, state {int} NOT NULL, kind {text} NOT NULL, url {text} NOT NULL, secret {text} NOT NULL, body {blob} NOT NULL,
  attempt {int} NOT NULL, created_us {int} NOT NULL, due_us {int} NOT NULL, finished_us {int} NOT NULL, holder {int} NOT NULL, status {int} NOT NULL,
  why {text} NOT NULL) {table};
CREATE INDEX outbox_due ON outbox (due_us) WHERE state = 0;
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 2;
CREATE INDEX outbox_ended ON outbox (finished_us) WHERE state <> 0;
)sql";

// schedules: `next_us` is the slot that fires next; 0: none comes.
constexpr std::string_view kSchedules = R"sql(
CREATE TABLE schedules (
  name {text} NOT NULL PRIMARY KEY, definition {blob} NOT NULL, next_us {int} NOT NULL, last_us {int} NOT NULL, last_job {int} NOT NULL,
  why {text} NOT NULL) {clustered};
)sql";

// signals: what came from outside for waiting runs; signal_waits: who waits, and for which.
constexpr std::string_view kSignals = R"sql(
CREATE TABLE signals (
  id {int} NOT NULL PRIMARY KEY, name {text} NOT NULL, key {text} NOT NULL, key_id {text} NOT NULL, payload {blob} NOT NULL, at_us {int} NOT NULL,
  until_us {int} NOT NULL) {table};
CREATE INDEX signals_by_name ON signals (name, at_us);
CREATE INDEX signals_by_end ON signals (until_us);

CREATE TABLE signal_waits (
  job {int} NOT NULL, path {text} NOT NULL, input {blob} NOT NULL, name {text} NOT NULL, key {text} NOT NULL, any_key {int} NOT NULL, key_id {text} NOT NULL,
  PRIMARY KEY (job, path, input)) {clustered};
CREATE INDEX signal_waits_by_name ON signal_waits (name, key);
)sql";

// files: uploaded, or made by batches; not `whole` while they are being written. batches: `rest` is JSON (batch.cpp). batch_lines: of a live batch.
constexpr std::string_view kBatches = R"sql(
CREATE TABLE files (
  id {int} NOT NULL PRIMARY KEY, whole {int} NOT NULL, owner {text} NOT NULL, name {text} NOT NULL, purpose {text} NOT NULL, bytes {int} NOT NULL,
  created_us {int} NOT NULL, expires_us {int} NOT NULL) {table};
CREATE INDEX files_by_owner ON files (owner, id);

CREATE TABLE file_pieces (file {int} NOT NULL, n {int} NOT NULL, packed {blob} NOT NULL, PRIMARY KEY (file, n)) {table};

CREATE TABLE batches (
  id {int} NOT NULL PRIMARY KEY, owner {text} NOT NULL, endpoint {text} NOT NULL, state {int} NOT NULL, live {int} NOT NULL, submitted {int} NOT NULL,
  input {int} NOT NULL, created_us {int} NOT NULL, expires_us {int} NOT NULL, ended_us {int} NOT NULL, rest {text} NOT NULL) {table};
CREATE INDEX batches_live ON batches (id) WHERE live = 1;
CREATE INDEX batches_by_owner ON batches (owner, id);

CREATE TABLE batch_lines (batch {int} NOT NULL, line {int} NOT NULL, custom_id {text} NOT NULL, job {int} NOT NULL, PRIMARY KEY (batch, line)) {clustered};
)sql";

// batch_calls: calls of jobs that wait for their provider's batch API; provider_batches: those that are under way there.
constexpr std::string_view kProviderBatches = R"sql(
CREATE TABLE batch_calls (
  job {int} NOT NULL PRIMARY KEY, state {int} NOT NULL, provider {text} NOT NULL, model {text} NOT NULL, operation {int} NOT NULL, api {int} NOT NULL,
  body {blob} NOT NULL, batch {int} NOT NULL, status {int} NOT NULL, answer {blob} NOT NULL) {table};
CREATE INDEX batch_calls_by_state ON batch_calls (state, job);
CREATE INDEX batch_calls_by_batch ON batch_calls (batch, job);

CREATE TABLE provider_batches (
  id {int} NOT NULL PRIMARY KEY, created {int} NOT NULL, provider {text} NOT NULL, model {text} NOT NULL, operation {int} NOT NULL, api {int} NOT NULL,
  credential {text} NOT NULL, remote {text} NOT NULL, begun_us {int} NOT NULL) {table};
)sql";

// Of the lease under which it was recorded; 0: by a version before.
constexpr std::string_view kProgress = R"sql(
ALTER TABLE run_steps ADD COLUMN fence {int} NOT NULL DEFAULT 0;
)sql";

// batch_calls.parent: the batch of ours whose line it is, or 0; cancel: nobody wants it answered any more. provider_batches.cancelled: the provider knows.
constexpr std::string_view kCancelledBatches = R"sql(
ALTER TABLE batch_calls ADD COLUMN parent {int} NOT NULL DEFAULT 0;
ALTER TABLE batch_calls ADD COLUMN cancel {int} NOT NULL DEFAULT 0;
ALTER TABLE provider_batches ADD COLUMN cancelled {int} NOT NULL DEFAULT 0;
CREATE INDEX batch_calls_by_parent ON batch_calls (parent, job);
)sql";

// A job is in one of the two, where it was in two: the live ones by id, and all by tenant. A tenant's list merges them.
constexpr std::string_view kIndexes = R"sql(
CREATE INDEX jobs_live_by_tenant ON jobs (tenant, id) WHERE live = 1;
CREATE INDEX jobs_ended_by_tenant ON jobs (tenant, id) WHERE live = 0;
DROP INDEX jobs_live;
DROP INDEX jobs_by_tenant;
)sql";

// homes: `owner` is the boot epoch of the process on whose board the home's jobs are, 0 nobody's yet; `taken`: under which number it last changed hands.
// epochs: the last number given out. handovers: jobs given, which their owner has not put on its board yet. key_homes: who decides about a concurrency key.
// nodes.boot: the cluster's member. Rows of versions before are of home 0; what they had leased, of homes by the epochs of then.
constexpr std::string_view kHomes = R"sql(
ALTER TABLE jobs ADD COLUMN home {int} NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN boot {text} NOT NULL DEFAULT '';
CREATE TABLE homes (home {int} NOT NULL PRIMARY KEY, owner {int} NOT NULL, taken {int} NOT NULL) {table};
INSERT INTO homes (home, owner, taken) SELECT fence / 4294967296, 0, 0 FROM claims UNION SELECT epoch, 0, 0 FROM nodes UNION SELECT 0, 0, 0;
CREATE TABLE epochs (n {int} NOT NULL PRIMARY KEY, last {int} NOT NULL) {table};
INSERT INTO epochs (n, last) SELECT 1, COALESCE(MAX(epoch), 0) FROM nodes;
CREATE TABLE handovers (owner {int} NOT NULL, seq {int} NOT NULL, jobs {blob} NOT NULL, PRIMARY KEY (owner, seq)) {clustered};
CREATE TABLE key_homes (queue {text} NOT NULL, key {text} NOT NULL, home {int} NOT NULL, PRIMARY KEY (queue, key)) {clustered};
CREATE INDEX key_homes_by_home ON key_homes (home);
)sql";

// asks: what one node wants done about a job on another's board (ask_rows.hpp). `asker` -1: nobody waits for an answer.
constexpr std::string_view kAsks = R"sql(
CREATE TABLE asks (
  seq {int} NOT NULL PRIMARY KEY, kind {int} NOT NULL, job {int} NOT NULL, owner {int} NOT NULL, asker {int} NOT NULL, asked_us {int} NOT NULL,
  body {text} NOT NULL, payload {blob} NOT NULL, unanswered {int} NOT NULL, answer {text} NOT NULL) {table};
CREATE INDEX asks_open ON asks (asked_us, seq) WHERE unanswered = 1;
)sql";

// epochs.timeline: PostgreSQL's, when a number was last given out; 0: not known. lost_commits: what the database has lost of a boot when a standby took over that had
// not heard of it; `last` was acknowledged, `kept` is the newest there is, `detail` names what can be named (lost_commits.hpp).
constexpr std::string_view kLost = R"sql(
ALTER TABLE epochs ADD COLUMN timeline {int} NOT NULL DEFAULT 0;
CREATE TABLE lost_commits (
  epoch {int} NOT NULL PRIMARY KEY, node {int} NOT NULL, at_us {int} NOT NULL, kept {int} NOT NULL, last {int} NOT NULL, submitted {int} NOT NULL, ended {int} NOT NULL,
  went_on {int} NOT NULL, effects {int} NOT NULL, detail {text} NOT NULL) {table};
CREATE INDEX lost_commits_by_time ON lost_commits (at_us);
)sql";

// cycles: what a boot has committed on PostgreSQL, the newest some thousand (job_rows.cpp). A row each, not one that is written over: the versions that a long
// transaction keeps of a row are walked through by every later look at it. `refused`: given up as lost, and never to be committed. nodes.cycle is of versions before.
constexpr std::string_view kCycles = R"sql(
CREATE TABLE cycles (epoch {int} NOT NULL, cycle {int} NOT NULL, refused {int} NOT NULL, PRIMARY KEY (epoch, cycle)) {clustered};
)sql";

constexpr store::Migration kMigrations[] = {
    {"work", 1, "jobs, keys, attempts, claims, queues", kFirst},
    {"work", 2, "events", kSecond},
    {"work", 3, "approvals", kApprovals},
    {"work", 4, "the journal of runs, versions of flows", kRuns},
    {"work", 5, "webhooks", kOutbox},
    {"work", 6, "schedules", kSchedules},
    {"work", 7, "files and batches", kBatches},
    {"work", 8, "signals", kSignals},
    {"work", 9, "batches of providers", kProviderBatches},
    {"work", 11, "the progress of runs", kProgress},
    {"work", 12, "batches of providers that are cancelled", kCancelledBatches},
    {"work", 13, "a job in one index less", kIndexes},
    {"work", 14, "homes of jobs, over many nodes", kHomes},
    {"work", 15, "asks between nodes", kAsks},
    {"work", 16, "what a failover has lost", kLost},
    {"work", 17, "cycles, a row each", kCycles},
};

}  // namespace

std::span<const store::Migration> migrations() { return kMigrations; }

}  // namespace ballast::work
