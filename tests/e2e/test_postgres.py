"""PostgreSQL dies and comes back while calls are under way: they go on, and afterwards nothing is missing from the ledger.
And two nodes on one database."""
from __future__ import annotations

import asyncio
import json
import re

import pytest

from support.client import Caller
from support.configs import INPUT, OUTPUT, PROMPTLY, one_provider
from support.fake_upstream import ok
from support.gateway import cost_nano, wait_until

KEY = {"idempotency-key": "order-8-retry-safe"}
BUDGET = [{"name": "all", "scope": "system", "amount": "$1", "per": "day"}]


@pytest.fixture
def on_own(own_postgres, gateway):
    """Starts gateways on a database of a server that the test may kill."""
    url = own_postgres.fresh_url()

    def make(config: dict, **kw):
        return gateway({"database": url, **config}, **kw)
    return make


def charged(upstream) -> int:
    return sum(cost_nano(s.prompt_tokens, s.output_tokens, INPUT, OUTPUT) for s in upstream.seen())


async def calling(g, done: asyncio.Event, callers: int = 16) -> list:
    """Calls one after the other by each caller, until `done`."""
    replies = []

    async def caller():
        while not done.is_set():
            replies.append(await g.app.chat_async("chat"))
    await asyncio.gather(*[caller() for _ in range(callers)])
    return replies


async def until(check) -> None:
    async with asyncio.timeout(120):
        while not check():
            await asyncio.sleep(0.01)


def test_calls_go_on_while_the_database_is_killed_and_the_ledger_has_them_all(upstream, own_postgres, on_own):
    upstream.script("model", ok(20, delay=0.01))
    g = on_own(one_provider(upstream, budgets=BUDGET))

    async def go():
        done = asyncio.Event()
        calls = asyncio.create_task(calling(g, done))
        for n in range(1, 4):
            await until(lambda: len(upstream.seen()) >= 150 * n)
            own_postgres.kill()
            await until(lambda: len(upstream.seen()) >= 150 * n + 75)     # calls go on without it
            own_postgres.start()
        await until(lambda: len(upstream.seen()) >= 600)
        done.set()
        return await calls
    replies = asyncio.run(go())
    assert all(r.succeeded() for r in replies), [r.body for r in replies if not r.succeeded()][:1]
    level(g)
    usage = g.usage()
    assert usage["calls"] == usage["attempts"] == len(replies) == len(upstream.seen())
    assert usage["billed"] == usage["incurred"] == g.spent() == charged(upstream)
    for reply in replies[::40]:
        assert g.decision(reply)["id"] == reply.headers["x-ballast-call-id"]


def level(g) -> None:
    """Waits until the importer has taken in all that the journal holds, however often it must try again."""
    g.idle()
    wait_until(lambda: g.metric("ballast_journal_behind_bytes") == 0 and g.metric("ballast_journal_failing") == 0)


def test_one_connection_is_killed_and_the_server_recovers(upstream, own_postgres, on_own):
    """A backend that dies takes every connection with it: the server ends all of them and recovers."""
    upstream.script("model", ok(20, delay=0.01))
    g = on_own(one_provider(upstream, budgets=BUDGET))

    async def go():
        done = asyncio.Event()
        calls = asyncio.create_task(calling(g, done))
        for n in range(1, 4):
            await until(lambda: len(upstream.seen()) >= 100 * n)
            own_postgres.kill_backend()
        await until(lambda: len(upstream.seen()) >= 500)
        done.set()
        return await calls
    replies = asyncio.run(go())
    assert all(r.succeeded() for r in replies)
    level(g)
    assert g.usage()["calls"] == len(replies) and g.usage()["billed"] == g.spent() == charged(upstream)


def test_both_are_killed_and_nothing_is_missing(upstream, own_postgres, on_own):
    """First the database, then, with calls that only the journal has, the gateway."""
    upstream.script("model", ok(20, delay=0.01))
    g = on_own(one_provider(upstream, budgets=BUDGET))
    answered = [g.app.chat("chat") for _ in range(20)]
    own_postgres.kill()
    answered += [g.app.chat("chat") for _ in range(30)]
    assert all(r.succeeded() for r in answered), [(n, r.body) for n, r in enumerate(answered) if not r.succeeded()][:2]
    g.kill()
    own_postgres.start()
    g.start()
    assert g.spent() == charged(upstream), "the budget is exact before the first call is let in"
    usage = g.usage()
    assert usage["calls"] == 50 and usage["billed"] == charged(upstream)
    assert all(g.decision(r)["id"] == r.headers["x-ballast-call-id"] for r in answered)


