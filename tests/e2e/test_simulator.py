"""`ballast simulate` as the provider, and the simulator inside the gateway: its books against the ledger's."""
from __future__ import annotations

import asyncio
import json
import subprocess

import pytest

from support.client import Caller
from support.configs import TIMERS
from support.gateway import binary, cost_nano, free_port, nano, wait_port

PRICE = {"input": "$1", "output": "$2"}


@pytest.fixture
def simulate(tmp_path):
    """`simulate(models)` starts the simulator with these models and returns its port."""
    running = []

    def start(models: dict) -> int:
        port, log = free_port(), tmp_path / f"simulate{len(running)}.log"
        file = tmp_path / f"simulate{len(running)}.yaml"
        file.write_text(json.dumps({"providers": {"sim": {"kind": "simulator", "models": models}}}))
        with open(log, "wb") as out:
            running.append(subprocess.Popen([binary(), "simulate", "--config", str(file), "--listen", f"127.0.0.1:{port}"],
                                            stdout=out, stderr=out, cwd=tmp_path))
        wait_port(port, running[-1], log)
        return port
    yield start
    for process in running:
        process.terminate()
        process.wait(60)


def behind(port: int, models, timers: dict | None = None, **sections) -> dict:
    """A gateway before that simulator; a model's route has the model's name."""
    return {"providers": {"far": {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "key": "sk-simulator-0123456789",
                                  "timeouts": TIMERS | (timers or {})}},
            "models": {f"far/{m}": {"price": PRICE, "context": 100000, "max_output": 4096} for m in models},
            "routes": {m: {"targets": [f"far/{m}"], "retries": {"attempts": 2, "deadline": "60s", "backoff": "50ms"}} for m in models},
            **sections}


def counts(port: int) -> dict:
    """The simulator's own books, by model."""
    return Caller(port, "any").get("/sim/counts").json()


def test_two_thousand_calls_and_three_books_agree(simulate, gateway):
    models = {"quick": {"ttft": "10ms", "tokens_per_second": 1000, "output_tokens": 20, "price": PRICE}}
    port = simulate(models)
    each = cost_nano(0, 50, 0, 2)
    g = gateway(behind(port, models, budgets=[{"scope": "key", "amount": f"$0.{each * 100:09d}", "per": "day"}],
                       limits_http={"connections": 8000}))

    async def storm():
        return await asyncio.gather(*[g.app.chat_async("quick", max_tokens=50, stream=i % 2 == 0, timeout=120) for i in range(2000)])
    replies = asyncio.run(storm())
    served = [r for r in replies if r.status == 200]
    assert all(r.succeeded() for r in served) and {r.status for r in replies} <= {200, 429}
    usage = g.usage()
    book = find(counts(port), "quick")
    assert 1 <= len(served) == book["requests"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (book["input_tokens"], book["output_tokens"])
    assert usage["incurred"] == g.spent() <= each * 100
    assert usage["incurred"] == cost_nano(book["input_tokens"], book["output_tokens"], 1, 2), "whole nano-dollars a token: no rounding"


def find(books, model: str) -> dict:
    """The entry of a model, whether the books are a map or a list."""
    rows = books.get("models", books) if isinstance(books, dict) else books
    return rows[model] if isinstance(rows, dict) else next(r for r in rows if r.get("model") == model)


FAULTS = {
    "http_429": (429, 503), "http_500": (500, 502, 503), "http_502": (500, 502, 503), "http_503": (502, 503), "http_529": (502, 503, 529),
    "reset": (502, 503), "silence": (502, 503, 504), "context_length": (400,), "content_filter": (400,), "http_401": (401, 500, 502, 503),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_over_http(simulate, gateway, kind):
    models = {"bad": {"faults": [{"kind": kind}], "price": PRICE}}
    reply = gateway(behind(simulate(models), models, {"headers": "1s"} if kind == "silence" else None)).app.chat("bad")
    assert reply.status in FAULTS[kind] and reply.error()["message"], (reply.status, reply.body)


@pytest.mark.parametrize("kind", ["cut", "stall", "error_in_stream"])
def test_faults_inside_a_stream_over_http(simulate, gateway, kind):
    models = {"bad": {"tokens_per_second": 0, "faults": [{"kind": kind, "after_tokens": 10}], "price": PRICE}}
    reply = gateway(behind(simulate(models), models, {"idle": "1s"})).app.chat("bad", stream=True)
    assert not reply.succeeded() and reply.error()["message"] and not reply.done()


@pytest.mark.parametrize("kind", ["malformed_chunk", "missing_terminator"])
def test_faults_that_do_no_harm(simulate, gateway, kind):
    models = {"odd": {"tokens_per_second": 0, "faults": [{"kind": kind, "after_tokens": 10}], "price": PRICE}}
    assert gateway(behind(simulate(models), models)).app.chat("odd", stream=True).succeeded()


def test_a_provider_that_reports_more_than_the_proven_bound_is_booked_and_not_trusted(simulate, gateway):
    models = {"liar": {"output_tokens": 20, "tokens_per_second": 0, "faults": [{"kind": "over_report_usage"}], "price": PRICE}}
    g = gateway(behind(simulate(models), models, budgets=[{"scope": "key", "amount": "$1", "per": "day"}]))
    reply = g.app.chat("liar", max_tokens=20)
    assert reply.status == 200
    usage = reply.usage()
    assert nano(reply.headers["x-ballast-cost-usd"]) == cost_nano(usage["prompt_tokens"], usage["completion_tokens"], 1, 2)
    assert "far/liar" in json.dumps(g.admin.get("/api/budgets").json()["distrusted_models"])


def test_scripted_tool_calls_through_three_protocols(gateway):
    """The simulator inside the gateway calls the tool it is told to."""
    g = gateway({"providers": {"sim": {"kind": "simulator", "models": {"agent": {
        "tokens_per_second": 0, "price": PRICE,
        "answers": [{"match": "weather", "tool": "weather", "arguments": '{"city":"Paris"}'}]}}}}})
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    chat = g.app.chat("sim/agent", "the weather?", tools=[{"type": "function", "function": {"name": "weather", "parameters": schema}}]).json()
    call = chat["choices"][0]["message"]["tool_calls"][0]["function"]
    assert call["name"] == "weather" and json.loads(call["arguments"]) == {"city": "Paris"}
    message = g.app.post("/v1/messages", {"model": "sim/agent", "max_tokens": 50, "messages": [{"role": "user", "content": "the weather?"}],
                                          "tools": [{"name": "weather", "input_schema": schema}]}).json()
    use = next(b for b in message["content"] if b["type"] == "tool_use")
    assert use["name"] == "weather" and use["input"] == {"city": "Paris"} and message["stop_reason"] == "tool_use"
    response = g.app.post("/v1/responses", {"model": "sim/agent", "input": "the weather?",
                                            "tools": [{"type": "function", "name": "weather", "parameters": schema}]}).json()
    item = next(o for o in response["output"] if o["type"] == "function_call")
    assert item["name"] == "weather" and json.loads(item["arguments"]) == {"city": "Paris"}
