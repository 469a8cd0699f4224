"""Sixteen faults a gateway must survive, on real sockets: the numbers of the tests are those of the list in the docs.

Where a fallback exists the caller gets the whole answer; every test also holds the gateway to its manners: how often
it asked whom, how long it took, what it charged.
"""
from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.configs import INPUT, OUTPUT, PRICE, PROMPTLY, provider, two_providers
from support.fake_upstream import (Behaviour, Gate, content_filter, context_length, error, never_answers, ok, rate_limited,
                                   refuses_prefill, reset_before_headers, until, words)
from support.gateway import cost_nano, nano, wait_until

ALPHA = "".join(words(60, "a"))
BETA = "".join(words(60, "b"))
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
PREFILL = {"price": PRICE, "context": 32768, "max_output": 4096, "prefill": True}
RESTART = {"stream": {"rescue": "restart", "hold_back": 64}}
GOES_SILENT = {"idle": "1s"}


def healthy_fallback(upstream, **kw):
    upstream.script("beta", ok(words(60, "b"), **kw))


def assert_served_by_fallback(reply, text=BETA):
    assert reply.status == 200, reply.body
    assert reply.succeeded(), reply.body[-500:]
    assert reply.text() == text
    assert reply.headers["x-ballast-served-by"] == "fallback/beta" or reply.is_stream()


@BOTH
def test_01_one_429_with_retry_after_is_waited_for_or_failed_over(upstream, gateway, stream):
    upstream.script("alpha", rate_limited("1"), ok(words(60, "a")))
    healthy_fallback(upstream)
    reply = gateway(two_providers(upstream)).app.chat("chat", stream=stream)
    assert reply.succeeded() and reply.text() in (ALPHA, BETA)
    asked = upstream.seen("alpha")
    if reply.text() == ALPHA:
        assert asked[1].at - asked[0].at >= 1.0, "the same provider was asked again before it said"
    else:
        assert len(asked) == 1
    assert reply.seconds < PROMPTLY


def test_01_alone_it_waits_as_told(upstream, gateway):
    upstream.script("alpha", rate_limited("1"), ok(words(60, "a")))
    reply = gateway(two_providers(upstream, targets=["primary/alpha"])).app.chat("chat")
    assert reply.succeeded() and reply.text() == ALPHA
    first, second = upstream.seen("alpha")
    assert 1.0 <= second.at - first.at < PROMPTLY


@BOTH
def test_02_429_for_ever_fails_over_after_few_attempts(upstream, gateway, stream):
    upstream.script("alpha", rate_limited())
    healthy_fallback(upstream)
    reply = gateway(two_providers(upstream)).app.chat("chat", stream=stream)
    assert_served_by_fallback(reply)
    assert len(upstream.seen("alpha")) <= 4 and reply.seconds < PROMPTLY


def test_02_alone_it_gives_up_within_its_budget(upstream, gateway):
    upstream.script("alpha", rate_limited())
    config = two_providers(upstream, targets=["primary/alpha"])
    reply = gateway(config).app.chat("chat")
    assert reply.status in (429, 503) and reply.error()["message"]
    asked = upstream.seen("alpha")
    assert 1 <= len(asked) <= 4 and reply.seconds < PROMPTLY
    assert int(reply.headers["x-ballast-attempts"]) == len(asked)


@BOTH
def test_03_one_500_is_tried_again_at_the_same_provider(upstream, gateway, stream):
    upstream.script("alpha", error(500), ok(words(60, "a")))
    healthy_fallback(upstream)
    reply = gateway(two_providers(upstream)).app.chat("chat", stream=stream)
    assert reply.succeeded() and reply.text() == ALPHA
    assert len(upstream.seen("alpha")) == 2 and not upstream.seen("beta")
    assert reply.seconds < PROMPTLY


@BOTH
def test_04_503_for_ever_fails_over_within_the_budget(upstream, gateway, stream):
    upstream.script("alpha", error(503, message="The engine is overloaded"))
    healthy_fallback(upstream)
    reply = gateway(two_providers(upstream)).app.chat("chat", stream=stream)
    assert_served_by_fallback(reply)
    assert len(upstream.seen("alpha")) <= 2 and reply.seconds < PROMPTLY


@BOTH
def test_05_a_reset_before_the_headers_is_answered_anyway(upstream, gateway, stream):
    upstream.script("alpha", reset_before_headers())
    healthy_fallback(upstream)
    reply = gateway(two_providers(upstream)).app.chat("chat", stream=stream)
    assert_served_by_fallback(reply)
    assert len(upstream.seen("alpha")) <= 3 and reply.seconds < PROMPTLY


