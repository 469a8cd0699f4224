"""Hedged requests: when the first target is slow, the next is asked too, and whoever speaks first is heard."""
from __future__ import annotations

import pytest

from support.configs import INPUT, OUTPUT, PROMPTLY, two_providers
from support.fake_upstream import error, ok, words
from support.gateway import cost_nano, nano

HEDGE = {"hedge": {"after": "100ms", "max": 1}}
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@BOTH
def test_a_slow_target_is_overtaken(upstream, gateway, stream):
    upstream.script("alpha", ok(words(20, "a"), delay=60))
    upstream.script("beta", ok(words(20, "b")))
    g = gateway(two_providers(upstream, route=HEDGE))
    reply = g.app.chat("chat", stream=stream)
    assert reply.succeeded() and reply.text().startswith("b0 ")
    assert reply.seconds < PROMPTLY
    assert reply.headers["x-ballast-served-by"] == "fallback/beta"
    story = g.decision(reply)
    assert [a["model"] for a in story["attempts"]] == ["alpha", "beta"]
    assert [a["hedged"] for a in story["attempts"]] == [False, True]
    assert story["billed_usd"] != "0.000000000"


@BOTH
def test_a_quick_target_is_not_hedged(upstream, gateway, stream):
    upstream.script("alpha", ok(words(5, "a")))
    g = gateway(two_providers(upstream, route={"hedge": {"after": "20s", "max": 1}}))
    reply = g.app.chat("chat", stream=stream)
    assert reply.succeeded() and reply.text().startswith("a0 ")
    assert not upstream.seen("beta")


@BOTH
def test_the_first_may_still_win(upstream, gateway, stream):
    upstream.script("alpha", ok(words(20, "a"), delay=0.3))
    upstream.script("beta", ok(words(20, "b"), delay=60))
    reply = gateway(two_providers(upstream, route=HEDGE)).app.chat("chat", stream=stream)
    assert reply.succeeded() and reply.text().startswith("a0 ")


def test_a_loser_that_ends_while_the_winner_is_heard_costs_what_it_cost(upstream, gateway):
    upstream.script("alpha", ok(words(10, "a"), first_token=0.4))
    upstream.script("beta", ok(words(60, "b"), gap=0.05))
    g = gateway(two_providers(upstream, route=HEDGE, budgets=[{"name": "all", "scope": "system", "amount": "$1", "per": "day"}]))
    reply = g.app.chat("chat", max_tokens=4000, stream=True)
    assert reply.succeeded() and reply.text().startswith("b0 ")
    assert g.usage()["incurred"] == g.spent() == sum(cost_nano(s.prompt_tokens, s.output_tokens, INPUT, OUTPUT) for s in upstream.seen())
    assert g.admin.get("/api/budgets/unknown").json()["unknown"] == []


def test_a_loser_that_is_cut_is_reconciled(upstream, gateway):
    upstream.script("alpha", ok(words(20, "a"), delay=60))
    upstream.script("beta", ok(words(20, "b")))
    g = gateway(two_providers(upstream, route=HEDGE, budgets=[{"name": "all", "scope": "system", "amount": "$1", "per": "day"}]))
    reply = g.app.chat("chat", max_tokens=400)
    [lost] = g.admin.get("/api/budgets/unknown").json()["unknown"]
    assert (lost["call"], lost["attempt"], lost["provider"]) == (reply.headers["x-ballast-call-id"], 0, "primary")
    assert g.admin.post("/api/budgets/reconcile", {"call": lost["call"], "incurred": "0"}).status == 200
    assert g.usage()["incurred"] == g.spent() == nano(reply.headers["x-ballast-cost-usd"])


def test_a_hedge_that_fails_harms_nobody(upstream, gateway):
    upstream.script("alpha", ok(words(20, "a"), delay=0.4))
    upstream.script("beta", error(500))
    reply = gateway(two_providers(upstream, route=HEDGE)).app.chat("chat")
    assert reply.succeeded() and reply.text().startswith("a0 ")


def test_both_fail_and_it_is_said(upstream, gateway):
    upstream.script("alpha", error(503))
    upstream.script("beta", error(503))
    reply = gateway(two_providers(upstream, route=HEDGE | {"retries": {"attempts": 3, "deadline": "60s", "backoff": "10ms"}})).app.chat("chat")
    assert reply.status == 503
