"""Calls that may wait are gathered and sent through their provider's batch API, and cost what batches do. The provider is another Ballast, which
has OpenAI's batch API, or the simulator, which has Anthropic's too."""
from __future__ import annotations

import json
import time

import pytest

from support.configs import PRICE, TIMERS, one_provider
from support.fake_upstream import Gate, error, ok, words
from support.gateway import APP_KEY, cost_nano, wait_until

pytestmark = pytest.mark.databases

HALF = {"price": PRICE, "batch_percent": 50, "context": 32768, "max_output": 4096}


def far(upstream, gateway, **sections):
    """The provider: a gateway of its own."""
    return gateway({**one_provider(upstream), **sections})


def near(gateway, provider, **sections):
    """Asks it, in batches."""
    return gateway({"providers": {"far": {"kind": "openai", "base_url": f"http://127.0.0.1:{provider.port}/v1", "key": APP_KEY, "timeouts": TIMERS, "quirks": {"batch": True}}},
                    "models": {"far/chat": HALF}, "routes": {"ask": {"targets": ["far/chat"]}}, "batches": {"gather": "200ms"}, **sections})


def job(n: int, model: str = "ask", **more) -> dict:
    return {"call": {"body": {"model": model, "messages": [{"role": "user", "content": f"Number {n}."}]}}, "urgency": "batch", **more}


def submit(g, jobs: list[dict]) -> list[str]:
    reply = g.app.post("/api/jobs/bulk", {"jobs": jobs})
    assert reply.status == 202, reply.body
    return [j["id"] for j in reply.json()["jobs"]]


def ended(g, id: str, seconds: float = 90.0) -> dict:
    end = time.monotonic() + seconds
    while (found := g.app.get(f"/api/jobs/{id}?wait=5s").json())["state"] not in ("done", "dead", "cancelled"):
        assert time.monotonic() < end, found
    return found


def batches(g) -> list[dict]:
    return g.app.get("/v1/batches?limit=100").json()["data"]