@BOTH
def test_06_a_silent_provider_is_timed_out_and_not_asked_again(upstream, gateway, stream):
    upstream.script("alpha", never_answers())
    healthy_fallback(upstream)
    reply = gateway(two_providers(upstream, timers={"headers": "1s"})).app.chat("chat", stream=stream)
    assert_served_by_fallback(reply)
    assert len(upstream.seen("alpha")) == 1 and 0.9 <= reply.seconds < PROMPTLY


@pytest.mark.parametrize("role_first", [False, True], ids=["headers-only", "role-chunk"])
def test_07_a_late_first_token_fails_over(upstream, gateway, role_first):
    upstream.script("alpha", ok(words(60, "a"), first_token=60, role_first=role_first))
    healthy_fallback(upstream)
    reply = gateway(two_providers(upstream, timers={"first_token": "1s"})).app.chat("chat", stream=True)
    assert_served_by_fallback(reply)
    assert len(upstream.seen("alpha")) == 1 and reply.seconds < PROMPTLY


@pytest.mark.parametrize("end", ["cut", "reset", "clean", "error"])
def test_08_a_stream_that_dies_after_40_of_60_is_restarted(upstream, gateway, end):
    upstream.script("alpha", ok(words(60, "a"), cut_after=40, end=end))
    healthy_fallback(upstream)
    reply = gateway(two_providers(upstream, route=RESTART)).app.chat("chat", stream=True)
    assert_served_by_fallback(reply)
    assert reply.finish() == "stop" and reply.seconds < PROMPTLY


@pytest.mark.parametrize("end", ["cut", "reset", "clean", "error"])
def test_08_a_stream_that_dies_after_40_of_60_is_continued(upstream, gateway, end):
    upstream.script("alpha", ok(words(60, "x"), cut_after=40, end=end, gap=0.005))
    upstream.script("beta", ok(words(60, "x")))
    config = two_providers(upstream, route={"stream": {"rescue": "continue", "hold_back": 0}}, models={"fallback/beta": PREFILL})
    reply = gateway(config).app.chat("chat", stream=True)
    assert reply.succeeded(), reply.body[-500:]
    assert reply.text().split() == "".join(words(60, "x")).split()
    asked = upstream.seen("beta")[-1]
    assert asked.body["messages"][-1]["role"] == "assistant", "the words so far go along"
    assert asked.output_tokens <= 22


@pytest.mark.parametrize("end", ["cut", "reset", "clean", "error"])
def test_08_without_rescue_a_cut_is_a_clear_error(upstream, gateway, end):
    upstream.script("alpha", ok(words(60, "a"), cut_after=40, end=end, gap=0.005))
    config = two_providers(upstream, route={"stream": {"rescue": "error", "hold_back": 0}})
    reply = gateway(config).app.chat("chat", stream=True)
    assert not reply.succeeded()
    assert reply.error() and reply.error()["message"], reply.body[-300:]
    assert not reply.done() and reply.finish() is None, "a truncated answer looked like a whole one"


@pytest.mark.parametrize("end", ["cut", "reset"])
def test_08_a_whole_answer_cut_in_its_body_is_never_delivered(upstream, gateway, end):
    async def half(wire, seen):
        await wire.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4000\r\n\r\n"
                       b'{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assist')
        wire.reset() if end == "reset" else wire.cut()
    upstream.script("alpha", half)
    healthy_fallback(upstream)
    reply = gateway(two_providers(upstream)).app.chat("chat")
    assert_served_by_fallback(reply)


def test_09_a_stream_that_goes_silent_is_noticed_and_rescued(upstream, gateway):
    upstream.script("alpha", ok(words(60, "a"), cut_after=40, end="silence"))
    healthy_fallback(upstream)
    reply = gateway(two_providers(upstream, route=RESTART, timers=GOES_SILENT)).app.chat("chat", stream=True)
    assert_served_by_fallback(reply)
    assert reply.seconds < PROMPTLY
    wait_until(lambda: upstream.seen("alpha")[0].client_left)  # the silent stream is not left open


def test_09_without_rescue_the_silence_ends_in_a_clear_error(upstream, gateway):
    upstream.script("alpha", ok(words(60, "a"), cut_after=40, end="silence", gap=0.002))
    config = two_providers(upstream, route={"stream": {"rescue": "error", "hold_back": 0}}, timers=GOES_SILENT)
    reply = gateway(config).app.chat("chat", stream=True)
    assert reply.error() and not reply.done() and reply.seconds < PROMPTLY


