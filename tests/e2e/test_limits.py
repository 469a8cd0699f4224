"""Limits refuse early, say so, and a refused call uses nothing up."""
from __future__ import annotations

import asyncio

import pytest

from support.configs import PROMPTLY, one_provider
from support.fake_upstream import Gate, ok

pytestmark = pytest.mark.databases


def at_once(g, n, gate: Gate | None = None, meanwhile: int = 0):
    """`n` calls at once. The provider's `gate` opens when `meanwhile` of them have been answered."""
    async def go():
        calls = [asyncio.create_task(g.app.chat_async("chat")) for _ in range(n)]
        try:
            while gate and sum(c.done() for c in calls) < meanwhile:
                await asyncio.sleep(0.01)
        finally:
            if gate:
                gate.open()
        return await asyncio.gather(*calls)
    return asyncio.run(asyncio.wait_for(go(), 120))


def test_requests_per_minute(upstream, gateway):
    g = gateway(one_provider(upstream, limits=[{"scope": "key", "requests": "5/h"}]))
    replies = [g.app.chat("chat") for _ in range(7)]
    assert [r.status for r in replies] == [200] * 5 + [429] * 2
    assert [r.headers["x-ratelimit-remaining-requests"] for r in replies[:5]] == ["4", "3", "2", "1", "0"]
    assert replies[0].headers["x-ratelimit-limit-requests"] == "5"
    refused = replies[-1]
    assert 0 < float(refused.headers["retry-after"]) <= 3601
    assert refused.error()["code"] == "rate_limit_exceeded" or "rate" in refused.error()["type"] + str(refused.error()["code"])
    assert len(upstream.seen()) == 5


def test_a_refused_call_consumes_nothing(upstream, gateway):
    gate = Gate(ok(5))
    upstream.script("model", gate)
    g = gateway(one_provider(upstream, limits=[{"scope": "key", "requests": "10/h"},
                                               {"scope": "model", "match": "up/model", "concurrency": 1}]))
    replies = at_once(g, 8, gate, 7)
    assert sorted(r.status for r in replies) == [200] + [429] * 7
    last = g.app.chat("chat")
    assert last.status == 200 and last.headers["x-ratelimit-remaining-requests"] == "8"


def test_concurrency_slots_come_back_from_every_end(upstream, gateway):
    """Success, error, disconnect: after each the slot is free again."""
    from support.fake_upstream import error, reset_before_headers
    g = gateway(one_provider(upstream, limits=[{"scope": "key", "concurrency": 2}], read_on_disconnect="100ms",
                             route={"retries": {"attempts": 1}}))
    for behaviour in (ok(5), error(400, "x"), reset_before_headers(), ok(5)):
        upstream.script("model", behaviour)
        for _ in range(2):
            g.app.chat("chat")

    upstream.script("model", ok(100, gap=0.02))

    async def leave():
        await asyncio.gather(*[g.app.chat_async("chat", stream=True, leave_after=300) for _ in range(2)])
    for _ in range(3):
        asyncio.run(leave())
        g.idle()
    gate = Gate(ok(5))
    upstream.script("model", gate)
    assert sorted(r.status for r in at_once(g, 3, gate, 1)) == [200, 200, 429]


def test_tokens_are_estimated_before_and_corrected_after(upstream, gateway):
    upstream.script("model", ok(10))
    g = gateway(one_provider(upstream, limits=[{"scope": "key", "tokens": "2000/m"}]))
    first = g.app.chat("chat", max_tokens=1500)
    assert first.status == 200
    used = first.usage()["total_tokens"]
    second = g.app.chat("chat", max_tokens=1500)
    assert second.status == 200, "the first call's estimate was not corrected to what it used"
    left = int(second.headers["x-ratelimit-remaining-tokens"])
    assert left <= 2000 - used
    assert g.app.chat("chat", max_tokens=4000).status in (400, 429)
    assert len(upstream.seen()) == 2


def test_waiting_in_the_queue_instead_of_a_429(upstream, gateway):
    gate = Gate(ok(5))
    upstream.script("model", gate)
    g = gateway(one_provider(upstream, route={"queue": {"wait": "60s", "depth": 3}},
                             limits=[{"scope": "key", "concurrency": 1}]))
    replies = at_once(g, 6, gate, 2)
    assert sorted(r.status for r in replies) == [200] * 4 + [429] * 2
    seen = upstream.seen()
    assert all(before.until <= after.at for before, after in zip(seen, seen[1:])), "two at once"


def test_waiting_ends(upstream, gateway):
    gate = Gate(ok(5))
    upstream.script("model", gate)
    g = gateway(one_provider(upstream, route={"queue": {"wait": "300ms", "depth": 10}},
                             limits=[{"scope": "key", "concurrency": 1}]))
    replies = at_once(g, 3, gate, 2)
    assert sorted(r.status for r in replies) == [200, 429, 429]
    assert all(0.25 <= r.seconds < PROMPTLY for r in replies if r.status == 429)


@pytest.mark.parametrize("scope,mine,others", [
    ("user", {"x-ballast-user": "ann"}, {"x-ballast-user": "bob"}),
    ("feature", {"x-ballast-feature": "search"}, {"x-ballast-feature": "chat"}),
])
def test_each_user_and_feature_has_its_own(upstream, gateway, scope, mine, others):
    g = gateway(one_provider(upstream, limits=[{"scope": scope, "requests": "1/h"}]))
    assert [g.app.chat("chat", headers=h).status for h in (mine, mine, others)] == [200, 429, 200]


def test_a_user_named_in_the_body_counts_too(upstream, gateway):
    g = gateway(one_provider(upstream, limits=[{"scope": "user", "requests": "1/h"}]))
    assert [g.app.chat("chat", user=u).status for u in ("ann", "ann", "bob")] == [200, 429, 200]
