"""The same Idempotency-Key is one call and one bill; the cache makes one call of a stampede."""
from __future__ import annotations

import asyncio

import pytest

from support.configs import INPUT, OUTPUT, one_provider
from support.fake_upstream import ok, words
from support.gateway import APP_KEY, cost_nano, nano, wait_until

pytestmark = pytest.mark.databases

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
KEY = {"idempotency-key": "order-7-retry-safe"}
OTHER_KEY = "sk-ballast-e2e-other-0123456789abcdef012345"


def gather(*calls):
    async def go():
        return await asyncio.gather(*calls)
    return asyncio.run(go())


@BOTH
def test_the_same_key_is_answered_again_and_billed_once(upstream, gateway, stream):
    upstream.script("model", ok(words(12, "a")), ok(words(12, "b")))
    g = gateway(one_provider(upstream))
    first = g.app.chat("chat", stream=stream, headers=KEY)
    again = g.app.chat("chat", stream=stream, headers=KEY)
    assert first.succeeded() and again.succeeded() and again.text() == first.text()
    assert again.is_stream() == stream
    assert len(upstream.seen()) == 1
    seen = upstream.seen()[0]
    assert g.usage()["billed"] == cost_nano(seen.prompt_tokens, 12, INPUT, OUTPUT)


@BOTH
def test_twenty_at_once_with_one_key_are_one_call(upstream, gateway, stream):
    upstream.script("model", ok(words(12, "a"), delay=0.3))
    g = gateway(one_provider(upstream))
    replies = gather(*[g.app.chat_async("chat", stream=stream, headers=KEY) for _ in range(20)])
    good = [r for r in replies if r.status == 200]
    assert good and all(r.succeeded() for r in good) and len({r.text() for r in good}) == 1
    assert all(r.status in (200, 409) for r in replies), {r.status for r in replies}
    assert len(upstream.seen()) == 1
    assert g.usage()["billed"] == cost_nano(upstream.seen()[0].prompt_tokens, 12, INPUT, OUTPUT)


def test_another_body_under_the_same_key_is_refused(upstream, gateway):
    g = gateway(one_provider(upstream))
    assert g.app.chat("chat", "One thing.", headers=KEY).status == 200
    reply = g.app.chat("chat", "Another thing.", headers=KEY)
    assert reply.status in (409, 422) and reply.error()["message"] and len(upstream.seen()) == 1


def test_keys_of_different_callers_do_not_meet(upstream, gateway):
    upstream.script("model", ok(words(5, "a")), ok(words(5, "b")))
    c = one_provider(upstream)
    g = gateway(c, start=False)
    g.config["keys"].append({"name": "other", "value": OTHER_KEY, "scopes": ["call"]})
    g.write_config()
    g.start()
    mine = g.app.chat("chat", headers=KEY)
    g_other = type(g.app)(g.port, OTHER_KEY)
    theirs = g_other.chat("chat", headers=KEY)
    assert mine.text() != theirs.text() and len(upstream.seen()) == 2


def test_a_finished_call_is_replayed_after_a_restart(upstream, gateway):
    upstream.script("model", ok(words(12, "a")), ok(words(12, "b")))
    g = gateway(one_provider(upstream))
    first = g.app.chat("chat", headers=KEY)
    g.terminate()
    g.start()
    again = g.app.chat("chat", headers=KEY)
    assert again.status == 200 and again.text() == first.text() and len(upstream.seen()) == 1


def crash_in_the_middle(upstream, g):
    upstream.script("model", ok(words(12, "a"), delay=60), ok(words(12, "b")))

    async def go():
        call = asyncio.create_task(g.app.chat_async("chat", headers=KEY))
        while not upstream.seen():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        g.kill()
        with pytest.raises((ConnectionError, OSError, asyncio.IncompleteReadError)):
            await call
    asyncio.run(go())
    g.start()


def test_after_kill_9_the_retry_is_told_that_the_outcome_is_unknown(upstream, gateway):
    g = gateway(one_provider(upstream))
    crash_in_the_middle(upstream, g)
    reply = g.app.chat("chat", headers=KEY)
    assert 400 <= reply.status < 600 and "unknown" in reply.error()["message"].lower(), reply.body
    assert len(upstream.seen()) == 1, "it was sent again behind the caller's back"


