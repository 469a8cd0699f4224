"""A rolling upgrade: a node of the version before and one of today's on one database, with jobs and calls crossing.
BALLAST_OLD_BINARY names the older binary: built from its tag, or out of its package (dpkg-deb -x)."""
from __future__ import annotations

import os
import time

import pytest

from support.configs import INPUT, OUTPUT, one_provider
from support.fake_upstream import ok
from support.gateway import cost_nano, wait_until

OLD = os.environ.get("BALLAST_OLD_BINARY", "")
FOR = float(os.environ.get("VERSIONS_SECONDS", "15"))
pytestmark = [pytest.mark.extended, pytest.mark.skipif(not OLD, reason="BALLAST_OLD_BINARY names no binary of a version before")]


def states(g) -> list[str]:
    return sorted(n["state"] for n in g.admin.get("/api/nodes").json()["nodes"])


def job(g, id: str, wait: str = "30s") -> dict:
    return g.admin.get(f"/api/jobs/{id}?wait={wait}").json()


def submit(g, **body) -> str:
    made = g.app.post("/api/jobs", {"attempts": 20, "backoff": {"first": "50ms"}, **body})
    assert made.status == 202, made.body
    return made.json()["id"]


def work_off(g, most: int) -> dict[str, int]:
    """A worker's round there: what it got is done, and under which fence."""
    tasks = g.admin.post("/api/workers/pull", {"worker": "w", "queues": ["images"], "max": most, "wait": "3s", "lease": "30s"}).json()["tasks"]
    if tasks:
        ended = g.admin.post("/api/workers/complete", {"tasks": [{"id": t["id"], "fence": t["fence"], "output": t["payload"]} for t in tasks]}).json()["tasks"]
        assert all(e.get("state") == "done" for e in ended), ended
    return {t["id"]: int(t["fence"]) for t in tasks}


def test_two_versions_side_by_side(upstream, postgres, gateway):
    upstream.script("model", ok(5, delay=0.01))
    config = {"database": postgres.fresh_url(), "drain": "5s", **one_provider(upstream)}
    old = gateway(config, program=OLD)
    before = [submit(old, queue="images", task="resize", payload={"n": n}) for n in range(5)]
    kept = old.app.chat("chat", headers={"idempotency-key": "once"})
    assert kept.succeeded()
    new = gateway(config)
    wait_until(lambda: states(new) == states(old) == ["serving", "serving"], 20)
    print({n["address"]: n["version"] for n in new.admin.get("/api/nodes").json()["nodes"]})

    for g in (old, new):
        again = g.app.chat("chat", headers={"idempotency-key": "once"})
        assert again.text() == kept.text() and len(upstream.seen()) == 1, "what one has answered the other answers again"
    made, fences = list(before), {}
    calls, over = [], time.monotonic() + FOR
    while time.monotonic() < over:
        for here, there in ((old, new), (new, old)):
            assert here.app.chat("chat").succeeded()
            calls.append(submit(here, call={"body": {"model": "chat", "messages": [{"role": "user", "content": "Say the words."}]}}))
            made += [submit(here, queue="images", task="resize", payload={"n": n}) for n in range(3)]
            fences |= work_off(there, 10)
            assert there.app.get(f"/api/jobs/{calls[-1]}").status == 200
    cancelled = submit(old, queue="images", task="later", delay="1h")
    assert new.app.post(f"/api/jobs/{cancelled}/cancel", {}).status == 200 and job(old, cancelled, "1s")["state"] == "cancelled"

    assert all(job(new, id)["state"] == "done" for id in calls)

    left = [submit(old, queue="images", task="resize", payload={"n": 0}, concurrency={"key": "k", "limit": 1}) for _ in range(3)]
    old.kill()                                            # an upgrade that went wrong
    made += left
    end = time.monotonic() + 60
    while set(made) - set(fences) and time.monotonic() < end:
        fences |= work_off(new, 10)
    assert set(made) <= set(fences), f"{len(set(made) - set(fences))} jobs were not recovered by the newer version"
    assert all(job(new, id)["state"] == "done" for id in made)
    old.program = ""                                      # and put right: today's takes the old one's folder over, with what its journal still holds
    old.start()
    seen = upstream.seen()
    for g in (old, new):
        assert g.usage()["attempts"] == len(seen) and g.usage()["billed"] == sum(cost_nano(s.prompt_tokens, s.output_tokens, INPUT, OUTPUT) for s in seen)
