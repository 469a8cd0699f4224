"""A reload names the settings that wait for a restart, compared with what the process was started with."""
from __future__ import annotations

import json
import signal
import time

import pytest

from support.configs import one_provider

pytestmark = pytest.mark.databases


EVENTS = ("reload_needs_restart", "reloaded")


def said(g) -> list[dict]:
    lines = [json.loads(line) for line in g.log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
    return [line for line in lines if line["event"] in EVENTS]


def reload(g) -> None:
    """Returns when the new file has been taken: by the signal, or by the watch for changes."""
    before = len(said(g))
    g.write_config()
    g.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 20
    while len(said(g)) == before or said(g)[-1]["event"] != "reloaded":
        assert time.monotonic() < end, g.log.read_text()
        time.sleep(0.02)


def test_settings_that_wait_for_a_restart_are_named(upstream, gateway):
    g = gateway(one_provider(upstream))
    g.config |= {"breakers": {"window": "7s"}, "limits_http": {"body": "1MB", "reply": "8MB"}}
    reload(g)
    assert {line["settings"] for line in said(g) if "settings" in line} == {"limits_http.body, breakers.window"}
    assert g.app.chat("chat").succeeded()
    del g.config["breakers"], g.config["limits_http"]
    reload(g)
    assert [line["event"] for line in said(g)][-2:] == ["reloaded", "reloaded"], "back to what it was started with: nothing waits"
