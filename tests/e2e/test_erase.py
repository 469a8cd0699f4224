"""Erasure of one user: his words are nowhere, the money stays, others lose nothing, the trail verifies."""
from __future__ import annotations

import json
import pathlib
import threading

import pytest

from support.client import Caller
from support.gateway import wait_until
from test_batches import created
from test_backup import SIMULATED, verified
from test_flows import RESIZE
from test_jobs import WORK_KEY, end, post, pull

pytestmark = pytest.mark.databases
SECRET = "xylophone-7731-marzipan"
ANN_KEY = "sk-ballast-ann-0123456789abcdef0123456789ab"


@pytest.fixture
def house(gateway):
    def make(**sections):
        g = gateway({**SIMULATED, **sections}, start=False)
        g.config["keys"] += [{"name": "worker", "value": WORK_KEY, "scopes": ["work"]}, {"name": "hers", "value": ANN_KEY, "scopes": ["call"], "user": "ann.lee"}]
        g.write_config()
        (g.folder / "flows").mkdir(exist_ok=True)
        (g.folder / "flows" / "resize.yaml").write_text(RESIZE)
        return g.start()
    return make


def erase(g, status: int = 200, **body) -> dict:
    answer = g.admin.post("/api/erase", {"user": "ann.lee", **body})
    assert answer.status == status, answer.body
    return answer.json()


def submit(g, key: str = ANN_KEY, wait: str = "30s", **job) -> dict:
    answer = Caller(g.port, key).post(f"/api/jobs?wait={wait}", job)
    assert answer.status == 200, answer.body
    return answer.json()


def found(folder: pathlib.Path, text: str) -> list[str]:
    return [str(f.relative_to(folder)) for f in sorted(folder.rglob("*")) if f.is_file() and text.encode() in f.read_bytes()]


def everything_of(g, tag: str = "erased") -> pathlib.Path:
    """All that is stored, as files that can be searched: a backup, on either database."""
    copy = g.folder.parent / f"copy-{g.folder.name}-{tag}"
    g.command("backup", "--to", str(copy), "--config", str(g.file))
    return copy


def test_a_users_words_are_nowhere_and_the_money_stays(house):
    g = house(budgets=[{"name": "each", "scope": "user", "amount": "$5", "per": "month"}])
    ann = Caller(g.port, ANN_KEY)
    words = {"note": SECRET, "pad": SECRET * 200}
    done = [submit(g, task="ballast.noop", payload=words, tags=[SECRET]) for _ in range(20)]
    mine = submit(g, key=g.app.key, task="ballast.noop", payload={"mine": 1})
    run = ann.post("/api/jobs", {"flow": "resize", "input": {"w": SECRET}}).json()["id"]
    [task] = pull(g)
    end(g, "progress", task, progress={"seen": SECRET})
    end(g, "complete", task, output={"done": SECRET})
    assert g.admin.get(f"/api/jobs/{run}?wait=30s").json()["state"] == "done"
    died = submit(g, wait="1s", task="resize", payload=words, queue="images", attempts=1)
    [task] = pull(g)
    end(g, "fail", task, error={"message": f"cannot do {SECRET}"})
    again = g.admin.post(f"/api/jobs/{died['id']}/redrive", {}).json()["id"]
    keyed = {"idempotency-key": SECRET}
    for _ in range(5):
        assert ann.chat("chat", f"Say {SECRET}", max_tokens=20, headers=keyed).status == 200
        assert ann.chat("chat", f"Say {SECRET} {_}", max_tokens=20).status == 200
        assert g.app.chat("chat", "hello", max_tokens=20).status == 200
    g.settled()
    used, of_user = g.usage(), g.usage_by("user")
    assert of_user["ann.lee"]["calls"] == 10 and found(everything_of(g, "before"), SECRET)

    assert erase(g, dry_run=True)["jobs"] == 24 and erase(g, 409)["field"] == "cancel"
    figures = erase(g, cancel=True)
    assert figures["jobs"] == 24 and figures["live"] == 1 and figures["calls"] == 10 and figures["replies"] == 1 and figures["active_keys"] <= 1
    for id in (done[0]["id"], run, died["id"], again):
        assert g.admin.get(f"/api/jobs/{id}").status == 404
    assert g.admin.get(f"/api/jobs/{mine['id']}").json()["output"] == {"mine": 1}
    now = g.usage_by("user")
    assert g.usage() == used and "ann.lee" not in now and now[figures["pseudonym"]] == of_user["ann.lee"]
    verified(g)
    entries = g.command("audit", "show", "admin:0", "--config", str(g.file)).stdout
    assert "user.erased" in entries and figures["pseudonym"] in entries and "ann.lee" not in entries

    assert g.terminate() == 0
    g.command("erase", "--scrub", "--config", str(g.file))
    for text in (SECRET, "ann.lee"):
        hits = [f for f in found(everything_of(g, text), text) if not f.startswith("data/journal")]
        assert hits == [], (text, hits)
    if g.config["database"].startswith("sqlite:"):
        assert [f for f in found(g.folder, SECRET) if f != "ballast.log"] == []
    verified(g)
    g.start()
    assert g.usage() == used and erase(g)["jobs"] == 0