def test_what_needs_the_database_says_so_while_it_is_away(upstream, own_postgres, on_own):
    g = on_own(one_provider(upstream))
    made = g.admin.post("/api/keys", {"name": "made", "scopes": ["call"]}).json()
    own_postgres.kill()
    assert g.app.chat("chat").succeeded(), "a call does not need it"
    assert Caller(g.port, made["secret"]).chat("chat").succeeded(), "keys are in memory"
    refused = [g.app.chat("chat", headers=KEY), g.admin.get("/api/usage"), g.admin.get("/api/calls"),
               g.admin.post("/api/keys", {"name": "later", "scopes": ["call"]})]
    for reply in refused:
        assert reply.status == 503 and re.search("database|PostgreSQL", reply.body.decode()), reply.body
        assert reply.seconds < PROMPTLY
    assert str(own_postgres.folder) not in refused[0].body.decode(), "callers are not told where it is"
    assert len(upstream.seen()) == 2, "an Idempotency-Key that cannot be recorded is not dispatched"
    own_postgres.start()
    wait_until(lambda: g.app.chat("chat", headers=KEY).succeeded())
    before = len(upstream.seen())
    assert g.app.chat("chat", headers=KEY).succeeded() and len(upstream.seen()) == before, "and from then on it is one call"


@pytest.mark.extended
def test_a_start_without_its_database_says_what_to_do(own_postgres, on_own, upstream):
    g = on_own(one_provider(upstream))
    assert g.app.chat("chat").succeeded()
    assert g.terminate() == 0
    own_postgres.kill()
    done = g.command("serve", "--config", str(g.file), check=False)
    assert done.returncode not in (0, -6, -9, -11)
    said = done.stdout + done.stderr
    assert "database" in said.lower() and "PostgreSQL" in said, said
    own_postgres.start()
    g.start()
    assert g.usage()["calls"] == 1


def test_a_drain_without_its_database_ends_in_time(own_postgres, on_own, upstream):
    """SIGTERM while the database is away: the process ends, and the next one has the calls from the journal."""
    g = on_own(one_provider(upstream, drain="2s"))
    own_postgres.kill()
    assert all(g.app.chat("chat").succeeded() for _ in range(5))
    g.terminate(20)
    own_postgres.start()
    g.start()
    assert g.usage()["calls"] == 5 and g.usage()["billed"] == charged(upstream)


def test_a_drain_with_jobs_under_way_ends_without_its_database(own_postgres, on_own, upstream):
    """What it cannot record it leaves as a crash would have: the next start goes on."""
    upstream.script("model", ok(5, delay=3), ok(5))
    g = on_own(one_provider(upstream, drain="1s"))
    job = g.app.post("/api/jobs", {"call": {"body": {"model": "chat", "messages": [{"role": "user", "content": "Say the words."}]}}}).json()["id"]
    wait_until(lambda: len(upstream.seen()) == 1)
    own_postgres.kill()
    g.terminate(40)
    own_postgres.start()
    g.start()
    assert g.app.get(f"/api/jobs/{job}?wait=30s").json()["state"] == "done"


def test_two_nodes_share_keys_and_the_ledger(upstream, postgres, gateway):
    url = postgres.fresh_url()
    one, two = (gateway({"database": url, **one_provider(upstream)}) for _ in range(2))
    made = one.admin.post("/api/keys", {"name": "shared", "scopes": ["call"]}).json()
    there = Caller(two.port, made["secret"])
    wait_until(lambda: there.chat("chat").status == 200)
    assert all(one.app.chat("chat").succeeded() and two.app.chat("chat").succeeded() for _ in range(5))
    for g in (one, two):
        level(g)
    assert one.usage() == two.usage() and one.usage()["attempts"] == len(upstream.seen()) == 11
    one.kill()
    one.start()
    assert one.usage() == two.usage() and one.usage()["billed"] == charged(upstream)
    listed = json.loads(two.command("keys", "list", "--json").stdout)
    assert any(k["id"] == made["id"] for k in (listed["keys"] if isinstance(listed, dict) else listed))
