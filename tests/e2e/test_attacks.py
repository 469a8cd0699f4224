"""What an attacker with a key, or a clumsy script, asks of the dashboard's API: it answers in time with a clear 4xx, and the calls beside it do not wait."""
from __future__ import annotations

import concurrent.futures
import http.client
import json
import re
import socket
import time

import pytest

from support.client import Caller
from support.configs import one_provider
from support.gateway import ADMIN_KEY, wait_until
from support.page import Answer, Page

READ_KEY = "sk-ballast-read-0123456789abcdef0123456789"
HOSTILE = ["%00", "%ff%fe", "%ed%a0%80", "%", "a" * 6000, "-1", "0", "1e18", "18446744073709551616", "9223372036854775807", "9999-12-31", "0001-01-01", "1677-01-01T00:00:00Z",
           "2026-02-30", "%27%3B%20DROP%20TABLE%20calls%3B--", "%3C/script%3E", "..%2f..%2fetc%2fpasswd", "NaN", "other", "9" * 400 + "s"]


def config(upstream, **more):
    keys = [{"name": "app", "value": "sk-ballast-e2e-0123456789abcdef0123456789", "scopes": ["call"]}, {"name": "eye", "value": READ_KEY, "scopes": ["read", "usage"]}]
    return one_provider(upstream, keys=keys, **more)


def send(g, method: str, path: str, body: bytes | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", g.port, timeout=30)
    try:
        connection.request(method, path, body, {"content-type": "application/json", "authorization": f"Bearer {ADMIN_KEY}"})
        return Answer(connection.getresponse())
    finally:
        connection.close()


@pytest.mark.databases
def test_whatever_a_parameter_says_the_answer_is_clear(upstream, gateway):
    g = gateway(config(upstream))
    assert g.app.chat("chat").succeeded()
    g.settled()
    document = g.admin.get("/openapi.json").json()
    asked, faults = 0, []
    for path, methods in document["paths"].items():
        if not path.startswith("/api/") or "get" not in methods or path in ("/api/live", "/api/steps"):   # they do not end
            continue
        targets = [re.sub(r"\{\w+\}", value, path) for value in HOSTILE] if "{" in path else []
        names = [p["name"] for p in methods["get"].get("parameters", []) if p["in"] == "query"]
        targets += [f"{path.replace('{id}', 'call_1')}?{name}={value}" for name in names for value in HOSTILE if name not in ("wait", "user") or path != "/api/export/user"]
        if path == "/api/export/user":
            targets += [f"{path}?user={value}" for value in HOSTILE]
        for target in targets:
            if "wait=" in target:
                continue
            asked += 1
            try:
                answer = send(g, "GET", target)
            except (OSError, http.client.HTTPException) as e:   # cut off in the midst of it
                faults.append(f"{target[:100]}: {e!r}")
                continue
            if answer.status >= 500:
                faults.append(f"{target[:100]}: {answer.status} {answer.body[:200]}")
    assert not faults, f"{len(faults)} of {asked}:\n" + "\n".join(faults[:30])
    assert asked > 500 and g.alive()


BODIES = [b"", b"null", b"[]", b"{", b"[" * 100_000, b'{"a":' * 50_000, b'{"user":"\\u0000"}', b'{"user":"\\ud800"}', b'{"for":"1h","rule":"\\u0000"}', b"\xff\xfe",
          b'{"verdict":"good","call":"call_0","comment":"\\u0000"}', b'{"line":"load_test","note":"\\u0000","at":"9999-12-31"}', b'{"for":"99999999999d"}', b'{"for":"1h","labels":{"user":"\\u0000"}}',
          b'{"for":"1h","note":"\\ud800"}', b'{"name":"\\u0000"}', json.dumps({"user": "x" * 1_000_000}).encode(), b'{"key":"\\u0000"}']


@pytest.mark.databases
def test_whatever_a_body_says_the_answer_is_clear(upstream, gateway):
    g = gateway(config(upstream))
    call = g.app.chat("chat").headers["x-ballast-call-id"]
    document = g.admin.get("/openapi.json").json()
    bodies = [*BODIES, *(json.dumps({"call": call, "verdict": "good", "comment": text, "user": text[:100]}).encode() for text in ("\0", "\u202e</script>", "a\0" * 40))]
    bodies.append(b'{"call":"%s","verdict":"bad","comment":"\\ud800"}' % call.encode())
    faults, asked = [], 0
    for path, methods in document["paths"].items():
        for method in set(methods) & {"post", "put", "patch", "delete"}:
            if not path.startswith("/api/"):
                continue
            for body in bodies:
                answer = send(g, method.upper(), re.sub(r"\{\w+\}", "x", path), body)
                asked += 1
                if answer.status >= 500:
                    faults.append(f"{method} {path} {body[:60]}: {answer.status} {answer.body[:200]}")
    assert not faults, f"{len(faults)} of {asked}:\n" + "\n".join(faults[:30])
    assert asked > 400 and g.alive()


def test_the_paths_of_files_lead_nowhere_else(upstream, gateway):
    g = gateway(config(upstream))
    for path in ("/../../etc/passwd", "/assets/../../../etc/passwd", "/assets/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "//etc/passwd", "/assets/%00.js", "/assets/" + "a" * 5000,
                 "/index.html/", "/assets//", "/assets", "/.git/config"):
        connection = http.client.HTTPConnection("127.0.0.1", g.port, timeout=10)
        connection.putrequest("GET", path, skip_host=False)
        connection.endheaders()
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        assert reply.status in (400, 404), f"{path[:60]}: {reply.status}"
        assert b"root:" not in body
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert send(g, method, "/").status in (404, 405, 501), method
    head = send(g, "HEAD", "/")
    assert head.status == 200 and head.body == b""
    page = Page(g.port).get("/", accept="text/html")
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert Page(g.port).get("/", range="bytes=0-3").status == 200


def test_a_page_that_is_never_read_holds_up_nobody(upstream, gateway):
    """Followers that never read, and more of them than there is room for: the calls go on, and the room is free again once they have gone."""
    g = gateway(config(upstream))
    page = Page(g.port, READ_KEY)
    ask = f"GET /api/live HTTP/1.1\r\nhost: a\r\ncookie: {page.cookie}\r\n\r\n".encode()
    held = []

    def answered(s: socket.socket) -> bytes:                            # is not read to its end
        s.sendall(ask)
        return s.recv(12)
    for _ in range(70):
        s = socket.create_connection(("127.0.0.1", g.port), 10)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        held.append(s)
    assert sorted(map(answered, held)) == [b"HTTP/1.1 200"] * 64 + [b"HTTP/1.1 503"] * 6

    def one_more() -> bytes:
        with socket.create_connection(("127.0.0.1", g.port), 10) as s:
            return answered(s)
    assert one_more() == b"HTTP/1.1 503"
    assert all(g.app.chat("chat").succeeded() for _ in range(20))
    for s in held:
        s.close()
    wait_until(lambda: one_more() == b"HTTP/1.1 200", 20)


def test_the_largest_chart_does_not_hold_up_the_calls(upstream, gateway):
    """A hundred thousand buckets are written on the database's threads: beside them a loop answers as ever."""
    g = gateway(config(upstream, threads=1))
    for n in range(49):
        assert g.app.chat("chat", headers={"x-ballast-feature": f"feature {n}"}).succeeded()
    g.settled()
    now = time.time()
    day = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(now - 1990 * 60))
    target = f"/api/series?from={day}&step=1m&by=feature&groups=49"
    slowest, read = 0.0, Caller(g.port, READ_KEY)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        chart = pool.submit(read.get, target)
        while not chart.done():
            began = time.monotonic()
            assert g.app.get("/healthz").status == 200
            slowest = max(slowest, time.monotonic() - began)
    answer = chart.result()
    assert answer.status == 200, answer.body[:300]
    assert len(answer.json()["groups"]) == 49 and len(answer.body) > 20_000_000
    assert slowest < 0.25, f"a request waited {slowest:.3f} s"


