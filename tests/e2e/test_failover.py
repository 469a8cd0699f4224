"""The database fails over to a standby: a synchronous one has all that was acknowledged; of an asynchronous one that had not heard of the last moments it is told what
is gone, the nodes start anew from what is there, no fence comes twice, and the ledger is whole again out of the journals."""
from __future__ import annotations

import collections
import concurrent.futures
import json
import threading
import time

import pytest

from support.client import Caller
from support.configs import INPUT, OUTPUT, one_provider
from support.gateway import cost_nano, wait_until
from support.postgres import Postgres, binaries

WORK_KEY = "sk-ballast-work-0123456789abcdef0123456789"
QUEUE = "images"


class Pair:
    """A primary, its streaming replica, and the URL of a database that whichever of the two takes writes has."""

    def __init__(self, primary: Postgres):
        self.primary, self.standby = primary, Postgres(binaries(), primary=primary)
        self.name = primary.name_of(primary.fresh_url())
        self.url = f"postgres://ballast@/{self.name}?host={primary.folder},{self.standby.folder}&target_session_attrs=read-write"

    def synchronous(self) -> None:
        self.primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'", "postgres")
        self.primary.run("SELECT pg_reload_conf()", "postgres")
        wait_until(lambda: self.primary.run("SELECT sync_state FROM pg_stat_replication", "postgres") == "sync")

    def fail_over(self) -> None:
        self.primary.kill()
        self.standby.promote()

    def sql(self, statement: str) -> list[list[str]]:
        return [line.split("|", 1) for line in self.standby.run(statement, self.name).splitlines()]


@pytest.fixture
def pair(own_postgres):
    made = Pair(own_postgres)
    yield made
    made.standby.stop()


@pytest.fixture
def nodes(pair, upstream, gateway):
    def make(n: int, **sections) -> list:
        out = []
        for _ in range(n):
            g = gateway({"database": pair.url, "drain": "2s", **one_provider(upstream, **sections)}, start=False)
            g.config["keys"].append({"name": "worker", "value": WORK_KEY, "scopes": ["work"]})
            g.write_config()
            out.append(g.start())
        return out
    return make


def submit(g, **more) -> str:
    made = g.app.post("/api/jobs", {"queue": QUEUE, "task": "resize", "payload": {}, **more})
    assert made.status == 202, made.body
    return made.json()["id"]


def pull(g, most: int, wait: str = "10s") -> dict[str, int]:
    """Fences by job."""
    got = Caller(g.port, WORK_KEY).post("/api/workers/pull", {"worker": f"w{time.monotonic_ns()}", "queues": [QUEUE], "max": most, "wait": wait, "lease": "60s"})
    assert got.status == 200, got.body
    return {t["id"]: int(t["fence"]) for t in got.json()["tasks"]}


def complete(g, id: str, fence: int) -> None:
    got = Caller(g.port, WORK_KEY).post("/api/workers/complete", {"tasks": [{"id": id, "fence": str(fence), "output": "done"}]})
    assert got.status == 200 and not got.json()["tasks"][0].get("error"), got.body


def there(g, id: str) -> bool:
    found = g.app.get(f"/api/jobs/{id}")
    assert found.status in (200, 404), found.body
    return found.status == 200


def events(g, name: str) -> list[dict]:
    return [json.loads(line) for line in g.log.read_text().splitlines() if f'"{name}"' in line and line.startswith("{")]


def starts(g) -> int:
    return len(events(g, "started"))


def named(pair: Pair, kind: str) -> set[str]:
    """What all nodes together have told of as lost, in the database that lost it."""
    return {id for (detail,) in pair.sql("SELECT detail FROM lost_commits") for id in json.loads(detail)[kind]["ids"]}


def whole(gateways: list, upstream) -> None:
    """The ledger has every call that the provider answered, once, at its price."""
    for g in gateways:
        g.settled()
    usage = gateways[0].usage()
    assert usage["attempts"] == usage["calls"] == len(upstream.seen())
    assert usage["billed"] == sum(cost_nano(s.prompt_tokens, s.output_tokens, INPUT, OUTPUT) for s in upstream.seen())


