"""Who uses the installation while it is shaken: callers, submitters, workers. They do what real clients do (another node after a failure, with the same
Idempotency-Key) and write down what they were told: with the books of the providers that is all the oracle goes by."""
from __future__ import annotations

import asyncio
import collections
import json
import random
import threading
import time
from dataclasses import dataclass, field

from support.client import Reply, fetch
from support.gateway import APP_KEY

from .fleet import WORK_KEY, Node

AGAIN = {429, 500, 502, 503, 504}
KEYS = 5                                # concurrency keys of tasks, and as many of calls
# What a submitted job is, and how many of a hundred are: `later` waits for an hour, and so stays on its board.
KINDS = {"call": 20, "keyed-call": 10, "task": 22, "keyed-task": 13, "charge": 12, "pay": 8, "mixed": 10, "later": 5}


@dataclass
class Lease:
    job: str
    fence: int
    began: float
    ended: float = 0.0
    key: str = ""
    told: str = ""                      # what the word of its end was answered; empty: nobody knows


@dataclass
class Books:
    """Written by the clients' thread alone; read when it has ended."""
    calls: dict[int, Reply] = field(default_factory=dict)
    jobs: dict[int, tuple[str, str]] = field(default_factory=dict)      # by number: kind and id
    ids: dict[int, set[str]] = field(default_factory=lambda: collections.defaultdict(set))
    leases: list[Lease] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)                    # answers that no client should ever get
    tries: collections.Counter = field(default_factory=collections.Counter)
    slowest: float = 0.0
    over_budget: int = 0
    over_limit: int = 0