def test_what_silences_the_pager_is_in_the_trail(upstream, gateway):
    g = gateway(config(upstream))
    made = g.admin.post("/api/alerts/silences", {"rule": "error_burst", "for": "1h", "note": "who was it?"})
    assert made.status == 201
    assert g.admin.delete("/api/alerts/silences/" + made.json()["id"]).status == 200
    acts = [(e["action"], e["subject"], e["actor"]) for e in g.admin.get("/api/audit").json()["entries"] if e["action"].startswith("alerts.")]
    assert acts == [("alerts.silence_ended", made.json()["id"], "key:admin"), ("alerts.silenced", made.json()["id"], "key:admin")]


def test_whoever_follows_a_job_is_told_nothing_once_his_key_is_gone(upstream, gateway):
    g = gateway(config(upstream))
    key = g.admin.post("/api/keys", {"name": "leaver", "scopes": ["call"]}).json()
    caller = Caller(g.port, key["secret"])
    job = caller.post("/api/jobs", {"queue": "later", "task": "x", "payload": {"a": 1}}).json()["id"]
    with socket.create_connection(("127.0.0.1", g.port), 30) as s:
        s.sendall(f"GET /api/jobs/{job}/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key['secret']}\r\n\r\n".encode())
        told = b""
        while b"queued" not in told:
            told += s.recv(65536)
        assert g.admin.delete("/api/keys/" + key["id"]).status == 200
        assert g.admin.post(f"/api/jobs/{job}/cancel", {}).status == 200
        rest = b""
        try:
            while part := s.recv(65536):
                rest += part
        except ConnectionError:
            pass
        assert b"cancelled" not in rest, rest


def test_who_needs_no_key_may_call_models_and_nothing_else(upstream, gateway):
    g = gateway(config(upstream, require_key=False))
    nobody = Caller(g.port, "")
    answer = nobody.chat("chat")
    assert answer.status == 200, answer.body
    g.settled()
    assert [c["key"]["name"] for c in g.admin.get("/api/calls?view=row").json()["calls"]] == ["anonymous"]
    for method, path, body in (("GET", "/api/overview", None), ("GET", "/api/usage", None), ("GET", "/api/session", None), ("POST", "/api/jobs", b"{}"), ("POST", "/api/keys", b"{}")):
        assert knock(g, method, path, body, {}).status == 401, path
    assert knock(g, "POST", "/api/session", b'{"key": ""}', {}).status == 401
    assert Caller(g.port, "sk-ballast-wrong-0123456789abcdef0123456789").chat("chat").status == 401, "a key that is none is no absent key"
    chat = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "hi"}]}).encode()
    assert knock(g, "POST", "/v1/chat/completions", chat, {"sec-fetch-site": "cross-site"}).status == 403
    assert knock(gateway(config(upstream)), "POST", "/v1/chat/completions", chat, {}).status == 401, "unless it is asked for"


def knock(g, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", g.port, timeout=30)
    try:
        connection.request(method, path, body, {"content-type": "application/json"} | headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()
