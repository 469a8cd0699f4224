"""The live feed against a working server: what it tells, and that nobody waits for whoever reads too slowly."""
from __future__ import annotations

import json
import socket
import threading
import time

from support.configs import one_provider
from support.gateway import ADMIN_KEY
from support.page import Page


class Feed:
    """GET /api/live on a socket of its own; `read` gives what has come, event by event."""

    def __init__(self, page: Page):
        self.socket = socket.create_connection(("127.0.0.1", page.port), 30)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.sendall(f"GET /api/live HTTP/1.1\r\nhost: x\r\ncookie: {page.cookie}\r\nsec-fetch-site: same-origin\r\n\r\n".encode())
        self.text, self.ended = "", False

    def read(self, until, seconds: float = 20) -> list[tuple[str, dict]]:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.ended and not until(self.events()):
            self.socket.settimeout(max(0.1, end - time.monotonic()))
            try:
                piece = self.socket.recv(65536)
            except TimeoutError:
                break
            self.text += piece.decode()
            self.ended = not piece or self.text.endswith("\r\n0\r\n\r\n")
        return self.events()

    def events(self) -> list[tuple[str, dict]]:
        out = []
        for block in self.text.replace("\r\n", "\n").split("\n\n"):
            lines = block.split("\n")
            name = next((line[7:] for line in lines if line.startswith("event: ")), None)
            data = next((line[6:] for line in lines if line.startswith("data: ")), None)
            if name and data and data.endswith("}"):
                out.append((name, json.loads(data)))
        return out


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
