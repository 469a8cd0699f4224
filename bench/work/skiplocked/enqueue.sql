-- pgbench -D batch=N: one transaction of N jobs with 200 bytes each.
INSERT INTO jobs (payload) SELECT repeat('x', 200) FROM generate_series(1, :batch);
