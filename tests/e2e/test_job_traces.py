"""The traces of jobs: a submitter's trace goes on through a run, its stages, their attempts, children, workers and calls, and over a kill."""
from __future__ import annotations

import pytest

pytest.importorskip("opentelemetry.proto", reason="opentelemetry-proto is not installed (tests/requirements.txt; needs a network once)")

from support.client import Caller  # noqa: E402
from support.collector import Collector, attributes, paths  # noqa: E402
from support.configs import one_provider  # noqa: E402
from support.fake_upstream import error, ok  # noqa: E402
from support.gateway import wait_until  # noqa: E402
from test_jobs import WORK_KEY, end, job, post, pull  # noqa: E402

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
FAN = """
flow: fan
output: '.stages.sum.output'
stages:
  each:
    map: {over: '.input.list', as: item, limit: 2, stages: {one: {flow: {name: ask, input: '{n: .item}'}, timeout: 60s}}, output: '.stages.one.output'}
    timeout: 60s
  sum: {transform: '.stages.each.output | length'}
"""
ASK = """
flow: ask
output: '.stages.question.output'
stages:
  question: {model: {route: chat, prompt: "Is {{ .input.n }} urgent?"}}
"""
CUT = """
flow: cutting
output: '.stages.cut.output'
stages:
  ask: {model: {route: chat, prompt: "How wide?"}}
  cut: {worker: {task: cut, queue: images}, timeout: 60s, after: [ask]}
"""


@pytest.fixture
def collector():
    c = Collector()
    yield c
    c.stop()


@pytest.fixture
def house(upstream, gateway, collector):
    def make(*flows: str, **telemetry):
        g = gateway(one_provider(upstream, route={"retries": {"attempts": 2, "backoff": "10ms"}}, telemetry={"otlp": collector.url, **telemetry}), start=False)
        g.config["keys"] += [{"name": "worker", "value": WORK_KEY, "scopes": ["work"]}]
        (g.folder / "flows").mkdir()
        for text in flows:
            (g.folder / "flows" / (text.split("flow:")[1].split()[0] + ".yaml")).write_text(text)
        g.write_config()
        return g.start()
    return make


def begin(g, flow: str, value, **headers) -> str:
    made = post(g.app, "/api/jobs", {"flow": flow, "input": value}, **headers)
    assert made.status == 202, made.body
    return made.json()["id"]


def told(g, collector) -> list:
    assert g.terminate() == 0
    assert not collector.refused, collector.refused[0]
    return collector.spans()


def test_a_fan_out_of_child_flows_is_one_tree_beneath_its_submitter(upstream, house, collector):
    upstream.script("model", error(503), ok(5), ok(5))
    g = house(FAN, ASK)
    id = begin(g, "fan", {"list": [1, 2]}, traceparent=PARENT)
    done = job(g, id, wait="30s")
    assert done["state"] == "done" and done["output"] == 2 and done["trace_id"] == TRACE
    assert [j["trace_id"] for j in g.app.get("/api/jobs?flow=ask").json()["jobs"]] == [TRACE, TRACE]
    spans = told(g, collector)
    assert {s.trace_id.hex() for s in spans} == {TRACE} and all(s.flags & 1 for s in spans)
    run, each = "invoke_workflow fan", "invoke_workflow fan > stage each"
    one = each + " > stage each.one"
    child = one + " > attempt each.one > invoke_workflow ask"
    call = child + " > stage question > attempt question > chat chat"
    item = [one, one + " > attempt each.one", child, child + " > stage question", child + " > stage question > attempt question", call]
    assert paths(spans, bytes.fromhex(SPAN)) == sorted([run, each, run + " > stage sum", *item, *item, *[call + " > chat model"] * 3])
    said = attributes(next(s for s in spans if s.name == run))
    assert said["ballast.job.id"] == id and said["ballast.job.state"] == "done" and said["gen_ai.operation.name"] == "invoke_workflow"
    assert not any("urgent" in str(s) for s in spans), "nothing of content"


