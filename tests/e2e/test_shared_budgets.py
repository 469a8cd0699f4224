"""A budget is one over all nodes: whatever they are asked at once, together they spend no more of it; what a dead one held comes back with its journal."""
from __future__ import annotations

import asyncio
import threading

import pytest

from support.configs import one_provider
from support.fake_upstream import never_answers, ok
from support.gateway import cost_nano, nano, wait_until

TOKENS = 50
EACH = cost_nano(0, TOKENS, 0, 100)                # half a cent: the prompt is free, so a call's ceiling is its cost
PRICE = {"input": "$0", "output": "$100"}


@pytest.fixture
def nodes(upstream, postgres, gateway):
    def make(n: int, amount: str, **sections) -> list:
        url = postgres.fresh_url()
        return [gateway({"database": url, "drain": "20s",
                         **one_provider(upstream, price=PRICE, budgets=[{"name": "all", "scope": "system", "amount": amount, "per": "month"}], **sections)})
                for _ in range(n)]
    return make


def budget(g) -> dict:
    found = g.admin.get("/api/budgets")
    assert found.status == 200, found.body
    [window] = found.json()["budgets"]
    return window


def ledger(g) -> int:
    """What all calls cost, by the ledger that all nodes share."""
    return g.usage()["incurred"]


async def call(g, **more):
    try:
        return await g.app.chat_async("chat", max_tokens=TOKENS, timeout=60, **more)
    except (ConnectionError, OSError, asyncio.IncompleteReadError):
        return None


async def spend(nodes: list, each: int) -> list:
    """So many callers of each node, who go on until they are refused."""
    async def caller(g):
        replies = []
        while not replies or (replies[-1] and replies[-1].status == 200):
            replies.append(await call(g))
        return replies
    return [r for replies in await asyncio.gather(*[caller(g) for g in nodes for _ in range(each)]) for r in replies]


def test_three_nodes_spend_a_dollar_between_them_and_no_more(upstream, nodes):
    upstream.script("model", ok(TOKENS, delay=0.01))
    a, b, c = all_ = nodes(3, "$1")
    first = [g.app.chat("chat", max_tokens=TOKENS) for g in all_]
    assert [r.status for r in first] == [200] * 3, "the first call on a fresh node"
    replies = asyncio.run(spend(all_, 8))
    served = [r for r in replies if r.status == 200]
    for g in all_:
        g.settled()
    assert 0.9 * 10**9 < ledger(a) == (len(served) + 3) * EACH == len(upstream.seen()) * EACH <= 10**9
    for reply in replies:
        if reply.status != 200:
            assert reply.status == 429 and reply.headers.get("x-should-retry") == "false" and "budget" in reply.error()["message"], reply.body
    for g in all_:
        window = budget(g)
        assert nano(window["spent_usd"]) == ledger(a) and nano(window["held_usd"]) == 0, window
        assert nano(window["remaining_usd"]) == 10**9 - ledger(a)


def test_what_a_killed_node_did_not_spend_comes_back_with_it(upstream, nodes):
    upstream.script("model", *[ok(TOKENS, delay=0.02)] * 40, *[never_answers()] * 6, ok(TOKENS))
    a, b, c = nodes(3, "$0.5")                        # a hundred calls
    for _ in range(10):
        for g in (a, b, c):
            assert g.app.chat("chat", max_tokens=TOKENS).status == 200
    hanging = [threading.Thread(target=lambda: asyncio.run(call(b)), daemon=True) for _ in range(16)]
    for t in hanging:
        t.start()
    wait_until(lambda: len(upstream.seen()) >= 46)
    b.kill()
    for t in hanging:
        t.join(30)
    assert len(upstream.seen()) == 46
    first = asyncio.run(spend([a, c], 4))
    assert len([r for r in first if r.status == 200]) <= 54
    left = budget(a)
    assert nano(left["spent_usd"]) + nano(left["held_usd"]) <= 5 * 10**8, left
    b.start()
    asyncio.run(spend([a, b, c], 2))
    wait_until(lambda: b.app.chat("chat", max_tokens=TOKENS).status == 429 and len(upstream.seen()) == 100)    # to the last call
    for g in (a, b, c):
        g.settled()
    assert ledger(b) == 5 * 10**8 == nano(budget(c)["spent_usd"]), "those that hung are charged at their ceilings"


def test_a_node_that_leaves_gives_back_and_its_next_process_goes_on(upstream, nodes):
    upstream.script("model", ok(TOKENS))
    a, b = nodes(2, "$0.05")                          # ten calls
    for _ in range(2):
        assert [g.app.chat("chat", max_tokens=TOKENS).status for g in (a, b)] == [200, 200]
    assert b.terminate() == 0
    assert [a.app.chat("chat", max_tokens=TOKENS).status for _ in range(6)] == [200] * 6, "all that b did not spend"
    assert a.app.chat("chat", max_tokens=TOKENS).status == 429
    b.start()
    assert b.app.chat("chat", max_tokens=TOKENS).status == 429
    assert nano(budget(b)["spent_usd"]) == 10 * EACH and nano(budget(b)["held_usd"]) == 0
    a.config["budgets"][0]["amount"] = "$0.06"        # two more
    a.write_config()
    wait_until(lambda: nano(budget(a)["limit_usd"]) == 6 * 10**7)
    assert [a.app.chat("chat", max_tokens=TOKENS).status for _ in range(3)] == [200, 200, 429]


def test_without_the_database_a_node_spends_what_it_holds_and_says_what_is_wrong(upstream, own_postgres, gateway):
    upstream.script("model", ok(TOKENS))
    g = gateway({"database": own_postgres.fresh_url(),
                 **one_provider(upstream, price=PRICE, budgets=[{"name": "all", "scope": "system", "amount": "$0.1", "per": "month"}])})
    assert g.app.chat("chat", max_tokens=TOKENS).status == 200
    own_postgres.kill()
    reply = g.app.chat("chat", max_tokens=TOKENS)
    while reply.status == 200:
        reply = g.app.chat("chat", max_tokens=TOKENS)
    assert reply.status == 429 and "the database is away" in reply.error()["message"], reply.body
    assert len(upstream.seen()) < 20
    own_postgres.start()
    wait_until(lambda: g.app.chat("chat", max_tokens=TOKENS).status == 200)
