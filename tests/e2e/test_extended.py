"""Long runs: `make extended`. The trace of a real service through an outage, a million requests, crowds that say nothing."""
from __future__ import annotations

import asyncio
import csv
import json
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import time

import pytest

from support.client import fetch
from support.configs import PRICE, one_provider, two_providers
from support.fake_upstream import Seen, Wire, error, ok
from support.gateway import APP_KEY, ROOT, free_port

pytestmark = pytest.mark.extended

SHARED = pathlib.Path(os.environ.get("BALLAST_SHARED_DATA", ROOT.parent / "shared" / "data"))
TRACE = SHARED / "traffic-traces" / "azure2023_conv.csv"
TRACE_SECONDS = float(os.environ.get("TRACE_SECONDS", "240"))     # of the trace; replayed at twice its rate


@pytest.mark.skipif(not TRACE.exists(), reason=f"{TRACE} is not here (BALLAST_SHARED_DATA names its folder)")
def test_a_real_trace_at_twice_its_rate_through_an_outage(upstream, gateway):
    """The primary is down for the first third and slow for the second; the fallback is healthy throughout."""
    with open(TRACE) as f:
        rows = [(float(r["timestamp_s"]), int(r["input_tokens"]), int(r["output_tokens"])) for r in csv.DictReader(f)]
    rows = [r for r in rows if r[0] < TRACE_SECONDS]
    span = TRACE_SECONDS / 2
    begun = 0.0
    down, slow = error(503, message="The engine is overloaded"), ok(20, first_token=60)

    async def served(wire: Wire, seen: Seen):
        n = int(seen.body.get("max_tokens", 20))
        await ok(n, delay=0.05)(wire, seen)

    async def primary(wire: Wire, seen: Seen):
        elapsed = time.monotonic() - begun
        await (down if elapsed < span / 3 else slow if elapsed < 2 * span / 3 else served)(wire, seen)
    upstream.script("alpha", primary)
    upstream.script("beta", served)
    timers = {"headers": "2s", "first_token": "2s"}          # a slow primary is left at these; the last resort has more patience
    g = gateway(two_providers(upstream, route={"stream": {"rescue": "restart", "hold_back": 16}}, timers=timers,
                              breakers={"cool_down": "1s", "max_cool_down": "5s"}))
    word = "lorem "
    late: list[float] = []

    async def replay():
        nonlocal begun
        begun = time.monotonic()

        async def one(at, prompt, output):
            await asyncio.sleep(max(0.0, begun + at / 2 - time.monotonic()))
            late.append(time.monotonic() - begun - at / 2)
            try:
                return at / 2, await g.app.chat_async("chat", word * min(prompt, 4000), max_tokens=max(1, min(output, 400)),
                                                      stream=True, timeout=90)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as e:
                return at / 2, e
        return await asyncio.gather(*[one(*r) for r in rows])
    replies = asyncio.run(replay())
    good = [(at, r) for at, r in replies if not isinstance(r, Exception) and r.succeeded()]
    calls, attempts = len(replies), len(upstream.seen())
    bad = [str(r.status) + " " + repr(r.body[-160:]) if not isinstance(r, Exception) else repr(r) for _, r in replies
           if isinstance(r, Exception) or not r.succeeded()]
    print(f"the first unanswered: {bad[:3]}")
    print(f"{calls} calls, {calls - len(good)} unanswered, {attempts} attempts ({(attempts - calls) / calls:.1%} more than calls)")
    assert len(good) >= 0.999 * calls
    keeps_pace = statistics.median(late) < 0.02       # else the machine cannot even ask in time: its timers say little of ours
    assert attempts - calls < (0.10 if keeps_pace else 0.20) * calls, "retries beyond a tenth of the calls (a fifth, where the machine starves)"
    first, last = ([r.seconds for at, r in good if lo <= at < hi] for lo, hi in ((0, span / 3), (span * 5 / 6, span)))
    print(f"median {statistics.median(first) * 1e3:.0f} ms while down, {statistics.median(last) * 1e3:.0f} ms afterwards")
    assert not keeps_pace or statistics.median(last) < 0.5, "it did not recover"
    then = [s for s in upstream.seen() if s.at - begun > span * 5 / 6]
    assert sum(s.model == "alpha" for s in then) > 0.8 * len(then), "the primary did not get its traffic back"


