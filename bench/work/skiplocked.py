"""The second peer: a queue of one PostgreSQL table and FOR UPDATE SKIP LOCKED, driven by pgbench on a private server."""
from __future__ import annotations

import pathlib
import re
import subprocess

from measuring import Results, Undisturbed, on_cores
from support.postgres import Postgres

HERE = pathlib.Path(__file__).resolve().parent / "skiplocked"
CLIENTS, BATCH = 8, 10
# Debian's defaults but for memory: what is committed is on the disk.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "max_connections": "100", "shared_buffers": "512MB", "max_wal_size": "4GB"}
MODE = "PostgreSQL, fsync on, synchronous_commit on"


def pgbench(server: Postgres, url: str, script: str, jobs: int, cores: set[int] | None) -> float:
    """Jobs a second of a script that handles BATCH of them in a turn, by CLIENTS clients, until all are handled."""
    turns = jobs // (CLIENTS * BATCH)
    with on_cores(cores):
        done = subprocess.run([server.bin / "pgbench", "-n", "-c", str(CLIENTS), "-j", "1", "-t", str(turns), "-D", f"batch={BATCH}",
                               "-f", HERE / script, "-h", server.folder, "-U", "ballast", server.name_of(url)],
                              capture_output=True, text=True, timeout=300)
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.M)
    if done.returncode or not found or "failed transactions: 0 " not in done.stdout:
        raise RuntimeError(f"pgbench {script}: {done.stdout}{done.stderr}")
    return float(found[1]) * BATCH


def noop(server: Postgres, results: Results, jobs: int, cores: set[int] | None, undisturbed: Undisturbed) -> None:
    """`jobs` are enqueued, then all of them are dequeued and completed; the full life is the time of both."""
    jobs -= jobs % (CLIENTS * BATCH)
    enqueue, dequeue = undisturbed(lambda: both_ways(server, jobs, cores))
    results.add("skiplocked", "noop", enqueue=enqueue, dequeue=dequeue, per_second=1 / (1 / enqueue + 1 / dequeue))


def both_ways(server: Postgres, jobs: int, cores: set[int] | None) -> tuple[float, float]:
    url = server.fresh_url()
    name = server.name_of(url)
    try:
        server.run((HERE / "schema.sql").read_text(), name)
        enqueue = pgbench(server, url, "enqueue.sql", jobs, cores)
        server.run("ANALYZE jobs", name)
        dequeue = pgbench(server, url, "dequeue.sql", jobs, cores)
        left = server.run("SELECT count(*) FROM jobs", name)
        if left != "0":
            raise RuntimeError(f"the SKIP LOCKED queue still has {left} of {jobs} jobs")
        return enqueue, dequeue
    finally:
        server.drop(url)
