"""Whichever node is asked, it tells of the queues of all."""
from __future__ import annotations

import json

from support.configs import one_provider
from support.gateway import wait_until


def queue(g, name: str = "images", more: str = "") -> dict:
    return next((q for q in g.admin.get(f"/api/queues{more}").json()["queues"] if q["queue"] == name), {"ready": 0, "running": 0, "delayed": 0, "here": {"ready": 0, "running": 0}})


def test_queues_are_those_of_all_nodes_and_say_what_is_here(upstream, postgres, gateway):
    config = {"database": postgres.fresh_url(), **one_provider(upstream)}
    a, b = gateway(config), gateway(config)
    wait_until(lambda: all(g.admin.get("/api/queues").json()["nodes"] == 2 for g in (a, b)))
    for g, n in ((a, 3), (b, 2)):
        for i in range(n):
            assert g.admin.post("/api/jobs", {"queue": "images", "task": "resize", "payload": {"n": i}}).status == 202
    assert b.admin.post("/api/jobs", {"queue": "only-b", "task": "resize", "delay": "1h"}).status == 202
    wait_until(lambda: queue(a)["ready"] == queue(b)["ready"] == 5)
    assert (queue(a)["here"]["ready"], queue(b)["here"]["ready"]) == (3, 2)
    wait_until(lambda: queue(a, "only-b")["delayed"] == 1)
    assert queue(a, "only-b")["here"]["delayed"] == 0 and a.admin.get("/api/queues").json()["left_out"] == 0
    seen = queue(a)
    assert seen["oldest_ready_s"] >= seen["here"]["oldest_ready_s"] > 0 and seen["wanted"] >= 1

    tasks = b.admin.post("/api/workers/pull", {"worker": "w", "queues": ["images"], "max": 1, "lease": "60s"}).json()["tasks"]
    assert len(tasks) == 1
    wait_until(lambda: queue(a)["running"] == 1 and queue(a)["ready"] == 4)
    overview = {q["name"]: q for q in a.admin.get("/api/overview").json()["queues"]}
    assert overview["images"]["ready"] == 4 and overview["images"]["running"] == 1 and overview["only-b"]["delayed"] == 1
    assert a.metric("ballast_cluster_jobs_live", queue="images", place="ready") == 4 and a.metric("ballast_jobs_live", queue="images", place="ready") == 3
    assert a.metric("ballast_cluster_jobs_oldest_ready_seconds", queue="images") > 0 and a.metric("ballast_cluster_workers_wanted", queue="images") >= 1
    shown = json.loads(a.command("queues", "list", "--json", "--config", str(a.file)).stdout)
    assert next(q for q in shown["queues"] if q["queue"] == "images")["ready"] == 4
    line = next(line for line in a.command("queues", "list", "--config", str(a.file)).stdout.splitlines() if line.startswith("images"))
    assert " 4 " in line

    paused = a.admin.put("/api/queues/images", {"paused": True}).json()
    assert paused["ready"] == 4 and paused["here"]["ready"] == 3
    wait_until(lambda: queue(b)["paused"])

    b.kill()                        # its jobs come to the other, and nothing is counted twice
    wait_until(lambda: a.admin.get("/api/queues").json()["nodes"] == 1 and queue(a)["here"]["ready"] + queue(a)["here"]["running"] == 5)
    assert queue(a)["ready"] == queue(a)["here"]["ready"] and a.metric("ballast_cluster_jobs_live", queue="only-b", place="delayed") == 1
