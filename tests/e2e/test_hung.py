"""PostgreSQL that hangs: it is stopped, and its machine's kernel keeps every connection up. Nothing that a client or a person waits for may wait for it."""
from __future__ import annotations

import signal
import time

import pytest

from support.configs import one_provider
from support.gateway import wait_until


@pytest.fixture
def hung(own_postgres):
    yield own_postgres
    own_postgres.pause(signal.SIGCONT)


def test_calls_go_on_jobs_are_refused_and_a_node_can_end(upstream, hung, gateway):
    a, b = (gateway({"database": url, **one_provider(upstream)}) for url in [hung.fresh_url()] * 2)
    before = a.app.post("/api/jobs", {"task": "ballast.noop"}).json()["id"]
    assert a.app.get(f"/api/jobs/{before}?wait=30s").json()["state"] == "done"
    hung.pause()
    began = time.monotonic()
    asked = a.app.post("/api/jobs", {"task": "ballast.noop"}, headers={"idempotency-key": "once"}, timeout=90)
    assert asked.status == 503 and int(asked.headers["retry-after"]) > 0, asked.body
    assert time.monotonic() - began < 60, "found out, not waited for"
    assert a.app.chat("chat").succeeded()
    began = time.monotonic()
    assert a.app.post("/api/jobs", {"task": "ballast.noop"}, timeout=90).status == 503 and time.monotonic() - began < 15, "and known from then on"
    b.process.send_signal(signal.SIGTERM)
    assert b.process.wait(90) == 0
    assert "database_silent" in a.log.read_text()

    hung.pause(signal.SIGCONT)
    wait_until(lambda: a.app.post("/api/jobs", {"task": "ballast.noop"}, headers={"idempotency-key": "once"}).status in (200, 202), 60)
    again = a.app.post("/api/jobs", {"task": "ballast.noop"}, headers={"idempotency-key": "once"}).json()
    assert a.app.get(f"/api/jobs/{again['id']}?wait=30s").json()["state"] == "done"
    assert len(a.app.get("/api/jobs").json()["jobs"]) == 2, "what was refused is not there besides"
