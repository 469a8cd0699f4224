"""Schedules over HTTP and the command line: each slot once, also across kill -9; missed slots, overlap, refusals that name the field."""
from __future__ import annotations

import datetime
import json
import time

import pytest

from support.client import Caller
from support.gateway import wait_until

OTHER_KEY = "sk-ballast-other-0123456789abcdef012345678"
pytestmark = pytest.mark.databases
NOOP = {"task": "ballast.noop", "payload": {"n": 1}, "tags": ["nightly"]}


@pytest.fixture
def house(gateway):
    def make(flows: dict[str, str] = {}, **sections):
        g = gateway({"providers": {"sim": {"kind": "simulator"}}, **sections}, start=False)
        g.config["keys"] += [{"name": "other", "value": OTHER_KEY, "scopes": ["call"]}]
        g.write_config()
        for name, text in flows.items():
            (g.folder / "flows").mkdir(exist_ok=True)
            (g.folder / "flows" / f"{name}.yaml").write_text(text)
        return g.start()
    return make


def put(g, name: str, status: int = 200, caller: Caller | None = None, **body) -> dict:
    answer = (caller or g.app).put(f"/api/schedules/{name}", {"cron": "every 1s", "job": NOOP, **body})
    assert answer.status == status, answer.body
    return answer.json()


def schedule(g, name: str) -> dict:
    answer = g.app.get(f"/api/schedules/{name}")
    assert answer.status == 200, answer.body
    return answer.json()


def jobs(g, **query) -> list[dict]:
    text = "&".join(f"{k}={v}" for k, v in {"limit": 1000, **query}.items())
    return g.admin.get(f"/api/jobs?{text}").json()["jobs"]


def seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_a_schedule_is_put_shown_run_and_deleted(house):
    g = house()
    made = put(g, "report", cron="30 2 * * mon-fri", timezone="Europe/Berlin")
    assert made["overlap"] == "skip" and made["catch_up"] == "one" and made["enabled"] is True and made["job"] == NOOP
    assert len(made["next"]) == 5 and made["next"] == sorted(made["next"]) and seconds(made["next"][0]) > time.time()
    assert "02:30" in made["when"] and "Europe/Berlin" in made["when"]
    ran = g.app.post("/api/schedules/report/run", {})
    assert ran.status == 202, ran.body
    done = g.app.get(f"/api/jobs/{ran.json()['id']}?wait=30s").json()
    assert done["state"] == "done" and done["output"] == {"n": 1} and done["tags"] == ["nightly"]
    assert [s["name"] for s in g.app.get("/api/schedules").json()["schedules"]] == ["report"]
    assert Caller(g.port, OTHER_KEY).get("/api/schedules").json()["schedules"] == []
    for method in ("get", "delete"):
        assert getattr(Caller(g.port, OTHER_KEY), method)("/api/schedules/report").status == 404
    assert put(g, "report", 409, Caller(g.port, OTHER_KEY))["field"] == "name"
    assert g.app.delete("/api/schedules/report").json() == {"name": "report", "deleted": True}
    assert g.app.get("/api/schedules/report").status == 404
    entries = g.command("audit", "show", "admin:0", "--config", str(g.file)).stdout
    for told in ("schedule.changed", "schedule.run", "schedule.deleted"):
        assert told in entries


@pytest.mark.parametrize("body, field", [
    ({"cron": "61 * * * *"}, "cron"), ({"cron": "0 0 31 2 *"}, "cron"), ({"timezone": "Europe/Berlinn"}, "timezone"), ({"overlap": "perhaps"}, "overlap"),
    ({"catch_up": "all"}, "catch_up"), ({"crom": "1"}, "crom"), ({"job": {"task": "t", "priority": 11}}, "job.priority"), ({"job": {"task": "t", "deadline": "2030-01-01T00:00:00Z"}}, "job.deadline"),
    ({"job": {"flow": "nobody"}}, "job.flow"), ({"job": {"task": "t", "webhook": "http://127.0.0.1/x"}}, "job.webhook"),
])
def test_what_is_wrong_is_named(house, body, field):
    g = house()
    refused = put(g, "bad", 404 if field == "job.flow" else 403 if field == "job.webhook" else 400, **body)
    assert refused["field"] == field, refused
    assert g.app.get("/api/schedules").json()["schedules"] == []
    assert g.app.put("/api/schedules/a%20b", {"cron": "@daily", "job": NOOP}).json()["field"] == "name"


