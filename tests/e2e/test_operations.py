"""Running it: health, metrics, documents, drain, reload, the command line, and the start without a file."""
from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import time

import pytest

from support.client import Caller
from support.configs import one_provider
from support.fake_upstream import Gate, error, ok, words
from support.gateway import binary, free_port, wait_port, wait_until

pytestmark = pytest.mark.databases


def test_health_readiness_and_metrics(upstream, gateway):
    g = gateway(one_provider(upstream))
    assert g.app.get("/healthz").status == 200 and g.app.get("/readyz").status == 200
    for _ in range(3):
        assert g.app.chat("chat").succeeded()
    text = g.admin.get("/metrics")
    assert text.status == 200 and text.headers["content-type"].startswith("text/plain")
    sample = re.compile(r'^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_]\w*="(\\.|[^"\\])*",?)*\})? [-+0-9.eEinfNa]+$')
    lines = text.body.decode().splitlines()
    assert lines and all(line.startswith("#") or not line or sample.match(line) for line in lines), \
        [line for line in lines if line and not line.startswith("#") and not sample.match(line)][:3]
    assert any(re.match(r".*(calls|requests).*total\{.*\} 3(\.0)?$", line) for line in lines), "three calls are counted"


def test_openapi_describes_the_routes(upstream, gateway):
    doc = gateway(one_provider(upstream)).app.get("/openapi.json").json()
    assert doc["openapi"].startswith("3.")
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/models", "/api/usage"):
        assert path in doc["paths"], path


def test_models_are_listed(upstream, gateway):
    g = gateway(one_provider(upstream, aliases={"fast": "chat"}))
    listed = g.app.get("/v1/models").json()
    assert listed["object"] == "list" and {"chat", "fast"} <= {m["id"] for m in listed["data"]}
    assert g.app.chat("fast").succeeded() and g.app.chat("up/model").succeeded() and g.app.chat("model").succeeded()


def test_sigterm_lets_calls_in_flight_finish(upstream, gateway):
    gate = Gate(ok(20))
    upstream.script("model", gate)
    g = gateway(one_provider(upstream))

    async def refused() -> bool:
        try:
            return (await g.app.chat_async("nothing of that name")).status == 503
        except (ConnectionError, OSError, asyncio.IncompleteReadError):
            return True

    async def go():
        calls = [asyncio.create_task(g.app.chat_async("chat", stream=i % 2 == 0)) for i in range(10)]
        while len(upstream.seen()) < 10:
            await asyncio.sleep(0.01)
        g.process.send_signal(signal.SIGTERM)
        while not await refused():
            await asyncio.sleep(0.01)
        gate.open()
        return await asyncio.gather(*calls)
    assert all(r.succeeded() for r in asyncio.run(asyncio.wait_for(go(), 120)))
    assert g.process.wait(60) == 0


def reload(g, good=True):
    g.write_config()
    g.process.send_signal(signal.SIGHUP)


def test_reload_on_sighup_and_on_a_changed_file(upstream, gateway):
    g = gateway(one_provider(upstream))
    assert g.app.chat("second").status == 404
    g.config["routes"]["second"] = {"targets": ["up/model"]}
    reload(g)
    wait_until(lambda: g.app.chat("second").status == 200)
    g.config["routes"]["third"] = {"targets": ["up/model"]}
    g.write_config()
    wait_until(lambda: g.app.chat("third").status == 200)


def test_a_bad_file_leaves_the_old_one_running(upstream, gateway):
    g = gateway(one_provider(upstream))
    g.file.write_text(json.dumps({**g.config, "routs": {}}))
    g.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "routs" in g.log.read_text())
    assert g.alive() and g.app.chat("chat").succeeded()


def test_a_reload_does_not_disturb_a_stream(upstream, gateway):
    upstream.script("model", ok(30, gap=0.03))
    g = gateway(one_provider(upstream))

    async def go():
        call = asyncio.create_task(g.app.chat_async("chat", stream=True))
        for i in range(5):
            await asyncio.sleep(0.1)
            g.config["routes"][f"r{i}"] = {"targets": ["up/model"]}
            reload(g)
        return await call
    assert asyncio.run(go()).succeeded()


CHECKS = [
    ("routs: {}\n", "routes", 1),
    ("listen: 127.0.0.1:8080\nroutes:\n  chat:\n    targts: [sim/sim-small]\n", "targets", 4),
    ("limits:\n  - {scope: planet, requests: 5/m}\n", "scope", 2),
    ("budgets:\n  - {scope: key, amount: five, per: day}\n", "amount", 2),
    ("listen: [\n", "", 0),
    ("threads: -2\n", "threads", 1),
    ("admin_key: ${BALLAST_TEST_UNSET_VARIABLE}\n", "BALLAST_TEST_UNSET_VARIABLE", 1),
]


@pytest.mark.parametrize("text,named,line", CHECKS, ids=[c[0].split("\n")[-2].strip()[:24] or "yaml" for c in CHECKS])
def test_check_names_what_is_wrong_and_where(tmp_path, text, named, line):
    file = tmp_path / "ballast.yaml"
    file.write_text(text)
    done = subprocess.run([binary(), "check", "--config", str(file)], capture_output=True, text=True, timeout=90)
    said = done.stdout + done.stderr
    assert done.returncode not in (0, -6, -11), said
    assert named in said and (not line or re.search(rf"\b{line}\b", said)), said
    served = subprocess.run([binary(), "serve", "--config", str(file)], capture_output=True, text=True, timeout=90)
    assert served.returncode not in (0, -6, -11)


