"""The live feed against a working server: what it tells, and that nobody waits for whoever reads too slowly."""
from __future__ import annotations

import threading
import time

from support.configs import one_provider
from support.feed import Feed
from support.gateway import ADMIN_KEY
from support.page import Page


def of(events, name):
    return [data for event, data in events if event == name]


def test_figures_calls_and_changes(upstream, gateway):
    g = gateway(one_provider(upstream))
    page = Page(g.port, ADMIN_KEY)
    feed = Feed(page)
    assert of(feed.read(lambda e: len(of(e, "figures")) >= 2), "hello")[0]["version"]
    for _ in range(3):
        assert g.app.chat("chat").succeeded()
    events = feed.read(lambda e: len(of(e, "call")) >= 3 and "breakers" in [s["what"] for s in of(e, "state")])
    assert [c["status"] for c in of(events, "call")] == ["ok"] * 3
    assert sum(f["calls_per_second"] for f in of(events, "figures")) > 0
    assert "breakers" in [s["what"] for s in of(events, "state")], "the first call of a target makes its breaker"
    feed.read(lambda e: any(f["latency_ms_p95"] for f in of(e, "figures")))
    assert page.ask("DELETE", "/api/session").status == 204
    feed.read(lambda e: False)
    assert feed.ended, "the feed ends with its session"


def test_a_slow_follower_holds_up_nobody(upstream, gateway):
    g = gateway(one_provider(upstream))
    page = Page(g.port, ADMIN_KEY)
    slow, quick = Feed(page), Feed(page)
    stop = threading.Event()

    def load():
        while not stop.is_set():
            g.app.chat("chat")

    callers = [threading.Thread(target=load) for _ in range(4)]
    for c in callers:
        c.start()
    try:
        events = quick.read(lambda e: len(of(e, "call")) >= 40 and len(of(e, "figures")) >= 5, 60)
    finally:
        stop.set()
        for c in callers:
            c.join()
    assert len(of(events, "call")) >= 40 and len(of(events, "figures")) >= 5
    assert g.app.chat("chat").succeeded(), "the road never waits for a reader"
    late = slow.read(lambda e: len(of(e, "figures")) >= 1)
    assert of(late, "hello"), "who reads late gets what was kept for it"
    g.terminate()
    quick.read(lambda e: False)
    assert quick.ended, "a server that goes away ends its feeds at once"


def test_only_who_may_read_follows(upstream, gateway):
    g = gateway(one_provider(upstream))
    assert Page(g.port).get("/api/live").status == 401
    assert g.app.get("/api/live").status == 403
