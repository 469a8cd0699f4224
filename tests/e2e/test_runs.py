"""Runs and what is outside: people, events, models; and runs from runs: redriven, forked, compared, rolled back, called off."""
from __future__ import annotations

import json

import pytest

from support.client import Caller
from support.gateway import wait_until
from test_flows import put, run, stages
from test_jobs import OTHER_KEY, WORK_KEY, end, job, post, pull

pytestmark = pytest.mark.databases
EDITOR_KEY = "sk-ballast-editor-0123456789abcdef01234567"

REVIEW = """
flow: review
output: '.stages.shape.output'
stages:
  draft: {worker: {task: draft, queue: images, input: '.input'}, timeout: 60s}
  ok:    {approve: {show: '{text: .stages.draft.output.text}', when: always, expires: 24h, edit: true, assignees: ["user:ann"]}}
  shape: {transform: '{by: .stages.ok.output.by, text: .stages.ok.output.value.text}'}
"""
PAID = """
flow: paid
output: '.stages.told.output'
stages:
  paid: {wait: {event: paid, key: '.input.order'}, timeout: 10m}
  told: {transform: '{order: .input.order, amount: .stages.paid.output.amount}'}
"""
ASK = """
flow: ask
output: '.stages.answer.output'
stages:
  answer: {model: {route: sim/sim-small, prompt: "Say {{ .input.word }}"}}
"""
TWO = """
flow: two
output: '{a: .stages.a.output, b: .stages.b.output, c: .stages.c.output}'
stages:
  a: {worker: {task: a, queue: images, input: '{n: .input.n}'}, timeout: 60s}
  b: {worker: {task: b, queue: images, input: '{n: .stages.a.output.n}'}, timeout: 60s}
  c: {transform: '{sum: (.stages.a.output.n + .stages.b.output.n)}'}
"""


@pytest.fixture
def house(gateway):
    def make(*flows: str):
        g = gateway({"providers": {"sim": {"kind": "simulator"}}}, start=False)
        g.config["keys"] += [{"name": "worker", "value": WORK_KEY, "scopes": ["work"]}, {"name": "other", "value": OTHER_KEY, "scopes": ["call"]},
                             {"name": "editor", "value": EDITOR_KEY, "scopes": ["approve"], "user": "ann"}]
        g.write_config()
        (g.folder / "flows").mkdir()
        for text in flows:
            put(g, text)
        return g.start()
    return make


def begin(g, flow: str, value) -> str:
    made = post(g.app, "/api/jobs", {"flow": flow, "input": value})
    assert made.status == 202, made.body
    return made.json()["id"]


def editor(g) -> Caller:
    return Caller(g.port, EDITOR_KEY)


def asked(g, count: int = 1) -> list[dict]:
    wait_until(lambda: len(editor(g).get("/api/approvals").json()["approvals"]) == count)
    return editor(g).get("/api/approvals").json()["approvals"]


def decide(g, approval: dict, what: str, **more):
    whole = editor(g).get(f"/api/approvals/{approval['id']}").json()
    return post(editor(g), f"/api/approvals/{approval['id']}/{what}", {"digest": whole["digest"], **more})


def review(g, text: str = "Hello") -> tuple[str, dict]:
    id = begin(g, "review", {"topic": "x"})
    [task] = pull(g)
    end(g, "complete", task, output={"text": text})
    [approval] = asked(g)
    return id, approval


def test_a_run_asks_a_person_waits_over_a_kill_and_goes_on_with_what_was_approved(house):
    g = house(REVIEW)
    id, approval = review(g)
    wait_until(lambda: job(g, id)["state"] == "waiting")
    g.kill()
    g.start()
    assert decide(g, approval, "approve").status == 200
    done = job(g, id, wait="30s")
    assert done["state"] == "done" and done["output"] == {"by": "user:ann", "text": "Hello"}
    assert decide(g, approval, "reject").status == 409


