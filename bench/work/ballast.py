"""Ballast's half: its own server on a fresh database, driven over HTTP by work_load (load.cpp)."""
from __future__ import annotations

import bisect
import contextlib
import datetime
import http.client
import json
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import time

from measuring import Results, Undisturbed, on_cores
from support.gateway import ADMIN_KEY, Gateway

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOAD = pathlib.Path(os.environ.get("BALLAST_BUILD", ROOT / "build" / "release")) / "bench" / "work_load"
FLOWS = pathlib.Path(__file__).resolve().parent / "flows"
MODES = {"sqlite": "SQLite, WAL, synchronous FULL", "postgres": "PostgreSQL, fsync on, synchronous_commit on"}
LEASE = "1s"             # what the killed worker asked for; a live one would renew it by heartbeats
KILL_BACKLOG = 20_000
CLIENTS = {"one client": 1, "64 clients": 64, "256 clients": 256}   # who submit a flow and wait for it, over and over
IN_HAND = 512            # at least as many as a server's own workers hold at once


class NotBuilt(Exception):
    """The server answers 404: this part of the job API is not there."""


@contextlib.contextmanager
def serving(folder: pathlib.Path, database: str | None, server: set[int] | None):
    """A server in a new folder; `database` None: its own SQLite file."""
    home = folder / "ballast"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    shutil.copytree(FLOWS, home / "flows")
    config = {"threads": len(server) if server else os.cpu_count(), **({"database": database} if database else {})}
    gateway = Gateway(home, config)
    try:
        with on_cores(server):
            gateway.start()
        yield gateway
    finally:
        gateway.stop()


def load(port: int, mode: str, cores: set[int] | None, **options) -> dict:
    """What work_load prints."""
    words = [f"{k}={v}" for k, v in options.items()]
    with on_cores(cores):
        done = subprocess.run([LOAD, mode, f"port={port}", f"key={ADMIN_KEY}", *words], capture_output=True, text=True, timeout=300)
    if done.returncode == 3:
        raise NotBuilt(done.stderr.strip())
    if done.returncode:
        raise RuntimeError(f"work_load {mode} {' '.join(words)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def post(port: int, path: str, body: dict) -> dict:
    return request(port, "POST", path, json.dumps(body))


def request(port: int, method: str, path: str, body: str | None = None) -> dict:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status == 404 and method == "POST":   # of a job that is asked for, 404 would be a loss
        raise NotBuilt(f"{path} is not built yet")
    if answer.status // 100 != 2:
        raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]!r}")
    return json.loads(text)


def pull(port: int, worker: str) -> list[dict]:
    return post(port, "/api/workers/pull", {"worker": worker, "queues": ["bench"], "max": 1, "wait": "5s", "lease": LEASE})["tasks"]


def hold(port: int, held) -> None:
    """A worker that takes a job and never ends it."""
    held.send(pull(port, "holder")[0]["id"])
    time.sleep(600)


class Ballast:
    """The measures on one kind of database. `database()` gives a fresh one's URL, or None."""

    def __init__(self, name: str, database, folder: pathlib.Path, results: Results, cores: tuple[set[int] | None, set[int] | None],
                 undisturbed: Undisturbed):
        self.name, self.database, self.folder, self.results, self.undisturbed = name, database, folder, results, undisturbed
        self.server, self.client = cores

    def serving(self):
        return serving(self.folder, self.database(), self.server)

    def noop(self, jobs: int) -> None:
        with self.serving() as g:
            load(g.port, "bulk", self.client, jobs=jobs // 10, checks=0)
            self.results.add(self.name, "noop in process", **load(g.port, "bulk", self.client, jobs=jobs))
        with self.serving() as g:
            load(g.port, "external", self.client, jobs=jobs // 10)
            self.results.add(self.name, "noop external", **load(g.port, "external", self.client, jobs=jobs))
        self.results.add(self.name, "noop in tens", **self.undisturbed(lambda: self.in_tens(jobs // 2)))

    def in_tens(self, jobs: int) -> dict:
        """As the SKIP LOCKED script: eight clients, tens, first all in, then all out."""
        with self.serving() as g:
            return load(g.port, "external", self.client, jobs=jobs, batch=10, connections=8, workers=8, most=10, backlog=1)

    def latency(self, rate: int, seconds: float) -> None:
        for what in ("noop", "external"):
            with self.serving() as g:
                load(g.port, "rate", self.client, what=what, rate=rate, seconds=1)
                got = load(g.port, "rate", self.client, what=what, rate=rate, seconds=seconds)
                self.results.add(self.name, f"latency {rate}/s" + (", a worker" if what == "external" else ""), **got)

    def flow(self, seconds: float, flows: int) -> None:
        with self.serving() as g:
            for called, clients in CLIENTS.items():
                got = load(g.port, "closed", self.client, what="flow", connections=clients, seconds=seconds)
                self.results.add(self.name, f"flow, {called}", **got)
            self.results.add(self.name, "flow, in bulk", **load(g.port, "bulk", self.client, what="flow", jobs=flows))

    def kill_worker(self) -> None:
        """SIGKILL of an external worker that holds a job: until another one has it."""
        with self.serving() as g:
            submitted = post(g.port, "/api/jobs", {"task": "bench.hold", "queue": "bench", "payload": {}})["id"]
            ours, theirs = multiprocessing.Pipe()
            holder = multiprocessing.get_context("fork").Process(target=hold, args=(g.port, theirs), daemon=True)
            holder.start()
            if not ours.poll(30) or ours.recv() != submitted:
                raise RuntimeError("the worker to be killed did not get the job")
            holder.kill()
            begin, again = time.monotonic(), []
            while not again and time.monotonic() < begin + 60:
                again = pull(g.port, "other")
            if [t["id"] for t in again] != [submitted]:
                raise RuntimeError(f"60 s after its worker's end the job has not been run again: {again}")
            self.results.add(self.name, "kill of a worker", again_s=time.monotonic() - begin)

    def kill_server(self) -> None:
        """SIGKILL of the server with a backlog in its own workers' hands, started again at once: until it answers, until the jobs that were
        in those hands have ended, and until all have."""
        with self.serving() as g:
            jobs = {"jobs": [{"task": "ballast.noop", "payload": {}}] * (KILL_BACKLOG // 2)}
            ids = [job["id"] for _ in range(2) for job in post(g.port, "/api/jobs/bulk", jobs)["jobs"]]
            g.kill()
            begin, killed = time.monotonic(), datetime.datetime.now(datetime.UTC)
            with on_cores(self.server):
                g.start()
            ready = time.monotonic() - begin
            ended = lambda id: request(g.port, "GET", f"/api/jobs/{id}?wait=30s")   # noqa: E731
            last = ended(ids[-1])
            done = time.monotonic() - begin
            after = lambda job: (datetime.datetime.fromisoformat(job["finished"]) - killed).total_seconds()   # noqa: E731
            if after(last) < 0:
                raise RuntimeError("every job had ended before the server was killed")
            # Jobs end in the order of their submission, give or take those in hand: they are around the first that ended later.
            first = bisect.bisect_left(ids, True, key=lambda id: after(ended(id)) > 0)
            around = [ended(id) for id in ids[max(0, first - IN_HAND):first + IN_HAND]]
            if unlike := [job for job in [last, *around] if job["state"] != "done"]:
                raise RuntimeError(f"after the server's end a job is {unlike[0]}")
            held = [after(job) for job in around if job["attempt"] > 1]
            self.results.add(self.name, "kill of the server", ready_s=ready, done_s=done, held=len(held),
                             again_s=max(held, default=after(around[first - max(0, first - IN_HAND)])))
