"""Messages of calls: recorded as the route says, redacted, seen by who may, exported, and gone in time or with their user."""
from __future__ import annotations

import csv
import io
import json
import time

import pytest

from support.client import Caller
from support.gateway import wait_until
from test_backup import SIMULATED
from test_erase import ANN_KEY, everything_of, found

pytestmark = pytest.mark.databases
SECRET = "xylophone-7731-marzipan"
USAGE_KEY = "sk-ballast-usage-0123456789abcdef0123456789"


def recording(**sections):
    routes = {name: dict(route) for name, route in SIMULATED["routes"].items()}
    target = routes["chat"]["targets"]
    routes |= {"full": {"targets": target, "record": "full"}, "quiet": {"targets": target},
               "own": {"targets": target, "record": {"mode": "full", "redact": ["all", {"name": "badge", "pattern": "B-[0-9]{4}"}]}}}
    return {**SIMULATED, "routes": routes, **sections}


@pytest.fixture
def house(gateway):
    def make(**sections):
        g = gateway(recording(**sections), start=False)
        g.config["keys"] += [{"name": "hers", "value": ANN_KEY, "scopes": ["call", "usage"], "user": "ann.lee"},
                             {"name": "other", "value": USAGE_KEY, "scopes": ["call", "usage"]}]
        g.write_config()
        return g.start()
    return make


def messages(who: Caller, call: str, status: int = 200) -> dict:
    answer = who.get(f"/api/calls/{call}/messages")
    assert answer.status == status, answer.body
    return answer.json()


def ask(who: Caller, text: str, model: str = "full", **more) -> str:
    answer = who.chat(model, text, max_tokens=20, **more)
    assert answer.status == 200, answer.body
    return answer.headers["x-ballast-call-id"]


def test_what_is_recorded_is_seen_by_who_may(house):
    g = house()
    ann, other = Caller(g.port, ANN_KEY), Caller(g.port, USAGE_KEY)
    call = ask(ann, "I am ann@example.com, call +49 30 901820, badge B-1234", "own")
    kept = messages(g.admin, call)
    assert kept["recorded"] == "full" and kept["redacted"] and kept["whole"] and not kept["truncated"]
    assert kept["request"]["messages"][-1]["content"] == "I am [email], call [phone], badge [badge]"
    assert kept["reply"]["choices"][0]["message"]["content"]
    assert messages(ann, call) == kept and messages(other, call, 404)["detail"] == "no such call"
    assert g.app.get(f"/api/calls/{call}/messages").status == 403
    assert "routes.quiet.record" in messages(g.admin, ask(ann, "hi", "quiet"), 404)["detail"]
    assert "x-ballast-record" in messages(g.admin, ask(ann, "hi", headers={"x-ballast-record": "off"}), 404)["detail"]
    assert ann.chat("full", "hi", headers={"x-ballast-record": "on"}).status == 400
    assert messages(g.admin, "call_0", 400)["field"] == "id"
    told = g.command("audit", "show", "admin:0", "--config", str(g.file)).stdout
    assert told.count("messages.read") == 2 and call in told
    said = g.command("explain", call, "--messages", "--config", str(g.file)).stdout
    assert "[email]" in said and "reply" in said
    assert 'ballast_recordings_total{outcome="kept"} 1' in g.admin.get("/metrics").body.decode()


def test_kill_takes_at_most_what_was_queued_and_retention_the_rest(house):
    g = house(retention={"messages": "2s"})
    calls = [ask(g.app, f"number {n}") for n in range(20)]
    assert [messages(g.admin, c)["whole"] for c in calls] == [True] * 20
    g.kill()
    g.config["retention"] = {"messages": "1h"}
    g.write_config()
    g.start()
    assert all(messages(g.admin, c)["request"]["messages"] for c in calls), "what was written stays"
    time.sleep(2)
    g.terminate()
    g.config["retention"] = {"messages": "2s"}
    g.write_config()
    g.start()
    wait_until(lambda: all(g.admin.get(f"/api/calls/{c}/messages").status == 404 for c in calls))
    assert g.admin.get(f"/api/decisions/{calls[0]}").status == 200, "the ledger has its own"


