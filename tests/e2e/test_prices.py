"""A call costs what the service tier costs that its reply names; fees for a call, and regional uplifts of the shipped table."""
from __future__ import annotations

import pytest

from support.configs import provider
from support.gateway import nano

pytestmark = pytest.mark.databases

PRICE = {"input": "$1", "output": "$2", "flex": {"input": "$0.5", "output": "$1"}, "priority": {"input": "$3", "output": "$4"}}
USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
COST = {"default": 10 * 1000 + 20 * 2000, "flex": 10 * 500 + 20 * 1000, "priority": 10 * 3000 + 20 * 4000}


def served_at(tier: str):
    """A reply that names its tier, whole or streamed, as OpenAI does."""
    async def behave(wire, seen):
        top = {"id": "chatcmpl-1", "created": 1, "model": seen.model, "service_tier": tier}
        if not seen.body.get("stream"):
            message = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
            return await wire.json(200, {**top, "object": "chat.completion", "choices": [message], "usage": USAGE})
        chunk = {**top, "object": "chat.completion.chunk"}
        await wire.start_stream()
        await wire.event({**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": None}]})
        await wire.event({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        await wire.event({**chunk, "choices": [], "usage": USAGE})
        await wire.chunk(b"data: [DONE]\n\n")
        await wire.end_stream()
    return behave


def config(upstream, price=PRICE, **model) -> dict:
    return {"providers": {"up": provider(upstream)}, "models": {"up/model": {"price": price, "context": 32768, "max_output": 4096, **model}},
            "routes": {"chat": {"targets": ["up/model"]}},
            "budgets": [{"name": "all", "scope": "system", "amount": "$1", "per": "day"}]}


@pytest.mark.parametrize("tier", COST)
def test_the_tier_that_was_served_is_the_tier_that_is_charged(upstream, gateway, tier):
    upstream.script("model", served_at(tier))
    g = gateway(config(upstream))
    for stream in (False, True):
        assert g.app.chat("chat", stream=stream, service_tier=tier).succeeded()
    message = g.app.post("/v1/messages", {"model": "chat", "max_tokens": 50, "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
    assert message.status == 200 and b"message_stop" in message.body, "a caller of another API, whose stream is translated"
    usage = g.usage()
    assert usage["incurred"] == usage["billed"] == g.spent() == 3 * COST[tier]


def test_a_fee_for_each_call(upstream, gateway):
    upstream.script("model", served_at("default"))
    g = gateway(config(upstream, per_request="$0.005"))
    assert g.app.chat("chat").succeeded()
    assert g.usage()["incurred"] == COST["default"] + nano("0.005")


def test_a_regional_uplift_of_the_shipped_table(upstream, gateway):
    upstream.script("gpt-5-mini", served_at("default"))
    g = gateway({"providers": {"eu": provider(upstream, price_multiplier=1.1)}})
    assert g.app.chat("eu/gpt-5-mini").succeeded()
    assert g.usage()["incurred"] == 10 * 275 + 20 * 2200, "a quarter dollar and two dollars a million, and a tenth"


def test_check_warns_of_a_price_that_books_disagree_about(upstream, gateway):
    c = {"providers": {"openai": {"key": "sk-0123456789"}}, "routes": {"cheap": {"targets": ["openai/gpt-5.6-luna"]}}}
    disputed = gateway(c, start=False)
    said = disputed.command("check").stdout
    assert "gpt-5.6-luna" in said and "price books disagree" in said and "input 1 and output 6" in said and "input 0.2" in said
    settled = gateway({**c, "models": {"openai/gpt-5.6-luna": {"price": {"input": "$0.2", "output": "$1.2"}}}}, start=False)
    assert "disagree" not in settled.command("check").stdout
