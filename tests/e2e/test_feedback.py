"""What users say of answers, from the header of a reply to the figures; and the production checklist by command."""
from __future__ import annotations

import json
import subprocess

import pytest

from support.configs import one_provider
from support.gateway import ROOT, binary, nano

pytestmark = pytest.mark.databases


def call_of(g, **options) -> str:
    reply = g.app.chat("chat", max_tokens=10, **options)
    assert reply.succeeded(), reply.body
    return reply.headers["x-ballast-call-id"]


def report(g, **query) -> dict:
    found = g.admin.get("/api/feedback?" + "&".join(f"{k}={v}" for k, v in query.items()))
    assert found.status == 200, found.body
    return found.json()


def test_verdicts_become_satisfaction_and_the_cost_of_a_success(upstream, gateway):
    g = gateway(one_provider(upstream))
    calls = [call_of(g) for _ in range(4)]
    for call, verdict in zip(calls, ["good", "good", "bad", "good"]):
        given = g.app.post("/api/feedback", {"call": call, "verdict": verdict, "user": "ann"})   # at once: it waits for the importer
        assert given.status == 201, given.body
    changed = g.app.post("/api/feedback", {"call": calls[3], "verdict": "bad", "user": "ann", "comment": "on second thought \x1b[31m"})
    assert changed.status == 201 and changed.json()["replaced"] is True
    [row] = report(g)["rows"]
    assert (row["good"], row["bad"], row["satisfaction"]) == (2, 2, 0.5)
    assert 0.14 < row["satisfaction_low"] < 0.16 and 0.84 < row["satisfaction_high"] < 0.86          # Wilson's of 2 of 4
    spent = g.usage()["incurred"]
    assert spent > 0 and nano(row["incurred_usd"]) == spent and nano(row["usd_per_good"]) == (spent + 1) // 2
    assert [r["group"] for r in report(g, by="model")["rows"]] == ["model"]

    story = g.command("explain", calls[3]).stdout
    assert "what was said of it" in story and "bad, by ann: on second thought ?[31m" in story and "\x1b" not in story, story
    given = g.command("feedback", calls[0], "bad", "--user", "bob", "--comment", "too short")
    assert given.returncode == 0 and "kept as fb_" in given.stdout, given.stdout + given.stderr
    told = g.command("feedback", "report", "--by", "route")
    assert told.returncode == 0 and "40.0 %" in told.stdout and "too short" in told.stdout, told.stdout
    as_json = json.loads(g.command("feedback", "report", "--json").stdout)
    assert as_json["rows"][0]["bad"] == 3 and len(as_json["recent"]) == 5
    assert g.command("feedback", "call_nonsense", "good", check=False).returncode == 1
    assert g.command("feedback", calls[0], "fine", check=False).returncode == 2
    assert g.command("feedback", check=False).returncode == 2

    erased = g.admin.post("/api/erase", {"user": "ann"})
    assert erased.status == 200 and erased.json()["feedback"] == 4, erased.body
    after = report(g)
    assert after["rows"][0]["bad"] == 3 and not any("second thought" in r["comment"] or r["user"] == "ann" for r in after["recent"])

    g.terminate()
    offline = g.command("feedback", "report", "--json")                # the database itself
    assert offline.returncode == 0 and json.loads(offline.stdout)["rows"][0]["bad"] == 3, offline.stderr


def test_a_run_is_judged_when_it_is_over(upstream, gateway, tmp_path):
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "ask.yaml").write_text("flow: ask\nstages:\n  answer: {model: {route: chat, prompt: hello}}\n")
    g = gateway(one_provider(upstream, flows=str(flows)))
    done = g.admin.post("/api/jobs?wait=30s", {"flow": "ask", "input": {}})
    assert done.status == 200 and done.json()["state"] == "done", done.body
    given = g.admin.post("/api/feedback", {"job": done.json()["id"], "verdict": "good"})
    assert given.status == 201, given.body
    stranger = g.app.post("/api/feedback", {"job": done.json()["id"], "verdict": "bad"})
    assert stranger.status == 404 and stranger.json()["field"] == "job"
    [row] = report(g, by="route")["rows"]
    assert row["group"] == "ask" and nano(row["incurred_usd"]) == g.usage()["incurred"] > 0


def check(folder, *args, **env) -> subprocess.CompletedProcess:
    return subprocess.run([binary(), "check", "--production", *args], cwd=folder, capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin:/bin", **env})


def states(answer: dict) -> dict[str, str]:
    return {line["id"]: line["state"] for line in answer["lines"]}


def test_the_checklist_of_a_bare_configuration_and_of_the_shipped_one(tmp_path):
    (tmp_path / "ballast.yaml").write_text("listen: 127.0.0.1:9\n")
    bare = check(tmp_path)
    assert bare.returncode == 1 and "from the configuration alone" in bare.stderr, bare.stdout + bare.stderr
    assert "What happens when a provider is down?" in bare.stdout and "to do: " in bare.stdout
    assert not (tmp_path / ".ballast").exists(), "nothing is made"
    secrets = {name: "0123456789abcdef01234567" for name in ("POSTGRES_PASSWORD", "BALLAST_ADMIN_KEY", "PROMETHEUS_KEY")}
    shipped = check(tmp_path, "--config", str(ROOT / "deploy" / "compose" / "ballast.yaml"), "--json", BALLAST_SERVER="", **secrets)
    answer = json.loads(shipped.stdout)
    assert shipped.returncode == (1 if answer["failed"] else 0)
    of = states(answer)
    assert len(of) == 24 and of["external_state"] == "passed" and of["rate_limits"] == "failed" and of["load_test"] == "unproven" and of["request_cost"] == "not_applicable"
    assert sum(answer[k] for k in ("passed", "failed", "unproven", "not_applicable")) == 24
    (tmp_path / "wrong.yaml").write_text("providers: 7\n")
    assert check(tmp_path, "--config", "wrong.yaml").returncode == 3
    assert check(tmp_path, "--server", "http://127.0.0.1:9").returncode == 1


def test_the_checklist_of_a_running_server_knows_what_was_seen(upstream, gateway):
    g = gateway(one_provider(upstream, budgets=[{"name": "all", "scope": "system", "amount": "$5", "per": "day"}]))
    call_of(g)

    def live() -> dict:
        done = g.command("check", "--production", "--json", check=False)
        answer = json.loads(done.stdout)
        assert done.returncode == (1 if answer["failed"] else 0), done.stderr
        return answer

    before = states(live())
    assert before["explained"] == "passed" and before["budgets"] == "passed" and before["request_cost"] == "passed"
    assert before["load_test"] == before["idempotency"] == before["backup"] == before["when_wrong"] == "unproven"
    told = g.command("check", "--record", "load_test=2026-01-05", "--note", "three times, \x1b[31mp99 2 s")
    assert told.returncode == 0, told.stderr
    assert g.command("check", "--record", "sunshine", check=False).returncode == 2
    assert g.command("check", "--record", "load_test=2099-01-01", check=False).returncode == 2
    call = call_of(g)
    g.app.post("/api/feedback", {"call": call, "verdict": "good"})
    assert g.command("backup", "--to", str(g.folder / "copy")).returncode == 0
    assert g.app.chat("chat", max_tokens=10, headers={"idempotency-key": "once"}).succeeded()
    after = states(live())
    assert after["when_wrong"] == after["backup"] == after["idempotency"] == "passed", after
    lines = g.command("check", "--production", check=False).stdout
    assert "told on" in lines and "three times, ?[31mp99 2 s" in lines and "\x1b" not in lines, lines
    assert g.app.get("/api/readiness").status == 403