def test_a_worker_passes_the_trace_on_and_a_redrive_is_beneath_the_run_it_comes_from(house, collector):
    g = house(CUT)
    id = begin(g, "cutting", {})
    [task] = pull(g)
    end(g, "fail", task, error={"message": "blunt"}, retry=False)
    assert job(g, id, wait="30s")["state"] == "dead"
    again = post(g.app, f"/api/jobs/{id}/redrive").json()["id"]
    [task] = pull(g)
    assert Caller(g.port, g.app.key).chat("chat", headers={"traceparent": task["traceparent"]}).succeeded()
    end(g, "complete", task, output={})
    assert job(g, again, wait="30s")["state"] == "done" and job(g, again)["trace_id"] == job(g, id)["trace_id"] != TRACE
    run = "invoke_workflow cutting"
    redriven = run + " > " + run

    def stage(of: str, name: str, *beneath: str) -> list[str]:
        path = f"{of} > stage {name}"
        out = [path, path := f"{path} > attempt {name}"]
        for name in beneath:
            out.append(path := f"{path} > {name}")
        return out
    assert paths(told(g, collector)) == sorted([run, *stage(run, "ask", "chat chat", "chat model"), *stage(run, "cut", "task cut"),
                                                redriven, *stage(redriven, "cut", "task cut", "chat chat", "chat model")]), "one root, and what had a result is not done again"


def test_a_killed_process_loses_no_root_and_makes_no_second(house, collector):
    g = house(CUT)
    id = begin(g, "cutting", {}, traceparent=PARENT)
    [task] = pull(g)
    wait_until(lambda: any(s.name == "stage ask" for s in collector.spans()))
    g.kill()
    g.start()
    end(g, "complete", task, output={})
    assert job(g, id, wait="30s")["state"] == "done"
    spans = told(g, collector)
    run = "invoke_workflow cutting"
    ask, cut = run + " > stage ask", run + " > stage cut"
    assert paths(spans, bytes.fromhex(SPAN)) == sorted([run, ask, ask + " > attempt ask", ask + " > attempt ask > chat chat", ask + " > attempt ask > chat chat > chat model",
                                                        cut, cut + " > attempt cut", cut + " > attempt cut > task cut"])


def test_a_submitter_that_does_not_sample_is_heard_and_so_is_the_ratio(house, collector):
    g = house(CUT, sample=0)
    ids = [begin(g, "cutting", {}), begin(g, "cutting", {}, traceparent=PARENT[:-1] + "0"), begin(g, "cutting", {}, traceparent=PARENT.upper())]
    for task in pull(g, most=3) + pull(g, most=3, wait="2s") + pull(g, most=3, wait="2s"):
        assert task["traceparent"].endswith("-00")
        end(g, "complete", task, output={})
    jobs = [job(g, id, wait="30s") for id in ids]
    assert {j["state"] for j in jobs} == {"done"} and [j["trace_id"] == TRACE for j in jobs] == [False, True, False], "a malformed header says nothing"
    assert not told(g, collector)


def test_without_a_collector_a_trace_is_passed_on_all_the_same(upstream, gateway):
    g = gateway(one_provider(upstream))
    upstream.script("model", ok(5))
    made = post(g.app, "/api/jobs?wait=30s", {"call": {"body": {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}}}, traceparent=PARENT,
                tracestate="rojo=00f067aa0ba902b7, congo=t61rcWkgMzE")
    assert made.json()["state"] == "done" and made.json()["trace_id"] == TRACE
    assert upstream.seen()[-1].headers["traceparent"].startswith(f"00-{TRACE}-")
    assert upstream.seen()[-1].headers["tracestate"] == "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    plain = post(g.app, "/api/jobs?wait=30s", {"task": "ballast.noop", "payload": 1}).json()
    assert plain["state"] == "done" and "trace_id" not in plain