def test_an_edited_form_goes_on_in_place_of_what_was_shown(house):
    g = house(REVIEW)
    id, approval = review(g)
    assert decide(g, approval, "edit", value={"text": "Hello, better"}).status == 200
    assert job(g, id, wait="30s")["output"]["text"] == "Hello, better"


def test_a_rejection_ends_the_run_with_who_said_why(house):
    g = house(REVIEW)
    id, approval = review(g)
    assert decide(g, approval, "reject", note="too short").status == 200
    dead = job(g, id, wait="30s")
    assert dead["state"] == "dead" and dead["error"]["field"] == "stages.ok" and "user:ann" in dead["error"]["message"] and "too short" in dead["error"]["message"]


def test_nobody_need_decide_for_a_run_that_was_cancelled(house):
    g = house(REVIEW)
    id, _ = review(g)
    assert post(g.app, f"/api/jobs/{id}/cancel").status == 200
    wait_until(lambda: not editor(g).get("/api/approvals").json()["approvals"])
    [gone] = editor(g).get("/api/approvals?state=any").json()["approvals"]
    assert gone["state"] == "withdrawn"


def test_a_cancelled_run_calls_its_workers_off(house):
    g = house(REVIEW)
    id = begin(g, "review", {"topic": "x"})
    [task] = pull(g)
    assert post(g.app, f"/api/jobs/{id}/cancel").status == 200
    wait_until(lambda: job(g, task["id"])["state"] == "cancelled")
    assert end(g, "complete", task, output={"text": "late"})["error"]["code"] == "caller_not_found"


def test_an_event_wakes_the_run_that_waits_for_its_key_and_no_other(house):
    g = house(PAID)
    one, two = begin(g, "paid", {"order": "o-1"}), begin(g, "paid", {"order": "o-2"})
    wait_until(lambda: {job(g, one)["state"], job(g, two)["state"]} == {"waiting"})
    sent = post(g.app, "/api/events", {"event": "paid", "key": "o-1", "payload": {"amount": 12}})
    assert sent.status == 202 and sent.json()["runs"] == 1
    assert job(g, one, wait="30s")["output"] == {"order": "o-1", "amount": 12}
    assert job(g, two)["state"] == "waiting"
    [paid] = [r for r in g.app.get(f"/api/jobs/{one}/stages").json()["records"] if r["stage"] == "paid" and r["what"] == "done"]
    assert {"stage": "paid", "kind": "event"} in paid["taint"]


def test_an_event_that_comes_before_the_run_waits_is_not_missed_and_another_keys_is_not_taken(house):
    g = house(PAID)
    g.admin.put("/api/queues/default", {"paused": True})
    id = begin(g, "paid", {"order": "o-1"})
    post(Caller(g.port, OTHER_KEY), "/api/events", {"event": "paid", "key": "o-1", "payload": {"amount": 666}})
    post(g.app, "/api/events", {"event": "paid", "key": "o-1", "payload": {"amount": 7}})
    g.kill()
    g.start()
    g.admin.put("/api/queues/default", {"paused": False})
    assert job(g, id, wait="30s")["output"]["amount"] == 7


def test_a_model_stage_is_a_call_on_the_road_and_its_answer_is_tainted(house):
    g = house(ASK)
    done = run(g, "ask", {"word": "blue"})
    assert done["state"] == "done" and isinstance(done["output"], str) and done["output"]
    [answer] = g.app.get(f"/api/jobs/{done['id']}/stages").json()["records"]
    assert answer["taint"] == [{"stage": "answer", "kind": "model"}, {"stage": "", "kind": "input"}] or {"stage": "answer", "kind": "model"} in answer["taint"]
    g.settled()
    assert [c["feature"] for c in g.admin.get("/api/calls").json()["calls"]] == ["ask"]


def two(g, n: int = 1) -> tuple[str, dict]:
    id = begin(g, "two", {"n": n})
    [a] = pull(g)
    end(g, "complete", a, output={"n": 10})
    [b] = pull(g)
    return id, b


