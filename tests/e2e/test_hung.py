"""PostgreSQL that hangs: it is stopped, and its machine's kernel keeps every connection up. Nothing that a client or a person waits for may wait for it."""
from __future__ import annotations

import asyncio
import itertools
import json
import signal
import time

import pytest

from support.client import Reply, fetch
from support.configs import one_provider
from support.gateway import wait_until

NOOP = json.dumps({"task": "ballast.noop"}).encode()


@pytest.fixture
def hung(own_postgres):
    yield own_postgres
    own_postgres.pause(signal.SIGCONT)


def test_calls_go_on_jobs_are_refused_and_a_node_can_end(upstream, hung, gateway):
    a, b = (gateway({"database": url, **one_provider(upstream)}) for url in [hung.fresh_url()] * 2)
    before = a.app.post("/api/jobs", NOOP).json()["id"]
    assert a.app.get(f"/api/jobs/{before}?wait=30s").json()["state"] == "done"
    hung.pause()
    began = time.monotonic()
    asked = a.app.post("/api/jobs", NOOP, headers={"idempotency-key": "once"}, timeout=90)
    assert asked.status == 503 and int(asked.headers["retry-after"]) > 0, asked.body
    assert time.monotonic() - began < 60, "found out, not waited for"
    assert a.app.chat("chat").succeeded()
    began = time.monotonic()
    assert a.app.post("/api/jobs", NOOP, timeout=90).status == 503 and time.monotonic() - began < 15, "and known from then on"
    b.process.send_signal(signal.SIGTERM)
    assert b.process.wait(90) == 0
    assert "database_silent" in a.log.read_text()

    hung.pause(signal.SIGCONT)
    wait_until(lambda: a.app.post("/api/jobs", NOOP, headers={"idempotency-key": "once"}).status in (200, 202), 60)
    again = a.app.post("/api/jobs", NOOP, headers={"idempotency-key": "once"}).json()
    assert a.app.get(f"/api/jobs/{again['id']}?wait=30s").json()["state"] == "done"
    assert len(a.app.get("/api/jobs").json()["jobs"]) == 2, "what was refused is not there besides"


def test_who_submits_as_it_falls_silent_is_answered(upstream, hung, gateway):
    """Of some nobody knows whether they were written until it is back: they are told so, and their keys find them."""
    a = gateway({"database": hung.fresh_url(), **one_provider(upstream)})

    async def submit(who: int) -> tuple[str, Reply]:
        """Until refused."""
        for n in itertools.count():
            key = f"{who}-{n}"
            reply = await fetch(a.port, "POST", "/api/jobs", headers=a.app.headers({"idempotency-key": key} if who % 2 else {}), body=NOOP, timeout=60)
            if reply.status != 202:
                return key, reply

    async def all_of_them() -> list[tuple[str, Reply]]:
        under_way = asyncio.gather(*[submit(who) for who in range(16)])
        await asyncio.sleep(0.5)
        hung.pause()
        return await under_way
    refused = asyncio.run(all_of_them())
    assert all(r.status == 503 and int(r.headers["retry-after"]) > 0 for _, r in refused), [r.body for _, r in refused]
    hung.pause(signal.SIGCONT)
    for key, _ in refused:
        def again() -> Reply:
            return a.app.post("/api/jobs", NOOP, headers={"idempotency-key": key})
        wait_until(lambda: again().status in (200, 202), 60)
        job = again().json()
        assert job["existing"] and a.app.get(f"/api/jobs/{job['id']}?wait=30s").json()["state"] == "done"
