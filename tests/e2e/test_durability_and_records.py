"""What happened is on record: after kill -9, in numbers, and in words."""
from __future__ import annotations

import asyncio
import json

import pytest

from support.configs import INPUT, OUTPUT, one_provider, two_providers
from support.fake_upstream import delta, error, ok, words
from support.gateway import APP_KEY, ADMIN_KEY, cost_nano, nano

pytestmark = pytest.mark.databases


def test_after_kill_9_under_load_no_call_is_missing(upstream, gateway):
    upstream.script("model", ok(20, delay=0.02))
    g = gateway(one_provider(upstream))
    answered: list[str] = []

    async def go():
        async def caller():
            while True:
                try:
                    reply = await g.app.chat_async("chat")
                except (ConnectionError, OSError, asyncio.IncompleteReadError):
                    return
                if reply.status == 200 and reply.complete:
                    answered.append(reply.headers["x-ballast-call-id"])
        callers = [asyncio.create_task(caller()) for _ in range(24)]
        while len(answered) <= 100:
            await asyncio.sleep(0.05)
        g.kill()
        await asyncio.gather(*callers)
    asyncio.run(go())
    assert len(set(answered)) == len(answered)
    g.start()
    g.settled()
    usage = g.usage()
    assert usage["calls"] >= len(answered)
    assert usage["attempts"] >= len(upstream.seen()), "a call that reached the provider is not in the ledger"
    assert usage["attempts"] <= len(upstream.seen()) + 24, "no call is there twice"
    for call in answered[:5] + answered[-30:]:
        found = g.admin.get(f"/api/decisions/{call}")
        assert found.status == 200, f"{call} was answered and is forgotten"


def test_two_kills_in_a_row_do_not_count_twice(upstream, gateway):
    g = gateway(one_provider(upstream))
    for _ in range(30):
        assert g.app.chat("chat").status == 200
    g.kill()
    g.start()
    g.kill()
    g.start()
    g.settled()
    assert g.usage()["calls"] == 30 and g.usage()["billed"] == charged(upstream)


def charged(upstream):
    return sum(cost_nano(s.prompt_tokens, s.output_tokens, INPUT, OUTPUT) for s in upstream.seen())


def test_strict_ledger(upstream, gateway):
    g = gateway(one_provider(upstream, ledger={"mode": "strict"}))
    replies = [g.app.chat("chat", stream=s) for s in (False, True)]
    assert all(r.succeeded() for r in replies)
    g.kill()
    g.start()
    g.settled()
    assert g.usage()["calls"] == 2 and g.usage()["billed"] == charged(upstream)


def test_usage_is_exact_by_every_dimension(upstream, gateway):
    g = gateway(one_provider(upstream))
    who = [("ann", "search"), ("ann", "chat"), ("bob", "chat"), ("bob", "chat")]
    expected: dict[tuple[str, str], int] = {}
    for i, (user, feature) in enumerate(who):
        upstream.script("model", ok(7 + i))
        reply = g.app.chat("chat", f"Question number {i}", stream=i % 2 == 1,
                           headers={"x-ballast-user": user, "x-ballast-feature": feature})
        assert reply.succeeded()
        seen = upstream.seen()[-1]
        expected[user, feature] = expected.get((user, feature), 0) + cost_nano(seen.prompt_tokens, 7 + i, INPUT, OUTPUT)
    g.settled()
    total = sum(expected.values())
    assert g.usage()["billed"] == g.usage()["incurred"] == total
    by_user = g.usage_by("user")
    assert by_user["ann"]["billed"] == expected["ann", "search"] + expected["ann", "chat"]
    assert by_user["bob"]["calls"] == 2
    assert g.usage_by("feature")["chat"]["billed"] == expected["ann", "chat"] + expected["bob", "chat"]
    assert [v["billed"] for v in g.usage_by("model").values()] == [total]
    assert [v["billed"] for v in g.usage_by("key").values()] == [total]
    assert g.usage()["input_tokens"] == sum(s.prompt_tokens for s in upstream.seen())
    assert g.usage()["output_tokens"] == sum(s.output_tokens for s in upstream.seen())


def test_usage_on_the_command_line_agrees(upstream, gateway):
    g = gateway(one_provider(upstream))
    assert g.app.chat("chat").succeeded()
    g.settled()
    said = g.command("usage", "--config", str(g.file), "--json").stdout
    assert json.loads(said)
    cost = charged(upstream)
    assert f"{cost}" in said or f"0.{cost:09d}" in said, said


def test_the_cost_header_is_what_the_tokens_cost(upstream, gateway):
    g = gateway(one_provider(upstream))
    reply = g.app.chat("chat")
    u = reply.usage()
    assert nano(reply.headers["x-ballast-cost-usd"]) == cost_nano(u["prompt_tokens"], u["completion_tokens"], INPUT, OUTPUT)
    assert reply.headers["x-ballast-served-by"] == "up/model" and reply.headers["x-ballast-attempts"] == "1"
    assert reply.headers["x-ballast-cache"] in ("off", "miss", "none", "bypass")


