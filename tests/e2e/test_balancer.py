"""The balancer of deploy/compose before three nodes on one PostgreSQL: streams come through piece by piece, a node that is drained or killed is not felt,
and its jobs go on."""
from __future__ import annotations

import asyncio
import shutil
import signal
import time

import pytest

from support.client import Caller
from support.configs import PROMPTLY, one_provider
from support.fake_upstream import ok
from support.gateway import ADMIN_KEY, APP_KEY, wait_until
from support.haproxy import Haproxy

pytestmark = pytest.mark.skipif(not shutil.which("haproxy"), reason="HAProxy is not installed (apt-get install haproxy)")
NOTICE = ["--drain-notice", "3s"]


@pytest.fixture
def cluster(upstream, postgres, gateway, tmp_path):
    """Three nodes, and a caller and an administrator of the balancer before them."""
    class Cluster:
        def __init__(self):
            url = postgres.fresh_url()
            self.nodes = [gateway({"database": url, "drain": "20s", **one_provider(upstream)}, args=NOTICE) for _ in range(3)]
            self.balancer = Haproxy(tmp_path, self.nodes)
            self.app, self.admin = Caller(self.balancer.port, APP_KEY), Caller(self.balancer.port, ADMIN_KEY)
            assert all(g.app.get("/readyz").json()["checks"]["work"] for g in self.nodes), "every node works on jobs"
            wait_until(lambda: submit(self.app).status == 202)

    made = Cluster()
    yield made
    made.balancer.stop()
    for g in made.nodes:
        if g.alive():
            g.kill()                                      # a clean end would take the notice


def submit(caller: Caller, prompt: str = "hello", **more):
    return caller.post("/api/jobs", {"call": {"body": {"model": "chat", "messages": [{"role": "user", "content": prompt}]}}, **more})


def calls_of(g) -> float:
    return g.metric("ballast_calls_total")


def test_a_stream_comes_through_token_by_token(upstream, cluster):
    upstream.script("model", ok(10, gap=0.2))
    came: list[float] = []
    reply = asyncio.run(cluster.app.chat_async("chat", stream=True, hear=lambda _: came.append(time.monotonic())))
    assert reply.succeeded()
    gaps = [b - a for a, b in zip(came, came[1:])]
    assert len([g for g in gaps if g > 0.1]) >= 7, f"each token on its own: {gaps}"


async def until_over(cluster, over: asyncio.Event, callers: int = 12) -> list:
    replies = []

    async def caller(n: int):
        while not over.is_set():
            replies.append(await cluster.app.chat_async("chat", stream=n % 2 == 0))
    async with asyncio.timeout(90):
        await asyncio.gather(*[caller(n) for n in range(callers)])
    return replies


def test_nodes_are_replaced_one_by_one_and_no_call_is_lost(upstream, cluster):
    """A rolling upgrade by SIGTERM, with streams and calls under way all the time."""
    upstream.script("model", ok(10, gap=0.02))

    async def go():
        over = asyncio.Event()
        calls = asyncio.create_task(until_over(cluster, over))
        for g in cluster.nodes:
            await asyncio.sleep(0.5)
            assert await asyncio.to_thread(calls_of, g) > 0, "the balancer shares calls out"
            g.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(g.process.wait, 60) == 0
            await asyncio.to_thread(g.start)
            await asyncio.sleep(1.5)                      # the balancer has looked
        over.set()
        return await calls
    replies = asyncio.run(go())
    failed = [(r.status, r.body[:200]) for r in replies if not r.succeeded()]
    assert not failed and len(replies) > 100
    for g in cluster.nodes:
        g.idle()
    made = len(replies) + 1                               # and the job of the beginning
    wait_until(lambda: cluster.nodes[0].usage()["calls"] == made)
    assert len(upstream.seen()) == made, "nothing was sent twice either"


def test_jobs_go_on_when_the_node_that_had_them_is_killed(upstream, cluster):
    """Every node accepts and runs jobs. The balancer asks one of them; when that dies another has its jobs within seconds, and the balancer asks that."""
    upstream.script("model", ok(3))
    for caller in (cluster.app, *(g.app for g in cluster.nodes)):
        job = submit(caller)
        assert job.status == 202, job.body
        done = caller.get(f"/api/jobs/{job.json()['id']}?wait=30s")
        assert done.json()["state"] == "done" and done.seconds < PROMPTLY
    later = [submit(cluster.app, delay="2s").json()["id"] for _ in range(10)]
    cluster.nodes[0].kill()                               # the first, which the balancer asks
    wait_until(lambda: submit(cluster.app).status == 202, 10)
    wait_until(lambda: all(cluster.admin.get(f"/api/jobs/{id}").json()["state"] == "done" for id in later), 20)
    assert cluster.app.chat("chat").succeeded()


def test_a_killed_node_costs_only_what_it_had(upstream, cluster):
    upstream.script("model", ok(5, gap=0.01))
    victim = cluster.nodes[1]

    async def go():
        over = asyncio.Event()
        calls = asyncio.create_task(until_over(cluster, over, callers=6))
        await asyncio.sleep(0.5)
        victim.kill()
        await asyncio.sleep(4)
        at_once = [await cluster.app.chat_async("chat") for _ in range(20)]
        over.set()
        return await calls, at_once
    replies, after = asyncio.run(go())
    assert all(r.succeeded() for r in after), "it is looked at each second and left alone"
    assert len([r for r in replies if not r.succeeded()]) <= 6, "each caller had one call there at most"


def test_figures_are_not_given_away_through_the_balancer(cluster):
    assert cluster.nodes[0].app.get("/healthz").status == 200
    assert [cluster.admin.get(path).status for path in ("/metrics", "/metrics?x=1", "/metrics/")] == [404, 404, 404]
