"""A route's `cache.across_nodes`: what one node has answered serves the others, by way of their database, which nobody waits for."""
from __future__ import annotations

import itertools
import json
import os
import pathlib
import signal
import time

import pytest

from support.client import Caller
from support.configs import one_provider
from support.fake_upstream import ok, words
from support.gateway import nano, wait_until

OTHER_KEY = "sk-ballast-e2e-other-0123456789abcdef012345"
READS, WRITES = "ballast_cache_shared_reads_total", "ballast_cache_shared_writes_total"
NUMBERS = itertools.count()
SLOW = 3.0                          # seconds: far above what a call may wait for the database, far below what a hung one would take


def shared(**cache) -> dict:
    return {"cache": {"ttl": "1h", "across_nodes": True, **cache}}


@pytest.fixture
def pair(upstream, postgres, gateway):
    """`pair(route)`: two nodes with one database."""
    def make(route: dict, url: str = "") -> list:
        url = url or postgres.fresh_url()
        config = {"database": url, **one_provider(upstream, route=route)}
        config["keys"] = [{"name": "app", "value": "sk-ballast-e2e-0123456789abcdef0123456789", "scopes": ["call"]}, {"name": "other", "value": OTHER_KEY, "scopes": ["call"]}]
        return [gateway(config) for _ in range(2)]
    return make


def keep(g, prompt: str, **kw):
    """Asked there, and told the others."""
    before = g.metric(WRITES, outcome="kept")
    reply = g.app.chat("chat", prompt, **kw)
    assert reply.succeeded()
    wait_until(lambda: g.metric(WRITES, outcome="kept") > before)
    return reply


def found_at_last(a, b):
    """An answer that a has made and b has found, the first that came in time: a busy machine may be late with some. (what a was told, what b was, its prompt)"""
    for _ in range(60):
        prompt = f"Number {next(NUMBERS)}, please."
        first, second = keep(a, prompt), b.app.chat("chat", prompt)
        assert second.succeeded()
        if second.headers["x-ballast-cache"] == "hit":
            return first, second, prompt
        time.sleep(0.2)
    raise AssertionError("b finds nothing of what a has kept")


def test_what_one_node_has_answered_is_a_hit_on_the_other(upstream, pair):
    a, b = pair(shared())
    first, hit, prompt = found_at_last(a, b)
    seen = len(upstream.seen())
    assert hit.text() == first.text() and hit.headers["x-ballast-served-by"] == "cache" and int(hit.headers["age"]) >= 0
    assert nano(hit.headers["x-ballast-cost-usd"]) == 0
    [step] = [s for s in b.decision(hit)["decision"] if s["step"] == "cache_hit"]
    assert step["shared"] is True and step["of"] == first.headers["x-ballast-call-id"]
    assert "the cache of all nodes" in b.command("explain", hit.headers["x-ballast-call-id"], "--config", str(b.file)).stdout
    saved = b.metric("ballast_cache_saved_usd_total")
    assert saved > 0 and b.metric("ballast_cache_total", state="hit") == b.metric(READS, outcome="found") == 1
    again = b.app.chat("chat", prompt, stream=True)
    assert again.headers["x-ballast-cache"] == "hit" and again.text() == first.text() and b.metric(READS, outcome="found") == 1, "from its own memory now"
    assert len(upstream.seen()) == seen
    assert b.usage()["cache_hits"] >= 2


def test_it_survives_the_node_that_made_it(upstream, pair):
    a, b = pair(shared())
    _, _, prompt = found_at_last(a, b)
    seen = len(upstream.seen())
    for g in (a, b):
        g.kill()
    b.start()
    wait_until(lambda: b.app.chat("chat", prompt, headers={"cache-control": "only-if-cached"}).status == 200)
    assert len(upstream.seen()) == seen


