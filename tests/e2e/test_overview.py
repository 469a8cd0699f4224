"""What the overview and the money page are told: of the very range that was asked for, and everything in it of the same calls."""
from __future__ import annotations

import datetime
import time

from support.configs import one_provider, two_providers
from support.fake_upstream import ok, words
from support.gateway import nano


def now() -> datetime.datetime:
    time.sleep(0.05)
    return datetime.datetime.now(datetime.UTC)


def test_short_ranges_are_told_as_they_were_asked_for(gateway, upstream):
    g = gateway(one_provider(upstream))
    begin = now()
    for _ in range(3):
        assert g.app.chat("chat").status == 200
    middle = now()
    for _ in range(2):
        assert g.app.chat("chat").status == 200
    end = now()
    g.settled()

    def seen(path: str, a: datetime.datetime, b: datetime.datetime, **more: str) -> dict:
        query = "&".join(f"{k}={v}" for k, v in {"from": a.isoformat()[:23] + "Z", "to": b.isoformat()[:23] + "Z", **more}.items())
        found = g.admin.get(f"/api/{path}?{query}")
        assert found.status == 200, found.body
        return found.json()
    later = seen("overview", middle, end)
    assert later["total"]["calls"] == 2 and [m["total"]["calls"] for m in later["models"]] == [2]
    # As long as the later part, and right before it.
    compared = seen("overview", middle, middle + (middle - begin), compare="before")
    assert compared["total"]["calls"] == 2 and compared["before"]["calls"] == 3
    money = seen("money", begin, middle)
    assert money["total"]["calls"] == 3 and all([row["total"]["calls"] for row in rows] == [3] for what, rows in money["by"].items() if what in ("model", "key", "route"))
    assert money["days"][-1]["total"]["calls"] == 3


def test_ranges_of_days_are_told_in_whole_hours(gateway, upstream):
    g = gateway(one_provider(upstream))
    assert g.app.chat("chat").status == 200
    g.settled()
    week = (now() - datetime.timedelta(days=7)).isoformat()[:23] + "Z"
    for path in ("overview", "money"):
        assert g.admin.get(f"/api/{path}?from={week}").json()["total"]["calls"] == 1
    # Minutes of forty days ago are not kept; what is left is told all the same.
    long_ago = now() - datetime.timedelta(days=40)
    span = f"from={long_ago.isoformat()[:23]}Z&to={(long_ago + datetime.timedelta(minutes=20)).isoformat()[:23]}Z"
    for path in ("overview", "money"):
        found = g.admin.get(f"/api/{path}?{span}")
        assert found.status == 200 and found.json()["total"]["calls"] == 0, found.body


def test_a_series_leaves_its_errors_out_on_demand(gateway, upstream):
    g = gateway(one_provider(upstream))
    assert g.app.chat("no-such-model").status == 404
    g.settled()
    assert g.admin.get("/api/series").json()["errors"] == [{"error": "caller_not_found", "calls": 1}]
    spared = g.admin.get("/api/series?errors=false").json()
    assert spared["errors"] == [] and spared["total"]["failed"] == 1
    refused = g.admin.get("/api/series?errors=no")
    assert refused.status == 400 and refused.json()["field"] == "errors"


DEAR = {"input": "$10", "output": "$30"}


def saved_by_routing(g) -> int:
    g.settled()
    money = g.admin.get("/api/money").json()
    overview = g.admin.get("/api/overview").json()
    assert money["saved"] == {"cache_usd": money["total"]["saved_usd"], "routing_usd": money["total"]["routing_saved_usd"]}
    assert overview["total"]["routing_saved_usd"] == money["saved"]["routing_usd"]
    assert sum(nano(row["total"]["routing_saved_usd"]) for row in money["by"]["model"]) == nano(money["saved"]["routing_usd"])
    assert round(g.metric("ballast_routing_saved_usd_total") * 1e9) == nano(money["saved"]["routing_usd"])
    return nano(money["saved"]["routing_usd"])


def test_what_routing_saved_is_told_of_calls_that_had_a_dearer_choice(upstream, gateway):
    c = two_providers(upstream, models={"fallback/beta": {"price": DEAR, "context": 32768, "max_output": 4096}, "fallback/free": {"context": 32768}})
    c["routes"]["chat"]["cache"] = {"ttl": "1h"}
    c["routes"]["dear"] = {"targets": ["fallback/beta", "primary/alpha"]}
    c["routes"]["open"] = {"targets": ["primary/alpha", "fallback/free"]}
    g = gateway(c)
    upstream.script("alpha", ok(words(12, "a")))
    first = g.app.chat("chat", "What does it cost?")
    assert first.succeeded()
    tokens = upstream.seen()[0].prompt_tokens
    difference = tokens * (10_000 - 1_000) + 12 * (30_000 - 2_000)
    assert saved_by_routing(g) == difference
    record = g.decision(first)
    assert nano(record["routing_saved_usd"]) == difference and "saved_usd" not in record
    step = next(s for s in record["decision"] if s["step"] == "routing_saved")
    assert step["than"] == "fallback/beta" and step["saved_nano"] == difference and step["would_cost_nano"] == tokens * 10_000 + 12 * 30_000

    # None of these saved anything by where it went: from the cache; the dearest itself; beside a target without a price; by name.
    again = g.app.chat("chat", "What does it cost?")
    hit = g.decision(again)
    assert hit["cache"] == "hit" and "routing_saved_usd" not in hit and nano(hit["saved_usd"]) == tokens * 1_000 + 12 * 2_000
    assert g.app.chat("dear", "The dear one.").succeeded()
    assert g.app.chat("open", "Of a free one.").succeeded() and g.app.chat("primary/alpha", "By name.").succeeded()
    assert saved_by_routing(g) == difference