def test_they_are_sent_together_and_cost_half(upstream, gateway):
    upstream.script("model", ok(words(5)))
    b = far(upstream, gateway)
    a = near(gateway, b)
    for id in submit(a, [job(n) for n in range(40)]):
        done = ended(a, id)
        assert done["state"] == "done" and done["output"]["choices"][0]["message"]["content"] == "".join(words(5)), done
        assert done["attempt"] == 1
    asked = upstream.seen("model")
    assert sorted(r.body["messages"][0]["content"] for r in asked) == sorted(f"Number {n}." for n in range(40)), "each once"
    assert 1 <= len(batches(b)) <= 10 and sum(x["request_counts"]["total"] for x in batches(b)) == 40
    billed = sum(-(-cost_nano(r.prompt_tokens, 5, 1.0, 2.0) // 2) for r in asked)
    books = a.usage()
    assert books["calls"] == 40 and books["attempts"] == 40 and books["billed"] == billed == books["incurred"], books


def test_a_batch_of_ours_goes_through_the_providers(upstream, gateway):
    upstream.script("model", ok(words(5)))
    b = far(upstream, gateway)
    a = near(gateway, b)
    id = created(a, 30)
    wait_until(lambda: a.app.get(f"/v1/batches/{id}").json()["status"] == "completed")
    assert a.app.get(f"/v1/batches/{id}").json()["request_counts"] == {"total": 30, "completed": 30, "failed": 0}
    assert len(upstream.seen("model")) == 30 and sum(x["request_counts"]["total"] for x in batches(b)) == 30


def test_nothing_is_lost_or_asked_twice_by_kill_9(upstream, gateway):
    upstream.script("model", ok(words(3), delay=0.02))
    b = far(upstream, gateway, batches={"concurrency": 4})
    a = near(gateway, b)
    ids = submit(a, [job(n, attempts=20) for n in range(200)])      # a kill counts as an attempt of what it cut
    for pause in (0.05, 0.2, 0.3, 0.5, 0.8):
        time.sleep(pause)                    # moments to be killed at, not times to wait for
        a.kill()
        a.start()
    assert {ended(a, id, 150)["state"] for id in ids} == {"done"}
    assert sorted(r.body["messages"][0]["content"] for r in upstream.seen("model")) == sorted(f"Number {n}." for n in range(200)), "each once"
    # What a kill cut while an answer was being booked stands at its ceiling as unknown, and is booked once more: never less than it cost.
    books, cost = a.usage(), sum(-(-cost_nano(r.prompt_tokens, 3, 1.0, 2.0) // 2) for r in upstream.seen("model"))
    assert books["billed"] == cost or (books["failed"] > 0 and books["billed"] > cost), (books, cost)


def test_a_line_that_fails_there_fails_here(upstream, gateway):
    upstream.script("model", error(400, "invalid_value", "invalid_request_error", "no such thing"))
    b = far(upstream, gateway)
    a = near(gateway, b)
    [id] = submit(a, [job(0)])
    dead = ended(a, id)
    assert dead["state"] == "dead" and dead["error"]["code"] == "provider_rejected", dead
    assert a.usage()["billed"] == 0


def test_a_provider_that_refuses_batches_is_asked_the_ordinary_way(upstream, gateway):
    upstream.script("", error(404, "not_found", "invalid_request_error", "no such path"))
    upstream.script("model", ok(words(3)))
    config = one_provider(upstream)
    config["providers"]["up"]["quirks"] = {"batch": True}
    g = gateway({**config, "batches": {"gather": "200ms"}})
    ids = submit(g, [job(n, "chat") for n in range(5)])
    assert {ended(g, id)["state"] for id in ids} == {"done"}
    assert len(upstream.seen("model")) == 5
    assert g.usage()["billed"] == sum(cost_nano(r.prompt_tokens, 3, 1.0, 2.0) for r in upstream.seen("model"))


def test_calls_that_a_budget_binds_are_made_the_ordinary_way(upstream, gateway):
    upstream.script("model", ok(words(3)))
    b = far(upstream, gateway)
    a = near(gateway, b, budgets=[{"scope": "key", "match": "app", "amount": "$1", "per": "day"}])
    ids = submit(a, [job(n) for n in range(5)])
    assert {ended(a, id)["state"] for id in ids} == {"done"} and batches(b) == []


def counts(g) -> dict:
    return {x["id"]: (x["status"], x["request_counts"]["completed"]) for x in batches(g)}


def test_what_was_answered_for_a_cancelled_job_is_booked_and_the_rest_is_cancelled_there(upstream, gateway):
    held = Gate(ok(words(3)))
    upstream.script("model", ok(words(3)), held)
    b = far(upstream, gateway, batches={"concurrency": 1})
    a = near(gateway, b)
    ids = submit(a, [job(n) for n in range(2)])
    wait_until(lambda: list(counts(b).values()) == [("in_progress", 1)])
    for id in ids:
        assert a.app.post(f"/api/jobs/{id}/cancel", {}).status == 200
    wait_until(lambda: list(counts(b).values()) == [("cancelled", 1)])
    first = upstream.seen("model")[0]
    wait_until(lambda: a.usage()["billed"] == -(-cost_nano(first.prompt_tokens, 3, 1.0, 2.0) // 2))
    held.open()


def uploaded(g, n: int) -> str:
    lines = [{"custom_id": f"c{i}", "method": "POST", "url": "/v1/chat/completions", "body": job(i)["call"]["body"]} for i in range(n)]
    boundary, content = "a-boundary-of-the-test", "".join(json.dumps(l) + "\n" for l in lines)
    form = (f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{boundary}\r\n'
            f'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{content}\r\n--{boundary}--\r\n').encode()
    return g.app.post("/v1/files", form, headers={"content-type": f"multipart/form-data; boundary={boundary}"}).json()["id"]


def created(g, n: int) -> str:
    return g.app.post("/v1/batches", {"input_file_id": uploaded(g, n), "endpoint": "/v1/chat/completions", "completion_window": "24h"}).json()["id"]


def lines_of(g, file: str | None) -> list[dict]:
    return [json.loads(l) for l in g.app.get(f"/v1/files/{file}/content").body.splitlines()] if file else []


@pytest.mark.parametrize("killed", [False, True])
def test_a_cancelled_batch_is_cancelled_there_and_keeps_what_was_finished(upstream, gateway, killed):
    held = Gate(ok(words(3)))
    upstream.script("model", *[ok(words(3))] * 4, held)
    b = far(upstream, gateway, batches={"concurrency": 1})
    a = near(gateway, b)
    id = created(a, 10)
    wait_until(lambda: sum(n for _, n in counts(b).values()) == 4 and len(upstream.seen("model")) == 5)
    mine = submit(a, [job(99)])              # somebody else's call, in a batch of its own
    wait_until(lambda: len(batches(b)) == 2)
    if killed:
        b.kill()                             # nobody hears that it is cancelled
    assert a.app.post(f"/v1/batches/{id}/cancel", {}).json()["status"] == "cancelling"
    if killed:
        a.kill()
        a.start()
        assert a.app.get(f"/v1/batches/{id}").json()["status"] == "cancelling"
        b.start()
    wait_until(lambda: a.app.get(f"/v1/batches/{id}").json()["status"] == "cancelled")
    done = a.app.get(f"/v1/batches/{id}").json()
    assert sorted(x["status"] for x in batches(b)) in (["cancelled", "in_progress"], ["cancelled", "completed"])
    there = [x for x in batches(b) if x["status"] == "cancelled"][0]["request_counts"]["completed"]
    assert there >= 4 and done["request_counts"] == {"total": 10, "completed": there, "failed": 10 - there}
    assert len(lines_of(a, done["output_file_id"])) == there and {l["error"]["code"] for l in lines_of(a, done["error_file_id"])} == {"batch_cancelled"}
    held.open()
    assert ended(a, mine[0])["state"] == "done"
    billed = (there + 1) * -(-cost_nano(upstream.seen("model")[0].prompt_tokens, 3, 1.0, 2.0) // 2)
    wait_until(lambda: a.usage()["calls"] == there + 1)
    books = a.usage()
    assert books["billed"] == billed, (books, there)


class Anthropic:
    """The vendor's batch API, of one batch that never ends by itself: cancelled, its first request is answered, the others are not."""

    def __init__(self):
        self.asked: list[str] = []
        self.requests: list[dict] = []
        self.refusals = 1                    # of its cancellation

    async def __call__(self, wire, seen) -> None:
        path = seen.path.removeprefix("/v1/messages/batches")
        self.asked.append(path)
        cancelled = self.refusals < 0
        if path == "":
            self.requests = seen.body["requests"]
            await wire.json(200, {"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress"})
        elif path == "/msgbatch_1/cancel":
            self.refusals -= 1
            await wire.json(200 if self.refusals < 0 else 529, {"id": "msgbatch_1", "processing_status": "canceling"})
        elif path == "/msgbatch_1/results":
            answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": "model", "content": [{"type": "text", "text": "It is said."}],
                      "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 4}}
            results = [{"type": "succeeded", "message": answer}] + [{"type": "canceled"}] * (len(self.requests) - 1)
            await wire.json(200, "".join(json.dumps({"custom_id": r["custom_id"], "result": x}) + "\n" for r, x in zip(self.requests, results, strict=True)).encode())
        else:
            await wire.json(200, {"id": "msgbatch_1", "processing_status": "ended" if cancelled else "in_progress"})


def test_anthropics_is_asked_until_it_is_cancelled_once_nobody_waits(upstream, gateway):
    vendor = Anthropic()
    upstream.script("", vendor)
    a = gateway({"providers": {"claude": {"kind": "anthropic", "base_url": upstream.base_url, "key": APP_KEY, "timeouts": TIMERS, "quirks": {"batch": True}}},
                 "models": {"claude/model": HALF}, "batches": {"gather": "200ms"}})
    ids = submit(a, [{"call": {"operation": "messages", "body": {"model": "claude/model", "max_tokens": 20, "messages": [{"role": "user", "content": f"Number {n}."}]}}, "urgency": "batch"}
                     for n in range(3)])
    wait_until(lambda: "/msgbatch_1" in vendor.asked)
    assert a.app.post(f"/api/jobs/{ids[0]}/cancel", {}).status == 200
    looked = len(vendor.asked)
    wait_until(lambda: len(vendor.asked) >= looked + 3)
    assert "/msgbatch_1/cancel" not in vendor.asked
    for id in ids[1:]:
        assert a.app.post(f"/api/jobs/{id}/cancel", {}).status == 200
    wait_until(lambda: a.usage()["billed"] == -(-cost_nano(10, 4, 1.0, 2.0) // 2))
    assert vendor.asked.count("/msgbatch_1/cancel") == 2 and vendor.asked.count("") == 1


@pytest.mark.parametrize("operation, body", [
    ("chat.completions", {"messages": [{"role": "user", "content": "Say it."}]}), ("messages", {"max_tokens": 50, "messages": [{"role": "user", "content": "Say it."}]}),
    ("responses", {"input": "Say it."}), ("embeddings", {"input": "Say it."})])
def test_the_simulator_has_the_batch_apis_too(gateway, operation, body):
    g = gateway({"providers": {"sim": {"kind": "simulator", "quirks": {"batch": True}, "models": {"m": {"answer": "It is said.", "price": {"input": "$1", "output": "$2"}}}}},
                 "batches": {"gather": "200ms"}})
    done = ended(g, submit(g, [{"call": {"operation": operation, "body": {"model": "sim/m", **body}}, "urgency": "batch"}])[0])
    assert done["state"] == "done", done
    usage = done["output"]["usage"]
    tokens = usage.get("prompt_tokens", usage.get("input_tokens")), usage.get("completion_tokens", usage.get("output_tokens", 0))
    wait_until(lambda: "provider_batch_ended" in g.log.read_text())
    assert g.usage()["billed"] == -(-cost_nano(*tokens, 1.0, 2.0) // 2), usage