def test_live_work_of_a_user_is_refused_or_ended(house):
    g = house()
    ann = Caller(g.port, ANN_KEY)
    waiting = post(ann, "/api/jobs", {"task": "later", "delay": "1h"}).json()["id"]
    assert ann.put("/api/schedules/hers", {"cron": "@daily", "job": {"task": "t"}}).status == 200
    assert g.app.put("/api/schedules/mine", {"cron": "@daily", "job": {"task": "t"}}).status == 200
    refused = erase(g, 409)
    assert "1 jobs" in refused["detail"] and "1 schedules" in refused["detail"]
    assert g.admin.get(f"/api/jobs/{waiting}").json()["state"] == "queued"
    assert erase(g, cancel=True)["live"] == 1
    assert g.admin.get(f"/api/jobs/{waiting}").status == 404
    assert [s["name"] for s in g.admin.get("/api/schedules").json()["schedules"]] == ["mine"]
    assert g.app.post("/api/erase", {"user": "ann.lee"}).status == 403
    assert g.admin.post("/api/erase", {"user": ""}).json()["field"] == "user"


def test_with_the_trail_and_from_the_command_line(house):
    g = house()
    id = post(Caller(g.port, ANN_KEY), "/api/jobs", {"task": "later", "delay": "1h"}).json()["id"]
    assert post(g.admin, f"/api/jobs/{id}/cancel").status == 200
    command = lambda *words: json.loads(g.command("erase", "--user", "ann.lee", "--json", "--config", str(g.file), *words).stdout)
    assert command("--dry-run")["jobs"] == 1
    assert command("--with-trail")["chains_retired"] == 1
    assert "job.cancelled" not in g.command("audit", "show", id, "--config", str(g.file), check=False).stdout
    verified(g)
    busy = g.command("erase", "--scrub", "--config", str(g.file), check=False)
    assert g.config["database"].startswith("postgres") or (busy.returncode == 1 and "stop it first" in busy.stderr)


def test_batches_of_a_user_are_waited_for_or_cancelled(house):
    g = house()
    stored = g.admin.post("/api/keys", {"name": "another of hers", "scopes": ["call"], "user": "ann.lee"}).json()["secret"]
    ann = Caller(g.port, ANN_KEY)
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "chat", "max_tokens": 5, "messages": [{"role": "user", "content": f"Say {SECRET}"}]}}
    assert g.admin.put("/api/queues/batch", {"paused": True}).status == 200
    first = created(ann, [line])
    wait_until(lambda: ann.get(f"/v1/batches/{first}").json()["status"] == "in_progress")
    refused = erase(g, 409, cancel=True)
    assert refused["field"] == "cancel_batches" and all(word in refused["detail"] for word in ("1 batches", first, "--wait", "--cancel-batches")), refused
    assert erase(g, dry_run=True)["batches"] == 1
    assert erase(g, cancel_batches=True)["batches"] == 1
    assert ann.get(f"/v1/batches/{first}").status == 404

    ann = Caller(g.port, stored)
    second = created(ann, [line])
    late = []
    waiting = threading.Thread(target=lambda: late.append(g.command("erase", "--user", "ann.lee", "--wait", "60s", "--json", "--config", str(g.file))))
    waiting.start()
    wait_until(lambda: ann.get(f"/v1/batches/{second}").json()["status"] == "in_progress")
    assert g.admin.put("/api/queues/batch", {"paused": False}).status == 200
    waiting.join(90)
    assert json.loads(late[0].stdout)["batches"] == 1 and ann.get(f"/v1/batches/{second}").status == 404
    assert g.command("erase", "--user", "ann.lee", "--wait", "soon", "--config", str(g.file), check=False).returncode == 2