def test_what_an_asynchronous_failover_loses_is_named_and_the_nodes_go_on_from_what_is_there(pair, nodes, upstream):
    a, b = nodes(2)
    kept = [submit(a) for _ in range(3)]
    held = pull(a, 1)
    assert all(a.app.chat("chat").succeeded() for _ in range(4))
    a.settled()
    pair.standby.caught_up(pair.primary)
    pair.standby.cut_off()
    gone_a, gone_b = [submit(a) for _ in range(4)], [submit(b) for _ in range(2)]
    later = pull(a, 3)
    (ended, fence), = held.items()
    complete(a, ended, fence)
    assert all(g.app.chat("chat").succeeded() for g in (a, a, a, b, b))
    a.settled(), b.settled()
    before = max([*held.values(), *later.values()])
    pair.fail_over()

    for g in (a, b):
        wait_until(lambda g=g: starts(g) == 2)
    assert {id for id in kept + gone_a + gone_b if not there(a, id)} == set(gone_a + gone_b) == named(pair, "submitted")
    assert named(pair, "ended") == {ended}
    told = json.loads(events(a, "lost_commits")[0]["what"])
    assert told["submitted"] == {"count": 4, "ids": gone_a} and told["ended"]["ids"] == [ended] and told["all_known"]
    entries = [e for e in a.admin.get("/api/audit").json()["entries"] if e["action"] == "database.commits_lost"]
    assert len(entries) == 2 and any(gone_a[0] in json.dumps(e["outcome"]) for e in entries)
    assert a.metric("ballast_lost_commits") == b.metric("ballast_lost_commits") == 4 + 2 + 1
    wait_until(lambda: any(x["rule"] == "lost_commits" and x["state"] == "firing" for x in a.admin.get("/api/alerts").json()["alerts"]))

    fresh = submit(b)
    again: dict[str, int] = {}
    wait_until(lambda: again.update(pull(a, 10, "1s")) or again.update(pull(b, 10, "1s")) or len(again) >= 3, 30)
    assert set(again) == {*kept, fresh} - {ended}, "the lease of the one that had ended is its worker's, as the standby knows it"
    assert min(again.values()) > before, "no fence comes twice"
    whole([a, b], upstream)


def submitting(gateways: list, done: threading.Event, callers: int = 4) -> list[str]:
    """Jobs, one after the other by each caller, as long as they are acknowledged, with calls between them; until `done`. The ids of those that were acknowledged."""
    acknowledged = collections.deque()

    def caller(n: int) -> None:
        while not done.is_set():
            g = gateways[n % len(gateways)]
            try:
                made = g.app.post("/api/jobs", {"queue": QUEUE, "task": "resize", "payload": {}})
                if made.status == 202:
                    acknowledged.append(made.json()["id"])
                g.app.chat("chat")
            except (OSError, ConnectionError):
                time.sleep(0.02)                              # it starts anew
    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        list(pool.map(caller, range(callers)))
    return list(acknowledged)


def under_load(pair: Pair, gateways: list, before: float, cut: float) -> list[str]:
    done = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        load = pool.submit(submitting, gateways, done)
        time.sleep(before)
        if cut:
            pair.standby.cut_off()
            time.sleep(cut)
        pair.fail_over()
        time.sleep(3 if cut else 1)
        done.set()
        return load.result(120)


def test_a_synchronous_failover_loses_nothing(pair, nodes, upstream):
    pair.synchronous()
    a, b = nodes(2)
    acknowledged = under_load(pair, [a, b], 1, 0)
    wait_until(lambda: submit(a) and submit(b))
    assert len(acknowledged) > 20 and all(there(a, id) for id in acknowledged)
    assert pair.sql("SELECT epoch FROM lost_commits") == [] and [starts(a), starts(b)] == [1, 1]
    fences = [*pull(a, 1_000).values(), *pull(b, 1_000).values()]
    assert len(fences) > 0 and not events(a, "lost_commits")
    for g in (a, b):
        g.settled()
    assert a.usage()["billed"] == sum(cost_nano(s.prompt_tokens, s.output_tokens, INPUT, OUTPUT) for s in upstream.seen())


@pytest.mark.extended
def test_under_load_every_acknowledged_job_is_there_or_named(pair, nodes, upstream):
    gateways = nodes(3)
    acknowledged = under_load(pair, gateways, 5, 5)
    for g in gateways:
        wait_until(lambda g=g: starts(g) == 2)
        wait_until(lambda g=g: g.app.get("/readyz").status == 200)
    missing = {id for id in acknowledged if not there(gateways[0], id)}
    told = sum(json.loads(detail)["submitted"]["count"] for (detail,) in pair.sql("SELECT detail FROM lost_commits"))
    assert missing and named(pair, "submitted") <= missing and told == len(missing)
    for g in gateways:
        g.settled()
    assert gateways[0].usage()["billed"] == sum(cost_nano(s.prompt_tokens, s.output_tokens, INPUT, OUTPUT) for s in upstream.seen())
