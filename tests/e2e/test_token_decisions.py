"""Windows, limits and budgets go by the prompt's tokens where its bytes leave them open, and `explain` tells it."""
from __future__ import annotations

import random
import string

from support.configs import PRICE, one_provider
from support.fake_upstream import ok

ENGLISH = "The quick brown fox jumps over the lazy dog near the river bank. " * 615     # 40,000 bytes, about 9,000 tokens
THAI = "สวัสดีครับ วันนี้อากาศดีมาก เราไปเดินเล่นกันไหม " * 300
DENSE = "".join(random.Random(7).choices(string.ascii_letters + string.digits + "+/", k=40_000))   # as base64 is: about 28,000 tokens


def windows(upstream, **more):
    """`chat` prefers the narrow window."""
    config = one_provider(upstream, route={"targets": ["up/narrow", "up/wide"]}, **more)
    config["models"] = {"up/narrow": {"price": PRICE, "context": 16384, "max_output": 4096, "encoding": "o200k_base"},
                        "up/wide": {"price": PRICE, "context": 131072, "max_output": 4096, "encoding": "o200k_base"}}
    return config


def one(upstream, **more):
    config = one_provider(upstream, **more)
    config["models"]["up/model"]["encoding"] = "o200k_base"
    return config


def test_a_prompt_goes_where_its_tokens_fit(upstream, gateway):
    g = gateway(windows(upstream))
    english = g.app.chat("chat", ENGLISH, max_tokens=5)
    assert english.headers["x-ballast-served-by"] == "up/narrow", "40,000 bytes are no more than 16,384 tokens here"
    dense = g.app.chat("chat", DENSE, max_tokens=5)
    assert dense.headers["x-ballast-served-by"] == "up/wide", "a quarter of the bytes would fit the narrow window; the tokens do not"
    story = g.command("explain", dense.headers["x-ballast-call-id"]).stdout
    assert "its prompt was counted for the context of up/narrow: more than 16384 tokens (o200k_base)" in story, story
    thai = g.app.chat("chat", THAI, max_tokens=5)
    assert thai.headers["x-ballast-served-by"] == "up/narrow", "six bytes a letter, as JSON escapes them: most of them are no tokens"
    assert g.app.chat("chat", "hello", max_tokens=5).headers["x-ballast-served-by"] == "up/narrow"


def test_a_token_limit_admits_by_count(upstream, gateway):
    g = gateway(one(upstream, limits=[{"scope": "key", "tokens": "9500/m"}]))
    assert g.app.chat("chat", DENSE, max_tokens=5).status == 429, "10,000 by a quarter of its bytes, 28,000 as counted"
    reply = g.app.chat("chat", ENGLISH, max_tokens=5)
    assert reply.status == 200, "10,000 by a quarter of its bytes; fewer than 9,500 as counted"


def test_a_budget_holds_by_count_where_bytes_do_not_fit(upstream, gateway):
    upstream.script("model", ok(5))
    budget = {"scope": "key", "amount": "$0.012", "per": "day"}
    g = gateway(one(upstream, price={"input": "$1", "output": "$0"}, budgets=[budget]))
    assert g.app.chat("chat", ENGLISH, max_tokens=5).status == 200, "at most $0.041 by its bytes, $0.010 as counted"
    refused = g.app.chat("chat", DENSE, max_tokens=5)
    assert refused.status == 429 and len(upstream.seen()) == 1


def test_without_an_encoding_bytes_alone_prove_what_a_call_costs(upstream, gateway):
    budget = {"scope": "key", "amount": "$0.012", "per": "day"}
    g = gateway(one_provider(upstream, price={"input": "$1", "output": "$0"}, budgets=[budget]))
    assert g.app.chat("chat", ENGLISH, max_tokens=5).status == 429 and not upstream.seen()


def test_an_encoding_counts_for_count_tokens_too(upstream, gateway):
    g = gateway(one(upstream))
    reply = g.app.post("/v1/messages/count_tokens", {"model": "chat", "max_tokens": 8, "messages": [{"role": "user", "content": "hello world"}]})
    assert (reply.json()["input_tokens"], reply.headers["x-ballast-estimate"]) == (2 + 3 + 3, "o200k_base")


def test_each_text_to_embed_has_the_window_for_itself(gateway):
    g = gateway({"providers": {"sim": {"kind": "simulator", "models": {"vectors": {"dimensions": 4}}}},
                 "models": {"sim/vectors": {"price": {"input": "$1", "output": "$0"}, "context": 8191}},
                 "routes": {"embed": {"targets": ["sim/vectors"]}}})
    many = g.app.post("/v1/embeddings", {"model": "embed", "input": ["a few words " * 200] * 40})
    assert many.status == 200 and len(many.json()["data"]) == 40, many.body
    long = g.app.post("/v1/embeddings", {"model": "embed", "input": ["short", ENGLISH]})
    assert long.status == 400 and long.error()["code"] == "context_length_exceeded", long.body


def test_an_encoding_that_is_none_is_a_mistake_of_the_configuration(upstream, gateway):
    config = one(upstream)
    config["models"]["up/model"]["encoding"] = "o200k-base"
    checked = gateway(config, start=False).command("check", check=False)
    assert checked.returncode != 0 and 'did you mean "o200k_base"' in checked.stdout + checked.stderr, checked
