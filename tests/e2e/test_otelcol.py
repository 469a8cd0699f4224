"""The OpenTelemetry Collector itself takes what Ballast sends: spans of calls and of a run, metrics with their units and examples. `make extended`."""
from __future__ import annotations

import pytest

from support.client import Caller
from support.configs import one_provider
from support.fake_upstream import error, ok
from support.otelcol import Otelcol, attributes, paths
from test_jobs import WORK_KEY, end, post, pull

pytestmark = pytest.mark.extended

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FLOW = """
flow: triage
output: '.stages.cut.output'
stages:
  ask: {model: {route: chat, prompt: "Is {{ .input.n }} urgent?"}}
  cut: {worker: {task: cut, queue: images, input: '{n: .input.n}'}, timeout: 60s, after: [ask]}
"""


@pytest.fixture
def otelcol(tmp_path):
    c = Otelcol(tmp_path)
    yield c
    c.stop()


def test_a_collector_takes_spans_and_metrics_and_they_come_out_as_they_were_meant(upstream, gateway, otelcol):
    upstream.script("model", error(503), ok(20))
    g = gateway(one_provider(upstream, route={"retries": {"attempts": 2, "backoff": "10ms"}},
                             telemetry={"otlp": otelcol.url, "metrics_every": "1s", "gzip": True, "resource": {"deployment.environment.name": "test"}}), start=False)
    g.config["keys"] += [{"name": "worker", "value": WORK_KEY, "scopes": ["work"]}]
    (g.folder / "flows").mkdir()
    (g.folder / "flows" / "triage.yaml").write_text(FLOW)
    g.write_config()
    g.start()
    assert g.app.chat("chat", stream=True).succeeded()
    made = post(g.app, "/api/jobs", {"flow": "triage", "input": {"n": 7}}, traceparent=f"00-{TRACE}-{SPAN}-01")
    assert made.status == 202, made.body
    [task] = pull(g)
    assert task["traceparent"].startswith(f"00-{TRACE}-") and task["traceparent"].endswith("-01")
    assert Caller(g.port, g.app.key).chat("chat", headers={"traceparent": task["traceparent"]}).succeeded()
    end(g, "complete", task, output={"ok": True})
    done = g.app.get(f"/api/jobs/{made.json()['id']}?wait=30s").json()
    assert done["state"] == "done" and done["trace_id"] == TRACE
    g.settled()
    assert g.terminate() == 0

    spans = otelcol.spans()
    own = [s for s in spans if s["traceId"] == TRACE]
    job, call, cut = "invoke_workflow triage", "chat chat > chat model", "invoke_workflow triage > stage cut > attempt cut > task cut"
    asked = job + " > stage ask > attempt ask"
    assert paths([{**s, "parentSpanId": "" if s["parentSpanId"] == SPAN else s["parentSpanId"]} for s in own]) == sorted(
        [job, job + " > stage ask", asked, asked + " > chat chat", asked + " > " + call, job + " > stage cut", job + " > stage cut > attempt cut", cut,
         cut + " > chat chat", cut + " > " + call])
    assert [s["name"] for s in own if s["parentSpanId"] == SPAN] == [job], "one root, the submitter's child"
    others = [s for s in spans if s["traceId"] != TRACE]
    assert paths(others) == ["chat chat", "chat chat > chat model", "chat chat > chat model"]
    refused = [s for s in others if s.get("status", {}).get("code") == 2]
    assert [attributes(s)["error.type"] for s in refused] == ["provider_overloaded"]
    assert {s["kind"] for s in own} == {1, 2, 3} and all(int(s["endTimeUnixNano"]) >= int(s["startTimeUnixNano"]) > 0 for s in spans)
    assert attributes(next(s for s in own if s["name"] == job))["gen_ai.operation.name"] == "invoke_workflow"

    metrics = otelcol.metrics()
    assert metrics["ballast_calls_total"]["sum"]["isMonotonic"] and metrics["ballast_calls_total"]["sum"]["aggregationTemporality"] == 2
    (duration,) = metrics["ballast_call_duration_seconds"]["exponentialHistogram"]["dataPoints"]
    assert int(duration["count"]) == 3 and metrics["ballast_call_duration_seconds"]["unit"] == "s"
    assert {e["traceId"] for e in duration["exemplars"]} <= {s["traceId"] for s in spans}
    tokens = metrics["gen_ai.client.token.usage"]
    assert tokens["unit"] == "{token}" and {attributes(p)["gen_ai.token.type"] for p in tokens["histogram"]["dataPoints"]} == {"input", "output"}
    resources = otelcol.resources()
    assert all(r == resources[0] for r in resources) and resources[0]["service.name"] == "ballast"
    assert resources[0]["deployment.environment.name"] == "test" and resources[0]["service.instance.id"] and resources[0]["service.version"]
