"""Runs of flows: stages in order, results recorded once, children, times, failures, versions, restarts."""
from __future__ import annotations

import json

import pytest

from support.client import Caller
from support.gateway import wait_until
from test_jobs import WORK_KEY, end, job, post, pull

pytestmark = pytest.mark.databases

STEPS = """
flow: steps
input: {schema: {type: object, required: [n], properties: {n: {type: integer}}}}
output: '.stages.third.output'
stages:
  first:  {transform: '{n: (.input.n + 1)}'}
  second: {transform: '{n: (.stages.first.output.n * 2)}'}
  third:  {template: "It is {{ .stages.second.output.n }}."}
"""
RESIZE = """
flow: resize
output: '.stages.shout.output'
stages:
  cut:   {worker: {task: cut, queue: images, input: '{w: .input.w}'}, timeout: 60s}
  shout: {transform: '.stages.cut.output.done | ascii_upcase'}
"""
PARENT = """
flow: parent
output: '.stages.all.output'
stages:
  all:
    map: {over: '.input.list', as: item, limit: 2, stages: {one: {flow: {name: steps, input: '{n: .item}'}, timeout: 60s}}, output: '.stages.one.output'}
    timeout: 60s
"""
CHOICE = """
flow: choice
output: '[.stages.big, .stages.small] | map(select(.skipped | not) | .output)'
stages:
  size:  {choose: [{when: '.input.n > 10', then: big}, {else: small}]}
  big:   {template: "big"}
  small: {template: "small"}
"""
BREAKS = """
flow: breaks
output: '.stages.after.output'
stages:
  cut:   {worker: {task: cut, queue: images}, timeout: 60s}
  after: {transform: '.stages.cut.output'}
"""
PAUSE = """
flow: pause
output: '.stages.then.output'
stages:
  rest: {wait: {for: 300ms}}
  then: {transform: '{woke: true}', after: [rest]}
"""


@pytest.fixture
def house(gateway):
    def make(*flows: str):
        g = gateway({"providers": {"sim": {"kind": "simulator"}}}, start=False)
        g.config["keys"] += [{"name": "worker", "value": WORK_KEY, "scopes": ["work"]}]
        g.write_config()
        (g.folder / "flows").mkdir()
        for text in flows:
            put(g, text)
        return g.start()
    return make


def put(g, text: str) -> None:
    (g.folder / "flows" / (text.split("flow:")[1].split()[0] + ".yaml")).write_text(text)


def run(g, flow: str, value, wait: str = "30s") -> dict:
    made = post(g.app, f"/api/jobs?wait={wait}", {"flow": flow, "input": value})
    assert made.status == 200, made.body
    return made.json()


def stages(g, id: str) -> dict[str, list[str]]:
    got = g.app.get(f"/api/jobs/{id}/stages")
    assert got.status == 200, got.body
    out: dict[str, list[str]] = {}
    for r in got.json()["records"]:
        out.setdefault(r["stage"], []).append(r["what"])
    return out


def test_stages_run_in_order_and_each_result_is_recorded(house):
    g = house(STEPS)
    done = run(g, "steps", {"n": 4})
    assert done["state"] == "done" and done["output"] == "It is 10."
    assert stages(g, done["id"]) == {"first": ["done"], "second": ["done"], "third": ["done"]}
    [flow] = g.app.get("/api/flows").json()["flows"]
    assert flow["flow"] == "steps" and flow["stages"] == 3
    whole = g.app.get("/api/flows/steps").json()
    assert [s["stage"] for s in whole["stages"]] == ["first", "second", "third"] and whole["stages"][1]["after"] == ["first"]


def test_an_input_that_does_not_fit_is_refused_at_once_by_its_place(house):
    g = house(STEPS)
    for value, field in (({}, "input"), ({"n": "four"}, "input/n")):
        refused = post(g.app, "/api/jobs", {"flow": "steps", "input": value})
        assert refused.status == 400 and refused.json()["field"] == field, refused.body
    unknown = post(g.app, "/api/jobs", {"flow": "stairs", "input": {}})
    assert unknown.status == 404 and unknown.json()["field"] == "flow"


