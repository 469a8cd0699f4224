"""The first peer: BullMQ on a private Redis that syncs its log for every command it answers. See bullmq/bullmq.mjs for its processes."""
from __future__ import annotations

import pathlib
import shutil
import signal
import subprocess
import time

import node
from measuring import Results, on_cores

SOURCE = node.HERE / "bullmq"
HOME = node.BUILT / "bullmq"
WORKERS, CONCURRENCY, BATCH = 6, 50, 500
MODE = "Redis, appendfsync always"


class Redis:
    """Debian's redis-server with a folder and a Unix socket of its own, no TCP port. Its log begins empty."""

    def __init__(self, folder: pathlib.Path, cores: set[int] | None):
        self.folder = folder / "redis"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.socket = self.folder / "socket"
        options = {"port": "0", "unixsocket": self.socket, "dir": self.folder, "save": "", "appendonly": "yes", "appendfsync": "always",
                   "maxmemory-policy": "noeviction", "daemonize": "no"}
        with open(self.folder / "log", "ab") as log, on_cores(cores):
            self.process = subprocess.Popen(["redis-server", *[w for k, v in options.items() for w in (f"--{k}", str(v))]],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(500):
            if self.socket.exists():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.stop()
        raise RuntimeError("Redis does not start:\n" + (self.folder / "log").read_text()[-3000:])

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)   # what it has answered is in its log already
            self.process.wait(30)


class Bullmq:
    """A Redis with a submitter and idle workers; all end with the block."""

    def __init__(self, folder: pathlib.Path, workers: int, server: set[int] | None, load: set[int] | None):
        self.redis = Redis(folder, server)
        self.nodes: list[node.Node] = []
        try:
            for _ in range(workers + 1):
                self.nodes.append(node.Node(HOME, SOURCE / "bullmq.mjs", str(self.redis.socket), cores=load))
            self.submitter, *self.workers = self.nodes
            self.submitter.ask("drain")   # it has connected when it answers
        except BaseException:
            self.__exit__()
            raise

    def work(self) -> None:
        for w in self.workers:
            w.tell("work", concurrency=CONCURRENCY)
        for w in self.workers:
            w.hear()

    def __enter__(self) -> "Bullmq":
        return self

    def __exit__(self, *_) -> None:
        for process in self.nodes:
            process.kill()
        self.redis.stop()


def noop(folder: pathlib.Path, results: Results, jobs: int, server: set[int] | None, load: set[int] | None) -> None:
    """The full life while workers wait for work; then the same jobs as a backlog that is only processed, added before."""
    with Bullmq(folder, WORKERS, server, load) as b:
        b.work()
        b.submitter.ask("add", jobs=jobs // 10, batch=BATCH)   # the compilers warm up
        b.submitter.ask("drain")
        begin = time.monotonic()
        added = b.submitter.ask("add", jobs=jobs, batch=BATCH)["seconds"]
        b.submitter.ask("drain")
        life = time.monotonic() - begin
    with Bullmq(folder, WORKERS, server, load) as b:
        b.submitter.ask("add", jobs=jobs, batch=BATCH)
        begin = time.monotonic()
        b.work()
        b.submitter.ask("drain")
        results.add("bullmq", "noop", per_second=jobs / life, add=jobs / added, process=jobs / (time.monotonic() - begin))


def latency(folder: pathlib.Path, results: Results, rate: int, seconds: float, server: set[int] | None, load: set[int] | None) -> None:
    with Bullmq(folder, 1, server, load) as b:
        b.work()
        b.submitter.ask("rate", rate=rate, seconds=1)
        got = b.submitter.ask("rate", rate=rate, seconds=seconds)
    if got["lost"]:
        raise RuntimeError(f"BullMQ: {got['lost']} completions were not seen")
    at = lambda name, p: sorted(got[name])[int(p * len(got[name]))]   # noqa: E731
    results.add("bullmq", f"latency {rate}/s", p50_ms=at("seen", .5), p99_ms=at("seen", .99), begun_p50_ms=at("begun", .5))


def kill(folder: pathlib.Path, results: Results, server: set[int] | None, load: set[int] | None) -> None:
    """SIGKILL of a worker that holds a job, while another waits for work: until the other begins that job."""
    with Bullmq(folder, 2, server, load) as b:
        holder, other = b.workers
        holder.ask("hold")
        b.submitter.ask("add", jobs=1, batch=1)
        held = holder.hear()["ran"]
        other.ask("hold")
        holder.kill()
        begin = time.monotonic()
        if other.hear(180)["ran"] != held:
            raise RuntimeError("BullMQ ran another job than the one that was held")
        results.add("bullmq", "kill of a worker", again_s=time.monotonic() - begin)
