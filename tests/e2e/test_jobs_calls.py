"""Jobs of kind `call`: one model call each, in the name of the key that submitted it, billed once, at the limits' pace."""
from __future__ import annotations

import asyncio
import json
import sqlite3
import time

import pytest

from support.client import fetch
from support.configs import INPUT, OUTPUT, one_provider
from support.fake_upstream import context_length, error, ok, rate_limited, words
from support.gateway import cost_nano, wait_until

pytestmark = pytest.mark.databases


def job(text: str = "Say the words.", model: str = "chat", **more) -> dict:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more.pop("body", {})}
    return {"call": {"body": body}, "backoff": {"first": "50ms"}, **more}


def submit(caller, value: dict) -> str:
    reply = caller.post("/api/jobs", value)
    assert reply.status == 202, reply.body
    return reply.json()["id"]


def ended(caller, job_id: str, seconds: float = 90.0) -> dict:
    end = time.monotonic() + seconds
    while (found := caller.get(f"/api/jobs/{job_id}?wait=5s").json())["state"] not in ("done", "dead", "cancelled"):
        assert time.monotonic() < end, found
    return found


def counts(g) -> dict:
    return next((q for q in g.admin.get("/api/queues").json()["queues"] if q["queue"] == "default"), {})


def test_the_answer_is_the_output_and_the_cost_is_in_the_books(upstream, gateway):
    upstream.script("model", ok(words(12, "a")))
    g = gateway(one_provider(upstream))
    done = ended(g.app, submit(g.app, job(user="ann", feature="digest")))
    assert done["state"] == "done" and done["model"] == "chat", done
    assert done["output"]["choices"][0]["message"]["content"] == "".join(words(12, "a"))
    assert g.usage()["billed"] == cost_nano(upstream.seen()[0].prompt_tokens, 12, INPUT, OUTPUT)
    assert g.usage_by("user")["ann"]["calls"] == 1 and g.usage_by("feature")["digest"]["calls"] == 1
    assert g.usage_by("key")["config:app"]["billed"] == g.usage()["billed"]


def test_a_streamed_request_has_its_whole_answer_as_output(upstream, gateway):
    upstream.script("model", ok(words(12, "a"), gap=0.01))
    g = gateway(one_provider(upstream))
    done = ended(g.app, submit(g.app, job(body={"stream": True})))
    assert done["state"] == "done", done
    assert done["output"]["choices"][0]["message"]["content"] == "".join(words(12, "a"))


def told(body: bytes) -> list[tuple[int, str, dict]]:
    """(id, kind, data) of what a follower has heard whole; 0: without an id."""
    out = []
    for block in body.decode(errors="ignore").split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in lines:
            out.append((int(lines.get("id", 0)), lines.get("event", ""), json.loads(lines["data"])))
    return out


def text_of(events) -> str:
    """The answer as a follower puts it together: a reset begins it anew."""
    text = ""
    for _, kind, data in events:
        text = "" if kind == "reset" else text + data["text"] if kind == "token" else text
    return text


def follow(g, id: str, last: int = 0, leave_after: int | None = None):
    headers = g.app.headers({"last-event-id": str(last)})
    return told(asyncio.run(fetch(g.port, "GET", f"/api/jobs/{id}/events", headers=headers, leave_after=leave_after)).body)


def test_a_follower_hears_the_answer_as_it_comes_and_goes_on_where_it_was_cut_off(upstream, gateway):
    upstream.script("model", ok(words(60, "a"), gap=0.05))
    g = gateway(one_provider(upstream))
    id = submit(g.app, job(body={"stream": True}))
    first = follow(g, id, leave_after=900)
    assert any(kind == "token" for _, kind, _ in first), first
    assert g.app.get(f"/api/jobs/{id}").json()["state"] == "running", "heard before the answer was whole"
    rest = follow(g, id, last=max(n for n, _, _ in first))
    whole = "".join(words(60, "a"))
    assert text_of(first + rest) == whole and text_of(follow(g, id)) == whole
    ids = [n for n, kind, _ in first + rest if kind == "token"]
    assert ids == list(range(1, len(ids) + 1)) and len(ids) < 60, "each once, and gathered"
    assert rest[-1][1] == "state" and rest[-1][2]["output"]["choices"][0]["message"]["content"] == whole


