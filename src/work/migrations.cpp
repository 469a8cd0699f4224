#include "work/job_rows.hpp"

namespace ballast::work {

namespace {

// jobs: written at submission and at each transition, never for a lease. `live` is state < 2, as a column, because a partial index on it is
// what finds the live ones at start. `fence` is that of the last lease whose outcome is recorded: a claim's job above it is leased.
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

constexpr store::Migration kMigrations[] = {
    {"work", 1, "jobs, keys, attempts, claims, queues", kFirst},
    {"work", 2, "events", kSecond},
    {"work", 3, "webhooks", kOutbox},
};

}  // namespace

std::span<const store::Migration> migrations() { return kMigrations; }

}  // namespace ballast::work
