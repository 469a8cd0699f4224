-- pgbench -D batch=N: one transaction leases N jobs, another completes them, as a worker that runs them in between would.
WITH due AS (SELECT id FROM jobs WHERE state = 0 ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED),
     leased AS (UPDATE jobs j SET state = 1, locked_at = now(), attempts = attempts + 1 FROM due WHERE j.id = due.id RETURNING j.id)
SELECT coalesce(string_agg(id::text, ','), '0') AS ids FROM leased \gset
DELETE FROM jobs WHERE id IN (:ids);