def test_after_kill_9_a_follower_hears_that_the_answer_begins_anew(upstream, gateway):
    upstream.script("model", ok(words(200, "a"), gap=0.05), ok(words(8, "b")))
    g = gateway(one_provider(upstream))
    id = submit(g.app, job(body={"stream": True}))
    before = follow(g, id, leave_after=900)
    assert text_of(before).startswith(words(1, "a")[0])
    g.kill()
    g.start()
    after = follow(g, id, last=max(n for n, _, _ in before))
    assert "reset" in [kind for _, kind, _ in after]
    assert text_of(before + after) == "".join(words(8, "b"))


def test_a_call_put_off_while_it_answered_says_that_it_begins_anew(upstream, gateway):
    """The process is told to end: no attempt is counted, so only the event says it."""
    upstream.script("model", ok(words(200, "a"), gap=0.05), ok(words(8, "b")))
    g = gateway({**one_provider(upstream), "drain": "200ms", "read_on_disconnect": "0s"})
    id = submit(g.app, job(body={"stream": True}))
    before = follow(g, id, leave_after=900)
    assert text_of(before)
    g.terminate()
    g.start()
    after = follow(g, id, last=max(n for n, _, _ in before))
    assert text_of(before + after) == "".join(words(8, "b")), after
    assert ended(g.app, id)["attempt"] == 1


@pytest.mark.parametrize("operation, body", [
    ("responses", {"model": "chat", "input": "Say the words."}),
    ("messages", {"model": "chat", "max_tokens": 50, "messages": [{"role": "user", "content": "Say the words."}]})])
def test_other_operations_answer_in_their_own_form(upstream, gateway, operation, body):
    g = gateway(one_provider(upstream))
    done = ended(g.app, submit(g.app, {"call": {"operation": operation, "body": body}}))
    assert done["state"] == "done", done
    assert done["output"]["object" if operation == "responses" else "type"] == ("response" if operation == "responses" else "message")


def test_a_revoked_keys_jobs_die_and_say_so(upstream, gateway):
    g = gateway(one_provider(upstream))
    made = g.admin.post("/api/keys", {"name": "brief"}).json()
    caller = type(g.app)(g.port, made["secret"])
    waiting = submit(caller, job(delay="3s"))
    revoked = asyncio.run(fetch(g.port, "DELETE", f"/api/keys/{made['id']}", headers=g.admin.headers()))
    assert revoked.status in (200, 204), revoked.body
    dead = ended(g.admin, waiting)
    assert dead["state"] == "dead" and dead["error"]["code"] == "caller_unauthenticated", dead
    assert made["id"] in dead["error"]["message"] and made["secret"] not in str(dead)
    assert not upstream.seen()


def test_what_no_attempt_would_help_is_dead_at_once(upstream, gateway):
    upstream.script("model", context_length())
    g = gateway(one_provider(upstream))
    dead = ended(g.app, submit(g.app, job()))
    assert dead["state"] == "dead" and dead["error"]["code"] == "provider_context_length" and len(upstream.seen()) == 1
    unknown = ended(g.app, submit(g.app, job(model="nobody/knows")))
    assert unknown["state"] == "dead" and unknown["error"]["code"] == "caller_not_found", unknown


def hours(start: float, end: float) -> dict:
    """The off-peak hours from so many hours after now until so many."""
    at = lambda h: time.strftime("%H:%M", time.gmtime(time.time() + h * 3600))
    return {"off_peak": {"from": at(start), "until": at(end)}}


def test_a_call_that_may_wait_is_last_and_has_a_queue_of_its_own(upstream, gateway):
    g = gateway({**one_provider(upstream), "batches": hours(-1, 1)})
    done = ended(g.app, submit(g.app, job(urgency="batch")))
    assert done["state"] == "done" and (done["queue"], done["priority"], done["urgency"]) == ("batch", 9, "batch")
    own = ended(g.app, submit(g.app, job(urgency="batch", queue="mine", priority=3)))
    assert (own["queue"], own["priority"]) == ("mine", 3)
    for wrong in (job(urgency="soon"), {"task": "t", "urgency": "batch"}):
        refused = g.app.post("/api/jobs", wrong)
        assert refused.status == 400 and refused.json()["field"] == "urgency"


def test_a_call_that_may_wait_waits_for_its_hours_unless_its_deadline_comes_first(upstream, gateway):
    g = gateway({**one_provider(upstream), "batches": hours(2, 3)})
    waiting = submit(g.app, job(urgency="batch"))
    in_time = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    assert ended(g.app, submit(g.app, job(urgency="batch", deadline=in_time)))["state"] == "done"
    assert ended(g.app, submit(g.app, job()))["state"] == "done", "what is not to wait does not"
    wait_until(lambda: "due" in g.app.get(f"/api/jobs/{waiting}").json())
    found = g.app.get(f"/api/jobs/{waiting}").json()
    assert found["state"] == "queued" and found["attempt"] == 0 and len(upstream.seen()) == 2, found