def test_10_one_malformed_chunk_is_skipped(upstream, gateway):
    upstream.script("alpha", ok(words(60, "a"), malformed_at=30))
    g = gateway(two_providers(upstream))
    reply = g.app.chat("chat", stream=True)
    assert reply.succeeded() and reply.text() == ALPHA, reply.body[-600:]
    assert g.alive() and g.app.chat("chat", stream=True).succeeded()


@pytest.mark.parametrize("close", [False, True], ids=["chunked-end", "then-fin"])
def test_11_a_stream_without_done_is_finalised_promptly(upstream, gateway, close):
    upstream.script("alpha", ok(words(60, "a"), done=False, close=close))
    g = gateway(two_providers(upstream))
    replies = [g.app.chat("chat", stream=True, stream_options={"include_usage": True}) for _ in range(5)]
    for reply in replies:
        assert reply.succeeded() and reply.text() == ALPHA and reply.done()
        assert reply.usage()["completion_tokens"] == 60
    assert not upstream.seen("beta")
    assert min(r.seconds for r in replies) < 1, "it waited for more, every time"


def test_11_a_finished_stream_left_open_is_finalised_too(upstream, gateway):
    upstream.script("alpha", ok(words(60, "a"), done=False, end="hang"))
    reply = gateway(two_providers(upstream)).app.chat("chat", stream=True, stream_options={"include_usage": True})
    assert reply.succeeded() and reply.text() == ALPHA
    assert reply.usage()["completion_tokens"] == 60
    assert reply.seconds < PROMPTLY and not upstream.seen("beta")


@BOTH
def test_12_a_prompt_too_long_goes_to_a_larger_model(upstream, gateway, stream):
    upstream.script("alpha", context_length())
    healthy_fallback(upstream)
    config = two_providers(upstream, models={"primary/alpha": {"price": PRICE, "context": 4096, "max_output": 1024},
                                             "fallback/beta": {"price": PRICE, "context": 128000, "max_output": 4096}})
    reply = gateway(config).app.chat("chat", stream=stream)
    assert_served_by_fallback(reply)
    assert len(upstream.seen("alpha")) == 1


def test_12_no_larger_model_means_the_error_comes_back_once(upstream, gateway):
    upstream.script("alpha", context_length())
    upstream.script("beta", context_length())
    reply = gateway(two_providers(upstream)).app.chat("chat")
    assert reply.status == 400 and reply.error()["code"] == "context_length_exceeded", reply.body
    assert len(upstream.seen("alpha")) == 1


@BOTH
def test_13_a_content_filter_is_passed_on_with_its_reason(upstream, gateway, stream):
    upstream.script("alpha", content_filter())
    healthy_fallback(upstream)
    reply = gateway(two_providers(upstream)).app.chat("chat", stream=stream)
    assert reply.status == 400 and reply.error()["code"] == "content_filter", reply.body
    assert "content management policy" in reply.error()["message"]
    assert len(upstream.seen("alpha")) == 1 and not upstream.seen("beta")


def test_13_unless_the_route_opts_in(upstream, gateway):
    upstream.script("alpha", content_filter())
    healthy_fallback(upstream)
    reply = gateway(two_providers(upstream, route={"on_content_filter": "next"})).app.chat("chat")
    assert_served_by_fallback(reply)


@pytest.mark.parametrize("claims", [False, True], ids=["known", "unknown"])
@pytest.mark.parametrize("hold_back", [64, 0])
def test_14_a_fallback_that_refuses_prefill(upstream, gateway, hold_back, claims):
    """With the words still held back it restarts cleanly; once they are out, only a clear error is honest."""
    upstream.script("alpha", ok(words(60, "a"), cut_after=40, gap=0.002))
    upstream.script("beta", refuses_prefill(ok(words(60, "b"))))
    config = two_providers(upstream, route={"stream": {"rescue": "continue", "hold_back": hold_back}},
                           models={"fallback/beta": {**PREFILL, "prefill": claims}})
    reply = gateway(config).app.chat("chat", stream=True)
    if hold_back:
        assert_served_by_fallback(reply)
    else:
        whole = reply.succeeded() and reply.text() == BETA
        assert whole or (reply.error() and not reply.done() and reply.finish() is None), reply.body[-500:]