def test_after_kill_9_the_retry_is_sent_again_by_policy(upstream, gateway):
    g = gateway(one_provider(upstream, idempotency={"retention": "24h", "unknown": "redispatch"}))
    crash_in_the_middle(upstream, g)
    reply = g.app.chat("chat", headers=KEY)
    assert reply.succeeded() and len(upstream.seen()) == 2


CACHED = {"cache": {"ttl": "1h", "scope": "key"}}


@BOTH
def test_a_stampede_makes_one_call(upstream, gateway, stream):
    upstream.script("model", ok(words(30, "a"), delay=0.3), ok(words(30, "b")))
    g = gateway(one_provider(upstream, route=CACHED))
    replies = gather(*[g.app.chat_async("chat", stream=stream) for _ in range(60)])
    assert all(r.succeeded() for r in replies), [r.body for r in replies if not r.succeeded()][:1]
    assert {r.text() for r in replies} == {"".join(words(30, "a"))}
    assert len(upstream.seen()) == 1
    assert g.usage()["billed"] == cost_nano(upstream.seen()[0].prompt_tokens, 30, INPUT, OUTPUT)


@pytest.mark.parametrize("first,second", [(False, False), (True, True), (False, True), (True, False)])
def test_a_hit_costs_nothing_and_says_so(upstream, gateway, first, second):
    upstream.script("model", ok(words(30, "a")), ok(words(30, "b")))
    g = gateway(one_provider(upstream, route=CACHED))
    miss = g.app.chat("chat", stream=first)
    hit = g.app.chat("chat", stream=second)
    assert hit.succeeded() and hit.text() == miss.text() and hit.is_stream() == second
    assert len(upstream.seen()) == 1
    assert hit.headers["x-ballast-cache"] == "hit" and hit.headers["x-ballast-served-by"] == "cache"
    assert nano(hit.headers["x-ballast-cost-usd"]) == 0
    assert g.app.chat("chat", "Something else.", stream=second).text() != miss.text()


@pytest.mark.parametrize("scope,calls", [("key", 2), ("shared", 1)])
def test_what_another_caller_asked_is_shared_only_by_choice(upstream, gateway, scope, calls):
    g = gateway(one_provider(upstream, route={"cache": {"ttl": "1h", "scope": scope}}), start=False)
    g.config["keys"].append({"name": "other", "value": OTHER_KEY, "scopes": ["call"]})
    g.write_config()
    g.start()
    assert g.app.chat("chat").succeeded() and type(g.app)(g.port, OTHER_KEY).chat("chat").succeeded()
    assert len(upstream.seen()) == calls


def test_an_entry_expires(upstream, gateway):
    upstream.script("model", ok(words(3, "a")), ok(words(3, "b")))
    g = gateway(one_provider(upstream, route={"cache": {"ttl": "1s", "scope": "key"}}))
    assert g.app.chat("chat").text() == "".join(words(3, "a"))
    wait_until(lambda: g.app.chat("chat").text() == "".join(words(3, "b")))


def test_the_leader_leaves_and_the_followers_are_served(upstream, gateway):
    upstream.script("model", ok(words(30, "a"), delay=0.4))

    async def go(g):
        leader = asyncio.create_task(g.app.chat_async("chat", stream=True))
        while not upstream.seen():
            await asyncio.sleep(0.01)
        followers = [asyncio.create_task(g.app.chat_async("chat", stream=True)) for _ in range(5)]
        await asyncio.sleep(0.1)
        leader.cancel()
        return await asyncio.gather(*followers)
    replies = asyncio.run(go(gateway(one_provider(upstream, route=CACHED))))
    assert all(r.succeeded() and r.text() == "".join(words(30, "a")) for r in replies)
    assert len(upstream.seen()) <= 2


def test_an_error_is_not_cached(upstream, gateway):
    from support.fake_upstream import error
    upstream.script("model", error(400, "bad", "invalid_request_error"), ok(words(3, "a")))
    g = gateway(one_provider(upstream, route=CACHED))
    assert g.app.chat("chat").status == 400 and g.app.chat("chat").succeeded()