def memory_mb(pid: int) -> tuple[float, float]:
    """Its own memory, and the pages of files it has mapped: of the journal's segments, which come and go."""
    kb = {line.split(":")[0]: int(line.split()[1]) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Rss")}
    return kb["RssAnon"] / 1024, (kb["RssFile"] + kb["RssShmem"]) / 1024


@pytest.fixture
def fast_upstream(request):
    """The benchmark's upstream and generator: a million requests are too many for Python's. The parameter: ms between chunks."""
    home = ROOT / "build" / "release" / "bench"
    if not (home / "gateway_upstream").exists():
        pytest.skip("the benchmark's programs are not built (make build)")
    port = free_port()
    process = subprocess.Popen([str(home / "gateway_upstream"), str(port), "30", str(getattr(request, "param", 100))])
    time.sleep(0.3)
    yield port, home / "gateway_load"
    process.terminate()
    process.wait(10)


def fast_config(port: int, **sections) -> dict:
    return {"providers": {"up": {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "key": "sk-upstream-secret"}},
            "models": {"up/model": {"price": PRICE, "context": 32768, "max_output": 4096}},
            "routes": {"chat": {"targets": ["up/model"], "stream": {"rescue": "error", "hold_back": 0}}},
            "budgets": [{"scope": "user", "amount": "$1000", "per": "day"}, {"scope": "key", "amount": "$1000000", "per": "day"}],
            "limits": [{"scope": "user", "requests": "100000000/m"}],
            "limits_http": {"connections": 30000}, "log": {"level": "warn"}, **sections}


def start_load(generator, port, body: pathlib.Path, mode: str, connections: int, seconds: float) -> subprocess.Popen:
    return subprocess.Popen([str(generator), mode, str(port), "/v1/chat/completions", str(body), str(connections), "0", str(seconds),
                             f"Authorization: Bearer {APP_KEY}"], stdout=subprocess.PIPE, text=True)


def generate(generator, port, body: pathlib.Path, mode: str, connections: int, seconds: float) -> dict:
    return json.loads(start_load(generator, port, body, mode, connections, seconds).communicate(timeout=seconds + 60)[0])


def test_memory_stays_flat_over_a_million_requests(fast_upstream, gateway, tmp_path):
    port, generator = fast_upstream
    g = gateway(fast_config(port))
    body = tmp_path / "body.json"
    body.write_text(json.dumps(g.app.body("chat", "Say the words. " * 20, max_tokens=50, user="ann")))
    total, sizes = 0, []
    deadline = time.monotonic() + 900
    while total < 2_000_000:                        # the first million fills what is bounded; then it stays
        got = generate(generator, g.port, body, "max", 64, 3)
        assert got["errors"] == 0
        total += got["ok"]
        sizes.append((total, *memory_mb(g.process.pid)))
        assert time.monotonic() < deadline, f"only {total} requests in a quarter of an hour"
    print("requests: own memory + mapped files, MB\n" + "\n".join(f"{n:,}: {own:.0f} + {mapped:.0f}" for n, own, mapped in sizes))
    second = [own for n, own, _ in sizes if n > 1_000_000]
    assert second[-1] - second[0] < 16 and second[-1] < 128
    assert max(mapped for _, _, mapped in sizes) < 3 * 64, "more than three segments of the journal"
    g.settled()
    assert total <= g.usage()["calls"] <= total + 64 * len(sizes), "beyond the answered, those a run left behind at its end"


def test_memory_is_bounded_over_many_users(fast_upstream, gateway):
    port, _ = fast_upstream
    g = gateway(fast_config(port))
    body = json.dumps(g.app.body("chat")).encode()

    async def worker(numbers):
        reader, writer = await asyncio.open_connection("127.0.0.1", g.port)
        for i in numbers:
            writer.write((f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {APP_KEY}\r\n"
                          f"x-ballast-user: user-{i}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n").encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length"))
            await reader.readexactly(length)
            assert b" 200 " in head.split(b"\r\n")[0], head
        writer.close()

    async def users(first, n):
        await asyncio.gather(*[worker(range(first + w, first + n, 16)) for w in range(16)])
    asyncio.run(users(0, 5_000))
    before, _ = memory_mb(g.process.pid)
    asyncio.run(users(5_000, 45_000))
    grown = memory_mb(g.process.pid)[0] - before
    print(f"{grown:.1f} MB for 45,000 further users")
    assert grown < 64


def raise_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def test_fifteen_thousand_idle_connections(upstream, gateway):
    n = min(15_000, raise_descriptors() - 500)
    g = gateway(one_provider(upstream, limits_http={"connections": 16000, "idle_timeout": "120s", "header_timeout": "120s"}))
    before, _ = memory_mb(g.process.pid)
    idle = []
    try:
        for _ in range(n):
            idle.append(socket.create_connection(("127.0.0.1", g.port), 10))
        each_kb = (memory_mb(g.process.pid)[0] - before) * 1024 / n
        print(f"{n} idle connections: {each_kb:.1f} KB each")
        assert g.app.chat("chat").succeeded() and each_kb < 8
    finally:
        for s in idle:
            s.close()
    assert g.app.chat("chat").succeeded()


@pytest.mark.parametrize("fast_upstream", [1000], indirect=True)
def test_eight_thousand_slow_streams_at_once(fast_upstream, gateway, tmp_path):
    n = min(8_000, (raise_descriptors() - 1_000) // 2)
    port, generator = fast_upstream
    g = gateway(fast_config(port))
    body = tmp_path / "body.json"
    body.write_text(json.dumps(g.app.body("chat", "Say the words. " * 20, max_tokens=50, user="ann", stream=True)))
    before, peak = memory_mb(g.process.pid)[0], 0.0
    process = start_load(generator, g.port, body, "stream", n, 15)
    while process.poll() is None:
        peak = max(peak, memory_mb(g.process.pid)[0])
        time.sleep(0.2)
    got = json.loads(process.stdout.read())
    each_kb = (peak - before) * 1024 / n
    print(f"{n} streams: {got['errors']} failed, {got['chunks_per_second']:.0f} chunks a second, {each_kb:.1f} KB of own memory each at most")
    assert got["errors"] == 0 and each_kb < 16
    assert g.app.chat("chat").succeeded()


def test_at_the_descriptor_limit_it_stops_accepting_and_calls_in_flight_go_on(upstream, gateway):
    upstream.script("model", ok(60, gap=0.05))
    g = gateway(one_provider(upstream), start=False)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        g.start()
    finally:
        raise_descriptors()
    idle = []

    async def go():
        calls = [asyncio.create_task(g.app.chat_async("chat", stream=True)) for _ in range(20)]
        while len(upstream.seen()) < 20:
            await asyncio.sleep(0.01)
        for _ in range(400):
            s = socket.socket()
            s.setblocking(False)
            try:
                s.connect(("127.0.0.1", g.port))
            except BlockingIOError:
                pass
            idle.append(s)
        return await asyncio.gather(*calls)
    assert all(r.succeeded() for r in asyncio.run(go()))
    for s in idle:
        s.close()
    deadline = time.monotonic() + 60
    while True:
        try:
            if g.app.chat("chat", timeout=5).succeeded():
                break
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            pass
        assert time.monotonic() < deadline, "it did not accept again"


def test_crashes_over_and_over(upstream, gateway):
    """Ten kills under load; after each, nothing the provider saw is missing and nothing answered is forgotten."""
    upstream.script("model", ok(20, delay=0.01))
    g = gateway(one_provider(upstream))
    answered: list[str] = []

    async def round_():
        async def caller():
            while True:
                try:
                    reply = await g.app.chat_async("chat")
                except (OSError, asyncio.IncompleteReadError):
                    return
                if reply.complete and reply.status == 200:
                    answered.append(reply.headers["x-ballast-call-id"])
        callers = [asyncio.create_task(caller()) for _ in range(16)]
        before = len(answered)
        while len(answered) < before + 50:
            await asyncio.sleep(0.05)
        g.kill()
        await asyncio.gather(*callers)
    for _ in range(10):
        asyncio.run(round_())
        g.start()
    g.settled()
    usage = g.usage()
    assert usage["calls"] >= len(answered) and usage["attempts"] >= len(upstream.seen())
    assert usage["attempts"] <= len(upstream.seen()) + 160
    for call in answered[::50]:
        assert g.admin.get(f"/api/decisions/{call}").status == 200
