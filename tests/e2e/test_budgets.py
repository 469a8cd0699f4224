"""No budget is overshot: 2,000 callers at once against money for 100, calmly, through kill -9, and with half of them leaving.

The provider of these tests keeps its own count; what it would charge, what the ledger says and what the budget says
must agree to the nano-dollar.
"""
from __future__ import annotations

import asyncio

import pytest

from support.configs import one_provider
from support.fake_upstream import ok, words
from support.gateway import cost_nano, nano

pytestmark = pytest.mark.databases

CALLERS, PAID = 2000, 100
TOKENS = 50
FREE_INPUT = {"input": "$0", "output": "$10"}    # so that the ceiling of a call is its cost: 50 tokens, 500,000 nano
EACH = cost_nano(0, TOKENS, 0, 10)
BUDGET = EACH * PAID


def usd(amount: int) -> str:
    return f"${amount // 10**9}.{amount % 10**9:09d}"


def config(upstream, price=FREE_INPUT, amount=BUDGET, **sections):
    return one_provider(upstream, price=price, budgets=[{"scope": "key", "amount": usd(amount), "per": "day"}],
                        limits_http={"connections": 8000}, **{"read_on_disconnect": "60s", **sections})


async def storm(gateway, callers: int, during=None, leave_after=lambda i: None, **more):
    """`callers` calls at once. A call whose connection broke is None."""
    async def one(i):
        try:
            return await gateway.app.chat_async("chat", max_tokens=TOKENS, timeout=120, leave_after=leave_after(i), **more)
        except (ConnectionError, OSError, asyncio.IncompleteReadError):
            return None
    calls = [asyncio.create_task(one(i)) for i in range(callers)]
    if during:
        await during()
    return await asyncio.gather(*calls)


def charged(upstream, input_usd=0.0, output_usd=10.0) -> int:
    """The provider's own bill."""
    return sum(cost_nano(s.prompt_tokens, s.output_tokens, input_usd, output_usd) for s in upstream.seen())


def assert_refusal(reply):
    assert reply.status == 429, reply.body
    assert reply.headers.get("x-should-retry") == "false"
    assert "budget" in (reply.error()["code"] or "") + reply.error()["message"].lower()


def test_two_thousand_callers_one_hundred_paid_for(upstream, gateway):
    upstream.script("model", ok(TOKENS, delay=0.5))
    g = gateway(config(upstream))
    replies = asyncio.run(storm(g, CALLERS))
    served = [r for r in replies if r.status == 200]
    assert len(served) == PAID and len(upstream.seen()) == PAID
    for reply in replies:
        if reply.status != 200:
            assert_refusal(reply)
    assert sum(nano(r.headers["x-ballast-cost-usd"]) for r in served) == BUDGET
    assert g.usage()["incurred"] == g.usage()["billed"] == g.spent() == charged(upstream) == BUDGET


def test_the_same_when_the_prompt_costs_too(upstream, gateway):
    """The ceiling is then above the cost, so fewer than the money allows may run at once; never more."""
    upstream.script("model", ok(TOKENS, delay=0.3))
    g = gateway(config(upstream, price={"input": "$3", "output": "$10"}))
    replies = asyncio.run(storm(g, 600))
    served = [r for r in replies if r.status == 200]
    spent = charged(upstream, 3.0)
    assert 1 <= len(served) <= PAID and spent <= BUDGET
    assert g.usage()["incurred"] == g.spent() == spent == sum(nano(r.headers["x-ballast-cost-usd"]) for r in served)


def test_kill_9_in_the_middle_never_overshoots(upstream, gateway):
    upstream.script("model", *[ok(TOKENS, delay=0.05 + 0.02 * (i % 40)) for i in range(CALLERS)])
    g = gateway(config(upstream))

    async def kill():
        while len(upstream.seen()) < PAID // 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        g.kill()
    first = asyncio.run(storm(g, CALLERS, during=kill))
    before = len([r for r in first if r and r.status == 200])
    g.start()
    second = asyncio.run(storm(g, 500))
    after = len([r for r in second if r and r.status == 200])
    assert before + after <= PAID
    assert charged(upstream) <= g.spent() <= BUDGET, "what the provider charged fits what the budget says was spent"
    assert g.usage()["incurred"] == g.spent(), "ledger and budget agree"
    assert len(upstream.seen()) <= PAID
    assert g.usage()["attempts"] >= len(upstream.seen()), "no call that reached the provider is missing"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_half_of_the_callers_leave(upstream, gateway, stream):
    upstream.script("model", ok(TOKENS, delay=0.4, gap=0.01 if stream else 0))
    g = gateway(config(upstream))

    async def go():
        async def one(i):
            call = asyncio.create_task(g.app.chat_async("chat", max_tokens=TOKENS, timeout=120, stream=stream))
            if i % 2:
                await asyncio.sleep(0.6 if stream else 0.3)
                call.cancel()
            try:
                return await call
            except (asyncio.CancelledError, ConnectionError, OSError):
                return None
        return await asyncio.gather(*[one(i) for i in range(CALLERS)])
    replies = asyncio.run(go())
    g.settled()
    served = [r for r in replies if r and r.status == 200]
    assert len(served) <= PAID and len(upstream.seen()) <= PAID
    assert g.usage()["attempts"] == len(upstream.seen()) == PAID
    assert g.usage()["incurred"] == g.spent() == charged(upstream) == BUDGET, "a caller that leaves is read on for the usage"


