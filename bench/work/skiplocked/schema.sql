-- A queue as most people write it: one table, one partial index on what waits.
DROP TABLE IF EXISTS jobs;
CREATE TABLE jobs (id bigserial PRIMARY KEY, state int NOT NULL DEFAULT 0, locked_at timestamptz, attempts int NOT NULL DEFAULT 0,
                   payload text NOT NULL);
CREATE INDEX jobs_waiting ON jobs (id) WHERE state = 0;
