"""Limits over several processes on one PostgreSQL: what is let through is counted over all of them."""
from __future__ import annotations

import asyncio
import time

import pytest

from support.configs import one_provider, two_providers
from support.fake_upstream import Gate, ok
from support.gateway import wait_until


@pytest.fixture
def nodes(upstream, postgres, gateway):
    """`nodes(limits)`: three of one installation."""
    def make(limits: list[dict], **more) -> list:
        config = {"database": postgres.fresh_url(), **one_provider(upstream, limits=limits, **more)}
        return [gateway(config) for _ in range(3)]
    return make


def at_once(nodes: list, each: int, gate: Gate | None = None, answered: int = 0, **body) -> list:
    """So many calls to each node. The provider's `gate` opens when `answered` of them have been refused."""
    async def go():
        tasks = [asyncio.create_task(g.app.chat_async("chat", **body)) for _ in range(each) for g in nodes]
        try:
            while gate and sum(t.done() for t in tasks) < answered:
                await asyncio.sleep(0.01)
        finally:
            if gate:
                gate.open()
        return await asyncio.gather(*tasks)
    return asyncio.run(asyncio.wait_for(go(), 120))


def test_twenty_a_minute_are_twenty_whichever_nodes_are_asked(upstream, nodes):
    all_ = nodes([{"scope": "key", "requests": "20/m"}])
    began = time.monotonic()
    replies = at_once(all_, 20)
    refilled = (time.monotonic() - began) / 3
    passed = [r for r in replies if r.status == 200]
    assert 20 <= len(passed) <= 20 + refilled, [r.status for r in replies]
    assert len(upstream.seen()) == len(passed)
    assert all(r.headers["x-ratelimit-limit-requests"] == "20" and int(r.headers["x-ratelimit-remaining-requests"]) < 20 for r in passed)
    refused = [r for r in replies if r.status != 200]
    assert {r.status for r in refused} == {429} and {r.headers["x-ballast-error"] for r in refused} == {"policy_rate_limited"}
    assert all(0 < float(r.headers["retry-after"]) <= 4 for r in refused), "one of twenty a minute, whatever the node's part"


def test_the_first_call_on_each_node_is_let_in(upstream, nodes):
    all_ = nodes([{"scope": "key", "requests": "20/m", "tokens": "100000/m", "concurrency": 5}, {"scope": "system", "requests": "1000/m", "concurrency": 9},
                  {"scope": "model", "requests": "500/m", "tokens": "50000/m"}])
    for g in [*all_, *all_]:
        reply = g.app.chat("chat")
        assert reply.status == 200, (reply.status, reply.body[:300])
        assert reply.headers["x-ratelimit-limit-requests"] == "20"
    first = all_[0]
    assert first.metric("ballast_limit_slice_waits_total", outcome="admitted") >= 1 and first.metric("ballast_limit_unchecked_total") == 0
    assert first.metric("ballast_quota_asks") >= 5 and first.metric("ballast_quota_failures") == 0


def test_four_at_once_are_four_over_all_nodes(upstream, nodes):
    all_ = nodes([{"scope": "key", "concurrency": 4}], read_on_disconnect="1s")
    for _ in range(2):
        gate = Gate(ok(5))
        upstream.script("model", gate)
        before = len(upstream.seen())
        statuses = sorted(r.status for r in at_once(all_, 4, gate, 8))
        assert set(statuses) == {200, 429} and 3 <= statuses.count(200) <= 4, statuses
        assert len(upstream.seen()) - before == statuses.count(200)


def test_tokens_are_reserved_over_all_nodes_and_come_back(upstream, nodes):
    all_ = nodes([{"scope": "key", "tokens": "3000/h"}])
    gate = Gate(ok(10))
    upstream.script("model", gate)
    replies = at_once(all_, 2, gate, 3, max_tokens=900)
    passed = [r for r in replies if r.status == 200]
    assert {r.status for r in replies} == {200, 429} and 2 <= len(passed) <= 3, "three estimates of 900 and a prompt, no fourth"
    upstream.script("model", ok(10))
    assert sum(r.usage()["total_tokens"] for r in passed) < 900
    for g in all_:
        wait_until(lambda g=g: g.app.chat("chat", max_tokens=1000).status == 200, 20)
    assert all_[1].app.chat("chat", max_tokens=4000).status in (400, 429)


def test_an_idle_nodes_part_is_the_others(upstream, nodes):
    a, b, _ = all_ = nodes([{"scope": "key", "requests": "30/h"}])
    assert a.app.chat("chat").status == 200
    wait_until(lambda: a.metric("ballast_quota_active") == 0, 20)
    statuses = [b.app.chat("chat").status for _ in range(30)]
    assert statuses == [200] * 29 + [429]
    assert a.app.chat("chat").status == 429
    assert len(upstream.seen()) == 30
    wait_until(lambda: all(g.metric("ballast_quota_active") == 0 for g in all_), 20)


def test_a_target_whose_limit_cannot_be_checked_is_passed_over(upstream, postgres, gateway):
    url = postgres.fresh_url()

    config = {"database": url, **two_providers(upstream, limits=[{"scope": "model", "match": "primary/alpha", "requests": "100/m"}])}
    assert gateway(config).app.chat("chat").headers["x-ballast-served-by"] == "primary/alpha"
    postgres.run("UPDATE quotas SET period_us = period_us + 1 WHERE name LIKE 'limit|model|%'", postgres.name_of(url))
    other = gateway(config)                               # nobody can tell it what may pass
    passed = other.app.chat("chat")
    assert passed.status == 200 and passed.headers["x-ballast-served-by"] == "fallback/beta", passed.body
    steps = {s["step"]: s for s in other.decision(passed)["decision"]}
    assert "cannot be checked" in steps["target_limited"]["why"] and steps["fail_over"]["to"] == "fallback/beta"
    assert other.metric("ballast_limit_unchecked_total") == 1