def test_a_stream_that_never_says_what_it_cost_is_charged_for_what_was_seen(upstream, gateway):
    """No usage, a proper end: a token is a byte at least, so the bytes bound the bill, far below what might have been."""
    upstream.script("model", ok(TOKENS, usage=False))
    g = gateway(config(upstream, amount=EACH * 1000))
    assert g.app.chat("chat", max_tokens=4000, stream=True).succeeded()
    assert charged(upstream) <= g.spent() <= 10 * EACH < cost_nano(0, 4000, 0, 10)
    assert g.usage()["incurred"] == g.spent()


def test_a_caller_leaves_and_the_rest_is_not_waited_for(upstream, gateway):
    """With nothing read on, the outcome is unknown: what the provider may charge stays charged, never less."""
    upstream.script("model", ok(TOKENS, gap=0.05))
    g = gateway(config(upstream, read_on_disconnect="0s"))
    asyncio.run(g.app.chat_async("chat", max_tokens=TOKENS, stream=True, leave_after=800))
    g.settled()
    assert charged(upstream) <= g.spent() <= EACH and g.usage()["incurred"] == g.spent()


def test_max_tokens_is_clamped_to_what_the_budget_leaves(upstream, gateway):
    upstream.script("model", ok(200))
    g = gateway(config(upstream, amount=EACH + EACH // 2))
    assert g.app.chat("chat", max_tokens=TOKENS).usage()["completion_tokens"] == TOKENS
    second = g.app.chat("chat", max_tokens=TOKENS)
    assert second.status == 200 and second.finish() == "length", second.body
    assert upstream.seen()[-1].body.get("max_tokens", upstream.seen()[-1].body.get("max_completion_tokens")) == TOKENS // 2
    assert_refusal(g.app.chat("chat", max_tokens=TOKENS))
    assert g.spent() == EACH + EACH // 2


def test_without_max_tokens_the_models_ceiling_is_held_or_clamped(upstream, gateway):
    upstream.script("model", ok(5000))
    g = gateway(config(upstream))
    reply = g.app.chat("chat")
    assert reply.status in (200, 429)
    assert g.spent() <= BUDGET
    sent = upstream.seen()
    assert all((s.body.get("max_tokens") or s.body.get("max_completion_tokens") or 10**9) * 10_000 <= BUDGET for s in sent)


def test_an_unpriced_model_is_refused_where_a_budget_applies(upstream, gateway):
    c = config(upstream)
    c["models"] = {}
    g = gateway(c)
    reply = g.app.chat("chat", max_tokens=5)
    assert 400 <= reply.status < 500 and not upstream.seen()
    assert "price" in reply.error()["message"].lower()


def test_what_has_no_ceiling_is_refused_where_a_budget_applies(upstream, gateway):
    g = gateway(config(upstream))
    reply = g.app.post("/v1/chat/completions", {"model": "chat", "max_tokens": 5, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is in this?"},
        {"type": "file", "file": {"file_id": "file-abc123"}}]}]})
    assert 400 <= reply.status < 500 and not upstream.seen(), reply.body
    assert reply.error()["message"]


@pytest.mark.parametrize("scope,headers", [("user", {"x-ballast-user": "ann"}), ("feature", {"x-ballast-feature": "search"}),
                                           ("model", {}), ("system", {})])
def test_each_scope_has_its_own_purse(upstream, gateway, scope, headers):
    upstream.script("model", ok(TOKENS))
    c = config(upstream)
    c["budgets"] = [{"scope": scope, "amount": usd(EACH), "per": "hour"}]
    g = gateway(c)
    assert g.app.chat("chat", max_tokens=TOKENS, headers=headers).status == 200
    assert_refusal(g.app.chat("chat", max_tokens=TOKENS, headers=headers))
    if headers:
        other = {k: "other" for k in headers}
        assert g.app.chat("chat", max_tokens=TOKENS, headers=other).status == 200


def test_a_request_budget_caps_one_call(upstream, gateway):
    upstream.script("model", ok(words(500)))
    c = config(upstream)
    c["budgets"] = [{"scope": "request", "amount": usd(10_000 * 30)}]
    g = gateway(c)
    for _ in range(3):
        reply = g.app.chat("chat", max_tokens=TOKENS)
        assert reply.status == 200 and nano(reply.headers["x-ballast-cost-usd"]) <= 300_000


def test_spending_survives_a_restart(upstream, gateway):
    upstream.script("model", ok(TOKENS))
    g = gateway(config(upstream, amount=EACH * 3))
    assert [g.app.chat("chat", max_tokens=TOKENS).status for _ in range(2)] == [200, 200]
    assert g.terminate() == 0
    g.start()
    assert g.spent() == 2 * EACH
    assert [g.app.chat("chat", max_tokens=TOKENS).status for _ in range(2)] == [200, 429]