def test_a_worker_stage_waits_without_holding_anything_and_goes_on_after_a_restart(house):
    g = house(RESIZE)
    id = post(g.app, "/api/jobs", {"flow": "resize", "input": {"w": 3}}).json()["id"]
    [task] = pull(g)
    assert task["task"] == "cut" and task["payload"] == {"w": 3}
    wait_until(lambda: job(g, id)["state"] == "waiting")
    assert stages(g, id) == {"cut": ["started"]}
    g.kill()
    g.start()
    assert end(g, "complete", task, output={"done": "yes"}) == {"state": "done"}
    done = job(g, id, wait="30s")
    assert done["state"] == "done" and done["output"] == "YES" and sorted(stages(g, id)["cut"]) == ["done", "started"]


def test_a_map_runs_children_and_keeps_their_order(house):
    g = house(STEPS, PARENT)
    done = run(g, "parent", {"list": [1, 2, 3, 4, 5]})
    assert done["state"] == "done" and done["output"] == [f"It is {(n + 1) * 2}." for n in (1, 2, 3, 4, 5)], done
    children = [j for j in g.app.get("/api/jobs?flow=steps").json()["jobs"]]
    assert len(children) == 5 and {c["parent"] for c in children} == {done["id"]} and {c["origin"] for c in children} == {"child"}


def test_a_choice_runs_one_branch(house):
    g = house(CHOICE)
    assert run(g, "choice", {"n": 11})["output"] == ["big"] and run(g, "choice", {"n": 1})["output"] == ["small"]


def test_a_stage_that_fails_ends_the_run_by_its_name(house):
    g = house(BREAKS)
    id = post(g.app, "/api/jobs", {"flow": "breaks", "input": {}}).json()["id"]
    [task] = pull(g)
    end(g, "fail", task, error="no such image", retry=False)
    dead = job(g, id, wait="30s")
    assert dead["state"] == "dead" and dead["error"]["field"] == "stages.cut" and "no such image" in dead["error"]["message"]


def test_a_time_to_wait_is_waited_for(house):
    g = house(PAUSE)
    done = run(g, "pause", {})
    assert done["state"] == "done" and done["output"] == {"woke": True} and done["attempt"] == 1


def test_a_run_finishes_with_the_version_it_began_with(house):
    g = house(RESIZE)
    old = post(g.app, "/api/jobs", {"flow": "resize", "input": {"w": 1}}).json()["id"]
    [first] = pull(g)
    put(g, RESIZE.replace("ascii_upcase", "ascii_downcase"))
    g.terminate()
    g.start()
    new = post(g.app, "/api/jobs", {"flow": "resize", "input": {"w": 1}}).json()["id"]
    [second] = pull(g)
    for task in (first, second):
        end(g, "complete", task, output={"done": "Yes"})
    assert job(g, old, wait="30s")["output"] == "YES" and job(g, new, wait="30s")["output"] == "yes"


def test_flows_with_mistakes_do_not_start_and_a_reload_keeps_the_old_ones(house):
    g = house(STEPS)
    put(g, STEPS.replace(".stages.first.output.n", ".stages.frist.output.n"))
    g.config["log"] = {"level": "debug"}
    g.write_config()
    wait_until(lambda: "reload_refused" in g.log.read_text())
    assert "first" in g.log.read_text() and run(g, "steps", {"n": 1})["output"] == "It is 4."


def test_a_follower_sees_the_stages_come(house):
    g = house(RESIZE)
    id = post(g.app, "/api/jobs", {"flow": "resize", "input": {"w": 3}}).json()["id"]
    [task] = pull(g)
    end(g, "complete", task, output={"done": "yes"})
    job(g, id, wait="30s")
    told = [json.loads(d) for e, d in g.app.get(f"/api/jobs/{id}/events").events() if e == "stage"]
    assert [(t["stage"], t["what"]) for t in told] == [("cut", "started"), ("cut", "done"), ("shout", "done")]
