"""What is done to the nodes and their database, by a seed: the same seed, the same faults in the same order with the same lengths."""
from __future__ import annotations

import concurrent.futures
import random
import signal
import threading
import time
from dataclasses import dataclass, field

from support.client import Caller

from .clients import Crowd
from .fleet import NAMES, WORK_KEY, Fleet, Node, Server


@dataclass
class Fault:
    what: str                           # kill, term, stop, cut, database, failover
    node: int = 0
    after: float = 0.0                  # since its round began
    seconds: float = 0.0

    def __str__(self) -> str:
        where = "" if self.what in ("database", "failover") else f" {NAMES[self.node]}"
        return f"{self.what}{where} at {self.after:.1f} for {self.seconds:.1f} s"


def short_plan(chance: random.Random) -> list[list[Fault]]:
    """Deaths first: who was told of a lease by one that died with the word on its lips may keep it for half a minute."""
    deaths = [[Fault("kill", chance.randrange(3), 0.0, 2.5)], [Fault("kill", chance.randrange(3), 0.0, 2.5)], [Fault("stop", chance.randrange(3), 0.0, chance.uniform(3, 4))]]
    rest = [[Fault("term", chance.randrange(3))], [Fault("stop", chance.randrange(3), 0.0, chance.uniform(0.5, 1.5))], [Fault("cut", chance.randrange(3), 0.0, chance.uniform(0.5, 1.5))],
            [Fault("database", seconds=chance.uniform(0.2, 1.5))]]
    chance.shuffle(deaths)
    chance.shuffle(rest)
    return deaths + rest


def long_plan(chance: random.Random, rounds: int, failover: bool) -> list[list[Fault]]:
    """Single faults, and two or three at once."""
    def one(after: float, other_than: set[int]) -> Fault:
        what = chance.choices(["kill", "term", "stop", "cut", "database"], [5, 2, 5, 4, 2])[0]
        node = chance.choice([n for n in range(3) if n not in other_than] or [0])
        seconds = {"kill": chance.uniform(0.0, 5.0), "term": 0.0, "database": chance.uniform(0.2, 4.0)}.get(what, chance.uniform(0.5, 8.0))
        return Fault(what, node, after, seconds)
    plan = []
    for r in range(rounds):
        faults = [Fault("kill", chance.randrange(3), 0.0, 3.0)] if r % 4 == 0 else [one(0.0, set())]
        while r % 4 and len(faults) < 3 and chance.random() < 0.5:
            more = one(chance.uniform(0.0, 3.0), {f.node for f in faults})
            if more.what != "database" or all(f.what != "database" for f in faults):
                faults.append(more)
        plan.append(faults)
    if failover:
        plan.insert(rounds // 2, [Fault("failover")])
    return plan


@dataclass
class Storm:
    fleet: Fleet
    server: Server
    ground: object
    crowd: Crowd
    recoveries: list[float] = field(default_factory=list)      # seconds from the death of a node to its job in another's hands
    handovers: list[float] = field(default_factory=list)       # the same from SIGTERM
    wrong: list[str] = field(default_factory=list)
    probes: int = 0
    first_slot: float = 0.0             # of the schedule that fires all the time
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:7.1f}  {text}", flush=True)

    def run(self, plan: list[list[Fault]]) -> None:
        for faults in plan:
            self.say("; ".join(map(str, faults)))
            if len(faults) == 1 and faults[0].what in ("kill", "term"):
                self._alone(faults[0])
            else:
                self._together(faults)
            if not self.fleet.whole(60):
                self.wrong.append(f"after {'; '.join(map(str, faults))} the nodes did not find together in a minute")

    # ---- one death, measured

    def _alone(self, fault: Fault) -> None:
        """A job that only that node's board has, and that nobody gives away, in the hands of a worker of whoever takes it over."""
        node = self.fleet.nodes[fault.node]
        self.probes += 1
        made = node.app.post("/api/jobs", {"queue": "probe", "task": "probe", "attempts": 40, "tags": ["probe"], "concurrency": {"key": f"probe-{self.probes}", "limit": 1}},
                             timeout=20)
        if made.status != 202:
            return self.wrong.append(f"a probe was not accepted: {made.status} {made.body[:200]!r}")
        began = time.monotonic()
        node.end(signal.SIGKILL if fault.what == "kill" else signal.SIGTERM)
        found = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            pulls = [pool.submit(self._pull, n, made.json()["id"], found) for n in self.fleet.nodes if n is not node]
            came = [p.result() for p in pulls]
        if not any(came):
            self.wrong.append(f"the probe {made.json()['id']} was not recovered in a minute")
        took = min(filter(None, came), default=began + 60) - began
        time.sleep(max(0.0, began + fault.seconds - time.monotonic()))
        self.fleet.away(node)
        (self.recoveries if fault.what == "kill" else self.handovers).append(took)
        self.say(f"its job was in another's hands after {took:.2f} s")

    def _pull(self, node: Node, job: str, found: threading.Event) -> float | None:
        worker = Caller(node.port, WORK_KEY, node.host)
        until = time.monotonic() + 60
        while time.monotonic() < until and not found.is_set():
            tasks = worker.post("/api/workers/pull", {"worker": "probe", "queues": ["probe"], "max": 1, "wait": "500ms", "lease": "30s"}, timeout=30).json()["tasks"]
            now = time.monotonic()
            for task in tasks:
                worker.post("/api/workers/complete", {"tasks": [{"id": task["id"], "fence": task["fence"], "output": {}}]}, timeout=30)
            if any(t["id"] == job for t in tasks):
                found.set()
                return now
        return None

    # ---- several faults at once

    def _together(self, faults: list[Fault]) -> None:
        acts = []
        for f in faults:
            acts.append((f.after, self._begin, f))
            acts.append((f.after + f.seconds, self._end, f))
        began = time.monotonic()
        for at, act, fault in sorted(acts, key=lambda a: a[0]):
            time.sleep(max(0.0, began + at - time.monotonic()))
            act(fault)

    def _begin(self, f: Fault) -> None:
        node = self.fleet.nodes[f.node]
        if f.what == "kill":
            node.end(signal.SIGKILL)
        elif f.what == "term":
            node.end(signal.SIGTERM)
        elif f.what == "stop":
            node.process.send_signal(signal.SIGSTOP)
        elif f.what == "cut":
            self.ground.cut(f.node)
        elif f.what == "database":
            self.server.kill()
        elif f.what == "failover":
            self.server.fail_over()

    def _end(self, f: Fault) -> None:
        node = self.fleet.nodes[f.node]
        if f.what in ("kill", "term"):
            node.wanted = True                        # as soon as it has ended: without the database that may last
        elif f.what == "stop":
            node.process.send_signal(signal.SIGCONT)
        elif f.what == "cut":
            self.ground.heal(f.node)
        elif f.what == "database":
            self.server.start()