def test_each_slot_fires_once_across_kill_and_restart(house):
    g = house()
    first = seconds(put(g, "beat", overlap="allow", catch_up="none")["next"][0])
    for _ in range(3):
        n = len(jobs(g))
        wait_until(lambda: len(jobs(g)) > n + 1)
        g.kill()
        g.start()
    wait_until(lambda: schedule(g, "beat").get("last_job"))
    g.app.put("/api/schedules/beat", {"cron": "every 1s", "job": NOOP, "enabled": False})
    made = [j for j in jobs(g) if j["origin"] == "schedule"]
    last = schedule(g, "beat")
    assert len(made) >= 6 and last["next"] == [] and last["last"]
    assert len(made) <= seconds(last["last"]) - first + 1, "more jobs than slots"


def test_what_was_missed_makes_one_job_or_none(house, sql):
    g = house()
    for name, catch_up in (("one", "one"), ("none", "none")):
        put(g, name, cron="every 90s", catch_up=catch_up, job={**NOOP, "tags": [name]})
    g.terminate()
    sql(g, f"UPDATE schedules SET next_us = {int((time.time() - 7200) * 1e6)}")
    g.start()
    wait_until(lambda: schedule(g, "one").get("last"))
    wait_until(lambda: seconds(schedule(g, "none")["next"][0]) > time.time())
    assert len(jobs(g, tag="one")) == 1
    assert len(jobs(g, tag="none")) <= 1            # only if its latest slot was in the minute before


def test_while_a_job_lives_its_slots_make_none(house):
    g = house()
    put(g, "slow", job={"task": "resize", "queue": "images"})
    wait_until(lambda: "not over" in schedule(g, "slow").get("why", ""))
    [only] = jobs(g, queue="images")
    assert schedule(g, "slow")["last_job"] == only["id"]
    assert g.app.post(f"/api/jobs/{only['id']}/cancel", {}).status == 200
    wait_until(lambda: len(jobs(g, queue="images")) == 2)


def test_a_disabled_schedule_fires_nothing_until_it_is_enabled(house):
    g = house()
    put(g, "beat", enabled=False)
    put(g, "other", job={**NOOP, "tags": ["other"]})
    wait_until(lambda: len(jobs(g, tag="other")) >= 2)
    assert jobs(g, tag="nightly") == [] and schedule(g, "beat")["next"] == []
    put(g, "beat", enabled=True)
    wait_until(lambda: jobs(g, tag="nightly"))


FLOW = """flow: greet
stages:
  say:
    transform: '"{}"'
output: .stages.say.output
"""


def test_a_run_begins_with_the_flow_in_force_at_its_slot(house):
    g = house({"greet": FLOW.format("one")})
    put(g, "greet", job={"flow": "greet"})
    wait_until(lambda: any(j["state"] == "done" for j in jobs(g, flow="greet")))
    (g.folder / "flows" / "greet.yaml").write_text(FLOW.format("two"))
    g.process.send_signal(1)

    def newest():
        done = [j for j in jobs(g, flow="greet") if j["state"] == "done"]
        return g.admin.get(f"/api/jobs/{done[0]['id']}").json()["output"]
    wait_until(lambda: newest() == "two")


def test_the_command_line_puts_lists_runs_and_deletes(house):
    g = house()
    ballast = lambda *words, **kw: g.command("schedules", *words, "--config", str(g.file), **kw)
    ballast("put", "nightly", json.dumps(NOOP), "--cron", "0 3 * * *", "--timezone", "Europe/Berlin", "--overlap", "allow")
    assert "nightly" in ballast("list").stdout and "03:00" in ballast("list").stdout
    assert json.loads(ballast("show", "nightly", "--json").stdout)["overlap"] == "allow"
    id = json.loads(ballast("run", "nightly", "--json").stdout)["id"]
    assert g.admin.get(f"/api/jobs/{id}?wait=30s").json()["state"] == "done"
    bad = ballast("put", "nightly", json.dumps(NOOP), "--cron", "0 25 * * *", check=False)
    assert bad.returncode == 1 and "cron" in bad.stderr
    ballast("delete", "nightly")
    assert ballast("list").stdout == "none\n"