def outage(upstream, gateway, seconds: float, cool_down: str):
    begun = time.monotonic()
    slow_ok: Behaviour = ok(words(60, "a"), delay=0.3)
    upstream.script("alpha", until(lambda: time.monotonic() - begun > seconds, error(503), slow_ok))
    healthy_fallback(upstream)
    g = gateway(two_providers(upstream, breakers={"cool_down": cool_down}))
    replies = []
    for i in range(20):
        replies.append(g.app.chat("chat"))
        time.sleep(max(0.0, begun + (i + 1) * seconds / 14 - time.monotonic()))
    assert all(r.succeeded() for r in replies)
    down = [r for r in upstream.seen("alpha") if r.at - begun <= seconds]
    assert len(down) < 20, "the breaker never opened"
    deadline = time.monotonic() + 60 + 3 * seconds
    upstream.forget()
    while g.app.chat("chat").text() != ALPHA:  # it returns by itself, by one probe
        assert time.monotonic() < deadline, "the primary never got its traffic back"
        time.sleep(0.05)
    assert g.app.chat("chat").text() == ALPHA


def test_15_a_primary_that_comes_back_gets_its_traffic_back(upstream, gateway):
    outage(upstream, gateway, 4.0, "1s")


@pytest.mark.extended
def test_15_the_same_at_its_real_length(upstream, gateway):
    outage(upstream, gateway, 60.0, "10s")


def test_15_a_half_open_breaker_lets_exactly_one_probe_through(upstream, gateway):
    """The probe is held back by the provider until fifteen others have been answered: none of them joins it."""
    upstream.script("alpha", error(503))
    healthy_fallback(upstream)
    g = gateway(two_providers(upstream, breakers={"cool_down": "1s", "max_cool_down": "1s"}))

    def state() -> str | None:
        return g.breaker("primary", "alpha").get("state")

    def opened() -> bool:
        assert g.app.chat("chat").succeeded()
        return state() in ("open", "half_open")
    wait_until(opened)
    probe = Gate(ok(words(60, "a")))
    upstream.script("alpha", probe)
    wait_until(lambda: state() == "half_open")
    before = len(upstream.seen("alpha"))
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(g.app.chat, "chat") for _ in range(16)]
        try:
            wait_until(lambda: sum(c.done() for c in calls) == 15)
            assert len(upstream.seen("alpha")) == before + 1, "not exactly one probe"
            assert state() == "half_open"
        finally:
            probe.open()
    replies = [c.result() for c in calls]
    assert all(r.succeeded() for r in replies)
    assert sorted(r.text() for r in replies) == [ALPHA] + [BETA] * 15
    assert state() == "closed"


@BOTH
def test_15_alone_a_recovered_provider_is_found_before_its_rest_is_over(upstream, gateway, stream):
    """Nobody else can answer: the call waits for the next early try, and its success opens the road to all."""
    upstream.script("alpha", error(500))
    config = two_providers(upstream, targets=["primary/alpha"], breakers={"cool_down": "80s", "max_cool_down": "80s"})
    config["routes"]["chat"]["retries"]["attempts"] = 1
    g = gateway(config)
    wait_until(lambda: g.app.chat("chat").status >= 500 and g.breaker("primary", "alpha")["state"] == "open")
    upstream.script("alpha", ok(words(60, "a")))
    reply = g.app.chat("chat", stream=stream)
    assert reply.succeeded() and reply.text() == ALPHA and reply.seconds < PROMPTLY
    assert g.breaker("primary", "alpha")["state"] == "closed" and g.breaker("primary", "alpha")["early_tries"] >= 1
    assert "early_try" in json.dumps(g.decision(reply))


@BOTH
def test_16_after_a_failover_the_caller_sees_and_pays_the_fallback_alone(upstream, gateway, stream):
    upstream.script("alpha", ok(words(60, "a"), cut_after=40) if stream else error(503))
    healthy_fallback(upstream)
    g = gateway(two_providers(upstream, route=RESTART))
    reply = g.app.chat("chat", stream=stream, **({"stream_options": {"include_usage": True}} if stream else {}))
    assert reply.succeeded() and reply.text() == BETA
    models = {c["model"] for c in reply.chunks()} if stream else {reply.json()["model"]}
    assert models == {"beta"}, "the reply names the model that answered"
    beta = upstream.seen("beta")[-1]
    assert reply.usage()["completion_tokens"] == 60 and reply.usage()["prompt_tokens"] == beta.prompt_tokens
    decision = json.dumps(g.decision(reply))
    assert "alpha" in decision and "beta" in decision
    billed = cost_nano(beta.prompt_tokens, 60, INPUT, OUTPUT)
    if not stream:
        assert nano(reply.headers["x-ballast-cost-usd"]) == billed
    usage = g.usage()
    assert usage["calls"] == 1 and usage["billed"] == billed
