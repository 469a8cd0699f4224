"""Charges whose cost no provider told: they stay, are listed whatever dies, and are put right once, everywhere."""
from __future__ import annotations

import json
import threading

import pytest

from support.configs import one_provider
from support.fake_upstream import never_answers, ok, words
from support.gateway import nano, wait_until

pytestmark = pytest.mark.databases

BUDGETS = [{"name": "all", "scope": "system", "amount": "$1", "per": "day"}, {"name": "models", "scope": "model", "amount": "$1", "per": "day"}]


def unknown(g, **query) -> list[dict]:
    found = g.admin.get("/api/budgets/unknown" + ("?" + "&".join(f"{k}={v}" for k, v in query.items()) if query else ""))
    assert found.status == 200, found.body
    return found.json()["unknown"]


def reconcile(g, call: str, incurred: str, **more):
    return g.admin.post("/api/budgets/reconcile", {"call": call, "incurred": incurred, **more})


def spent(g) -> dict[str, int]:
    return {b["budget"]: nano(b["spent_usd"]) + nano(b["held_usd"]) for b in g.admin.get("/api/budgets").json()["budgets"]}


def in_background(call) -> threading.Thread:
    def run():
        try:
            call()
        except (OSError, EOFError):
            pass
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_call_that_died_with_the_gateway_is_listed_until_it_is_reconciled(upstream, gateway):
    upstream.script("model", ok(words(20)), never_answers())
    g = gateway(one_provider(upstream, budgets=BUDGETS))
    assert g.app.chat("chat", max_tokens=100).succeeded()
    known = g.usage()["incurred"]
    dying = in_background(lambda: g.app.chat("chat", max_tokens=100))
    wait_until(lambda: len(upstream.seen()) == 2)
    g.kill()
    dying.join(30)
    for _ in range(2):                                       # a second start changes nothing
        g.start()
        [lost] = unknown(g)
        ceiling = nano(lost["charged_usd"])
        assert lost["call_status"] == "unknown" and lost["attempt"] == 0 and (lost["provider"], lost["model"]) == ("up", "model")
        assert len(lost["windows"]) == 2 and ceiling >= 100 * 2000
        assert spent(g)["all"] == spent(g)["models"] == known + ceiling == g.usage()["incurred"]
        g.kill()
    g.start()

    done = reconcile(g, lost["call"], "0.000012345")
    assert done.status == 200, done.body
    assert done.json()["was_usd"] == lost["charged_usd"] and done.json()["already"] is False
    assert g.usage()["incurred"] == known + 12345 == spent(g)["all"] == spent(g)["models"]
    assert unknown(g) == []
    again = reconcile(g, lost["call"], "0.000012345", attempt=0)
    assert again.status == 200 and again.json()["already"] is True
    other = reconcile(g, lost["call"], "0.5")
    assert other.status == 409 and "0.000012345" in other.json()["detail"], other.body
    story = g.command("explain", lost["call"]).stdout
    assert "$0.000012345 incurred" in story and "reconciled by admin" in story, story
    g.kill()
    g.start()
    assert g.usage()["incurred"] == known + 12345 == spent(g)["all"] == spent(g)["models"]
    assert reconcile(g, lost["call"], "0.000012345").json()["already"] is True
    assert spent(g)["all"] == known + 12345


def test_a_stream_we_gave_up_is_reconciled_while_the_gateway_lives(upstream, gateway):
    upstream.script("model", never_answers())
    config = one_provider(upstream, budgets=BUDGETS, route={"retries": {"attempts": 1}})
    config["providers"]["up"]["timeouts"] = {"headers": "300ms", "first_token": "300ms"}
    g = gateway(config)
    assert not g.app.chat("chat", max_tokens=50, stream=True).succeeded()
    [lost] = unknown(g)
    ceiling = nano(lost["charged_usd"])
    assert spent(g) == {"all": ceiling, "models": ceiling} and g.usage()["incurred"] == ceiling
    assert reconcile(g, lost["call"], str(2 * ceiling / 1e9)).status == 200, "more than the ceiling is booked"
    assert spent(g) == {"all": 2 * ceiling, "models": 2 * ceiling} and g.usage()["incurred"] == 2 * ceiling
    wait_until(lambda: "reconciled_above_the_ceiling" in g.log.read_text())
    g.kill()
    g.start()
    assert spent(g) == {"all": 2 * ceiling, "models": 2 * ceiling} and g.usage()["incurred"] == 2 * ceiling


def test_the_command_line_does_the_same_with_and_without_a_server(upstream, gateway):
    upstream.script("model", never_answers())
    config = one_provider(upstream, budgets=BUDGETS, route={"retries": {"attempts": 1}})
    config["providers"]["up"]["timeouts"] = {"headers": "300ms", "first_token": "300ms"}
    g = gateway(config)
    calls = [g.app.chat("chat", max_tokens=50).headers["x-ballast-call-id"] for _ in range(2)]
    g.settled()
    listed = g.command("budgets", "unknown", "-c", str(g.file)).stdout
    assert all(call in listed for call in calls), listed
    fixed = g.command("budgets", "reconcile", calls[0], "--incurred", "0.0001", "-c", str(g.file), "--json")
    assert json.loads(fixed.stdout)["reconciled_by"].startswith("admin")
    assert g.terminate() == 0
    fixed = g.command("budgets", "reconcile", calls[1], "0", "--incurred", "0.0002", "-c", str(g.file))
    assert "$0.000200000" in fixed.stdout
    assert g.command("budgets", "reconcile", calls[1], "--incurred", "0.3", "-c", str(g.file), check=False).returncode == 1
    for wrong in (["nonsense", "--incurred", "1"], [calls[0], "--incurred", "1e3"], [calls[0], "x", "--incurred", "1"], [calls[0]]):
        assert g.command("budgets", "reconcile", *wrong, "-c", str(g.file), check=False).returncode == 2, wrong
    assert "settled" in g.command("budgets", "unknown", "-c", str(g.file)).stdout
    g.start()
    assert spent(g) == {"all": 300_000, "models": 300_000} and g.usage()["incurred"] == 300_000


def test_who_may_and_what_is_wrong_is_named(upstream, gateway):
    g = gateway(one_provider(upstream, budgets=BUDGETS))
    call = g.app.chat("chat").headers["x-ballast-call-id"]
    assert g.app.get("/api/budgets/unknown").status == 403
    assert g.app.post("/api/budgets/reconcile", {"call": call, "incurred": "1"}).status == 403
    g.settled()
    for body, status, field in (({"incurred": "1"}, 400, "call"), ({"call": "x", "incurred": "1"}, 400, "call"), ({"call": call}, 400, "incurred"),
                                ({"call": call, "incurred": 1}, 400, "incurred"), ({"call": call, "incurred": "-1"}, 400, "incurred"),
                                ({"call": call, "incurred": "1", "atempt": 0}, 400, "atempt"), ({"call": call, "incurred": "1", "attempt": -1}, 400, "attempt"),
                                ({"call": call, "incurred": "1", "attempt": 7}, 404, "attempt"), ({"call": call, "incurred": "1"}, 409, "call"),
                                ({"call": "call_01jd0000000000000000000001", "incurred": "1"}, 404, "call")):
        reply = g.admin.post("/api/budgets/reconcile", body)
        assert (reply.status, reply.json().get("field")) == (status, field), (body, reply.body)
    for query, field in (("limit=0", "limit"), ("limit=1001", "limit"), ("before=x", "before"), ("from=yesterday", "from")):
        reply = g.admin.get("/api/budgets/unknown?" + query)
        assert (reply.status, reply.json().get("field")) == (400, field), (query, reply.body)
