"""What a start without a file finds on this machine, and what it says of it; and what the keys' list remembers."""
from __future__ import annotations

import json
import subprocess
import time

import pytest

from support.client import Caller
from support.configs import one_provider
from support.gateway import binary, free_port, wait_port

pytestmark = pytest.mark.databases


@pytest.fixture
def local_server(tmp_path):
    """A server that lists models as a local one does: the simulator on a port of its own."""
    port, log = free_port(), tmp_path / "local.log"
    with open(log, "ab") as out:
        process = subprocess.Popen([binary(), "simulate", "--listen", f"127.0.0.1:{port}"], stdout=out, stderr=subprocess.STDOUT)
    wait_port(port, process, log)
    yield port
    process.terminate()
    process.wait(10)


def welcome(g) -> str:
    """The start-up text, whole: it comes after the port has opened."""
    end = time.monotonic() + 20
    while "A first call" not in g.log.read_text():
        assert time.monotonic() < end, g.log.read_text()
        time.sleep(0.02)
    return g.log.read_text()


def test_a_local_model_server_is_found_free_and_called(local_server, gateway):
    g = gateway({"budgets": [{"name": "all", "scope": "system", "amount": "$1", "per": "day"}]}, env={"OLLAMA_HOST": f"127.0.0.1:{local_server}"})
    said = welcome(g)
    line = next(line for line in said.splitlines() if f"Ollama answers at http://127.0.0.1:{local_server}/v1:" in line)
    assert "free" in line and "ollama/sim-small" in line and "cost nothing" in line
    reply = g.app.chat("ollama/sim-small")
    assert reply.succeeded() and reply.headers["x-ballast-served-by"] == "ollama/sim-small", "free, so a budget does not refuse it"
    assert float(reply.headers["x-ballast-cost-usd"]) == 0
    assert "ollama/sim-small" in {m["id"] for m in g.app.get("/v1/models").json()["data"]}


@pytest.mark.parametrize("config,args", [({"probe_local": False}, []), ({}, ["--no-probe"])], ids=["file", "flag"])
def test_looking_can_be_turned_off(local_server, gateway, config, args):
    g = gateway(config, env={"OLLAMA_HOST": f"127.0.0.1:{local_server}"}, args=args)
    assert "answers at" not in welcome(g)
    assert g.app.chat("ollama/sim-small").status == 200, "the environment still names it"


def test_the_list_of_keys_says_when_each_was_used(upstream, gateway):
    g = gateway(one_provider(upstream))
    made = json.loads(g.command("keys", "create", "--name", "used", "--json").stdout)
    unused = json.loads(g.command("keys", "create", "--name", "unused", "--json").stdout)
    assert Caller(g.port, made["secret"]).chat("chat").succeeded()

    def used() -> dict:
        return {k["id"]: k["last_used"] for k in g.admin.get("/api/keys").json()["keys"]}
    assert used()[made["id"]] and used()[unused["id"]] is None, "at once, from memory"
    assert g.terminate() == 0
    g.start()
    assert used()[made["id"]] and used()[unused["id"]] is None, "and after a restart, from the database"