def test_all_of_a_user_is_exported_and_then_gone(house):
    g = house()
    ann = Caller(g.port, ANN_KEY)
    calls = {ask(ann, f"Say {SECRET} {n}") for n in range(3)}
    ask(g.app, "not hers")
    assert ann.post("/api/feedback", {"call": min(calls), "verdict": "bad", "comment": SECRET}).status == 201
    job = ann.post("/api/jobs?wait=30s", {"task": "ballast.noop", "payload": {"note": f"=cmd|{SECRET}"}}).json()["id"]
    answer = g.admin.get("/api/export/user?user=ann.lee")
    assert answer.status == 200 and answer.headers["content-type"] == "application/jsonl"
    lines = [json.loads(line) for line in answer.body.decode().splitlines()]
    by = lambda kind: [line for line in lines if line["kind"] == kind]
    assert {c["id"] for c in by("call")} == calls == {m["id"] for m in by("messages")}
    assert all(SECRET in json.dumps(m["data"]["request"]) for m in by("messages"))
    assert [j["id"] for j in by("job")] == [job] and SECRET in json.dumps(by("job")[0]["data"])
    assert [(f["data"]["call"], f["data"]["verdict"], f["data"]["comment"]) for f in by("feedback")] == [(min(calls), "bad", SECRET)]
    assert [k["data"]["name"] for k in by("key")] == ["hers"] and ANN_KEY not in answer.body.decode()
    rows = list(csv.DictReader(io.StringIO(g.admin.get("/api/export/user?user=ann.lee&format=csv").body.decode(), newline="")))
    assert [(r["kind"], r["id"], json.loads(r["data"])) for r in rows] == [(line["kind"], line["id"], line["data"]) for line in lines]
    assert g.app.get("/api/export/user?user=ann.lee").status == 403 and g.admin.get("/api/export/user").json()["field"] == "user"
    out = g.folder / "hers.jsonl"
    g.command("export", "--user", "ann.lee", "--out", str(out), "--config", str(g.file))
    assert len(out.read_text().splitlines()) == len(lines)
    out.unlink()
    assert g.command("audit", "show", "admin:0", "--config", str(g.file)).stdout.count("user.exported") == 3

    assert found(everything_of(g, "before"), "ann.lee")
    assert g.admin.post("/api/erase", {"user": "ann.lee", "dry_run": True}).json()["messages"] == 3
    assert g.admin.post("/api/erase", {"user": "ann.lee"}).json()["messages"] == 3
    assert [line for line in g.admin.get("/api/export/user?user=ann.lee").body.decode().splitlines() if '"kind":"key"' not in line] == []
    for call in calls:
        messages(g.admin, call, 404)
    assert g.terminate() == 0
    g.command("erase", "--scrub", "--config", str(g.file))
    if g.config["database"].startswith("sqlite:"):
        assert [f for f in found(g.folder, SECRET) if f != "ballast.log"] == []
    assert [f for f in found(everything_of(g, "after"), SECRET) if not f.startswith("data/journal")] == []


def test_calls_are_exported_page_by_page(house):
    g = house()
    hostile = '=HYPERLINK("http://x"),"'
    for n in range(520):
        assert g.app.post("/v1/chat/completions", {"model": "quiet", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]},
                          headers={"x-ballast-feature": hostile if n == 0 else "f"}).status == 200
    lines = [json.loads(line) for line in g.admin.get("/api/calls/export?route=quiet").body.decode().splitlines()]
    assert len(lines) == 520 == len({line["id"] for line in lines})
    assert [line["id"] for line in lines] == sorted((line["id"] for line in lines), reverse=True)
    assert g.admin.get("/api/calls/export?route=quiet&status=failed").body == b"", "it is narrowed as the list beside it"
    assert len(g.admin.get("/api/calls/export?route=quiet&status=ok&max_cost=1000").body.splitlines()) == len(lines)
    assert g.admin.get("/api/calls/export?status=well").json()["field"] == "status"
    answer = g.admin.get("/api/calls/export?format=csv&route=quiet")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    assert [r["id"] for r in rows] == [line["id"] for line in lines] and rows[-1]["feature"] == "'" + hostile
    assert g.admin.get("/api/calls/export?format=xml").json()["field"] == "format"
    other = Caller(g.port, USAGE_KEY)
    assert other.get("/api/calls/export").body == b"", "a key sees its own"
    printed = g.command("export", "--calls", "--feature", "f", "--format", "csv", "--config", str(g.file)).stdout
    assert len(printed.splitlines()) == 520
