"""A node that cannot hear from the others for longer than `cluster.stale_after` says so, goes on with what it knows, and refuses what only they can know."""
from __future__ import annotations

import signal
import time

import pytest

from support.client import Caller
from support.configs import one_provider
from support.gateway import wait_until


@pytest.fixture
def paused(own_postgres):
    yield own_postgres
    own_postgres.pause(signal.SIGCONT)


def test_what_must_not_be_stale_is_refused_and_the_rest_goes_on(upstream, paused, gateway):
    a, b = (gateway({"database": url, "cluster": {"stale_after": "2s"}, **one_provider(upstream)}) for url in [paused.fresh_url()] * 2)
    made = b.admin.post("/api/keys", {"name": "before"})
    assert made.status == 201, made.body
    before = Caller(a.port, made.json()["secret"])
    wait_until(lambda: before.chat("chat").succeeded())
    nobody = Caller(a.port, "sk-nobody-0123456789abcdef0123456789abcdef")
    assert nobody.chat("chat").status == 401 and nobody.get("/api/jobs").status == 401
    ready = a.app.get("/readyz").json()
    assert ready["checks"]["knowledge"] is True and "stale_since" not in ready
    assert a.metric("ballast_knowledge_stale") == 0

    paused.pause()
    wait_until(lambda: nobody.chat("chat").status == 503, 20)
    refused = [nobody.chat("chat"), nobody.get("/api/jobs"), a.admin.post("/api/keys", {"name": "meanwhile"}), a.admin.delete("/api/keys/key_none")]
    assert [r.status for r in refused] == [503] * 4, [r.body for r in refused]
    assert all(int(r.headers["retry-after"]) > 0 for r in refused)
    assert b"has not heard from the others" in refused[0].body
    call = before.chat("chat")
    assert call.succeeded(), "what is known stays in force"
    time.sleep(4)                                             # longer without an answer than /readyz asks for one
    began = time.monotonic()
    ready = a.app.get("/readyz")
    assert ready.status == 200 and time.monotonic() - began < 2, "the call road needs no database"
    assert ready.json()["checks"]["knowledge"] is False and ready.json()["checks"]["database"] is False and ready.json()["stale_since"]

    paused.pause(signal.SIGCONT)
    wait_until(lambda: nobody.chat("chat").status == 401, 30)
    assert "stale_since" not in a.app.get("/readyz").json()
    a.settled()
    steps = {s["step"]: s for s in a.decision(call)["decision"]}
    assert steps["stale"]["since"].startswith("20")
    assert "as this node last heard of them" in a.command("explain", call.headers["x-ballast-call-id"], "--config", str(a.file)).stdout
    assert a.admin.post("/api/keys", {"name": "after"}).status == 201
    assert a.metric("ballast_knowledge_stale") == 0
