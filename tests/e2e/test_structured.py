"""JSON that a caller asked for by a schema: models that lie about it, on the wire, in the books, in the metrics, in a flow and offline."""
from __future__ import annotations

import json

import pytest

from support.configs import provider
from support.fake_upstream import ok
from test_jobs import post

SCHEMA = {"type": "object", "properties": {"item": {"type": "string"}, "price": {"type": "number", "minimum": 1},
                                           "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
          "required": ["item", "price", "tags"], "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "order", "schema": SCHEMA, "strict": True}}
LIES = ("json_fenced", "json_trailing_comma", "json_prose", "json_truncated", "json_wrong_type")
REPAIRED = LIES[:3]
FLOW = """
flow: order
output: '.stages.ask.output'
stages:
  ask:
    model:
      route: json_wrong_type
      prompt: An order, please
      schema: {type: object, properties: {item: {type: string}}, required: [item], additionalProperties: false}
"""


def config(first: dict | None = None, **route) -> dict:
    """A model for each lie, told on the first request alone, and a route of the model's name."""
    price = {"input": "$1", "output": "$2"}
    models = {lie: {"tokens_per_second": 0, "ttft": "0s", "price": price, "faults": [{"kind": lie, **({"first": 1} if first is None else first)}]} for lie in LIES}
    return {"providers": {"sim": {"kind": "simulator", "models": models}},
            "routes": {lie: {"targets": [f"sim/{lie}"], "structured": route} for lie in LIES}}


def fits(text: str) -> bool:
    value = json.loads(text)
    return isinstance(value["item"], str) and value["price"] >= 1 and bool(value["tags"]) and len(value) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_every_lie_is_put_right_or_asked_for_again_and_the_money_adds_up(gateway, stream):
    g = gateway(config(stream="hold"))
    expected = 0
    for lie in LIES:
        r = g.app.chat(lie, response_format=FORMAT, stream=stream)
        assert r.status == 200 and fits(r.text()) and r.finish() == "stop", (lie, r.body)
        repaired = lie in REPAIRED
        assert r.headers["x-ballast-structured"] == ("repaired" if repaired else "reasked"), lie
        d = g.decision(r)
        outcomes = [a["outcome"] for a in d["attempts"]]
        assert outcomes == (["ok"] if repaired else ["provider_invalid_output", "ok"]), lie
        if not repaired:
            assert d["incurred_usd"] > d["billed_usd"] > "0", d
        expected += len(outcomes)
        told = g.command("explain", r.headers["x-ballast-call-id"]).stdout
        assert "judged against the JSON" in told and ("asked again" in told) != repaired, told
    books = g.usage()
    assert books["attempts"] == expected == 7 and books["calls"] == 5 and books["incurred"] > books["billed"] > 0
    metric = g.metric
    assert metric("ballast_structured_total", ask="first", verdict="repaired") == 3
    assert metric("ballast_structured_total", ask="first", verdict="wrong") == 1
    assert metric("ballast_structured_total", ask="first", verdict="truncated") == 1
    assert metric("ballast_structured_total", ask="again", verdict="valid") == 2
    assert metric("ballast_structured_failures_total") == 0


def test_a_model_that_never_does_it_is_an_error_that_says_what_is_wrong(gateway):
    g = gateway(config({}))
    whole = g.app.chat("json_wrong_type", response_format=FORMAT)
    assert whole.status == 422 and whole.error()["code"] == "provider_invalid_output" and "/item" in whole.error()["message"]
    assert whole.headers["x-should-retry"] == "false" and whole.headers["x-ballast-structured"] == "invalid"
    stream = g.app.chat("json_wrong_type", response_format=FORMAT, stream=True)
    assert stream.headers["x-ballast-structured"] == "watched" and stream.finish() is None
    assert stream.error()["code"] == "provider_invalid_output"
    claude = g.app.post("/v1/messages", {"model": "json_truncated", "max_tokens": 100, "messages": [{"role": "user", "content": "An order"}],
                                         "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}})
    assert claude.status == 422 and claude.json()["error"]["code"] == "provider_invalid_output" and "breaks off" in claude.json()["error"]["message"]
    assert g.metric("ballast_structured_failures_total") == 3
    books = g.usage()
    assert books["failed"] == 3 and books["billed"] == 0 and books["attempts"] == 5


def test_what_is_wrong_is_passed_on_where_the_route_says_so_and_not_judged_where_it_says_that(gateway):
    g = gateway(config({}, on_failure="pass", reask=0))
    r = g.app.chat("json_wrong_type", response_format=FORMAT)
    assert r.status == 200 and r.headers["x-ballast-structured"] == "invalid" and json.loads(r.text())["item"] == [{}]
    g = gateway(config({}, enforce="none"))
    r = g.app.chat("json_fenced", response_format=FORMAT)
    assert r.text().startswith("```json") and "x-ballast-structured" not in r.headers


def test_a_route_has_a_schema_of_its_own_from_a_file(gateway):
    c = config({}, schema="order.json")
    g = gateway(c, start=False)
    (g.folder / "order.json").write_text(json.dumps(SCHEMA))
    g.start()
    r = g.app.chat("json_fenced")
    assert fits(r.text()) and r.headers["x-ballast-structured"] == "repaired"
    (g.folder / "order.json").write_text('{"type": 5}')
    checked = g.command("check", "--config", str(g.file), check=False)
    assert checked.returncode != 0 and "schema" in checked.stdout + checked.stderr


def test_openai_is_told_to_hold_itself_to_a_routes_schema_and_others_are_not(gateway, upstream):
    strict = {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"], "additionalProperties": False}
    azure = {**provider(upstream), "kind": "azure"}
    g = gateway({"providers": {"az": azure, "local": provider(upstream)},
                 "routes": {"az": {"targets": ["az/model"], "structured": {"schema": "order.json"}},
                            "loose": {"targets": ["az/model"], "structured": {"schema": "loose.json"}},
                            "local": {"targets": ["local/model"], "structured": {"schema": "order.json"}}}}, start=False)
    (g.folder / "order.json").write_text(json.dumps(strict))
    (g.folder / "loose.json").write_text(json.dumps({**strict, "required": []}))
    g.start()
    upstream.script("model", ok(['{"item": "x"}']))
    for route, told in (("az", True), ("loose", None), ("local", None)):
        r = g.app.chat(route)
        assert r.status == 200 and json.loads(r.text()) == {"item": "x"}, r.body
        assert upstream.seen()[-1].body["response_format"]["json_schema"].get("strict") is told, route


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_that_must_be_called_gets_arguments_that_satisfy_its_schema(gateway, stream):
    g = gateway(config(stream="hold"))
    tool = {"type": "function", "function": {"name": "order", "parameters": SCHEMA}}
    for lie in LIES:
        r = g.app.chat(lie, tools=[tool], tool_choice={"type": "function", "function": {"name": "order"}}, stream=stream)
        assert r.status == 200 and r.headers["x-ballast-structured"] == ("repaired" if lie in REPAIRED else "reasked"), (lie, r.body)
        if not stream:
            assert fits(r.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]), r.body
    assert g.metric("ballast_structured_total", ask="again", verdict="valid") == 2
    books = g.usage()
    assert books["attempts"] == 7 and books["calls"] == 5 and books["incurred"] > books["billed"] > 0


def test_a_schema_that_cannot_be_used_is_the_callers_to_mend(gateway):
    g = gateway(config({}))
    for schema in ({"type": 5}, {"$ref": "https://example.com/x"}, {"pattern": "(a+"}, {"$ref": "#"}):
        r = g.app.chat("json_fenced", response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})
        assert r.status == 400 and r.error()["param"] == "response_format.json_schema.schema", r.body
    assert g.usage()["attempts"] == 0


def test_a_flows_model_stage_walks_the_same_road(gateway):
    g = gateway(config(), start=False)
    (g.folder / "flows").mkdir()
    (g.folder / "flows" / "order.yaml").write_text(FLOW)
    g.start()
    done = post(g.app, "/api/jobs?wait=30s", {"flow": "order", "input": {}}).json()
    assert done["state"] == "done" and done["output"] == {"item": "text"}, done
    assert g.metric("ballast_structured_total", ask="again", verdict="valid") == 1
    books = g.usage()
    assert books["calls"] == 1 and books["attempts"] == 2 and books["incurred"] > books["billed"]


def test_structured_calls_work_offline_with_nothing_configured(gateway):
    g = gateway({"providers": {"sim": {"kind": "simulator"}}})
    r = g.app.chat("sim/sim-small", response_format=FORMAT)
    assert fits(r.text()) and r.headers["x-ballast-structured"] == "valid"
