"""Runs of flows under kill -9 at any moment: every acknowledged run ends, each stage has one result, each child is one job."""
from __future__ import annotations

import collections
import os
import random
import threading
import time

import pytest

from support.client import Caller
from test_flows import STEPS, put
from test_jobs import WORK_KEY

pytestmark = pytest.mark.databases
KILLS = int(os.environ.get("RUN_KILLS", "6"))
SEED = int(os.environ.get("RUN_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)

MIXED = """
flow: mixed
output: '{each: .stages.each.output, cut: .stages.cut.output.w, said: (.stages.said.output | length > 0)}'
stages:
  each:
    map: {over: '.input.list', as: n, limit: 2, stages: {one: {flow: {name: steps, input: '{n: .n}'}, timeout: 10m}}, output: '.stages.one.output'}
    timeout: 20m
  said: {model: {route: sim/sim-small, prompt: "Say {{ .input.list[0] }}"}}
  rest: {wait: {for: 100ms}, after: [said]}
  cut:  {worker: {task: cut, queue: images, input: '{w: .input.list[1]}'}, timeout: 20m, after: [rest]}
"""


class Worker(threading.Thread):
    """Completes whatever it is given, as soon as somebody answers."""
    def __init__(self, port: int):
        super().__init__(daemon=True)
        self.caller, self.over, self.done = Caller(port, WORK_KEY), threading.Event(), []

    def run(self):
        while not self.over.is_set():
            try:
                tasks = self.caller.post("/api/workers/pull", {"worker": "w", "queues": ["images"], "max": 10, "wait": "1s", "lease": "2s"}).json()["tasks"]
                done = [{"id": t["id"], "fence": t["fence"], "output": t["payload"]} for t in tasks]
                if done:
                    answers = self.caller.post("/api/workers/complete", {"tasks": done}).json()["tasks"]
                    self.done += [t["id"] for t, a in zip(tasks, answers) if a.get("state") == "done"]
            except Exception:
                time.sleep(0.05)


def try_to(what, until: float):
    while True:
        try:
            reply = what()
            if reply.status < 500:
                return reply
        except Exception:
            pass
        assert time.monotonic() < until, "it does not answer again"
        time.sleep(0.05)


def test_nothing_of_a_run_is_lost_or_done_twice_by_kill_9(gateway):
    chance = random.Random(SEED)
    print(f"RUN_SEED={SEED}")
    g = gateway({"providers": {"sim": {"kind": "simulator"}}}, start=False)
    g.config["keys"] += [{"name": "worker", "value": WORK_KEY, "scopes": ["work"]}]
    g.write_config()
    (g.folder / "flows").mkdir()
    for flow in (STEPS, MIXED):
        put(g, flow)
    g.start()
    worker = Worker(g.port)
    worker.start()
    until = time.monotonic() + 150 + 10 * KILLS
    ids: list[str] = []
    for round_ in range(KILLS):
        fresh = [{"flow": "mixed", "input": {"list": [round_, k, 7]}, "attempts": 50} for k in range(5)]
        made = try_to(lambda: g.app.post("/api/jobs/bulk", {"jobs": [{**j, "idempotency_key": f"{round_}-{i}"} for i, j in enumerate(fresh)]}), until)
        assert made.status == 202, made.body
        ids += [j["id"] for j in made.json()["jobs"]]
        time.sleep(chance.uniform(0, 0.6))
        g.kill()
        g.start()
    assert len(set(ids)) == 5 * KILLS
    worn_out = 0                                   # a child has four attempts, and each crash counts one where it came no further
    for at, id in enumerate(ids):
        round_, k = divmod(at, 5)
        done = try_to(lambda: g.app.get(f"/api/jobs/{id}?wait=60s"), until).json()
        if done["state"] == "dead" and "the process that ran this attempt ended" in done["error"]["message"]:
            worn_out += 1
            continue
        assert done["state"] == "done", done.get("error")
        assert done["output"] == {"each": [f"It is {(n + 1) * 2}." for n in (round_, k, 7)], "cut": k, "said": True}
        records = g.app.get(f"/api/jobs/{id}/stages").json()["records"]
        ended = sorted(r["stage"] for r in records if r["what"] == "done")
        assert ended == sorted(["each", "said", "rest", "cut", "each[0].one", "each[1].one", "each[2].one"]), "each stage has one result"
    worker.over.set()
    worker.join()
    assert len(worker.done) == len(set(worker.done)), "a task is completed once"
    children, page = [], {"next": ""}
    while "next" in page:
        page = g.app.get(f"/api/jobs?flow=steps&limit=1000&before={page['next']}").json()
        children += page["jobs"]
    each = collections.Counter(c["parent"] for c in children)
    assert set(each) <= set(ids) and max(each.values()) == 3 and len(children) >= 15 * KILLS - 3 * worn_out, "each item has one child"
    assert worn_out <= max(KILLS, len(ids) // 50) and (worn_out or {c["state"] for c in children} == {"done"})