def test_check_of_a_good_file(upstream, gateway):
    g = gateway(one_provider(upstream), start=False)
    said = g.command("check", "--config", str(g.file)).stdout
    assert "chat" in said and "up/model" in said and "sk-upstream-secret" not in said


def test_version_and_help():
    for args in (["version"], ["--help"], ["serve", "--help"], ["keys", "--help"], ["explain", "--help"]):
        done = subprocess.run([binary(), *args], capture_output=True, text=True, timeout=90)
        assert done.returncode == 0 and done.stdout
    assert subprocess.run([binary(), "nonsense"], capture_output=True, timeout=90).returncode not in (0, -6, -11)


def test_without_a_file_it_starts_with_the_simulator(tmp_path):
    """What a stranger sees: an address, a key and a curl line that works as pasted."""
    log = tmp_path / "out"
    env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and not k.startswith("BALLAST_")}
    port = free_port()
    with open(log, "wb") as out:
        p = subprocess.Popen([binary(), "serve", "--listen", f"127.0.0.1:{port}"], cwd=tmp_path, stdout=out, stderr=out,
                             env=env | {"HOME": str(tmp_path)})
    try:
        wait_port(port, p, log)
        wait_until(lambda: "curl" in log.read_text())
        text = log.read_text()
        start = text.index("curl")
        command = []
        for line in text[start:].splitlines():
            command.append(line)
            if not line.rstrip().endswith("\\"):
                break
        answer = subprocess.run(["bash", "-c", "\n".join(command)], capture_output=True, text=True, timeout=90).stdout
        assert "sim-small" in "".join(command)
        assert "chat.completion" in answer or "data:" in answer, (command, answer)
    finally:
        p.terminate()
        assert p.wait(60) == 0


def test_keys_made_at_run_time(upstream, gateway):
    g = gateway(one_provider(upstream))
    made = g.admin.post("/api/keys", {"name": "later", "scopes": ["call"]})
    assert made.status in (200, 201), made.body
    value = made.json()["secret"]
    caller = Caller(g.port, value)
    assert caller.chat("chat").succeeded()
    assert value not in g.admin.get("/api/keys").body.decode(), "a key is shown once"
    g.terminate()
    g.start()
    assert caller.chat("chat").succeeded()
    name = next((made.json()[k] for k in ("id", "name") if k in made.json()))
    removed = asyncio.run(__import__("support.client", fromlist=["fetch"]).fetch(
        g.port, "DELETE", f"/api/keys/{name}", headers=g.admin.headers()))
    assert removed.status in (200, 204), removed.body
    assert caller.chat("chat").status == 401


def test_breakers_are_shown(upstream, gateway):
    upstream.script("model", error(503))
    g = gateway(one_provider(upstream, route={"retries": {"attempts": 1}}))
    wait_until(lambda: g.app.chat("chat").status >= 500 and g.breaker("up", "model")["state"] == "open")


def test_the_degradation_chain(upstream, gateway):
    """Stale cache, then the template, then a clear 503 with Retry-After; the reply says which."""
    upstream.script("model", ok(words(5, "a")), error(500))
    route = {"cache": {"ttl": "1s", "scope": "key"}, "degrade": {"stale": "1h", "template": "We are busy; please try later."},
             "retries": {"attempts": 1}}
    g = gateway(one_provider(upstream, route=route))
    assert g.app.chat("chat").succeeded()
    time.sleep(1.2)
    stale = g.app.chat("chat")
    assert stale.succeeded() and stale.headers["x-ballast-served-by"] == "stale" and stale.text() == "".join(words(5, "a"))
    for stream in (False, True):
        template = g.app.chat("chat", "Never asked before.", stream=stream)
        assert template.succeeded() and template.headers["x-ballast-served-by"] == "template"
        assert template.text() == "We are busy; please try later."
    bare = gateway(one_provider(upstream, route={"retries": {"attempts": 1}})).app.chat("chat")
    assert bare.status in (500, 502, 503) and bare.error()["message"]


def test_several_credentials_rotate_and_a_dead_one_rests(upstream, gateway):
    async def by_key(wire, seen):
        if seen.headers["authorization"].endswith("dead"):
            await error(401, "invalid_api_key", "invalid_request_error")(wire, seen)
        else:
            await ok(3)(wire, seen)
    upstream.script("model", by_key)
    c = one_provider(upstream)
    del c["providers"]["up"]["key"]
    c["providers"]["up"]["keys"] = [{"value": "sk-dead"}, {"value": "sk-one"}, {"value": "sk-two"}]
    g = gateway(c)
    assert all(g.app.chat("chat").succeeded() for _ in range(12))
    used = [s.headers["authorization"][-3:] for s in upstream.seen()]
    assert {"one", "two"} <= set(used) and used.count("ead") <= 2


def test_every_json_answer_says_that_it_is_json(upstream, gateway):
    upstream.script("model", ok(20))
    g = gateway(one_provider(upstream))
    ask = {"model": "chat", "max_tokens": 8, "messages": [{"role": "user", "content": "hello"}]}
    for reply in (g.app.post("/v1/messages/count_tokens", ask), g.app.post("/v1/messages", ask), g.app.post("/v1/messages", {}), g.app.get("/v1/models")):
        assert reply.headers["content-type"] == "application/json", reply.body
