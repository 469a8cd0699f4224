"""Whatever comes in, the answer is a clear 4xx in the shape of the caller's own API, and the server stays up."""
from __future__ import annotations

import asyncio
import json
import re
import socket
import time

import pytest

from support.client import fetch
from support.configs import PROMPTLY, one_provider
from support.fake_upstream import Upstream, ok
from support.gateway import APP_KEY, Gateway

M = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One gateway for the whole table: what one row breaks, the next would see."""
    yield from serve(tmp_path_factory.mktemp("bad"), header_timeout="60s", body_timeout="60s")


@pytest.fixture(scope="module")
def hasty_world(tmp_path_factory):
    """One that waits for a second only: for callers who are slow on purpose."""
    yield from serve(tmp_path_factory.mktemp("hasty"), header_timeout="1s", body_timeout="1s")


def serve(folder, **timers):
    upstream = Upstream(ok(3))
    g = Gateway(folder, one_provider(upstream, limits_http={"body": "2MB", "header": "16KB", "idle_timeout": "90s",
                                                            "connections": 4000, **timers})).start()
    yield g, upstream
    alive, log = g.alive(), g.log.read_text()[-2000:]
    g.stop()
    upstream.stop()
    assert alive, f"the server died:\n{log}"


def chat(**fields) -> dict:
    return {"model": "chat", "messages": M, **fields}


def without(name: str) -> dict:
    return {k: v for k, v in chat().items() if k != name}


# name, body, the field the error must name (or None)
OPENAI = [
    ("empty", b"", None),
    ("not-json", b"hello", None),
    ("cut-json", b'{"model":"chat","messages":[{"role":"user","content":"h', None),
    ("two-documents", b'{"model":"chat"}{"model":"chat"}', None),
    ("array", b"[]", None),
    ("null", b"null", None),
    ("number", b"17", None),
    ("trailing-comma", b'{"model":"chat",}', None),
    ("nan", b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"temperature":NaN}', None),
    ("invalid-utf8", b'{"model":"chat","messages":[{"role":"user","content":"\xff\xfe"}]}', None),
    ("overlong-utf8", b'{"model":"chat","messages":[{"role":"user","content":"\xc0\xaf"}]}', None),
    ("lone-surrogate-utf8", b'{"model":"chat","messages":[{"role":"user","content":"\xed\xa0\x80"}]}', None),
    ("nul-bytes", b'{"model":"chat","messages":[{"role":"user","content":"a\x00b"}]}', None),
    ("deep-arrays", b'{"model":"chat","messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}", None),
    ("deep-objects", b'{"model":"chat","messages":[],"x":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}", None),
    ("no-model", without("model"), "model"),
    ("model-number", chat(model=7), "model"),
    ("model-null", chat(model=None), "model"),
    ("model-empty", chat(model=""), "model"),
    ("model-list", chat(model=["chat"]), "model"),
    ("no-messages", without("messages"), "messages"),
    ("messages-text", chat(messages="hi"), "messages"),
    ("messages-object", chat(messages={"role": "user"}), "messages"),
    ("messages-empty", chat(messages=[]), "messages"),
    ("message-text", chat(messages=["hi"]), "messages"),
    ("message-null", chat(messages=[None]), "messages"),
    ("no-role", chat(messages=[{"content": "hi"}]), "role"),
    ("bad-role", chat(messages=[{"role": "king", "content": "hi"}]), "role"),
    ("role-number", chat(messages=[{"role": 1, "content": "hi"}]), "role"),
    ("content-number", chat(messages=[{"role": "user", "content": 5}]), "content"),
    ("content-part-text", chat(messages=[{"role": "user", "content": ["hi"]}]), "content"),
    ("stream-text", chat(stream="yes"), "stream"),
    ("stream-number", chat(stream=1), "stream"),
    ("max-tokens-negative", chat(max_tokens=-1), "max_tokens"),
    ("max-tokens-zero", chat(max_tokens=0), "max_tokens"),
    ("max-tokens-text", chat(max_tokens="many"), "max_tokens"),
    ("max-tokens-fraction", chat(max_tokens=1.5), "max_tokens"),
    ("max-tokens-huge", chat(max_tokens=10**30), "max_tokens"),
    ("n-huge", chat(n=10**9), "n"),
    ("n-zero", chat(n=0), "n"),
    ("n-negative", chat(n=-3), "n"),
    ("n-text", chat(n="2"), "n"),
    ("temperature-text", chat(temperature="warm"), "temperature"),
    ("temperature-negative", chat(temperature=-1), "temperature"),
    ("tools-object", chat(tools={"type": "function"}), "tools"),
    ("tool-text", chat(tools=["f"]), "tools"),
    ("stream-options-text", chat(stream=True, stream_options="usage"), "stream_options"),
    ("metadata-text", chat(metadata="m"), "metadata"),
    ("user-number", chat(user=5), "user"),
]


def assert_openai_error(reply, status=range(400, 500)):
    assert reply.status in status, (reply.status, reply.body[:300])
    body = reply.json()
    assert set(body) <= {"error", "type"} and isinstance(body["error"]["message"], str) and body["error"]["message"]
    assert {"message", "type", "param", "code"} <= set(body["error"])


@pytest.mark.parametrize("name,body,field", OPENAI, ids=[r[0] for r in OPENAI])
def test_chat_completions(world, name, body, field):
    g, upstream = world
    before = len(upstream.seen())
    reply = g.app.post("/v1/chat/completions", body)
    assert_openai_error(reply)
    if field:
        assert field in str(reply.json()["error"]["param"]) or field in reply.json()["error"]["message"], reply.body
    assert len(upstream.seen()) == before, "it was sent on to the provider"


ANTHROPIC = [
    ("not-json", b"hello", None),
    ("no-model", {"max_tokens": 5, "messages": M}, "model"),
    ("no-max-tokens", {"model": "chat", "messages": M}, "max_tokens"),
    ("max-tokens-negative", {"model": "chat", "max_tokens": -1, "messages": M}, "max_tokens"),
    ("no-messages", {"model": "chat", "max_tokens": 5}, "messages"),
    ("messages-text", {"model": "chat", "max_tokens": 5, "messages": "hi"}, "messages"),
    ("bad-role", {"model": "chat", "max_tokens": 5, "messages": [{"role": "king", "content": "hi"}]}, "role"),
    ("system-number", {"model": "chat", "max_tokens": 5, "system": 5, "messages": M}, "system"),
    ("deep", b'{"model":"chat","max_tokens":5,"messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}", None),
    ("invalid-utf8", b'{"model":"chat","max_tokens":5,"messages":[{"role":"user","content":"\xff"}]}', None),
]


@pytest.mark.parametrize("name,body,field", ANTHROPIC, ids=[r[0] for r in ANTHROPIC])
def test_messages_in_anthropics_shape(world, name, body, field):
    g, upstream = world
    before = len(upstream.seen())
    reply = g.app.post("/v1/messages", body, headers={"anthropic-version": "2023-06-01", "x-api-key": APP_KEY})
    assert 400 <= reply.status < 500, reply.body
    value = reply.json()
    assert value["type"] == "error" and value["error"]["type"] in ("invalid_request_error", "request_too_large")
    if field:
        assert field in value["error"]["message"]
    assert len(upstream.seen()) == before


RESPONSES = [("not-json", b"{", None), ("no-model", {"input": "hi"}, "model"), ("no-input", {"model": "chat"}, "input"),
             ("input-number", {"model": "chat", "input": 5}, "input"),
             ("max-negative", {"model": "chat", "input": "hi", "max_output_tokens": -5}, "max_output_tokens")]


@pytest.mark.parametrize("name,body,field", RESPONSES, ids=[r[0] for r in RESPONSES])
def test_responses(world, name, body, field):
    reply = world[0].app.post("/v1/responses", body)
    assert_openai_error(reply)
    if field:
        assert field in reply.json()["error"]["message"] + str(reply.json()["error"]["param"])


def test_an_unknown_model_is_404_and_named(world):
    reply = world[0].app.chat("gpt-nonexistent")
    assert_openai_error(reply, [404])
    assert reply.error()["code"] == "model_not_found" and "gpt-nonexistent" in reply.error()["message"]


def test_an_unknown_model_in_anthropics_shape(world):
    reply = world[0].app.post("/v1/messages", {"model": "claude-nonexistent", "max_tokens": 5, "messages": M})
    assert reply.status == 404 and reply.json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic dXNlcg=="},
                                     {"authorization": "Bearer "}, {"authorization": f"Bearer {APP_KEY}x"}])
def test_no_or_wrong_key(world, headers):
    g, upstream = world
    reply = asyncio.run(fetch(g.port, "POST", "/v1/chat/completions", headers=headers, body=json.dumps(chat()).encode()))
    assert_openai_error(reply, [401])
    assert APP_KEY not in reply.body.decode()


def test_the_app_key_opens_no_admin_route(world):
    assert world[0].app.get("/api/usage").status in (401, 403)


@pytest.mark.parametrize("method,path,status", [("GET", "/v1/chat/completions", 405), ("DELETE", "/v1/chat/completions", 405),
                                                ("POST", "/nowhere", 404), ("GET", "/v1/../etc/passwd", 404),
                                                ("GET", "/%00", 404), ("POST", "/v1/chat/completionsx", 404)])
def test_unknown_routes(world, method, path, status):
    g, _ = world
    reply = asyncio.run(fetch(g.port, method, path, headers=g.app.headers(), body=b"{}" if method == "POST" else None))
    assert reply.status in (status, 400), reply.body


# ---- bytes that are not quite HTTP -----------------------------------------------------------------------------------

BODY = json.dumps(chat()).encode()
AUTH = f"authorization: Bearer {APP_KEY}\r\ncontent-type: application/json\r\n".encode()
LINE = b"POST /v1/chat/completions HTTP/1.1\r\n"
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n"

SMUGGLING = {
    "length-and-chunked": LINE + b"host: a\r\n" + AUTH + LENGTH + b"transfer-encoding: chunked\r\n\r\n" + CHUNKED,
    "two-lengths": LINE + b"host: a\r\n" + AUTH + LENGTH + b"content-length: 5\r\n\r\n" + BODY,
    "two-lengths-in-one": LINE + b"host: a\r\n" + AUTH + b"content-length: 5, 6\r\n\r\n" + BODY,
    "length-plus": LINE + b"host: a\r\n" + AUTH + b"content-length: +%d\r\n\r\n" % len(BODY) + BODY,
    "length-hex": LINE + b"host: a\r\n" + AUTH + b"content-length: 0x10\r\n\r\n" + BODY,
    "length-negative": LINE + b"host: a\r\n" + AUTH + b"content-length: -1\r\n\r\n" + BODY,
    "length-huge": LINE + b"host: a\r\n" + AUTH + b"content-length: 99999999999999999999999\r\n\r\n" + BODY,
    "chunked-twice": LINE + b"host: a\r\n" + AUTH + b"transfer-encoding: chunked, chunked\r\n\r\n" + CHUNKED,
    "chunked-not-last": LINE + b"host: a\r\n" + AUTH + b"transfer-encoding: chunked, gzip\r\n\r\n" + CHUNKED,
    "chunked-obfuscated": LINE + b"host: a\r\n" + AUTH + b"transfer-encoding: xchunked\r\n\r\n" + CHUNKED,
    "chunked-1.0": LINE.replace(b"1.1", b"1.0") + b"host: a\r\n" + AUTH + b"transfer-encoding: chunked\r\n\r\n" + CHUNKED,
    "space-before-colon": LINE + b"host: a\r\n" + AUTH + b"content-length : %d\r\n\r\n" % len(BODY) + BODY,
    "folded-header": LINE + b"host: a\r\n" + AUTH + LENGTH + b"x-a: b\r\n c\r\n\r\n" + BODY,
    "bare-lf": (LINE + b"host: a\r\n" + AUTH + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + BODY,
    "bare-cr": LINE + b"host: a\r\nx-a: b\rc: d\r\n" + AUTH + LENGTH + b"\r\n" + BODY,
    "nul-in-header": LINE + b"host: a\r\nx-a: b\x00c\r\n" + AUTH + LENGTH + b"\r\n" + BODY,
    "no-host": LINE + AUTH + LENGTH + b"\r\n" + BODY,
    "two-hosts": LINE + b"host: a\r\nhost: b\r\n" + AUTH + LENGTH + b"\r\n" + BODY,
    "bad-chunk-size": LINE + b"host: a\r\n" + AUTH + b"transfer-encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    "chunk-size-huge": LINE + b"host: a\r\n" + AUTH + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nab\r\n0\r\n\r\n",
    "chunk-without-crlf": LINE + b"host: a\r\n" + AUTH + b"transfer-encoding: chunked\r\n\r\n2\r\nabX0\r\n\r\n",
    "http-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http-3.7": LINE.replace(b"1.1", b"3.7") + b"host: a\r\n" + AUTH + LENGTH + b"\r\n" + BODY,
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "spaces-in-target": b"POST /v1/chat completions HTTP/1.1\r\nhost: a\r\n" + AUTH + LENGTH + b"\r\n" + BODY,
    "header-too-large": LINE + b"host: a\r\nx-a: " + b"y" * 40_000 + b"\r\n" + AUTH + LENGTH + b"\r\n" + BODY,
    "too-many-headers": LINE + b"host: a\r\n" + b"".join(b"x-%d: y\r\n" % i for i in range(5000)) + AUTH + LENGTH + b"\r\n" + BODY,
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_smuggling_is_refused_and_the_connection_closed(world, name):
    g, upstream = world
    before = len(upstream.seen())
    with socket.create_connection(("127.0.0.1", g.port), PROMPTLY) as s:
        s.settimeout(PROMPTLY)
        try:
            s.sendall(SMUGGLING[name] + b"GET /healthz HTTP/1.1\r\nhost: smuggled\r\n\r\n")
            data = b""
            while part := s.recv(65536):
                data += part
        except ConnectionResetError:
            pass
    assert data.startswith(b"HTTP/1.1 4") or data.startswith(b"HTTP/1.1 5") or data == b"", data[:200]
    assert len(re.findall(rb"HTTP/1\.1 \d", data)) <= 1, "the bytes behind a bad message were read as a request"
    assert len(upstream.seen()) == before


def test_credentials_in_a_trailer_are_not_credentials(world):
    g, _ = world
    raw = (LINE + b"host: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: authorization\r\n\r\n" +
           b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\nauthorization: Bearer " + APP_KEY.encode() + b"\r\n\r\n")
    assert asyncio.run(fetch(g.port, "", "", raw=raw)).status in (400, 401)


def test_a_body_of_100_megabytes_is_refused_before_it_is_read(world):
    g, _ = world
    head = LINE + b"host: a\r\n" + AUTH + b"content-length: 104857600\r\n\r\n"
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", g.port), PROMPTLY) as s:
        s.settimeout(PROMPTLY)
        s.sendall(head)
        try:
            for _ in range(1600):
                s.sendall(b"x" * 65536)
        except (ConnectionError, TimeoutError):
            pass
        try:
            data = s.recv(65536)
        except ConnectionResetError:
            data = b""
    assert data == b"" or data.startswith(b"HTTP/1.1 413"), data[:100]
    assert time.monotonic() - started < PROMPTLY


def test_a_body_of_100_megabytes_gets_a_413_when_the_caller_waits(world):
    g, _ = world
    reply = asyncio.run(fetch(g.port, "", "", raw=LINE + b"host: a\r\n" + AUTH + b"content-length: 104857600\r\n\r\n"))
    assert_openai_error(reply, [413])


def test_a_chunked_body_beyond_the_limit(world):
    g, _ = world
    raw = LINE + b"host: a\r\n" + AUTH + b"transfer-encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 40
    try:
        assert asyncio.run(fetch(g.port, "", "", raw=raw + b"0\r\n\r\n")).status == 413
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # closed while we were still sending: also an answer


@pytest.mark.parametrize("sent", [b"", b"POST /v1/chat", LINE + b"host: a\r\nx-a: "], ids=["nothing", "line", "header"])
def test_slow_headers_are_cut_off(hasty_world, sent):
    g, _ = hasty_world
    with socket.create_connection(("127.0.0.1", g.port), PROMPTLY) as s:
        s.sendall(sent)
        s.settimeout(PROMPTLY if sent else 0.2)
        try:
            data = s.recv(4096)
            assert data == b"" or data.startswith(b"HTTP/1.1 408"), data
        except TimeoutError:
            assert not sent, "half a header was waited for without end"


def test_a_slow_body_is_cut_off(hasty_world):
    g, _ = hasty_world
    with socket.create_connection(("127.0.0.1", g.port), PROMPTLY) as s:
        s.sendall(LINE + b"host: a\r\n" + AUTH + LENGTH + b"\r\n" + BODY[:10])
        s.settimeout(PROMPTLY)
        data = s.recv(4096)
        assert data == b"" or data.startswith(b"HTTP/1.1 408"), data


def test_pipelined_requests_are_answered_in_order(world):
    g, _ = world
    one = LINE + b"host: a\r\n" + AUTH + LENGTH + b"\r\n" + BODY
    with socket.create_connection(("127.0.0.1", g.port), PROMPTLY) as s:
        s.settimeout(PROMPTLY)
        s.sendall(one + b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        data = b""
        while part := s.recv(65536):
            data += part
    assert data.count(b"HTTP/1.1 200") == 2 and data.index(b"chat.completion") < data.rindex(b"HTTP/1.1 200")


def test_a_thousand_idle_connections_do_not_hinder_a_call(world):
    g, _ = world
    idle = [socket.create_connection(("127.0.0.1", g.port), PROMPTLY) for _ in range(1000)]
    try:
        assert g.app.chat("chat").succeeded()
    finally:
        for s in idle:
            s.close()


@pytest.mark.parametrize("reply", [
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\ncontent-length: 20\r\n\r\n{}",
    b"HTTP/9.9 abc\r\n\r\n", b"\x00\x01\x02", b"",
    b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
], ids=["not-json", "empty-object", "two-lengths", "bad-status", "binary", "nothing", "redirect", "chunk-size"])
def test_a_provider_that_does_not_speak_http_well(world, reply):
    from support.fake_upstream import raw
    g, upstream = world
    upstream.script("model", raw(reply))
    try:
        answer = g.app.chat("chat")
        assert answer.status in (502, 503) and answer.error()["message"], (answer.status, answer.body)
    finally:
        upstream.script("model", ok(3))


def test_the_server_is_still_well(world):
    g, upstream = world
    upstream.script("model", ok(3))
    assert g.admin.post("/api/breakers/reset?provider=up&model=model", {}).status in (200, 404)  # open after the broken provider
    assert g.app.chat("chat").succeeded()
    assert g.app.get("/healthz").status == 200