def test_a_run_that_is_driven_again_retries_the_failed_stage_alone(house):
    g = house(TWO)
    id, b = two(g)
    end(g, "fail", b, error="broken", retry=False)
    assert job(g, id, wait="30s")["state"] == "dead"
    again = post(g.app, f"/api/jobs/{id}/redrive").json()["id"]
    [task] = pull(g)
    assert task["task"] == "b" and task["payload"] == {"n": 10}
    end(g, "complete", task, output={"n": 5})
    done = job(g, again, wait="30s")
    assert done["output"]["c"] == {"sum": 15} and stages(g, again)["a"] == ["done"]
    assert post(g.app, f"/api/jobs/{id}/redrive").json() == {"id": again, "redrive_of": id, "existing": True}


def test_a_dead_run_goes_on_with_the_mended_version(house):
    g = house(TWO)
    id, b = two(g)
    end(g, "fail", b, error="broken", retry=False)
    job(g, id, wait="30s")
    put(g, TWO.replace("task: b,", "task: b2,"))
    g.terminate()
    g.start()
    again = post(g.app, f"/api/jobs/{id}/redrive", {"version": "current"}).json()["id"]
    [task] = pull(g)
    assert task["task"] == "b2"
    end(g, "complete", task, output={"n": 1})
    assert job(g, again, wait="30s")["output"]["c"] == {"sum": 11}


def test_a_fork_asks_anew_from_a_stage_on_and_the_two_are_compared(house):
    g = house(TWO)
    id, b = two(g)
    end(g, "complete", b, output={"n": 1})
    assert job(g, id, wait="30s")["state"] == "done"
    forked = post(g.app, f"/api/jobs/{id}/fork", {"stage": "b"})
    assert forked.status == 202 and forked.json()["fork_of"] == id and forked.json()["results_kept"] == 1, forked.body
    [task] = pull(g)
    assert task["task"] == "b"
    end(g, "complete", task, output={"n": 2})
    other = forked.json()["id"]
    assert job(g, other, wait="30s")["output"]["c"] == {"sum": 12}
    both = g.app.get(f"/api/jobs/{id}/compare/{other}").json()
    assert [(s["stage"], s["same_question"], s["same"]) for s in both["stages"]] == [("a", True, True), ("b", True, False), ("c", False, False)]
    for stage, status in (("nope", 404), ("b[3]", 404)):
        assert post(g.app, f"/api/jobs/{id}/fork", {"stage": stage}).status == status
    assert post(g.app, f"/api/jobs/{id}/fork", {"stag": "b"}).json()["field"] == "stag"
    assert post(Caller(g.port, OTHER_KEY), f"/api/jobs/{id}/fork").status == 404


def test_a_rollback_says_what_it_could_not_undo(house):
    g = house(TWO)
    id, b = two(g)
    assert post(g.app, f"/api/jobs/{id}/rollback").status == 409
    end(g, "complete", b, output={"n": 1})
    job(g, id, wait="30s")
    back = post(g.app, f"/api/jobs/{id}/rollback").json()["id"]
    output = job(g, back, wait="30s")["output"]
    assert output["run"] == id and output["undone"] == [] and [s["stage"] for s in output["not_undone"]] == ["a", "b"]
    assert post(g.app, f"/api/jobs/{id}/rollback").json()["existing"]


def test_the_command_line_knows_runs(house):
    g = house(TWO)
    id, b = two(g)
    end(g, "complete", b, output={"n": 1})
    job(g, id, wait="30s")
    say = lambda *args: g.command(*args, "--server", f"http://127.0.0.1:{g.port}", "--key", g.admin.key, "--json").stdout
    assert {r["stage"] for r in json.loads(say("jobs", "stages", id))["records"]} == {"a", "b", "c"}
    assert json.loads(say("jobs", "fork", id, "--stage", "c"))["fork_of"] == id
    assert json.loads(say("flows", "list"))["flows"][0]["flow"] == "two"
    assert json.loads(say("event", "paid", "--event-key", "o-1", "--payload", '{"amount": 1}'))["runs"] == 0
    assert json.loads(say("jobs", "rollback", id))["undone"] == []