class Crowd:
    """`begin` to let them go; `finish` when the last has what it wants."""

    def __init__(self, nodes: list[Node], seed: int, calls: int, jobs: int, seconds: float, capped: int = 0):
        self.nodes, self.chance, self.books = nodes, random.Random(seed), Books()
        self.seconds, self.calls, self.jobs, self.capped = seconds, calls, jobs, capped
        self.patient_until = time.monotonic() + 4 * seconds + 300
        self.over = threading.Event()
        self.idle = threading.Event()                 # all calls are answered and all jobs accepted
        self.broken: list[str] = []
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def begin(self) -> None:
        self.thread.start()

    def finish(self) -> None:
        self.over.set()
        self.thread.join(60)

    async def _run(self) -> None:
        began = asyncio.get_running_loop().time()
        wanted = [*(("call", n) for n in range(self.calls)), *(("job", n) for n in range(self.jobs)), *(("capped", n) for n in range(self.capped))]
        self.chance.shuffle(wanted)
        gap = self.seconds / max(1, len(wanted))
        workers = [asyncio.create_task(self._worker(f"w{n}")) for n in range(4)]
        ways = {"call": self._call, "job": self._submit, "capped": self._capped}

        async def one(at: float, what: str, n: int):
            await asyncio.sleep(max(0.0, began + at - asyncio.get_running_loop().time()))
            await ways[what](n)
        done = await asyncio.gather(*[one(i * gap, *w) for i, w in enumerate(wanted)], return_exceptions=True)
        self.broken += [repr(e) for e in done if isinstance(e, BaseException)]
        self.idle.set()
        while not self.over.is_set():
            await asyncio.sleep(0.05)
        self.broken += [repr(e) for e in await asyncio.gather(*workers, return_exceptions=True) if isinstance(e, BaseException)]

    async def ask(self, method: str, path: str, body, key: str, headers: dict | None = None, patience: float = 5.0, again=AGAIN, good=None) -> Reply:
        """The same bytes to one node after the other until one answers for good."""
        sent = json.dumps(body).encode()
        began = time.monotonic()
        while True:
            node = self.chance.choice(self.nodes)
            said = "no answer"
            try:
                reply = await fetch(node.port, method, path, headers={"content-type": "application/json", "authorization": f"Bearer {key}", **(headers or {})},
                                    body=sent, timeout=patience, host=node.host)
                if reply.complete and reply.status not in again and (good is None or good(reply)):
                    self.books.slowest = max(self.books.slowest, time.monotonic() - began)
                    return reply
                said = str(reply.status) if reply.complete else "cut"
                if reply.status == 500:
                    self.books.refused.append(f"{method} {path}: 500 {reply.body[:300]!r}")
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                pass
            self.books.tries[said] += 1
            if time.monotonic() > self.patient_until:
                raise AssertionError(f"{method} {path} {sent[:200]!r}: no good answer, at last {said}")
            await asyncio.sleep(self.chance.uniform(0.05, 0.25))

    async def _call(self, n: int) -> None:
        body = {"model": "chat", "user": f"c{n}", "messages": [{"role": "user", "content": f"c{n} say the words"}], "stream": n % 3 == 0}
        # 409: its first try is still under way elsewhere.
        reply = await self.ask("POST", "/v1/chat/completions", body, APP_KEY, {"idempotency-key": f"call-{n}"}, again=AGAIN | {409},
                               good=lambda r: r.status != 200 or r.succeeded())
        self.books.calls[n] = reply
        if reply.status != 200:
            self.books.refused.append(f"call {n}: {reply.status} {reply.body[:300]!r}")

    async def _capped(self, n: int) -> None:
        """Of a budget and a limit that all nodes share: refusals are answers."""
        limited = n % 2 == 0
        body = {"model": "chat", "messages": [{"role": "user", "content": f"x{n} say the words"}], "max_tokens": 20}
        headers = {"x-ballast-feature": "limited" if limited else "capped", "idempotency-key": f"capped-{n}"}
        reply = await self.ask("POST", "/v1/chat/completions", body, APP_KEY, headers, again={409, 500, 502, 503, 504})
        if reply.status == 429 or reply.status == 402:
            self.books.over_limit += limited
            self.books.over_budget += not limited
        elif reply.status != 200:
            self.books.refused.append(f"capped {n}: {reply.status} {reply.body[:300]!r}")

    def job(self, n: int) -> tuple[str, dict]:
        kind = self.chance.choices(list(KINDS), list(KINDS.values()))[0]
        common = {"attempts": 40, "backoff": {"first": "50ms", "max": "500ms"}, "tags": ["storm"], "user": f"j{n}"}
        call = {"call": {"body": {"model": "chat", "messages": [{"role": "user", "content": f"j{n} say the words"}]}}}
        task = {"queue": "images", "task": "resize", "payload": {"n": n}}
        key = {"concurrency": {"key": f"k{n % KEYS}", "limit": 1}}
        return kind, {**common, **{"call": call, "keyed-call": {**call, **key}, "task": task, "keyed-task": {**task, **key, "payload": {"n": n, "key": f"k{n % KEYS}"}},
                                   "later": {**task, "task": "later", "delay": "1h"}}.get(kind, {"flow": kind, "input": {"n": n}})}

    async def _submit(self, n: int) -> None:
        kind, body = self.job(n)
        while True:
            reply = await self.ask("POST", "/api/jobs", body, APP_KEY, {"idempotency-key": f"job-{n}"})
            if reply.status not in (200, 202):
                self.books.refused.append(f"job {n} ({kind}): {reply.status} {reply.body[:300]!r}")
                return
            self.books.ids[n].add(reply.json()["id"])
            self.books.jobs[n] = (kind, reply.json()["id"])
            if self.chance.random() > 0.05:           # some did not hear it, and ask again
                return

    async def _worker(self, name: str) -> None:
        while not self.over.is_set():
            node = self.chance.choice(self.nodes)
            body = {"worker": name, "queues": ["images"], "tasks": ["resize", "cut"], "max": 4, "wait": "1s", "lease": "8s"}
            try:
                reply = await self._tell(node, "/api/workers/pull", body, 12.0)
                tasks = reply.json()["tasks"] if reply.status == 200 and reply.complete else []
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, ValueError):
                await asyncio.sleep(0.1)
                continue
            if not tasks and reply.status != 200:
                await asyncio.sleep(0.1)
            await asyncio.gather(*[self._work(t, time.monotonic()) for t in tasks])

    async def _work(self, task: dict, began: float) -> None:
        lease = Lease(task["id"], int(task["fence"]), began, key=(task.get("payload") or {}).get("key", ""))
        self.books.leases.append(lease)
        if self.chance.random() < 0.03:               # it dies of it: the lease runs out
            lease.ended, lease.told = time.monotonic(), "died"
            return
        await asyncio.sleep(self.chance.uniform(0.0, 0.1))
        lease.ended = time.monotonic()
        failing = self.chance.random() < 0.05
        word = {"id": task["id"], "fence": task["fence"], **({"error": "not today"} if failing else {"output": {"n": task["payload"]["n"], "fence": str(task["fence"])}})}
        while time.monotonic() < self.patient_until:
            try:
                reply = await self._tell(self.chance.choice(self.nodes), "/api/workers/fail" if failing else "/api/workers/complete", {"tasks": [word]}, 6.0)
                if reply.complete and reply.status == 200:
                    [said] = reply.json()["tasks"]
                    if said.get("error", {}).get("code") != "internal_unavailable":
                        lease.told = said.get("state") or said["error"]["code"]
                        return
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(self.chance.uniform(0.05, 0.25))

    async def _tell(self, node: Node, path: str, body: dict, patience: float) -> Reply:
        return await fetch(node.port, "POST", path, headers={"content-type": "application/json", "authorization": f"Bearer {WORK_KEY}"}, body=json.dumps(body).encode(),
                           timeout=patience, host=node.host)
