"""Live runs moved to another version of their flow: what they have done stays done, people are asked anew, and what stands in the way is named."""
from __future__ import annotations

import json
import signal

import pytest

from support.gateway import wait_until
from test_flows import put, stages
from test_jobs import end, job, post, pull
from test_runs import REVIEW, TWO, asked, begin, decide, editor, house, review, two  # noqa: F401

pytestmark = pytest.mark.databases
SECOND = REVIEW.replace("{by: .stages.ok.output.by, text: .stages.ok.output.value.text}", '{by: .stages.ok.output.by, text: (.stages.ok.output.value.text + "!")}')


def reload(g, *flows: str) -> None:
    for text in flows:
        put(g, text)
    before = {f["flow"]: f["digest"] for f in g.app.get("/api/flows").json()["flows"]}
    g.process.send_signal(signal.SIGHUP)
    wait_until(lambda: {f["flow"]: f["digest"] for f in g.app.get("/api/flows").json()["flows"]} != before)


def move(g, id: str, **body):
    return post(g.app, f"/api/jobs/{id}/move", body)


def test_a_run_that_waits_for_a_person_goes_on_with_the_new_version_also_after_a_kill(house):
    g = house(REVIEW)
    id, old = review(g)
    wait_until(lambda: job(g, id)["state"] == "waiting")
    first = job(g, id)["version"]
    reload(g, SECOND)
    dry = move(g, id, dry_run=True).json()
    assert dry["moved"] is False and dry["from"] == first and dry["results_kept"] == 1 and dry["asked_again"] == ["ok"]
    assert job(g, id)["version"] == first and [a["id"] for a in asked(g)] == [old["id"]], "a dry run changes nothing"
    moved = move(g, id)
    assert moved.status == 200 and moved.json() == {**dry, "moved": True}, moved.body
    assert move(g, id).json()["moved"] is False, "it is there already"
    [new] = asked(g)
    assert new["id"] != old["id"]
    assert decide(g, old, "approve").status == 409, "what was asked under the version before is withdrawn"
    g.kill()
    g.start()
    assert job(g, id)["version"] == dry["to"]
    assert decide(g, new, "approve").status == 200
    done = job(g, id, wait="30s")
    assert done["state"] == "done" and done["output"] == {"by": "user:ann", "text": "Hello!"}
    assert stages(g, id)["draft"].count("done") == 1, "the worker's task was not repeated"
    entries = json.loads(g.command("audit", "show", id, "--json").stdout)["entries"]
    [told] = [e for e in entries if e["action"] == "run.moved"]
    assert told["actor"].startswith("key:") and dry["from"] in json.dumps(told) and dry["to"] in json.dumps(told)


def test_what_a_worker_has_in_hand_stands_in_the_way_of_another_question(house):
    g = house(TWO)
    id, b = two(g)
    wait_until(lambda: job(g, id)["state"] == "waiting")
    reload(g, TWO.replace("task: b,", "task: b2,"))
    refused = move(g, id)
    assert refused.status == 409 and refused.json()["field"] == "stages.b" and b["id"] in refused.json()["detail"], refused.body
    reload(g, TWO.replace("sum:", "total:"))
    assert move(g, id).json()["moved"] is True
    end(g, "complete", b, output={"n": 5})
    assert job(g, id, wait="30s")["output"]["c"] == {"total": 15}


def test_the_command_moves_a_run_and_names_what_stands_in_the_way(house):
    g = house(REVIEW)
    id, _ = review(g)
    wait_until(lambda: job(g, id)["state"] == "waiting")
    first = job(g, id)["version"]
    reload(g, REVIEW.replace('["user:ann"]', '["user:bob"]'))
    refused = g.command("jobs", "move", id, check=False)
    assert refused.returncode == 1 and "ok waits for an approval" in refused.stderr, refused.stderr
    dry = json.loads(g.command("jobs", "move", id, "--call-off", "--dry-run", "--json").stdout)
    assert dry["called_off"] == ["ok"] and dry["moved"] is False
    assert json.loads(g.command("jobs", "move", id, "--call-off", "--json").stdout)["moved"] is True
    wait_until(lambda: not editor(g).get("/api/approvals").json()["approvals"] and job(g, id)["state"] == "waiting")
    assert "moved" in g.command("jobs", "move", id, "--to", first, "--call-off").stdout
    wait_until(lambda: job(g, id)["state"] == "waiting")
    [again] = asked(g)
    assert decide(g, again, "approve").status == 200
    assert job(g, id, wait="30s")["state"] == "done"
    bad = move(g, id, version="17")
    assert bad.status == 404 and bad.json()["field"] == "version"
    assert move(g, id, version=1).status == 400 and move(g, id, versio="x").status == 400