def test_the_decision_tells_the_story(upstream, gateway):
    upstream.script("alpha", error(503, message="The engine is overloaded"))
    g = gateway(two_providers(upstream))
    reply = g.app.chat("chat")
    assert reply.succeeded()
    story = json.dumps(g.decision(reply))
    for word in ("primary", "alpha", "fallback", "beta", "503"):
        assert word in story, word
    said = g.command("explain", reply.headers["x-ballast-call-id"], "--config", str(g.file)).stdout
    for word in ("primary/alpha", "fallback/beta"):
        assert word in said, said
    assert "provider_overloaded" in said or "503" in said
    assert g.command("explain", reply.headers["x-ballast-call-id"], "--config", str(g.file), "--json").stdout.strip()[0] == "{"


def test_a_refusal_has_its_decision_too(upstream, gateway):
    g = gateway(one_provider(upstream, limits=[{"scope": "key", "requests": "1/h"}]))
    assert g.app.chat("chat").status == 200
    refused = g.app.chat("chat")
    assert refused.status == 429
    assert "policy_rate_limited" in json.dumps(g.decision(refused))


def test_an_unknown_decision_is_404(upstream, gateway):
    g = gateway(one_provider(upstream))
    for name in ("call_00000000000000000000000000", "nonsense", "..%2f..%2fetc"):
        assert g.admin.get(f"/api/decisions/{name}").status in (400, 404)


def test_no_secret_and_no_prompt_in_the_log(upstream, gateway):
    g = gateway(one_provider(upstream, log={"level": "debug"}))
    assert g.app.chat("chat", "the launch code is zebra-tulip-9").succeeded()
    upstream.script("model", error(401, message="Incorrect API key provided: sk-upstream-secret"))
    reply = g.app.chat("chat", "the launch code is zebra-tulip-9")
    assert reply.status >= 400
    g.terminate()
    log = g.log.read_text()
    for secret in (APP_KEY, ADMIN_KEY, "sk-upstream-secret", "zebra-tulip-9"):
        assert secret not in log, secret
    assert APP_KEY not in reply.body.decode() and "sk-upstream-secret" not in reply.body.decode()
    lines = [line for line in log.splitlines() if line.startswith("{")]
    assert lines and all(json.loads(line) for line in lines)


def test_trace_context_goes_through(upstream, gateway):
    g = gateway(one_provider(upstream))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert g.app.chat("chat", headers={"traceparent": parent, "tracestate": "vendor=opaque"}).succeeded()
    assert upstream.seen()[0].headers.get("tracestate") == "vendor=opaque"
    sent = upstream.seen()[0].headers.get("traceparent", "")
    assert sent.split("-")[1] == parent.split("-")[1] and sent.split("-")[2] != parent.split("-")[2]


def test_the_callers_key_does_not_reach_the_provider(upstream, gateway):
    g = gateway(one_provider(upstream))
    assert g.app.chat("chat").succeeded()
    sent = upstream.seen()[0]
    assert sent.headers["authorization"] == "Bearer sk-upstream-secret"
    assert APP_KEY not in json.dumps(sent.headers) + json.dumps(sent.body)


def test_unknown_fields_pass_through_both_ways(upstream, gateway):
    async def odd(wire, seen):
        await wire.json(200, {"id": "x", "object": "chat.completion", "created": 1, "model": "model", "novel": {"a": [1]},
                              "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi", "mood": "fine"},
                                           "finish_reason": "stop"}],
                              "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}})
    upstream.script("model", odd)
    reply = gateway(one_provider(upstream)).app.chat("chat", novelty={"deep": [1, {"b": None}]}, seed=7)
    assert upstream.seen()[0].body["novelty"] == {"deep": [1, {"b": None}]} and upstream.seen()[0].body["seed"] == 7
    assert reply.json()["novel"] == {"a": [1]} and reply.json()["choices"][0]["message"]["mood"] == "fine"


def test_usage_is_asked_for_upstream_and_kept_from_who_did_not_ask(upstream, gateway):
    g = gateway(one_provider(upstream))
    plain = g.app.chat("chat", stream=True)
    assert plain.succeeded() and plain.usage() is None
    assert upstream.seen()[0].body["stream_options"]["include_usage"] is True
    asked = g.app.chat("chat", stream=True, stream_options={"include_usage": True})
    assert len([c for c in asked.chunks() if c.get("usage")]) == 1
    g.settled()
    assert g.usage()["billed"] == charged(upstream)


def test_stream_chunks_are_not_delayed(upstream, gateway):
    """The provider says a word only when the caller has heard the last one: whoever gathers waits for ever."""
    heard = b""

    async def word_by_word(wire, seen):
        await wire.start_stream()
        for i, word in enumerate(words(10)):
            await wire.event(delta(seen, {"content": word}))
            while f'"{word}"'.encode() not in heard:
                await asyncio.sleep(0.002)
        await wire.event(delta(seen, {}, "stop"))
        await wire.event("[DONE]")
        await wire.end_stream()
    upstream.script("model", word_by_word)

    def hear(chunk):
        nonlocal heard
        heard += chunk
    g = gateway(one_provider(upstream, route={"stream": {"rescue": "error", "hold_back": 0}}))
    assert g.app.chat("chat", stream=True, hear=hear, timeout=60).succeeded()