def test_a_failing_provider_costs_attempts_and_a_refusing_one_does_not(upstream, gateway):
    once = {"retries": {"attempts": 1}}
    upstream.script("model", error(500, "x"), rate_limited("1"), rate_limited("1"), ok(words(3)))
    g = gateway(one_provider(upstream, route=once))
    done = ended(g.app, submit(g.app, job(attempts=2)))
    assert done["state"] == "done" and done["attempt"] == 2, done
    assert len(upstream.seen()) == 4


def test_a_template_answers_only_when_no_attempt_is_left(upstream, gateway):
    upstream.script("model", error(500, "x"))
    g = gateway(one_provider(upstream, route={"retries": {"attempts": 1}, "degrade": {"template": "Later, please."}}))
    done = ended(g.app, submit(g.app, job(attempts=3)))
    assert done["state"] == "done" and done["attempt"] == 3 and done["output"]["ballast"] == {"degraded": "template"}, done
    assert len(upstream.seen()) == 3


def test_a_backlog_drains_at_the_limits_pace_beside_other_models(upstream, gateway):
    config = one_provider(upstream, limits=[{"scope": "model", "match": "up/model", "requests": "20/s"}])
    config["models"]["up/other"] = config["models"]["up/model"]
    g = gateway(config)
    began = time.monotonic()
    accepted = g.app.post("/api/jobs/bulk", {"jobs": [job(f"Number {i}.") for i in range(200)]})
    assert accepted.status == 202 and accepted.json()["accepted"] == 200
    assert ended(g.app, submit(g.app, job(model="up/other")))["state"] == "done"
    assert len(upstream.seen("model")) < 200, "the other model's job waited for the whole backlog"
    wait_until(lambda: len(upstream.seen("model")) >= 200, 120)
    took = time.monotonic() - began
    assert took > (200 - 20) / 20 * 0.9, "faster than the limit"
    wait_until(lambda: counts(g).get("ready", 0) + counts(g).get("running", 0) == 0)
    books = g.usage()
    assert books["attempts"] == 201 and books["failed"] <= 4, books


def test_after_kill_9_only_what_was_in_flight_is_asked_again(upstream, gateway, database):
    """The answer was recorded, or the provider is asked again: nothing between."""
    upstream.script("model", ok(words(5), delay=0.02))
    if database():
        pytest.skip("reads the SQLite file of the killed process")
    g = gateway(one_provider(upstream))
    ids = [j["id"] for j in g.app.post("/api/jobs/bulk", {"jobs": [job(f"Number {i}.") for i in range(1500)]}).json()["jobs"]]
    wait_until(lambda: len(upstream.seen()) >= 300)
    g.kill()
    seen = len(upstream.seen())
    with sqlite3.connect(g.folder / "ballast.db") as db:
        in_flight = db.execute("SELECT count(*) FROM idempotency WHERE state = 1").fetchone()[0]
    assert in_flight < 1500 and seen < 1500, "killed too late"
    g.start()
    for i in ids:
        assert ended(g.app, i)["state"] == "done"
    asked = [r.body["messages"][0]["content"] for r in upstream.seen()]
    assert len(set(asked)) == 1500
    assert len(asked) - 1500 <= in_flight, "an answer that was recorded was asked for again"
    books = g.usage()
    answered, again = books["calls"] - books["failed"], books["cache_hits"]   # an answer that was recorded before its job's commit is given again, and is a hit
    assert 1500 <= answered <= 1500 + in_flight + again, "answered twice is at most what was in flight, its first answer on the books but not on the job's record"
    assert books["failed"] <= in_flight + books["cache_hits"], "cut by the kill, before its answer was recorded or just after"


def test_an_answer_recorded_before_the_crash_is_not_asked_for_again(upstream, gateway, database):
    """Between the reply and the job's own commit: the job is put back by hand, as a kill in that moment leaves it."""
    upstream.script("model", ok(words(5)))
    if database():
        pytest.skip("writes the SQLite file of the killed process")
    g = gateway(one_provider(upstream))
    first = submit(g.app, job())
    whole = ended(g.app, first)
    billed = g.usage()["billed"]
    g.kill()
    with sqlite3.connect(g.folder / "ballast.db") as db:
        db.execute("UPDATE jobs SET state = 0, live = 1, output = NULL, finished_us = 0")
    g.start()
    again = ended(g.app, first)
    assert again["state"] == "done" and again["output"] == whole["output"]
    assert len(upstream.seen()) == 1 and g.usage()["billed"] == billed