@pytest.mark.parametrize("scope,hits", [("key", False), ("shared", True)])
def test_what_another_caller_asked_is_shared_only_by_choice(upstream, pair, scope, hits):
    upstream.script("model", *[ok(words(9, f"answer{n} ")) for n in range(200)])
    a, b = pair(shared(scope=scope))
    other = Caller(b.port, OTHER_KEY)
    first, _, prompt = found_at_last(a, b)
    b.kill()                        # whose memory would answer
    b.start()
    wait_until(lambda: b.app.chat("chat", prompt, headers={"cache-control": "only-if-cached"}).status == 200)
    if hits:
        reply = other.chat("chat", prompt)
        assert reply.headers["x-ballast-cache"] == "hit" and reply.text() == first.text()
        return
    found = b.metric(READS, outcome="found")
    for _ in range(5):
        assert other.chat("chat", prompt, headers={"cache-control": "only-if-cached"}).status != 200
    assert b.metric(READS, outcome="found") == found
    assert other.chat("chat", prompt).text() != first.text()


def test_only_routes_that_say_so_share(upstream, pair):
    a, b = pair({"cache": {"ttl": "1h"}})
    assert a.app.chat("chat").succeeded() and b.app.chat("chat").succeeded() and len(upstream.seen()) == 2
    assert not any(g.metric(name) for g in (a, b) for name in (READS, WRITES))


def rows(postgres, g) -> list[str]:
    return postgres.run("SELECT encode(digest, 'hex'), route, user_id, expires_us - stored_us, encode(packed, 'hex') FROM shared_answers ORDER BY stored_us",
                        postgres.name_of(g.config["database"])).splitlines()


def test_what_is_kept_names_no_prompt_and_goes_with_its_user(upstream, pair, postgres):
    a, b = pair(shared())
    told = {"x-ballast-user": "ann.lee"}
    keep(a, "Where is the hidden treasure?", headers=told)
    keep(a, "Where is the other treasure?", headers={"x-ballast-user": "bob"})
    [ann, bob] = rows(postgres, a)
    digest, *named, packed = ann.split("|")
    assert named == ["chat", "ann.lee", str(3_600_000_000)] and len(digest) == 64 and b"treasure" not in bytes.fromhex(packed)
    wait_until(lambda: b.app.chat("chat", "Where is the hidden treasure?", headers={"cache-control": "only-if-cached"}).status == 200)
    assert a.admin.post("/api/erase", {"user": "ann.lee"}).status == 200
    assert rows(postgres, a) == [bob]
    # Nor is it in the other's memory.
    wait_until(lambda: b.app.chat("chat", "Where is the hidden treasure?", headers={"cache-control": "only-if-cached"}).status != 200)


@pytest.mark.parametrize("how", ["gone", "hangs"])
def test_without_the_database_calls_go_on_as_misses_and_at_once(upstream, pair, own_postgres, how):
    a, b = pair(shared(), own_postgres.fresh_url())
    found_at_last(a, b)
    server = own_postgres.process.pid
    if how == "gone":
        own_postgres.kill()
    else:
        children = [int(p) for p in pathlib.Path(f"/proc/{server}/task/{server}/children").read_text().split()]
        for pid in [server, *children]:
            os.kill(pid, signal.SIGSTOP)
    try:
        took = []
        for n in range(30):
            began = time.monotonic()
            reply = b.app.chat("chat", f"Without it, {n}.")
            took.append(time.monotonic() - began)
            assert reply.succeeded() and reply.headers["x-ballast-cache"] == "miss"
        assert max(took) < SLOW, took
    finally:
        if how == "gone":
            own_postgres.start()
        else:
            for pid in [*children, server]:
                os.kill(pid, signal.SIGCONT)
    assert b.metric(READS, outcome="skipped") > 0 and b.metric(READS, outcome="late") + b.metric(READS, outcome="failed") > 0
    found_at_last(a, b)


def test_with_one_file_it_is_taken_and_changes_nothing(upstream, gateway):
    g = gateway(one_provider(upstream, route=shared()))
    assert g.app.chat("chat").succeeded() and g.app.chat("chat").headers["x-ballast-cache"] == "hit" and len(upstream.seen()) == 1
    assert not g.metric(READS) and not g.metric(WRITES)
    notes = json.loads(g.command("check", "--json", "--config", str(g.file)).stdout)["notes"]
    assert any("routes.chat.cache.across_nodes changes nothing" in n for n in notes), notes
