"""The workers of examples/worker, as they ship: they work, fail, keep a long task by heartbeats, outlive the server, and give back what they hold."""
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from support import node
from support.client import fetch
from support.gateway import ROOT

WORK_KEY = "sk-ballast-work-0123456789abcdef0123456789"
EXAMPLES = ROOT / "examples" / "worker"


def command(language: str) -> list[str]:
    if language == "python":
        return [sys.executable, str(EXAMPLES / "worker.py")]
    if os.environ.get("OFFLINE"):
        pytest.skip("OFFLINE is set: Node 22 comes from the registry")
    return [node.node(), str(EXAMPLES / "worker.ts")]


@pytest.fixture(params=["python", "typescript"])
def worker(request, gateway, tmp_path):
    """The gateway, and a function that starts a worker of its queue `images`."""
    begin = command(request.param)
    g = gateway({"providers": {"sim": {"kind": "simulator"}}}, start=False)
    g.config["keys"] += [{"name": "worker", "value": WORK_KEY, "scopes": ["work"]}]
    g.write_config()
    g.start()
    running: list[subprocess.Popen] = []

    def start(lease: float = 30) -> subprocess.Popen:
        env = os.environ | {"BALLAST_URL": f"http://127.0.0.1:{g.port}", "BALLAST_KEY": WORK_KEY, "BALLAST_QUEUES": "images", "BALLAST_LEASE": str(lease)}
        with open(tmp_path / "worker.log", "ab") as out:
            running.append(subprocess.Popen(begin, env=env, stdout=out, stderr=subprocess.STDOUT))
        return running[-1]
    yield g, start
    for process in running:
        process.kill()
        process.wait()


def submit(g, **job) -> str:
    made = g.app.post("/api/jobs", {"task": "resize", "queue": "images", **job})
    assert made.status == 202, made.body
    return made.json()["id"]


def job(g, id: str, wait: str = "") -> dict:
    return g.app.get(f"/api/jobs/{id}" + (f"?wait={wait}" if wait else "")).json()


def test_it_works_tells_of_progress_and_says_why_it_failed(worker):
    g, start = worker
    process = start()
    ids = [submit(g, payload={"steps": 3, "seconds": 0.03}) for _ in range(5)]
    wrong = submit(g, payload=None, attempts=1)
    assert [job(g, id, "60s")["output"] for id in ids] == [{"steps": 3}] * 5
    progress = [data for event, data in g.app.get(f"/api/jobs/{ids[0]}/events").events() if event == "progress"]
    assert len(progress) == 3 and '"step":3' in progress[-1]
    dead = job(g, wrong, "60s")
    assert dead["state"] == "dead" and "TypeError" in dead["error"]["message"]
    assert process.poll() is None


def test_heartbeats_keep_a_task_that_outlasts_its_lease(worker):
    g, start = worker
    start(lease=4)
    done = job(g, submit(g, payload={"steps": 1, "seconds": 7}), "60s")
    assert done["state"] == "done" and done["attempt"] == 1
    assert g.metric("ballast_job_leases_expired_total", queue="images") == 0


def until_it_works(g, id: str) -> None:
    """Its first word of progress: leased it is before the worker has heard so."""
    class Heard(Exception):
        pass

    def hear(chunk: bytes) -> None:
        if b"event: progress" in chunk:
            raise Heard
    with pytest.raises(Heard):
        asyncio.run(fetch(g.port, "GET", f"/api/jobs/{id}/events", headers=g.app.headers(), hear=hear))


def test_it_finishes_what_it_holds_after_a_kill_9_of_the_server(worker):
    g, start = worker
    start()
    held = submit(g, payload={"steps": 4, "seconds": 1})
    until_it_works(g, held)
    g.kill()
    g.start()
    done = job(g, held, "60s")
    assert done["state"] == "done" and done["attempt"] == 1
    assert job(g, submit(g, payload={"steps": 1, "seconds": 0}), "60s")["state"] == "done"


def test_sigterm_gives_back_what_it_holds_without_counting_an_attempt(worker):
    g, start = worker
    process = start()
    held = submit(g, payload={"steps": 36_000, "seconds": 3600})
    until_it_works(g, held)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    given_back = job(g, held)
    assert given_back["state"] == "queued" and given_back["attempt"] == 0


def test_sigterm_ends_a_worker_that_waits_for_work(worker):
    g, start = worker
    process = start()
    assert job(g, submit(g, payload={"steps": 1, "seconds": 0}), "60s")["state"] == "done"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
